"""Networks behind the adapter: their losses, their evaluation and their export."""

import numpy as np
import pytest
import torch
from inference.toys import SM, draw, fit, random_points, train

from steps.inference import networks, quality
from steps.inference.methods import METHODS, Kind
from steps.madminer import estimator
from steps.madminer.library import ParameterizedRatioEstimator

POINTS = np.array([[0.5, -0.25], [0.0, 0.0], [-0.5, 0.75]])
X = np.random.default_rng(1).normal(size=(50, 2))


def narrow(toy, method):
    """Draw samples of training and validation at points whose scale is far from one."""
    (prior,) = random_points(1)["prior"][0].values()
    prior = prior | {"prior_param_0": 0.0, "prior_param_1": 0.2}
    theta_0 = random_points(1) | {"prior": [{"parameter_0": prior}]}
    thetas = {"theta_0": theta_0, "theta_1": SM}
    if METHODS[method].kind is not Kind.RATIO:
        thetas = {"theta_0": SM if METHODS[method].kind is Kind.SCORE else theta_0}
    return [draw(toy, method, thetas, 1000, partition=part) for part in ("train", "validation")]


@pytest.mark.parametrize(
    ("method", "form"),
    [
        ("alice", "parameterized"),
        ("alice", "quadratic"),
        ("sally", "parameterized"),
        ("scandal", "parameterized"),
    ],
)
def test_validation_loss_is_that_of_the_network_as_it_is_evaluated(line, method, form):
    """Trained and judged at parameters on one scale: the loss by hand is the loss of training."""
    training, validation = narrow(line, method)
    torch.manual_seed(1)
    # Of SCANDAL the likelihood's part alone; one batch, whose mean is that of all events.
    settings = fit(alpha=0.0, num_epochs=6, batch_size=len(validation["x"]))
    model, losses = networks.train(METHODS[method], form, (training, validation), settings)
    by_hand = quality.held_out_loss(METHODS[method], model, validation)
    assert by_hand == pytest.approx(losses[:, 1].min(), abs=2e-6)


def test_madminer_itself_does_not_scale_the_parameters_of_validation(line):
    """Then the same network has another loss, and the wrong one may be kept."""
    training, validation = narrow(line, "alice")
    torch.manual_seed(1)
    model = ParameterizedRatioEstimator(n_hidden=(20,), activation="tanh")
    options = dict(training) | {f"{name}_val": column for name, column in validation.items()}
    _, losses = model.train(method="alice", **options, n_epochs=6, batch_size=1000, n_workers=0)
    ours = estimator.Estimator("parameterized")
    ours._model = model
    by_hand = quality.held_out_loss(METHODS["alice"], ours, validation)
    assert abs(by_hand - losses.min()) > 1e-3


def test_evaluation_in_batches_gives_the_same(small, monkeypatch):
    model, _, _ = train(small, "alice", 1000, num_epochs=1)
    whole = model.log_ratio(X, POINTS)
    monkeypatch.setattr(estimator, "_EVALUATION_BATCH", 7)
    np.testing.assert_allclose(model.log_ratio(X, POINTS), whole, atol=1e-6)


def test_evaluation_agrees_with_madminers_own(small):
    model, _, _ = train(small, "alice", 1000, num_epochs=1)
    expected, _ = model._model.evaluate_log_likelihood_ratio(X, POINTS, evaluate_score=False)
    np.testing.assert_allclose(model.log_ratio(X, POINTS), expected, atol=1e-5)


@pytest.mark.parametrize("method", ["carl", "scandal", "sally"])
def test_saved_networks_are_the_same_when_loaded(small, tmp_path, method):
    model, _, _ = train(small, method, 1000, num_epochs=1)
    model.save(tmp_path / "model")
    again = networks.load(tmp_path / "model", METHODS[method], "parameterized")
    if method == "sally":
        np.testing.assert_array_equal(again.score(X, 2), model.score(X, 2))
    else:
        np.testing.assert_array_equal(again.log_ratio(X, POINTS), model.log_ratio(X, POINTS))


def test_training_reports_epochs(small):
    parts = [draw(small, "carl", n=1000, partition=part) for part in ("train", "validation")]
    settings = fit(batch_size=200, num_epochs=3, hidden_layers=(8,))
    seen = []
    before = estimator.Trainer.report_epoch
    _, losses = networks.train(
        METHODS["carl"], "parameterized", parts, settings, lambda *epoch: seen.append(epoch)
    )
    assert [done for done, *_ in seen] == [1, 2, 3]
    np.testing.assert_allclose([numbers for _, *numbers in seen], losses)
    assert estimator.Trainer.report_epoch is before


@pytest.mark.parametrize("method", ["carl", "scandal", "sally"])
def test_exported_network_is_the_estimator(small, method):
    model, _, sample = train(small, method, 1000, num_epochs=1)
    columns = networks.columns(METHODS[method], sample)[:20]
    with torch.no_grad():
        found = model.network()(torch.tensor(columns)).numpy()
    if method == "sally":
        expected = model.score(sample["x"][:20], 2)
    else:
        pairs = zip(sample["x"][:20], sample["theta"][:20], strict=True)
        expected = [model.log_ratio(x[None], theta[None])[0] for x, theta in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
