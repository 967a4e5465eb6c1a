"""Overrides have their documented meaning for networks that know the polynomial."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from inference.chains import Chain, call
from steps.inference import cross_fitted
from steps.inference.morphing.ensemble import Ensemble
from steps.stage import results

N = 8000
"""Events of the toy."""


@pytest.fixture
def made(chain, small):
    run = chain(small)
    run.write_input(["alice", "alices"], estimator="morphing")
    return run


def sample(run: Chain, *overrides: str) -> None:
    """Draw samples with overrides of the sampling."""
    options = ("--data-file", run.toy.path, "--overrides", *overrides)
    call(run.stage("sampling", "sampling", *options))


def column(run: Chain, method: str, name: str, number: int = 0) -> np.ndarray:
    return np.load(run.sample(method, number) / f"{name}_{method}_events.npy")


def facts(run: Chain, method: str, number: int = 0) -> dict:
    return yaml.safe_load((run.sample(method, number) / "sample.yml").read_text())


@dataclass
class Spy:
    """What the last training was told, in place of it."""

    told: cross_fitted.Options | None = None
    n_events: int = 0


@pytest.fixture
def spied(monkeypatch):
    """The last call of the fit; a short one is made in its place."""
    spy, fit = Spy(), cross_fitted.fit

    def short(x, coefficients, polynomial, options, *progress):
        spy.told, spy.n_events = options, len(x)
        quick = {"num_epochs": 1, "n_bags": min(options.n_bags, 2), "hidden_layers": (4,)}
        return fit(x, coefficients, polynomial, type(options)(**{**vars(options), **quick}))

    monkeypatch.setattr(cross_fitted, "fit", short)
    return spy


def train(run: Chain, method: str = "alices", number: int = 0, *overrides: str) -> Path:
    """Train with overrides of the training; return the folder of the network."""
    options = ("--sample-dir", run.sample(method, number), "--overrides", *overrides)
    call(run.stage("training", f"training_{method}_{number}", *options))
    return run.folder / f"training_{method}_{number}" / "models" / method


def evaluate(run: Chain, method: str, *overrides: str) -> None:
    model = ("--model-file", run.folder / f"training_{method}_0" / "Model.tar.gz")
    data = ("--data-file", run.toy.path, "--overrides", *overrides)
    call(run.stage("evaluating", "evaluating", *model, *data))


# ------------------------------------------------------------------ of the sampling
@pytest.mark.parametrize(("n", "used"), [(500, 500), (N, N), (300_000, N)])
def test_n_samples_train_is_the_most_events_that_are_used(made, spied, n, used):
    sample(made, f"n_samples_train={n}")
    index = column(made, "alices", "index")
    assert len(index) == len(column(made, "alices", "x")) == used
    assert len(np.unique(index)) == used
    assert index.max() < N
    assert facts(made, "alices")["n_events"] == used
    train(made)
    assert spied.n_events == used
    # The weights of fewer events sum to the same cross sections.
    weights = column(made, "alices", "weights").sum(axis=0)
    exact = [made.toy.cross_section(point) for point in made.toy.benchmarks.values()]
    np.testing.assert_allclose(weights, exact, rtol=0.15)


def test_n_sampling_runs_are_so_many_networks_of_other_seeds_and_folds(made, spied):
    sample(made, "n_sampling_runs=2", "n_samples_train=1000")
    seeds, folds, networks = [], [], []
    for run in (0, 1):
        assert facts(made, "alices", run)["run"] == run
        network = train(made, "alices", run)
        seeds.append(spied.told.seed)
        ensemble = Ensemble.load(network / "alices")
        folds.append(ensemble.fold)
        networks.append(ensemble.stack.arrays()["weights.0"])
    assert not made.sample("alices", 2).exists()
    assert seeds[0] != seeds[1]
    assert not np.array_equal(*folds)
    assert not np.array_equal(*networks)
    # All events serve both where there are no more than are used.
    sample(made, "n_sampling_runs=2")
    np.testing.assert_array_equal(*(column(made, "alices", "index", run) for run in (0, 1)))


@pytest.mark.parametrize(
    ("test_split", "n_folds"), [(0.1, 10), (0.2, 5), (0.3, 3), (0.5, 2), (0.9, 2)]
)
def test_test_split_is_the_share_that_each_network_keeps(made, spied, test_split, n_folds):
    """And every event is kept by one."""
    sample(made, f"test_split={test_split}", "n_samples_train=1000")
    network = Ensemble.load(train(made) / "alices")
    assert spied.told.n_folds == network.n_folds == n_folds
    counts = np.bincount(network.fold)
    assert counts.sum() == 1000
    assert np.ptp(counts) <= 1


def test_valid_split_changes_nothing(made, spied):
    found = []
    for share in (0.1, 0.5):
        sample(made, f"valid_split={share}", "n_samples_train=1000")
        network = Ensemble.load(train(made) / "alices")
        found.append((spied.told, network.fold, network.stack.arrays()["weights.0"]))
    (told, *arrays), (told_2, *arrays_2) = found
    assert told == told_2
    for one, two in zip(arrays, arrays_2, strict=True):
        np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------ of the training
@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("alpha=0.7", "alpha", 0.7),
        ("batch_size=77", "batch_size", 77),
        ("num_epochs=9", "num_epochs", 9),
        ("hidden_layers=6,5", "hidden_layers", (6, 5)),
        ("learning_rate=0.02", "learning_rate", 0.02),
    ],
)
def test_settings_of_the_training_reach_the_fit(made, spied, override, key, value):
    sample(made, "n_samples_train=500")
    train(made, "alices", 0, override)
    assert getattr(spied.told, key) == value
    about = yaml.safe_load(
        (made.folder / "training_alices_0/models/alices/training.yml").read_text()
    )
    written = about["training"][key]
    assert (tuple(written) if isinstance(written, list) else written) == value
    # What is not overridden is as the input file has it.
    assert spied.told.n_bags == 2
    if key != "hidden_layers":
        assert spied.told.hidden_layers == (16,)


def test_alice_has_no_part_of_the_score(made, spied):
    sample(made, "n_samples_train=500")
    train(made, "alice", 0, "alpha=0.7")
    assert spied.told.alpha == 0


def test_num_epochs_is_the_most_of_the_losses(made):
    sample(made, "n_samples_train=500")
    losses = np.load(train(made, "alices", 0, "num_epochs=3") / "losses.npy")
    assert losses.shape[1] == 2
    assert 1 <= len(losses) <= 3


@pytest.mark.parametrize("override", ["activation=relu", "final_learning_rate=0.1"])
def test_settings_of_other_networks_change_nothing(made, spied, override):
    sample(made, "n_samples_train=500")
    train(made)
    usual = spied.told
    train(made, "alices", 0, override)
    assert spied.told == usual


def test_kinds_of_observables_reach_the_fit_in_their_order(chain, small, spied):
    run = chain(small)
    run.write_input(["alices"], morphing={"kinds": {"x1": "angle"}, "hidden_layers": [8]})
    sample(run, "n_samples_train=500")
    network = Ensemble.load(train(run) / "alices")
    assert spied.told.kinds == (None, "angle")
    assert list(network.features.kinds) == ["plain", "angle"]


# ------------------------------------------------------------------ of the evaluation
@pytest.fixture(scope="module")
def trained(chain, small):
    run = chain(small)
    run.write_input(["alices"], estimator="morphing", asymptotic_limits=_limits())
    sample(run, "n_samples_train=2000")
    train(run, "alices", 0, "num_epochs=2")
    return run


def _limits():
    region = {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(2)}
    return {"region": region, "resolutions": [7, 5], "theta_true": [0.0, 0.0]}


def evaluated(run: Chain, *overrides: str) -> dict:
    evaluate(run, "alices", *overrides)
    return results.read(run.folder / "evaluating/results.h5")


def test_the_expected_data_scale_with_the_luminosity(trained):
    one, two = (evaluated(trained, f"luminosity={value}") for value in (10, 30))
    for name in ("kinematics", "with_rate"):
        q = [arrays[f"log_likelihood/{name}"] for arrays in (one, two)]
        q = [values.max() - values for values in q]
        np.testing.assert_allclose(q[1], 3 * q[0], rtol=1e-6, atol=1e-6)
    n = [arrays["expectation/n_expected"] for arrays in (one, two)]
    assert n[1] == pytest.approx(3 * n[0])


def test_n_samples_test_are_the_events_of_the_joint_comparison(trained):
    assert len(evaluated(trained, "n_samples_test=300")["joint/truth"]) == 300
    assert len(evaluated(trained, "n_samples_test=9000")["joint/truth"]) == 2000


def test_other_overrides_of_the_evaluation_change_no_limits(trained):
    """Every event is expected data, and none fills a histogram."""
    usual = evaluated(trained)
    other = evaluated(trained, "n_samples_train=100", "test_split=0.1")
    for name in ("log_likelihood/kinematics", "log_likelihood/with_rate"):
        np.testing.assert_array_equal(usual[name], other[name])
