"""Toys with events, the same as in the tests of inference."""

import pytest
from inference.toys import made


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Two parameters, two observables, 8 000 events."""
    return made(tmp_path_factory, 2, 8_000)


@pytest.fixture(scope="session")
def line(tmp_path_factory):
    """One parameter, one observable, 10 000 events."""
    return made(tmp_path_factory, 1, 10_000)
