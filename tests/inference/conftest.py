"""Toys with events, a network trained on one, and the stages on them."""

import pytest

from inference.chains import Chain
from inference.toys import made, train


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Two parameters, two observables, 60 000 events."""
    return made(tmp_path_factory, 2, 60_000)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The same with 8 000 events."""
    return made(tmp_path_factory, 2, 8_000)


@pytest.fixture(scope="session")
def line(tmp_path_factory):
    """One parameter, one observable, 10 000 events."""
    return made(tmp_path_factory, 1, 10_000)


@pytest.fixture(scope="session")
def sally(toy, tmp_path_factory):
    """A trained SALLY network and its file."""
    model, _, _ = train(toy, "sally")
    path = tmp_path_factory.mktemp("sally") / "sally"
    model.save(path)
    return model, path


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Return a function that makes a chain on a toy."""
    return lambda toy: Chain(toy, tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def carl(chain, line):
    """All stages on one parameter, two runs of CARL."""
    run = chain(line)
    run.write_input(["carl"])
    run.run(n_runs=2)
    return run
