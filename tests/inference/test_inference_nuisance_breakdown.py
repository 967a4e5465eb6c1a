"""Pulls, impacts and errors by source, where they are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from inference.nuisance_models import Source, histogram, quadratic, random_joint
from steps.inference import intervals
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.nuisance import breakdown
from steps.inference.nuisance.likelihood import Data
from steps.inference.nuisance.profiling import Profiled

SIGNAL, BACKGROUND = 4e4, 9e4
LOG_KAPPA = {"luminosity": 0.004, "background": 0.01}


def counting():
    """One bin of very many events, s theta + b, with two normalisations: a normal likelihood."""
    polynomial = Polynomial.of(np.array([[0], [1]]), np.array([[0.5, 1.5]]))
    # In the scaled parameter, theta = 1 + u / 2.
    signal = Source(SIGNAL * np.array([[1, 0.5]]), log_kappa={0: LOG_KAPPA["luminosity"]})
    background = Source(
        np.array([[BACKGROUND]]),
        log_kappa={0: LOG_KAPPA["luminosity"], 1: LOG_KAPPA["background"]},
    )
    data = Data(np.array([SIGNAL + BACKGROUND]), np.zeros(2))
    return histogram(polynomial, [signal, background], data)


# Shifts of the number of events at one standard deviation, in units of theta.
LUMINOSITY = LOG_KAPPA["luminosity"] * (SIGNAL + BACKGROUND) / SIGNAL
NORMALISATION = LOG_KAPPA["background"] * BACKGROUND / SIGNAL
STATISTICS = np.sqrt(SIGNAL + BACKGROUND) / SIGNAL


def test_errors_by_source_add_in_quadrature():
    joint = counting()
    best = breakdown.fit(joint, np.array([0.9]))
    np.testing.assert_allclose(best.parameters, [1, 0, 0], atol=1e-6)
    # A count tells nothing of the nuisance parameters.
    np.testing.assert_allclose(best.pulls, [[0, 1], [0, 1]], atol=1e-6)
    total = np.sqrt(STATISTICS**2 + LUMINOSITY**2 + NORMALISATION**2)
    assert best.errors[0] == pytest.approx(total, rel=1e-6)
    parts = breakdown.split(joint, best, {"luminosity": [0], "background": [1], "both": [0, 1]})
    expected = {"luminosity": LUMINOSITY, "background": NORMALISATION}
    # The likelihood is normal up to the logarithms of a per cent.
    np.testing.assert_allclose(parts.total, [[total, total]], rtol=0.02)
    np.testing.assert_allclose(parts.statistics, [[STATISTICS] * 2], rtol=0.003)
    for name, value in expected.items():
        np.testing.assert_allclose(parts.groups[name], [[value, value]], rtol=0.04)
    np.testing.assert_allclose(parts.groups["both"], parts.systematics, rtol=1e-6)


def test_impacts_are_shifts():
    joint = counting()
    best = breakdown.fit(joint, np.array([1.0]))
    shifts = breakdown.impacts(joint, best)
    for row, value in zip(shifts[:, 0], (LUMINOSITY, NORMALISATION), strict=True):
        np.testing.assert_allclose(row, value * np.array([-1, 1, -1, 1]), rtol=0.02)
    assert breakdown.ranking(shifts).tolist() == [[1, 0]]


def test_impacts_of_a_fit_that_hardly_tells_are_finite():
    """Of few events the curvature may vanish, and the first order would lead to infinity."""
    joint = counting()
    best = breakdown.fit(joint, np.array([1.0]))
    flat = replace(best, covariance=1e10 * best.covariance)
    assert np.isfinite(breakdown.impacts(joint, flat)).all()


def test_correlations_are_those_of_the_normal_likelihood():
    best = breakdown.fit(counting(), np.array([1.0]))
    shifts = np.array([-LUMINOSITY, -NORMALISATION])
    total = np.hypot(STATISTICS, np.hypot(*shifts))
    expected = np.eye(3)
    expected[0, 1:] = expected[1:, 0] = shifts / total
    np.testing.assert_allclose(best.correlation, expected, atol=1e-6)


def observed():
    """Data that fluctuate, and auxiliary measurements beside zero."""
    joint, rng = random_joint(31), np.random.default_rng(1)
    counts = joint.data.counts * rng.uniform(0.7, 1.4, len(joint.data.counts))
    return joint.of(Data(counts, rng.normal(0, 0.7, 5)))


def test_best_fit_is_that_of_the_profile():
    joint = observed()
    theta, value = intervals.best_fit(Profiled(joint))
    best = breakdown.fit(joint, theta)
    assert best.value == pytest.approx(value, abs=1e-4)
    np.testing.assert_allclose(best.parameters[:2], theta, atol=5e-3)


def test_impacts_are_those_of_fits():
    joint = observed()
    best = breakdown.fit(joint, np.zeros(2))
    shifts = breakdown.impacts(joint, best)
    [number] = breakdown.ranking(shifts)[0, :1]
    value, error = best.pulls[number]
    held = np.arange(5) == number
    for column, away in enumerate((error, -error, 1.0, -1.0)):
        start = best.parameters[2:].copy()
        start[number] = value + away
        profile = Profiled(joint, held, start)
        at = best.parameters[:2] + shifts[number, :, column]
        near = np.clip(at + np.random.default_rng(1).normal(0, 0.02, (20, 2)), -1, 1)
        assert profile(at[None])[0] > profile(near).max()


def test_ends_are_those_of_intervals():
    joint = random_joint(32)
    best = breakdown.fit(joint, np.zeros(2))
    level = intervals.LEVELS["95"]
    [found] = breakdown.errors(joint, best, np.zeros((1, 5), dtype=bool), level)
    profiled = Profiled(joint)
    for axis, side in np.ndindex(2, 2):
        distance = found[axis, side]
        if np.isnan(distance):
            continue
        at = best.parameters[axis] + (-1, 1)[side] * distance
        others = np.linspace(-1, 1, 201)
        line = np.insert(others[:, None], axis, at, axis=1)
        q = 2 * (best.value - profiled(line).max())
        assert q == pytest.approx(level, abs=0.01)
    assert np.isfinite(found).sum() >= 2


def test_the_region_may_end_before():
    joint = counting()
    polynomial = quadratic(1, reach=0.001, centre=1.0)
    best = breakdown.fit(joint, np.array([1.0]))
    narrow = histogram(
        polynomial,
        [Source(SIGNAL * np.array([[1.0, 0.001, 0.0]])), Source(np.array([[BACKGROUND]]))],
        joint.data,
    )
    assert np.isnan(breakdown.errors(narrow, best, np.zeros((1, 2), dtype=bool))).all()


def test_errors_are_not_larger_than_the_region():
    """Where the best fit is at an end, ln L need not be curved in theta; pulls are as they are."""
    joint = random_joint(31)
    for region in ([[0.5, 0.52]] * 2, [[-1.0, -0.99], [0.7, 0.72]]):
        narrow = replace(joint, region=np.array(region))
        best = breakdown.fit(narrow, narrow.region.mean(axis=1))
        width = np.ptp(narrow.region, axis=1)
        assert (best.errors[:2] <= np.sqrt(2) * width).all()
        curvature = -joint.jet(best.parameters[None]).hessian[0, 2:, 2:]
        fixed = np.sqrt(np.diagonal(np.linalg.inv(curvature)))
        np.testing.assert_allclose(best.errors[2:], fixed, rtol=0.02)


def test_results_are_arrays():
    joint = observed()
    best = breakdown.fit(joint, np.zeros(2))
    shifts = breakdown.impacts(joint, best)
    parts = breakdown.split(joint, best, {"a": [0, 1], "b": [4]})
    arrays = breakdown.to_arrays(best, shifts, parts, "with_rate")
    assert arrays["nuisance/with_rate/errors/groups/b"].shape == (2, 2)
    again = breakdown.from_arrays(arrays, "with_rate")
    assert again[0].value == best.value
    np.testing.assert_array_equal(again[0].pulls, best.pulls)
    np.testing.assert_array_equal(again[1], shifts)
    assert list(again[2].groups) == ["a", "b"]
    np.testing.assert_array_equal(again[2].systematics, parts.systematics)
