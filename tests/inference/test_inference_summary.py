"""Numbers that sum up an evaluation, and the loss by which settings are compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.inference import quality, summary
from steps.inference.methods import METHODS
from steps.inference.statistics import grid

RNG = np.random.default_rng(1)
LOG_R = RNG.normal(0, 1, 2000)
# The joint ratio scatters about the ratio that observables know: E[r(x, z) | x] = r(x).
JOINT = np.exp(LOG_R + RNG.normal(0, 0.3, LOG_R.size) - 0.045)
SAMPLE = {"r_xz": JOINT[:, None]}


def loss(estimate: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(quality, "_at_own_points", lambda model, sample: estimate)
    return quality.held_out_loss(METHODS["alices"], None, SAMPLE)


@pytest.mark.parametrize("wrong", [LOG_R + 0.3, 0.7 * LOG_R, 1.3 * LOG_R, 0 * LOG_R])
def test_loss_is_least_for_the_truth(wrong, monkeypatch):
    assert loss(LOG_R, monkeypatch) < loss(wrong, monkeypatch)


def test_loss_of_nothing_known_is_that_of_a_coin(monkeypatch):
    assert loss(0 * LOG_R, monkeypatch) == pytest.approx(np.log(2))


def test_loss_ignores_events_without_a_ratio(monkeypatch):
    monkeypatch.setitem(SAMPLE, "r_xz", np.where(np.arange(2000) < 5, -1, JOINT)[:, None])
    assert np.isfinite(loss(LOG_R, monkeypatch))


@given(st.floats(-0.5, 0.5), st.floats(0.3, 1.0))
def test_limits_of_a_parabola(centre, sigma):
    """One Gaussian parameter: +-1 sigma at 68 %, +-1.96 sigma at 95 %, but for the grid."""
    points = grid([(-3, 3)], [601])
    log_likelihood = -((points[:, 0] - centre) ** 2) / (2 * sigma**2)
    numbers = summary.limit_numbers("k", log_likelihood, points, ["theta"])
    assert numbers["k_best_fit/theta"] == pytest.approx(centre, abs=0.006)
    for level, width in (("68", 0.9945), ("95", 1.96)):
        for end, sign in (("low", -1), ("high", 1)):
            found = numbers[f"k_{level}/theta_{end}"]
            assert found == pytest.approx(centre + sign * width * sigma, abs=0.02)


def test_closure_numbers():
    arrays = {
        "held_out_loss": np.array(0.5),
        "closure/correlation": np.array([0.9, 1.0]),
        "closure/slope": np.array([1.0, 0.8]),
        "joint/truth": np.array([0.0, 1.0, np.nan, 2.0]),
        "joint/estimate": np.array([1.0, 2.0, 9.0, 3.0]),
    }
    numbers = summary.closure_numbers(arrays)
    assert numbers["correlation_least"] == pytest.approx(0.9)
    assert numbers["slope_mean"] == pytest.approx(0.9)
    assert numbers["joint_correlation"] == pytest.approx(1.0)


def test_fisher_numbers_name_each_element_once():
    numbers = summary.fisher_numbers(np.array([[1.0, 2.0], [2.0, 3.0]]), ["a", "b"])
    assert numbers == {f"fisher_information/{k}": v for k, v in
                       {"a_a": 1.0, "a_b": 2.0, "b_b": 3.0}.items()}  # fmt: skip
