"""Pseudo-experiments against closed forms, exact sums over Poisson numbers, and other events."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, kstest, poisson, qmc

from steps.inference import pseudo_experiments as toys
from steps.inference.likelihood import Densities
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.statistics import CONFIDENCE_LEVELS, grid

LEVELS = tuple(CONFIDENCE_LEVELS.values())
COVERED = 1 - np.array(LEVELS)
QUADRATIC = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])


def rng(seed=1):
    return np.random.default_rng(seed)


def axes(reach, n, n_parameters):
    return [np.linspace(-reach, reach, n)] * n_parameters


# A shift of a normal distribution: q = n |mean(x) - theta|^2 exactly.


def shifted(n_parameters, n_events, theta, spacing=0.2):
    """A table of x on a lattice, of which experiments at theta are made."""
    x = grid([(-5, 5)] * n_parameters, [21] * n_parameters)
    points = grid([(-1, 1)] * n_parameters, [round(2 / spacing) + 1] * n_parameters)

    def log_ratio(thetas):
        return x @ thetas.T - 0.5 * np.sum(thetas**2, axis=1)

    counts = np.exp(-0.5 * np.sum((x - theta) ** 2, axis=1))
    table = toys.Table(
        axes(1, round(2 / spacing) + 1, n_parameters),
        log_ratio(points).astype(np.float32),
        # The number of events tells nothing: its terms must cancel.
        np.full(len(points), float(n_events)),
    )
    truth = toys.Hypothesis(
        n_events * counts / counts.sum(), log_ratio(np.atleast_2d(theta))[:, 0], n_events
    )
    return table, truth, x


@pytest.mark.parametrize(("n_parameters", "n_events"), [(1, 30), (2, 60), (2, 400), (3, 60)])
def test_q_of_a_shift_is_chi_squared(n_parameters, n_events):
    theta = np.array([0.13, -0.06, 0.02])[:n_parameters]
    table, truth, _ = shifted(n_parameters, n_events, theta)
    q = toys.experiments(table, truth, 3000, rng())
    assert kstest(q, chi2(n_parameters).cdf).pvalue > 1e-3
    found = toys.compare(q, n_parameters, LEVELS)
    np.testing.assert_allclose(found.chi2, chi2.isf(LEVELS, n_parameters))
    assert (abs(found.coverage - COVERED) < 3.5 * found.coverage_errors).all()
    assert (abs(found.quantiles.values - found.chi2) < 3.5 * found.quantiles.errors).all()


@pytest.mark.parametrize("draw", [toys._drawn, toys._counted])
def test_q_of_a_shift_is_exact_for_each_experiment(draw):
    theta = np.array([0.13, -0.06])
    table, truth, x = shifted(2, 80, theta)
    counts = draw(truth.counts, 200, rng())
    means = (counts @ x) / counts.sum(axis=1)[:, None]
    # In n ln L with the n events that occurred, not those expected.
    expected = counts.sum(axis=1) * np.sum((means - theta) ** 2, axis=1)
    np.testing.assert_allclose(toys._q(table, truth, counts), expected, atol=2e-3)


@pytest.mark.parametrize("draw", [toys._drawn, toys._counted])
def test_events_occur_as_often_as_expected(draw):
    expected = np.array([0.0, 3.0, 0.5, 0.0, 1.5, 0.0])
    counts = draw(expected, 20_000, rng())
    counts = counts if isinstance(counts, np.ndarray) else counts.toarray()
    np.testing.assert_allclose(counts.mean(axis=0), expected, atol=0.05)
    np.testing.assert_allclose(np.cov(counts.T), np.diag(expected), atol=0.12)
    assert (counts[:, expected == 0] == 0).all()


def test_best_fits_stay_within_the_region():
    # The truth at the edge: half of the best fits are beyond, and must not be followed.
    table, truth, x = shifted(1, 60, np.array([1.0]))
    counts = toys._counted(truth.counts, 4000, rng())
    n, mean = counts.sum(axis=1), (counts @ x)[:, 0] / counts.sum(axis=1)
    expected = n * np.where(mean < 1, mean - 1, 0) ** 2
    np.testing.assert_allclose(toys._q(table, truth, counts), expected, atol=2e-3)


def test_maxima_are_those_of_a_minimiser():
    # Not a quadratic: cubic terms, several maxima, some at edges.
    line = np.linspace(-1, 1, 31)
    first, second = np.meshgrid(line, line, indexing="ij")
    coefficients = rng(3).normal(size=(40, 4))

    def function(c, a, b):
        return 3 * (c[0] * np.sin(3 * a + b) + c[1] * np.cos(2 * b - a) + c[2] * a**2 + c[3] * b)

    values = np.array([function(c, first, second) for c in coefficients])
    found = toys._maxima(values)
    starts = grid([(-0.9, 0.9)] * 2, [4, 4])
    for c, maximum in zip(coefficients, found, strict=True):
        best = max(
            -minimize(lambda u, c=c: -function(c, *u), start, bounds=[(-1, 1)] * 2).fun
            for start in starts
        )
        assert maximum == pytest.approx(best, abs=2e-3)


def test_box_maxima_are_those_of_many_points():
    random = rng(4)
    slope, curvature = random.normal(size=(60, 3)), random.normal(size=(60, 3, 3))
    curvature += curvature.transpose(0, 2, 1)
    curvature[:20] = -curvature[:20] @ curvature[:20] * 0.3
    u = grid([(-1, 1)] * 3, [41] * 3)
    values = slope @ u.T + 0.5 * np.einsum("gi,mij,gj->mg", u, curvature, u)
    found = toys._box_maxima(slope, curvature)
    assert (found >= values.max(axis=1) - 1e-9).all()
    np.testing.assert_allclose(found, values.max(axis=1), atol=0.02)


# A counting experiment, s = s_0 + b theta^2: fluctuations below s_0 cannot be followed.

S_0, SLOPE, REACH = 40.0, 60.0, 1.5


def counting(n_points=121):
    polynomial = Polynomial.of([[0], [2]], [[-REACH, REACH]])
    rate = np.array([S_0, SLOPE * REACH**2])
    shape = np.array([1.0, 0.0])
    likelihood = Densities(polynomial, polynomial.region, np.zeros(1), shape[None], shape, rate)
    return toys.Model(
        likelihood, axes(REACH, n_points, 1), lambda theta: np.array([S_0 + SLOPE * theta[0] ** 2])
    )


def enumerated(theta):
    """Return all q and their probabilities."""
    s = S_0 + SLOPE * theta**2
    n = np.arange(1, 400)
    fitted = np.clip(n, S_0, S_0 + SLOPE * REACH**2)
    q = 2 * (n * np.log(fitted / s) - (fitted - s))
    return q, poisson.pmf(n, s)


@pytest.mark.parametrize("theta", [0.0, 0.3, 0.5, 1.0])
def test_thresholds_of_a_counting_experiment(theta):
    model, size = counting(), 20_000
    q, probability = enumerated(theta)
    order = np.argsort(q)
    below = np.cumsum(probability[order])
    toy = toys.experiments(model.table, model.at(np.array([theta])), size, rng())
    found = toys.thresholds(toy, LEVELS)
    for level, value in zip(LEVELS, found.values, strict=True):
        error = 4 * np.sqrt(level * (1 - level) / size)
        low, high = (q[order][np.searchsorted(below, 1 - level + sign * error)] for sign in (-1, 1))
        assert low - 0.02 <= value <= high + 0.02
    for threshold in (0.3, *chi2.isf(LEVELS, 1)):
        near = np.abs(q - threshold) < 0.02
        part, _ = toys.coverage(toy, threshold)
        low = probability[(q < threshold) & ~near].sum()
        error = 4 * np.sqrt(0.25 / size)
        assert low - error <= part <= low + probability[near].sum() + error


def test_chi_squared_does_not_cover_a_quadratic_theory():
    model = counting()
    q = toys.experiments(model.table, model.at(np.zeros(1)), 4000, rng())
    # Fluctuations downwards have q = 0: a half, and half of what is beyond one sigma.
    found = toys.compare(q, 1, LEVELS)
    assert np.mean(q < 1e-3) == pytest.approx(poisson.cdf(S_0, S_0), abs=0.03)
    assert found.coverage[0] == pytest.approx(0.84, abs=0.04)
    assert found.quantiles.values[0] < 0.5 * found.chi2[0]


# Events of x whose density is 1 + LINEAR theta . b(x) + (theta . b(x))^2, with a flat density of x.

LINEAR = 0.5


def density(x):
    """Coefficients of QUADRATIC, ``(n, 6)``, of the unscaled parameters."""
    first, second = 2.5 * x[:, 0], 2 * x[:, 1] + x[:, 0] ** 2
    return np.stack(
        [
            np.ones(len(x)),
            LINEAR * second,
            second**2,
            LINEAR * first,
            2 * first * second,
            first**2,
        ],
        axis=-1,
    )


def quadratic(seed, n_events=2**14, expected=40.0):
    """A model with the exact densities, whose experiments are of events that the seed chooses."""
    x = 2 * qmc.Sobol(2, seed=rng(seed)).random(n_events) - 1
    # In region +-1, scaled parameters are the parameters.
    polynomial = Polynomial.of(QUADRATIC, [[-1, 1]] * 2)
    lattice = grid([(-1 + 1 / 200, 1 - 1 / 200)] * 2, [200, 200])
    norm = density(lattice).mean(axis=0)
    likelihood = Densities(
        polynomial, polynomial.region, np.zeros(n_events), density(x), norm, expected * norm
    )

    def counts(theta):
        weights = density(x) @ polynomial.weights(theta[None])[0]
        return weights * expected / n_events

    return toys.Model(likelihood, axes(1, 25, 2), counts)


@cache
def construction():
    coarse = grid([(-0.75, 0.75)] * 2, [7, 7])
    return toys.neyman(quadratic(1), coarse, LEVELS, 1000, rng())


def test_neyman_covers_at_other_points_for_other_events():
    model, random = quadratic(2), rng(2)
    points = random.uniform(-0.7, 0.7, (16, 2))
    by_toys, by_chi2 = [], []
    for point, limits in zip(points, construction().at(points).T, strict=True):
        q = toys.experiments(model.table, model.at(point), 1500, random)
        by_toys.append([toys.coverage(q, limit)[0] for limit in limits])
        by_chi2.append(toys.compare(q, 2, LEVELS).coverage)
    by_toys, by_chi2 = (np.array(found) - COVERED for found in (by_toys, by_chi2))
    # The error of each is 1.2 and 0.6 %, to which come those of the thresholds.
    assert (abs(by_toys.mean(axis=0)) < [0.01, 0.006]).all()
    assert (np.sqrt(np.mean(by_toys**2, axis=0)) < [0.025, 0.012]).all()
    assert np.sqrt(np.mean(by_chi2[:, 0] ** 2)) > 0.045


def test_neyman_where_wilks_holds_is_chi_squared():
    values = []
    points = grid([(-0.5, 0.5)] * 2, [4, 4])
    for k, point in enumerate(points):
        table, truth, _ = shifted(2, 60, point)
        values.append(toys.thresholds(toys.experiments(table, truth, 1500, rng(k)), LEVELS))
    found = toys.Neyman(
        points,
        np.array(LEVELS),
        np.stack([v.values for v in values], axis=-1),
        np.stack([v.errors for v in values], axis=-1),
    )
    wanted = grid([(-1, 1)] * 2, [9, 9])
    expected = chi2.isf(LEVELS, 2)[:, None]
    smooth = found.at(wanted)
    # Smoothed: better than the single ones.
    assert np.std(smooth / expected - 1) < 0.9 * np.std(found.values / expected - 1)
    np.testing.assert_allclose(smooth / expected, 1, atol=0.08)


@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_thresholds_between_points_follow_what_is_sure(n_parameters):
    region = [(-1, 1), (0, 4), (-3, 0)][:n_parameters]
    points = grid(region, [7] * n_parameters)
    centre, reach = np.mean(region, axis=1), np.ptp(region, axis=1) / 2

    def surface(p):
        u = (p - centre) / reach
        return 3 + 0.6 * u[:, 0] - 0.7 * u[:, -1] ** 2 * u[:, 0]

    values = surface(points)[None]
    found = toys.Neyman(points, np.array([0.32]), values, np.full_like(values, 1e-3))
    wanted = rng().uniform(*np.transpose(region), (50, n_parameters))
    np.testing.assert_allclose(found.at(wanted)[0], surface(wanted), rtol=0.04)
    # Beyond the points: as at the edge.
    beyond, edge = centre.copy(), centre.copy()
    beyond[0], edge[0] = -3, -1
    np.testing.assert_allclose(found.at(beyond[None]), found.at(edge[None]))


def test_table_and_point_agree():
    # A point of the grid has the table's values, and no pseudo-experiment falls below it.
    model = quadratic(1, 2048)
    points = grid([(-1, 1)] * 2, [25, 25])
    truth = model.at(points[200])
    np.testing.assert_allclose(truth.log_ratio, model.table.log_ratios[:, 200], atol=1e-5)
    assert truth.expected == pytest.approx(model.table.expected[200])
    assert (toys.experiments(model.table, truth, 500, rng()) >= 0).all()


def test_table_is_the_likelihood():
    model = quadratic(1, 2048)
    counts = rng().poisson(0.02, 2048).astype(float)
    points = grid([(-1, 1)] * 2, [25, 25])
    likelihood = replace(model.likelihood, counts=counts)
    found = counts @ model.table.log_ratios + counts.sum() * np.log(model.table.expected)
    np.testing.assert_allclose(found - model.table.expected, likelihood(points), atol=1e-3)


def test_few_and_many_events_agree():
    # Drawn one by one, or counted: two ways of the same.
    few, many = quadratic(1), quadratic(1, 512)
    point = np.array([0.2, 0.1])
    first, second = (
        toys.experiments(m.table, m.at(point), 3000, rng(k)) for k, m in enumerate((few, many))
    )
    assert np.quantile(first, 0.68) == pytest.approx(np.quantile(second, 0.68), rel=0.12)


def test_without_the_rate_the_number_of_events_tells_nothing():
    model = counting()
    shapes = toys.Model(replace(model.likelihood, rate=None), model.axes, model.counts)
    theta = np.array([0.5])
    assert shapes.table.expected is None
    assert shapes.at(theta).expected == pytest.approx(model.at(theta).expected)
    assert (toys.experiments(shapes.table, shapes.at(theta), 300, rng()) == 0).all()
    assert (toys.experiments(model.table, model.at(theta), 300, rng()) > 0).any()


def test_events_that_vanish_by_rounding_do_not_occur():
    model = quadratic(1, 2048)
    rounded = replace(
        model, counts=lambda theta: model.counts(theta) * (np.arange(2048) > 0) - 1e-18
    )
    truth = rounded.at(np.zeros(2))
    assert truth.counts[0] == 0
    assert np.isfinite(toys.experiments(model.table, truth, 100, rng())).all()


def test_thinned_events_occur_as_often():
    model = quadratic(1)
    thin = model.thinned(4000, rng())
    theta = np.array([0.3, -0.2])
    assert thin.table.log_ratios.shape == (4000, 625)
    assert thin.at(theta).counts.sum() == pytest.approx(model.at(theta).counts.sum())
    assert model.thinned(10**6, rng()) is model
    q, thinned = (
        np.quantile(toys.experiments(m.table, m.at(theta), 3000, rng(k)), 0.68)
        for k, m in enumerate((model, thin))
    )
    assert thinned == pytest.approx(q, rel=0.12)


def test_errors_of_thresholds_and_coverage():
    samples = rng().chisquare(2, (400, 1000))
    found = [toys.thresholds(q, LEVELS) for q in samples]
    spread = np.std([f.values for f in found], axis=0)
    np.testing.assert_allclose(np.mean([f.errors for f in found], axis=0), spread, rtol=0.15)
    parts = np.array([toys.coverage(q, 2.0) for q in samples])
    assert np.std(parts[:, 0]) == pytest.approx(parts[:, 1].mean(), rel=0.1)
    assert toys.coverage(np.zeros(100), 1.0) == (1.0, pytest.approx(0.01, rel=0.1))


def test_the_threshold_itself_is_covered():
    # Few different values: the quantile is one of them, and covers at least as promised.
    q = np.repeat([0.0, 1.0, 3.0], [50, 30, 20])
    found = toys.thresholds(q, [0.32])
    assert found.values[0] == 1.0
    assert toys.coverage(q, found.values[0])[0] == 0.8


def test_same_seed_same_experiments():
    model = quadratic(1, 2048)
    first, second = (
        toys.experiments(model.table, model.at(np.zeros(2)), 50, rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_grid_of_two_points_is_refused():
    with pytest.raises(ValueError, match="three or more points"):
        toys.Table([np.array([0.0, 1.0])], np.zeros((5, 2)))
