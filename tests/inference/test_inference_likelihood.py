"""Log likelihoods as functions: closed forms, gradients against numerical ones, batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from steps.inference.likelihood import Densities, Interpolated, q
from steps.inference.morphing.polynomial import Polynomial

EXPONENTS = {
    1: np.array([[0], [1], [2]]),
    2: np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]),
}


def squares(rng, n, p, region):
    """Coefficients ``(n, c)`` of |A_0 + theta . A|^2 + |B|^2, and their polynomial."""
    amplitudes = rng.normal(size=(n, 2, 1 + p))
    points = rng.uniform(-1, 1, (3 * len(EXPONENTS[p]), p))
    linear = np.hstack([np.ones((len(points), 1)), points])
    values = ((amplitudes @ linear.T) ** 2).sum(axis=1)
    polynomial = Polynomial.of(EXPONENTS[p], region)
    return polynomial, polynomial.coefficients(values, points)


def densities(seed=1, p=2, n=40, *, with_rate=True, region=None):
    rng = np.random.default_rng(seed)
    region = np.array([[-1.0, 1.5]] * p if region is None else region)
    polynomial, coefficients = squares(rng, n, p, region)
    counts = rng.uniform(0.1, 3, n)
    rate = 5 * coefficients.sum(axis=0) / n if with_rate else None
    return Densities(polynomial, region, counts, coefficients, coefficients.mean(axis=0), rate)


def numerical(likelihood, point, step=1e-5):
    ends = [point + sign * step * axis for axis in np.eye(len(point)) for sign in (1, -1)]
    values = likelihood(np.array(ends)).reshape(-1, 2)
    return (values[:, 0] - values[:, 1]) / (2 * step)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.booleans())
def test_gradients_are_those_of_differences(seed, p, with_rate):
    likelihood = densities(seed, p, with_rate=with_rate)
    low, high = likelihood.region.T
    point = np.random.default_rng(seed).uniform(low, high)
    expected = numerical(likelihood, point)
    np.testing.assert_allclose(likelihood.gradient(point), expected, rtol=1e-4, atol=1e-4)


def test_one_bin_is_a_poisson_counting():
    """Its shape says nothing; with the rate it is the Poisson distribution, up to a constant."""
    made = densities(p=1, n=1)
    observed = made.counts.sum()
    points = np.linspace(-0.9, 1.4, 7)[:, None]
    expected = made.polynomial.weights(points) @ made.rate
    one = Densities(
        made.polynomial, made.region, np.array([3.0]), made.norm[None], made.norm, made.rate
    )
    exact = poisson.logpmf(3, expected)
    np.testing.assert_allclose(np.diff(one(points)), np.diff(exact))
    assert observed > 0
    shape = Densities(made.polynomial, made.region, np.array([3.0]), made.norm[None], made.norm)
    np.testing.assert_allclose(shape(points), 0.0, atol=1e-9)


def test_events_are_summed_one_by_one():
    made = densities(with_rate=False)
    points = np.random.default_rng(2).uniform(-1, 1, (5, 2))
    monomials = made.polynomial.weights(points)
    total = 0.0
    for count, coefficients in zip(made.counts, made.densities, strict=True):
        total += count * np.log((monomials @ coefficients) / (monomials @ made.norm))
    np.testing.assert_allclose(made(points), total)


def test_factors_of_the_densities_change_nothing_but_a_constant():
    made = densities()
    points = np.random.default_rng(2).uniform(-1, 1, (5, 2))
    other = Densities(
        made.polynomial, made.region, made.counts, 7 * made.densities, made.norm, made.rate
    )
    np.testing.assert_allclose(np.diff(other(points)), np.diff(made(points)))


def test_a_density_that_vanishes_is_no_infinity():
    made = densities(p=1, with_rate=False)
    # (1 - theta)^2 vanishes at one, where no other event's does.
    points, values = np.array([[-1.0], [0.0], [0.5]]), np.array([[4.0, 1.0, 0.25]])
    nothing = made.polynomial.coefficients(values, points)
    likelihood = Densities(
        made.polynomial,
        made.region,
        np.append(made.counts, 1.0),
        np.vstack([made.densities, nothing]),
        made.norm,
    )
    at, beside = likelihood(np.array([[1.0], [0.9]]))
    assert np.isfinite(at)
    assert at < beside - 5
    assert np.isfinite(likelihood.gradient(np.array([1.0]))).all()


@pytest.mark.parametrize("most", [1, 100, 10**6])
def test_nothing_of_the_size_of_points_times_events_is_needed(monkeypatch, most):
    made = densities()
    points = np.random.default_rng(2).uniform(-1, 1, (9, 2))
    whole = made(points)
    monkeypatch.setattr("steps.inference.likelihood._MOST_NUMBERS", most)
    np.testing.assert_allclose(made(points), whole)


# ------------------------------------------------------------------ between the points of a grid
def cubic(points):
    x, y = points.T
    return 1 + x - 2 * y + 3 * x * y**2 - x**3 + 0.5 * x**2 * y**3


def on_grid(numbers, region):
    axes = [np.linspace(low, high, n) for (low, high), n in zip(region, numbers, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return axes, points


def test_cubics_are_interpolated_exactly_and_so_are_their_gradients():
    region = [(-1.0, 1.0), (0.0, 3.0)]
    axes, points = on_grid((5, 7), region)
    likelihood = Interpolated(axes, cubic(points).reshape(5, 7))
    np.testing.assert_array_equal(likelihood.region, region)
    some = np.random.default_rng(1).uniform(*np.transpose(region), (20, 2))
    np.testing.assert_allclose(likelihood(some), cubic(some), atol=1e-9)
    for point in some:
        expected = numerical(cubic, point)
        np.testing.assert_allclose(likelihood.gradient(point), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("numbers", [(2,), (3,), (9,), (2, 5), (4, 3, 2)])
def test_grids_of_few_points_have_splines_of_lower_degree(numbers):
    region = [(-1.0, 2.0)] * len(numbers)
    axes, points = on_grid(numbers, region)
    slope = np.arange(1, 1 + len(numbers))
    likelihood = Interpolated(axes, (points @ slope).reshape(numbers))
    some = np.random.default_rng(1).uniform(-1, 2, (9, len(numbers)))
    np.testing.assert_allclose(likelihood(some), some @ slope, atol=1e-9)
    np.testing.assert_allclose(likelihood.gradient(some[0]), slope, atol=1e-9)


def test_beyond_the_grid_it_is_that_of_the_edge():
    axes, points = on_grid((5,), [(-1.0, 1.0)])
    likelihood = Interpolated(axes, -(points[:, 0] ** 2))
    beyond, edge = likelihood(np.array([[4.0], [1.0]]))
    assert beyond == edge == pytest.approx(-1)


def test_interpolation_agrees_with_the_densities_themselves():
    made = densities(n=200)
    axes, points = on_grid((25, 25), made.region)
    likelihood = Interpolated(axes, made(points).reshape(25, 25))
    some = np.random.default_rng(1).uniform(-0.9, 1.4, (50, 2))
    np.testing.assert_allclose(likelihood(some), made(some), atol=0.02 * np.ptp(made(points)))


def test_q_is_twice_the_distance_from_the_best():
    made = densities()
    points = np.random.default_rng(2).uniform(-1, 1, (50, 2))
    best = made(points).max()
    found = q(made, points, best)
    assert found.min() == 0
    np.testing.assert_allclose(found, -2 * np.log(np.exp(made(points) - best)))
