"""All nine methods through the stage scripts; their networks in plain MadMiner; determinism."""

import json
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
import torch
import yaml

from inference.toys import SM, analysed, blocks, draw, fit, train
from steps.inference import networks
from steps.inference.analysis import log_likelihoods
from steps.inference.methods import ESTIMATORS, METHODS, Kind
from steps.inference.statistics import grid
from steps.settings.schema import schema
from steps.stage import results

POINTS = np.array([[0.5, -0.25], [0.0, 0.0], [-0.5, 0.75]])
X = np.random.default_rng(1).normal(size=(50, 2))


def test_the_schema_knows_the_methods_of_the_table():
    properties = schema("ml")["properties"]
    assert properties["methods"]["items"]["enum"] == list(METHODS)
    assert properties["estimator"]["enum"] == list(ESTIMATORS)
    kinds = {f"#/definitions/{kind.name.lower()}": kind for kind in Kind}
    references = {key: block["$ref"] for key, block in properties.items() if "$ref" in block}
    assert {name: kinds[reference] for name, reference in references.items()} == {
        name: method.kind for name, method in METHODS.items()
    }


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_blocks_are_those_of_the_kind(method):
    """Ratios have two hypotheses, the others one; no block does for another kind."""
    whole = schema("ml")
    block = whole | whole["properties"][method.name] | {"properties": {}, "required": []}
    for other in METHODS.values():
        fits = jsonschema.Draft7Validator(block).is_valid(blocks(other.name, 2))
        # A score's one point is a place to sample for a density too.
        pair = {method.kind, other.kind}
        assert fits == (len(pair) == 1 or (method.kind, other.kind) == (Kind.DENSITY, Kind.SCORE))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_table_is_consistent(method):
    assert METHODS[method.name] is method
    assert method.source.startswith("arXiv:")
    assert set(method.columns) <= {"x", "theta", "y", "r_xz", "t_xz"}
    # A network of a ratio tells numerator from denominator; a score is learnt at one point.
    assert ("y" in method.columns) == (method.kind is Kind.RATIO)
    assert ("theta" in method.columns) == (method.kind is not Kind.SCORE)
    assert "t_xz" in method.columns or not method.uses_alpha
    assert (method.likelihood.name == "SUM") == (method.kind is not Kind.SCORE)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_has_the_form_that_it_can_have(method):
    """What is asked for where it is known, else that of its kind, or MadMiner's parameterized."""
    others = {Kind.SCORE: "score", Kind.DENSITY: "likelihood"}
    for estimator in ESTIMATORS:
        known = method.kind is Kind.RATIO and estimator in method.estimators
        usual = others.get(method.kind, "parameterized")
        assert method.form(estimator) == (estimator if known else usual)
        assert method.cross_fits(estimator) == (method.form(estimator) == "morphing")
    ours = method.name in ("alice", "alices")
    assert method.cross_fits("morphing") == ours


@pytest.fixture(scope="module")
def nine(chain, small):
    """Run all stages on all methods of MadMiner's, one of each sampling method among them."""
    run = chain(small)
    run.write_input(
        METHODS,
        estimator="parameterized",
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
    # As include_xsec asks for.
    assert arrays["log_likelihood/with_rate"].shape == (35,)
    assert "log_likelihood/kinematics" not in arrays
    for name, array in arrays.items():
        # Ends at the edge have no errors; findings are text.
        if not name.startswith(("closure/", "intervals/", "findings/")):
            assert np.isfinite(array).all(), name
    n = 2 if METHODS[method].kind is Kind.SCORE else 5
    assert arrays["closure/correlation"].shape == arrays["closure/slope"].shape == (n,)
    assert ("joint/truth" in arrays) == (method != "scandal")


def test_all_plots_of_the_contract_and_the_table(nine):
    plots = nine / "plotting" / "plots"
    names = {path.stem for path in plots.glob("*.png")}
    wanted = {f"correlation_{m.upper()}" for m in METHODS if m != "scandal"}
    assert wanted | {"all_methods", "all_methods_separate", "losses"} <= names
    table = yaml.safe_load((plots / "limits.yml").read_text())
    assert {"rate", *(m.upper() for m in METHODS)} <= set(table["limits"])
    assert set(table["fisher_information"]) == {"rate", "histogram", "sally", "sallino"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_alpha_matters_where_the_table_says(small, method):
    parts = [draw(small, method.name, n=400, partition=part) for part in ("train", "validation")]
    losses = []
    for alpha in (0.0, 5.0):
        torch.manual_seed(1)
        settings = fit(alpha=alpha, num_epochs=1, hidden_layers=(10,))
        losses.append(networks.train(method, "parameterized", parts, settings)[1])
    assert np.array_equal(*losses) != method.uses_alpha


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
    model = networks.load(path, METHODS[method], "parameterized")
    is_score = METHODS[method].kind is Kind.SCORE
    found = model.score(X, POINTS.shape[1]) if is_score else model.log_ratio(X, POINTS)
    np.testing.assert_allclose(found, plain[method], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["alices", "sally"])
def test_same_seed_same_losses_and_limits(small, method):
    points = grid([(-1, 1), (-1, 1)], [5, 5])
    found = []
    for seed in (1, 1, 2):
        model, losses, _ = train(small, method, 2000, seed=seed, num_epochs=2)
        analysis = analysed(small, (0, 0), points)
        likelihood = log_likelihoods(analysis, METHODS[method], model, [np.zeros(2)])
        found.append((losses, likelihood))
    for first, again, other in zip(*found, strict=True):
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_same_seed_same_results_of_the_stages(nine, small, chain):
    """Again, in an interpreter of its own and without the other methods."""
    run = chain(small)
    content = yaml.safe_load((nine / "input.yml").read_text())
    (run.folder / "input.yml").write_text(yaml.safe_dump(content | {"methods": ["alices"]}))
    again = run.run_afresh(plots=False)
    sample = "sampling/data/Samples_alices_0/x_alices_train.npy"
    np.testing.assert_array_equal(np.load(nine / sample), np.load(again / sample))
    first, second = (results.read(f / "evaluating_alices_0/results.h5") for f in (nine, again))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)
