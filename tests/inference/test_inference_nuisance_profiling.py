"""Profiles against brute force, against likelihoods without nuisance, and splines of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from inference.nuisance_models import random_joint
from steps.inference import intervals
from steps.inference.nuisance.breakdown import errors, fit
from steps.inference.nuisance.climbing import climb
from steps.inference.nuisance.likelihood import Data
from steps.inference.nuisance.profiling import Profiled, Spline, corrected


def thetas(joint, n, seed=0):
    return np.random.default_rng(seed).uniform(*joint.region.T, (n, joint.p))


def brute_force(joint, theta):
    """Greatest ln L and its nu by another method, without derivatives."""

    def negative(nu):
        return -joint.value(np.append(theta, nu)[None])[0]

    starts = np.random.default_rng(1).normal(0, 1, (4, joint.n_nuisance))
    found = [minimize(negative, start, options={"gtol": 1e-6}) for start in starts]
    best = min(found, key=lambda of: of.fun)
    return -best.fun, best.x


@pytest.mark.parametrize("with_rate", [True, False])
@pytest.mark.parametrize("observed", [True, False])
def test_profile_is_that_of_brute_force(with_rate, observed):
    joint = random_joint(11, with_rate=with_rate, observed=observed)
    profiled, at = Profiled(joint), thetas(joint, 2)
    found = profiled.maxima(at)
    for theta, value, parameters in zip(at, found.values, found.parameters, strict=True):
        best, nu = brute_force(joint, theta)
        assert value == pytest.approx(best, abs=1e-6)
        np.testing.assert_allclose(parameters, [*theta, *nu], atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), with_rate=st.booleans(), observed=st.booleans())
def test_gradient_is_that_of_the_profile(seed, with_rate, observed):
    joint = random_joint(seed, with_rate=with_rate, observed=observed)
    profiled, step = Profiled(joint), 1e-3
    theta = thetas(joint, 1, seed)[0] * 0.9
    steps = step * np.eye(2)
    slopes = [(profiled(np.array([theta + e])) - profiled(np.array([theta - e]))) for e in steps]
    expected = np.ravel(slopes) / (2 * step)
    np.testing.assert_allclose(profiled.gradient(theta), expected, rtol=2e-3, atol=5e-3)


def test_many_rows_begin_next_to_what_is_known(monkeypatch):
    joint = random_joint(12)
    at = thetas(joint, 12)
    together = Profiled(joint)(at)
    monkeypatch.setattr("steps.inference.nuisance.profiling._MOST_NUMBERS", 1)
    np.testing.assert_allclose(Profiled(joint)(at), together, atol=1e-5)


@pytest.mark.parametrize("with_rate", [True, False])
def test_nuisance_that_is_held_is_as_if_it_were_not(with_rate):
    joint = random_joint(13, with_rate=with_rate)
    held = Profiled(joint, np.ones(5, dtype=bool), np.zeros(5))
    at = thetas(joint, 10)
    np.testing.assert_allclose(held(at), joint.nominal()(at), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", [14, 15])
def test_a_further_nuisance_parameter_never_shrinks_an_interval(seed):
    joint = random_joint(seed)
    best = fit(joint, np.zeros(2))
    held = np.arange(5) >= np.arange(6)[:, None]
    found = errors(joint, best, held)
    assert (np.diff(found, axis=0) > -1e-6).all()
    assert (found[-1] > 1.01 * found[0]).any(axis=1).all()
    pieces = intervals.intervals([joint.nominal()], [0.0, 0.0]).profiled
    ends = [[of.pieces["68"][0].low, of.pieces["68"][-1].high] for of in pieces]
    sides = best.parameters[:2, None] + [-1, 1] * found[0]
    assert all(len(of.pieces["68"]) == 1 for of in pieces)
    np.testing.assert_allclose(sides, ends, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_q_of_expected_data_is_never_larger_than_without_nuisance(seed):
    """Where the best fit has nu = 0, as that of expected data has."""
    joint = random_joint(seed)
    at, truth = thetas(joint, 10, seed), np.zeros((1, 2))
    q = [2 * (of(truth) - of(at)) for of in (Profiled(joint), joint.nominal())]
    assert (q[0] <= q[1] + 1e-5).all()


def test_theta_stays_in_the_region():
    joint = random_joint(16, observed=True)
    narrow = replace(joint, region=np.array([[0.3, 0.4], [-0.2, 0.9]]))
    start = np.concatenate([[[0.35, 0.0]], np.zeros((1, 5))], axis=1)
    found = climb(narrow, start, np.ones(7, dtype=bool))

    def negative(x):
        jet = joint.jet(x[None])
        return -jet.value[0], -jet.gradient[0]

    bounds = [(0.3, 0.4), (-0.2, 0.9), *[(None, None)] * 5]
    expected = minimize(negative, start[0], jac=True, bounds=bounds, options={"ftol": 1e-14})
    assert found.values[0] == pytest.approx(-expected.fun, abs=1e-6)
    np.testing.assert_allclose(found.parameters[0], expected.x, atol=2e-3)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_splines_go_through_points_and_have_their_slopes(p):
    rng = np.random.default_rng(p)
    region = np.array([[-1.0, 3.0]] * p)
    points = rng.uniform(-1, 3, (40, p))
    spline = Spline(region, points, np.sin(points.sum(axis=1)))
    np.testing.assert_allclose(spline(points), spline.values, atol=1e-8)
    theta, step = rng.uniform(-1, 3, p), 1e-5
    steps = step * np.eye(p)
    slopes = [(spline((theta + e)[None]) - spline((theta - e)[None])) / 2 / step for e in steps]
    np.testing.assert_allclose(spline.gradient(theta), np.ravel(slopes), atol=1e-6)
    # Quadratic polynomials are exact, also between and beyond the points.
    square = Spline(region, points, (points**2).sum(axis=1))
    at = rng.uniform(-2, 4, (10, p))
    np.testing.assert_allclose(square(at), (at**2).sum(axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("with_rate", [True, False])
def test_corrected_likelihoods_are_profiled_ones(p, with_rate):
    joint = random_joint(20 + p, p, with_rate=with_rate)
    profiled = Profiled(joint)
    [found] = corrected([joint.nominal()], profiled)
    assert found.error < 0.01
    at = thetas(joint, 300)
    exact = profiled(at)
    near = 2 * (exact.max() - exact) < 20
    assert near.sum() > 20
    allowed = 0.02 * np.maximum(1, (exact.max() - exact) / 2)
    assert (np.abs(found(at) - exact) < allowed)[near].all()
    slopes = np.array([found.gradient(one) - profiled.gradient(one) for one in at[near][:10]])
    assert np.abs(slopes).max() < 0.2


def test_intervals_of_corrected_likelihoods_are_those_of_profiled_ones():
    joint = random_joint(21, 1)
    [found] = corrected([joint.nominal()], Profiled(joint))
    estimates = [intervals.intervals([of], [0.0]).profiled[0] for of in (found, Profiled(joint))]
    ends = [[(p.low, p.high) for p in of.pieces["95"]] for of in estimates]
    np.testing.assert_allclose(*ends, atol=3e-3)


def test_bags_are_taken_at_the_best_nuisance_of_the_nominal():
    """Their own would add a difference of second order."""
    joint = random_joint(24)
    rng, shifts = np.random.default_rng(1), []
    for size in (0.02, 0.04):
        counts = joint.data.counts * (1 + size * rng.choice([-1, 1], len(joint.data.counts)))
        rng = np.random.default_rng(1)
        bag = joint.of(Data(counts, joint.data.auxiliary))
        nominal, of_bag = corrected(
            [joint.nominal(), bag.nominal()], Profiled(joint), [bag], tolerance=1e-3
        )
        at = thetas(joint, 100)
        at = at[2 * (nominal(at).max() - nominal(at)) < 4]
        missing = Profiled(bag)(at) - of_bag(at)
        change = np.ptp(of_bag(at) - nominal(at))
        shifts.append(np.ptp(missing))
        assert shifts[-1] < 0.1 * change
    assert shifts[1] < 6 * shifts[0] + 0.004
