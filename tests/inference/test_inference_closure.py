"""Definitions of the closure, by themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress

from steps.inference import closure
from steps.inference.closure import Binning, Closure


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), slope=st.floats(0.1, 1), scale=st.floats(0.01, 100))
def test_exact_ratio_closes_exactly(seed, slope, scale):
    x = np.random.default_rng(seed).normal(size=(20_000, 1))
    reference = np.exp(0.1 * x[:, 0])
    weights = reference * np.exp(slope * x[:, 0]) * scale
    log_ratio = np.log(weights / weights.sum()) - np.log(reference / reference.sum())
    bins = closure.quantile_bins(x, reference, 12)
    found = closure.ratio_closure(bins, reference, weights, log_ratio)
    np.testing.assert_allclose(found.estimate, found.truth, atol=1e-9)
    assert found.correlation == pytest.approx(1, abs=1e-9)
    assert found.slope == pytest.approx(1, abs=1e-9)
    # An estimate twice as steep, with a constant factor, is told from the exact one.
    wrong = closure.ratio_closure(bins, reference, weights, 2 * log_ratio + 1)
    assert wrong.slope > 1.2


def test_exact_score_closes_exactly():
    rng = np.random.default_rng(1)
    x, reference = rng.normal(size=(20_000, 2)), rng.uniform(0.5, 1.5, 20_000)
    gradients = (reference[:, None] * (x * [2.0, -1.0] + 0.3)).T
    score = gradients.T / reference[:, None] - gradients.sum(axis=1) / reference.sum()
    bins = closure.quantile_bins(x, reference, 8)
    for found in closure.score_closure(bins, reference, gradients, score):
        assert found.correlation == pytest.approx(1, abs=1e-9)
        assert found.slope == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("n", "used"), [(150, False), (151, True)])
def test_well_filled_counts_effective_events(n, used):
    bins = Binning(np.repeat([0, 1], [n, 1000]), 3)
    np.testing.assert_array_equal(closure.well_filled(bins, np.ones(n + 1000)), [used, True, False])


def test_one_heavy_or_negative_weight_is_not_well_filled():
    bins = Binning(np.repeat([0, 1], 1000), 2)
    heavy, negative = np.ones(2000), np.ones(2000)
    heavy[0], negative[1000:] = 1e4, -1
    np.testing.assert_array_equal(closure.well_filled(bins, heavy), [False, True])
    np.testing.assert_array_equal(closure.well_filled(bins, negative), [True, False])
    assert not closure.well_filled(bins, heavy, negative).any()


@pytest.mark.parametrize("n_observables", [1, 2])
def test_quantile_bins_share_the_reference_evenly(n_observables):
    rng = np.random.default_rng(2)
    x, weights = rng.exponential(size=(50_000, n_observables)), rng.uniform(0, 1, 50_000)
    bins = closure.quantile_bins(x, weights, 5)
    shares = bins.sums(weights) / weights.sum()
    assert bins.size == 5**n_observables == len(shares)
    np.testing.assert_allclose(shares, 1 / bins.size, rtol=0.08)


def test_quantile_bins_of_a_constant_or_default_observable():
    x = np.concatenate([np.zeros(5000), np.linspace(1, 2, 5000)])[:, None]
    bins = closure.quantile_bins(x, np.ones(10_000), 10)
    assert bins.index.min() >= 0
    assert bins.index.max() < bins.size
    assert len(np.unique(bins.index[:5000])) == 1


def test_fewer_than_three_bins_have_no_correlation():
    found = closure.Closure(*(np.ones(2),) * 3)
    assert np.isnan([found.correlation, found.slope]).all()


def test_errors_of_slope_and_correlation_are_those_of_a_regression():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=40)
    made = Closure(truth, 0.9 * truth + rng.normal(scale=0.1, size=40), np.full(40, 1 / 40))
    found = linregress(made.truth, made.estimate)
    assert (made.slope, made.slope_error) == pytest.approx((found.slope, found.stderr))
    # (1 - r^2) / sqrt(n - 2), by way of the slope.
    assert made.correlation_error == pytest.approx(
        made.slope_error * made.truth.std() / made.estimate.std() * np.sqrt(1 - found.rvalue**2)
    )
