"""All nine methods through the stage scripts; their networks in plain MadMiner; determinism."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from steps.inference import estimators
from steps.inference.analysis import Analysis
from steps.inference.methods import RATIO_METHODS, SCORE_METHODS, Kind, kind
from steps.inference.statistics import grid
from steps.interface import results

METHODS = (*RATIO_METHODS, *SCORE_METHODS, "scandal")
SM = {"sampling_method": "benchmark", "sampling_arg": "sm"}
POINTS = np.array([[0.5, -0.25], [0.0, 0.0], [-0.5, 0.75]])
X = np.random.default_rng(1).normal(size=(50, 2))


@pytest.fixture(scope="module")
def nine(chain, small):
    """Run all stages on all methods, one of each sampling method among them."""
    run = chain(small)
    run.write_input(
        METHODS,
        carl={
            "theta_0": {"sampling_method": "benchmarks", "sampling_arg": ["w", "v"]},
            "theta_1": {"sampling_method": "morphing_points", "sampling_arg": [0.0, 0.0]},
        },
        rolr={
            "theta_0": {"sampling_method": "morphing_points", "sampling_arg": POINTS.tolist()},
            "theta_1": SM,
        },
        scandal={"theta_0": {"sampling_method": "benchmarks", "sampling_arg": ["sm", "w"]}},
        include_xsec=[True],
        fisher_information={
            "bool": True,
            "observable": "x0",
            "histogram_bins": [-2.0, -1.0, 0.0, 1.0, 2.0],
            "theta_true": [0.0, 0.0],
        },
    )
    return run.run()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_evaluates(nine, method):
    arrays = results.read(nine / f"evaluating_{method}_0" / "results.h5")
    assert (nine / f"evaluating_{method}_0" / f"Results_{method}.tar.gz").exists()
    assert arrays["losses"].shape == (2, 2)
    assert arrays["log_likelihood/kinematics"].shape == (35,)
    for name, array in arrays.items():
        if not name.startswith("closure/"):
            assert np.isfinite(array).all(), name
    n = 2 if kind(method) is Kind.SCORE else 5
    assert arrays["closure/correlation"].shape == arrays["closure/slope"].shape == (n,)
    assert ("joint/truth" in arrays) == (method != "scandal")


def test_all_plots_of_the_contract_and_the_table(nine):
    plots = nine / "plotting" / "plots"
    names = {path.stem for path in plots.glob("*.png")}
    wanted = {f"correlation_{m.upper()}" for m in METHODS if m != "scandal"}
    assert wanted | {"all_methods", "all_methods_separate", "losses"} <= names
    table = yaml.safe_load((plots / "limits.yml").read_text())
    assert set(table["limits"]) == {"rate", "histogram", *(m.upper() for m in METHODS)}
    assert set(table["fisher_information"]) == {"rate", "histogram", "sally", "sallino"}


_PLAIN = """
import json, sys
import numpy as np
from madminer.ml import LikelihoodEstimator, ScoreEstimator, load_estimator
path, x, points = sys.argv[1], *map(json.loads, sys.argv[2:])
x, points = np.array(x), np.array(points)
values = []
for name in path.split(","):
    model = load_estimator(name)
    if isinstance(model, ScoreEstimator):
        value = model.evaluate_score(x)
    elif isinstance(model, LikelihoodEstimator):
        value, _ = model.evaluate_log_likelihood(x, points, evaluate_score=False)
    else:
        value, _ = model.evaluate_log_likelihood_ratio(x, points, evaluate_score=False)
    values.append(np.asarray(value).tolist())
assert not any(name.split(".")[0] == "steps" for name in sys.modules)
print(json.dumps(values))
"""


@pytest.fixture(scope="module")
def plain(nine, tmp_path_factory):
    """Evaluate the saved networks where only MadMiner is imported."""
    paths = [nine / f"evaluating_{m}_0" / "models" / m / m for m in METHODS]
    words = [",".join(map(str, paths)), json.dumps(X.tolist()), json.dumps(POINTS.tolist())]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PLAIN, *words],
        cwd=tmp_path_factory.mktemp("plain"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(METHODS, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_saved_networks_give_the_same_in_plain_madminer(nine, plain, method):
    path = nine / f"evaluating_{method}_0" / "models" / method / method
    model = estimators.load(path, method, "parameterized")
    is_score = kind(method) is Kind.SCORE
    found = (
        estimators.score(model, X, POINTS.shape[1])
        if is_score
        else estimators.log_ratio(model, X, POINTS)
    )
    np.testing.assert_allclose(found, plain[method], rtol=1e-5, atol=1e-5)


def test_evaluation_in_batches_gives_the_same(small, train, monkeypatch):
    model, _, _ = train(small, "alice", 1000, num_epochs=1)
    whole = estimators.log_ratio(model, X, POINTS)
    monkeypatch.setattr(estimators, "_EVALUATION_BATCH", 7)
    np.testing.assert_allclose(estimators.log_ratio(model, X, POINTS), whole, atol=1e-6)


def test_training_reports_epochs(small, train):
    *_, sample = train(small, "carl", 1000, num_epochs=1)
    settings = estimators.Training(1.0, 200, 3, 0.2, (8,), "tanh", 0.01, 0.001)
    seen = []
    _, losses = estimators.train(
        "carl", "parameterized", sample, settings, lambda *epoch: seen.append(epoch)
    )
    assert [done for done, *_ in seen] == [1, 2, 3]
    np.testing.assert_allclose([numbers for _, *numbers in seen], losses)


@pytest.mark.parametrize("method", ["alices", "sally"])
def test_same_seed_same_losses_and_limits(small, train, tmp_path, method):
    points = grid([(-1, 1), (-1, 1)], [5, 5])
    found = []
    for seed in (1, 1, 2):
        model, losses, _ = train(small, method, 2000, seed=seed, num_epochs=2)
        analysis = Analysis(small.path, (0, 0), points, 50.0, 0.2)
        if method == "sally":
            model.save(str(tmp_path / "sally"))
            likelihood = analysis.from_sally(str(tmp_path / "sally"))
        else:
            likelihood = analysis.from_log_ratio(
                lambda x, thetas, model=model: estimators.log_ratio(model, x, thetas)
            )
        found.append((losses, likelihood))
    for first, again, other in zip(*found, strict=True):
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_same_seed_same_results_of_the_stages(nine, small, chain):
    run = chain(small)
    content = yaml.safe_load((nine / "input.yml").read_text())
    (run.folder / "input.yml").write_text(yaml.safe_dump(content | {"methods": ["alices"]}))
    again = run.run(plots=False)
    sample = "sampling/data/Samples_alices_0/x_alices_train.npy"
    np.testing.assert_array_equal(np.load(nine / sample), np.load(again / sample))
    first, second = (results.read(f / "evaluating_alices_0/results.h5") for f in (nine, again))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@pytest.mark.parametrize("method", ["carl", "scandal", "sally"])
def test_exported_network_is_the_estimator(small, train, method):
    model, _, sample = train(small, method, 1000, num_epochs=1)
    columns = estimators.Network.columns(method, sample)[:20]
    with torch.no_grad():
        found = estimators.Network(model)(torch.tensor(columns)).numpy()
    if method == "sally":
        expected = estimators.score(model, sample["x"][:20], 2)
    else:
        pairs = zip(sample["x"][:20], sample["theta"][:20], strict=True)
        expected = [estimators.log_ratio(model, x[None], theta[None])[0] for x, theta in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
