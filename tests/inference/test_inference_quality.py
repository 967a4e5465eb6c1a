"""Networks learn the toy: closure with histograms, as the workflow reports it."""

import numpy as np
import pytest
import torch

from inference.toys import SM, draw, fit, train
from steps.inference import networks, quality
from steps.inference.methods import METHODS

REGION = [(-1.0, 1.0), (-1.0, 1.0)]
SIZES = {"alice": 80_000, "alices": 60_000, "carl": 300_000}


@pytest.mark.parametrize("method", SIZES)
def test_ratio_methods_close_with_the_histogram(toy, method):
    settings = {"num_epochs": 12, "batch_size": 1000, "learning_rate": 0.01}
    model, losses, _ = train(toy, method, SIZES[method], **settings)
    points = quality.comparison_points(REGION)
    assert points.shape == (5, 2)
    found = quality.ratio(toy.path, model, "sm", points, is_likelihood=False)
    assert losses[-1, 1] < losses[0, 1]
    assert (found["closure/correlation"] >= 0.95).all(), found["closure/correlation"]
    assert (np.abs(found["closure/slope"] - 1) <= 0.1).all(), found["closure/slope"]


def test_sally_closes_with_the_histogram_and_the_exact_score(toy, sally):
    model, _ = sally
    found = quality.score(toy.path, model, "sm")
    assert len(found["closure/correlation"]) == 2
    assert (found["closure/correlation"] >= 0.95).all()
    assert (np.abs(found["closure/slope"] - 1) <= 0.1).all()
    x = np.random.default_rng(3).normal(size=(2000, 2))
    estimate, exact = model.score(x, 2), toy.score(x)
    assert np.corrcoef(estimate[:, 0], exact[:, 0])[0, 1] > 0.99
    assert np.corrcoef(estimate[:, 1], exact[:, 1])[0, 1] > 0.99


def test_compare_knows_what_the_network_estimates(toy, sally):
    model, _ = sally
    of_score = quality.score(toy.path, model, "sm")
    found = quality.compare(toy.path, METHODS["sally"], model, "sm", REGION)
    assert found.keys() == of_score.keys()
    np.testing.assert_array_equal(found["closure/slope"], of_score["closure/slope"])
    assert quality.compare(toy.path, METHODS["carl"], model, None, REGION) == {}


def test_components_of_nuisance_parameters_are_left_out(small):
    """With nuisance_flag=1 the network's score is longer than the theory's parameters."""
    sample = draw(small, "sally", {"theta_0": SM})
    longer = sample | {"t_xz": np.hstack([sample["t_xz"], sample["x"][:, :1]])}
    torch.manual_seed(1)
    short = fit(num_epochs=1, hidden_layers=(10,), learning_rate=0.01, final_learning_rate=0.001)
    model, _ = networks.train(METHODS["sally"], "parameterized", (longer, longer), short)
    assert model.score(sample["x"], 3).shape == (len(sample["x"]), 3)
    assert len(quality.score(small.path, model, "sm")["closure/slope"]) == 2
    assert quality.joint(model, sample)["joint/estimate"].shape == sample["t_xz"].shape
    assert np.isfinite(quality.held_out_loss(METHODS["sally"], model, sample))


@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_comparison_points_are_distinct_and_inside(n_parameters):
    points = quality.comparison_points([(-1, 1), (0, 4), (-3, 0)][:n_parameters])
    assert points.shape == (5, n_parameters)
    assert len(np.unique(points, axis=0)) == 5
    assert (np.abs((points - [0, 2, -1.5][:n_parameters]) / [1, 2, 1.5][:n_parameters]) < 1).all()
