"""The one adapter to MadMiner, and what it mends; each fault is there without the mend."""

import ast
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from inference.toys import draw, fit
from madminer.limits import AsymptoticLimits

from steps.inference import networks
from steps.inference.methods import METHODS
from steps.inference.statistics import grid
from steps.madminer import library
from steps.madminer.library import (
    DataAnalyzer,
    FisherInformation,
    LikelihoodEstimator,
    MadMiner,
    ParameterizedRatioEstimator,
    SampleAugmenter,
    ScoreEstimator,
    Trainer,
    histo,
)

STEPS = Path(__file__).parents[2] / "steps"
MODULES = {path.relative_to(STEPS).as_posix(): path for path in STEPS.rglob("*.py")}


def test_private_names_of_madminer_are_used_in_the_adapter_alone():
    """tests/architecture sees to it that no other module imports MadMiner."""
    classes = (
        *(AsymptoticLimits, DataAnalyzer, FisherInformation, MadMiner, SampleAugmenter),
        *(LikelihoodEstimator, ParameterizedRatioEstimator, ScoreEstimator, Trainer),
    )
    private = {name for cls in classes for name in dir(cls) if re.match("_[a-z]", name)}
    assert {"_get_theta_value", "_calculate_xsecs", "_transform_inputs"} <= private
    for name, path in MODULES.items():
        nodes = list(ast.walk(ast.parse(path.read_text())))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        own = {node.attr for node in attributes if getattr(node.value, "id", "") == "self"}
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        foreign = {node.attr for node in attributes} & private - own
        assert name.startswith("madminer/") or not foreign, (name, foreign)


@pytest.fixture
def one_more(small, tmp_path):
    """The small toy with one benchmark more than its morphing basis, where the first one is."""
    shutil.copyfile(small.path, tmp_path / "more.h5")
    with h5py.File(tmp_path / "more.h5", "a") as file:
        for name in ("names", "values", "is_nuisance", "is_reference"):
            column = file[f"benchmarks/{name}"][()]
            column = np.concatenate([column, column[:1] if name != "names" else [b"x"]])
            del file[f"benchmarks/{name}"]
            file[f"benchmarks/{name}"] = column.astype("S256") if name == "names" else column
        weights = file["samples/weights"][()]
        del file["samples/weights"]
        file["samples/weights"] = np.hstack([weights, weights[:, :1]])
    return str(tmp_path / "more.h5")


def test_fisher_information_takes_a_benchmark_outside_the_basis(small, one_more):
    def in_rate(of, path):
        fisher = of(path, include_nuisance_parameters=False)
        return fisher.rate_information(np.zeros(2), 1e4, include_nuisance_parameters=False)

    with pytest.raises(ValueError, match="broadcast"):
        in_rate(library._FisherInformation, one_more)
    for few, many, own in zip(
        in_rate(FisherInformation, small.path),
        in_rate(FisherInformation, one_more),
        in_rate(library._FisherInformation, small.path),
        strict=True,
    ):
        np.testing.assert_array_equal(few, own)
        np.testing.assert_allclose(many, few, rtol=1e-9)


def test_fault_4_histogram_limits_run_only_with_the_mend(small, monkeypatch):
    points = grid([(-1.0, 1.0), (-1.0, 1.0)], (3, 3))
    limits = AsymptoticLimits(small.path)

    def histogram_limits():
        return limits.expected_limits(
            mode="histo",
            hist_vars=["x0"],
            theta_true=np.array([0.6, -0.3]),
            thetas_eval=points,
            grid_resolutions=None,
            luminosity=100.0,
            n_histo_toys=1000,
            n_binning_toys=1000,
            return_histos=False,
        )[3]

    assert np.isfinite(histogram_limits()).all()
    monkeypatch.setattr(histo, "np", np)
    with pytest.raises(TypeError, match="normed"):
        histogram_limits()


def test_fault_4_mended_histogram_counts_as_numpy_does():
    x = np.array([[0.5], [1.5], [1.7]])
    counted, _ = histo.np.histogramdd(x, bins=[[0, 1, 2]], normed=False, weights=[1, 2, 3])
    np.testing.assert_array_equal(counted, [1, 5])
    density, _ = histo.np.histogramdd(x, bins=[[0, 1, 2]], normed=True)
    np.testing.assert_allclose(density, [1 / 3, 2 / 3])
    assert histo.np.log is np.log


@pytest.mark.parametrize("size", [7, 10, 1000])
def test_batches_hold_every_event_once_in_another_order_each_time(size):
    torch.manual_seed(1)
    columns = torch.arange(50.0)[:, None], -torch.arange(50.0)
    batches = library._Batches(columns, size)
    orders = []
    for _ in range(2):
        parts = list(batches)
        assert len(parts) == len(batches) == -(-50 // size)
        assert {len(x) for x, _ in parts[:-1]} <= {size}
        x, y = (torch.cat(column) for column in zip(*parts, strict=True))
        np.testing.assert_array_equal(x[:, 0], -y)
        orders.append(y)
        np.testing.assert_array_equal(np.sort(x[:, 0]), np.arange(50))
    assert not torch.equal(*orders)


def overtrained(line):
    """Train on 100 events until the validation loss has risen: losses, loss of what is kept."""
    training = draw(line, "sally", n=100)
    validation = draw(line, "sally", n=1000, partition="validation")
    torch.manual_seed(1)
    settings = fit(num_epochs=40, batch_size=100, learning_rate=0.01, final_learning_rate=0.01)
    # Labels that no observable explains: the less is learnt the better.
    rng = np.random.default_rng(1)
    training["t_xz"] = rng.normal(size=training["t_xz"].shape).astype(np.float32)
    method = METHODS["sally"]
    model, losses = networks.train(method, "parameterized", (training, validation), settings)
    kept = np.mean((model.score(validation["x"], 1) - validation["t_xz"]) ** 2)
    return losses[:, 1], kept


def test_the_best_network_is_kept_not_the_last(line):
    losses, kept = overtrained(line)
    assert losses.argmin() < len(losses) - 1
    assert losses[-1] > 1.05 * losses.min()
    assert kept == pytest.approx(losses.min(), rel=1e-5)


def test_madminer_itself_keeps_the_last(line, monkeypatch):
    monkeypatch.setattr(Trainer, "check_early_stopping", library._original_check)
    losses, kept = overtrained(line)
    assert losses[-1] > 1.05 * losses.min()
    assert kept == pytest.approx(losses[-1], rel=1e-5)
