"""Best fits and intervals of likelihoods against closed forms, dense grids and exact refits."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from steps.inference.intervals import (
    LEVELS,
    Estimate,
    Intervals,
    Piece,
    best_fit,
    from_arrays,
    intervals,
    pairwise,
    q_at,
    to_arrays,
    widened,
)
from steps.inference.likelihood import Densities, Interpolated
from steps.inference.morphing.polynomial import Polynomial


@dataclass(frozen=True)
class Normals:
    """L = sum of exp(-(theta - centre) . hessian . (theta - centre) / 2 - height / 2)."""

    centres: np.ndarray
    hessian: np.ndarray
    heights: np.ndarray
    reach: float = 1.0

    @property
    def region(self):
        return np.array([[-self.reach, self.reach]] * len(self.hessian))

    def __call__(self, points):
        return np.logaddexp.reduce(self._terms(points), axis=1)

    def gradient(self, point):
        terms = self._terms(point[None])[0]
        share = np.exp(terms - np.logaddexp.reduce(terms))
        return -share @ (point - self.centres) @ self.hessian

    def _terms(self, points):
        away = points[:, None] - self.centres
        return -0.5 * (np.einsum("gmi,ij,gmj->gm", away, self.hessian, away) + self.heights)


def normal(centre, hessian, reach=1.0):
    return Normals(np.array([centre]), np.array(hessian), np.zeros(1), reach)


def correlated(p, seed=3):
    """Standard deviations near 0.1, correlations up to 0.9."""
    factor = np.random.default_rng(seed).normal(size=(p, p)) + 0.5
    matrix = factor @ factor.T + 0.3 * np.eye(p)
    scale = np.diag(0.1 / np.sqrt(np.diag(matrix)))
    return np.linalg.inv(scale @ matrix @ scale)


def counting(expected, a, b, low=-1.0, high=2.0):
    """Counting s = expected (1 + a theta + b theta^2), as many seen as expected at 0."""
    exponents = np.arange(3)[:, None]
    polynomial = Polynomial.of(exponents, [(low, high)])
    benchmarks = np.array([[-0.5], [0.0], [0.5]])
    at = expected * (1 + a * benchmarks + b * benchmarks**2)
    [rate] = polynomial.coefficients(at.T, benchmarks)
    return Densities(polynomial, polynomial.region, np.array([expected]), rate[None], rate, rate)


def counting_ends(expected, a, b, q):
    """Where 2 (s - n - n log(s / n)) = q, all real solutions in order."""

    def excess(ratio):
        return 2 * expected * (ratio - 1 - np.log(ratio)) - q

    ratios = (brentq(excess, 1e-9, 1), brentq(excess, 1, 50))
    roots = np.concatenate([np.roots([b, a, 1 - ratio]) for ratio in ratios])
    return np.sort(roots[np.isreal(roots)].real)


def ends(estimate, level):
    return np.array([[piece.low, piece.high] for piece in estimate.pieces[level]])


def errors(estimate, level):
    return np.array([[piece.low_error, piece.high_error] for piece in estimate.pieces[level]])


def edges(estimate, level):
    return [(piece.low_is_edge, piece.high_is_edge) for piece in estimate.pieces[level]]


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_correlated_normal(p):
    centre, truth = np.linspace(0.1, -0.05, p), np.full(p, 0.05)
    hessian = correlated(p)
    found = intervals([normal(centre, hessian)], truth)
    for level, q in LEVELS.items():
        for axis in range(p):
            reach = np.sqrt(q * np.linalg.inv(hessian)[axis, axis])
            expected = [[centre[axis] - reach, centre[axis] + reach]]
            assert ends(found.profiled[axis], level) == pytest.approx(np.array(expected), abs=2e-5)
            others = np.arange(p) != axis
            shift = hessian[axis, others] @ (truth - centre)[others] / hessian[axis, axis]
            middle, reach = centre[axis] - shift, np.sqrt(q / hessian[axis, axis])
            expected = [[middle - reach, middle + reach]]
            assert ends(found.fixed[axis], level) == pytest.approx(np.array(expected), abs=2e-5)
            assert found.fixed[axis].best_fit == pytest.approx(middle, abs=3e-4)
    assert [e.best_fit for e in found.profiled] == pytest.approx(centre, abs=3e-4)


def test_interpolated():
    likelihood, axis = normal([0.1, -0.2], correlated(2)), np.linspace(-1, 1, 41)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    splines = Interpolated([axis, axis], likelihood(grid.reshape(-1, 2)).reshape(41, 41))
    found, expected = (intervals([either], [0, 0]) for either in (splines, likelihood))
    for kind in ("profiled", "fixed"):
        for one, other in zip(getattr(found, kind), getattr(expected, kind), strict=True):
            assert ends(one, "95") == pytest.approx(ends(other, "95"), abs=1e-4)


@pytest.mark.parametrize("expected", [5.0, 200.0, 2000.0])
def test_pieces_of_a_quadratic_rate(expected):
    # The rate is the same at 0 and at 0.8.
    a, b = -1.6, 2.0
    found = intervals([counting(expected, a, b)], [0.0])
    for level, q in LEVELS.items():
        known = counting_ends(expected, a, b, q).reshape(-1, 2)
        assert ends(found.profiled[0], level) == pytest.approx(known, abs=2e-5)
        assert ends(found.fixed[0], level) == pytest.approx(known, abs=2e-5)
    assert len(found.profiled[0].pieces["68"]) == (1 if expected == 5.0 else 2)


@pytest.mark.parametrize("above", [-1e-4, 1e-4])
def test_gap_between_the_values_of_the_scan(above):
    a, b = -1.6, 2.0
    least = 1 - a**2 / (4 * b)
    expected = (1 + above) / (2 * (least - 1 - np.log(least)))
    found = intervals([counting(expected, a, b)], [0.0], {"68": 1.0})
    known = counting_ends(expected, a, b, 1.0).reshape(-1, 2)
    assert len(known) == (2 if above > 0 else 1)
    assert ends(found.profiled[0], "68") == pytest.approx(known, abs=1e-4)


def test_edge_of_the_region_is_no_end():
    likelihood = counting(200.0, -1.6, 2.0, low=0.01, high=0.79)
    found = intervals([likelihood], [0.02])
    assert edges(found.profiled[0], "68") == [(True, False), (False, True)]
    low, high = ends(found.profiled[0], "68")
    assert (low[0], high[1]) == pytest.approx((0.01, 0.79))
    # The best fit, q = 0, is at the edges.
    best = 2 * (counting(200.0, -1.6, 2.0)(np.zeros((1, 1))) - likelihood(np.array([[0.01]])))[0]
    expected = counting_ends(200.0, -1.6, 2.0, 1.0 + best)[1:3]
    assert [low[1], high[0]] == pytest.approx(expected, abs=1e-5)
    flat = normal([0.0, 0.0], np.diag([0.0, 400.0]))
    found = intervals([flat, flat, flat], [0.0, 0.0])
    assert edges(found.profiled[0], "95") == [(True, True)]
    assert np.isnan(errors(found.profiled[0], "95")).all()
    assert ends(found.profiled[1], "95") == pytest.approx(
        np.sqrt(LEVELS["95"] / 400) * np.array([[-1, 1]]), abs=1e-5
    )


def test_best_fit_beyond_the_region():
    likelihood = normal([0.3, 1.1], np.diag([100.0, 100.0]))
    at, value = best_fit(likelihood)
    assert at == pytest.approx([0.3, 1.0], abs=1e-3)
    assert value == pytest.approx(-0.5, abs=1e-3)
    found = intervals([likelihood], [0, 0], {"68": 1.0}).profiled[1]
    assert edges(found, "68") == [(False, True)]
    assert ends(found, "68")[0] == pytest.approx([1.1 - np.sqrt(0.02), 1.0], abs=1e-4)


@pytest.mark.parametrize("second", [-0.3, 0.1, 0.6, 1.15])
def test_profile_changes_to_another_branch(second):
    """Two normal distributions far apart in the other parameters, the second one lower."""
    width, height = 0.1, 0.5
    centres = np.array([[-0.4, -0.6, 0.5], [second, 0.6, -0.5]])
    likelihood = Normals(centres, np.eye(3) / width**2, np.array([0, height]))
    found = intervals([likelihood], [-0.4, -0.6, 0.5])
    for level, q in LEVELS.items():
        reach = width * np.sqrt([q, q - height])
        first, other = ([c - r, min(c + r, 1)] for c, r in zip(centres[:, 0], reach, strict=True))
        apart = [piece for piece in (first, other) if piece[0] < 1]
        if first[1] > other[0]:
            apart = [[min(first[0], other[0]), max(first[1], other[1])]]
        assert ends(found.profiled[0], level) == pytest.approx(np.array(apart), abs=2e-5)
        middle = np.array([[first[0], first[0] + 2 * reach[0]]])
        assert ends(found.fixed[0], level) == pytest.approx(middle, abs=2e-5)


def test_starts_lead_to_what_the_scan_misses():
    narrow = Normals(
        np.array([[0.0, 0.0], [0.7123, -0.6321]]), 1e8 * np.eye(2), np.array([10.0, 0.0])
    )
    at, value = best_fit(narrow, [np.array([0.7121, -0.632])])
    assert at == pytest.approx([0.7123, -0.6321], abs=1e-6)
    assert value == pytest.approx(0.0, abs=1e-5)


@dataclass(frozen=True)
class Toy:
    """Binned x with density (1 + theta . (x + 0.3))^2 + 0.1 theta^2, sampled at 0."""

    p: int = 2

    @property
    def polynomial(self):
        amplitude = np.vstack([np.zeros((1, self.p), int), np.eye(self.p, dtype=int)])
        exponents = np.unique((amplitude[:, None] + amplitude).reshape(-1, self.p), axis=0)
        return Polynomial.of(exponents, [(-1, 1)] * self.p)

    def likelihoods(self, expected, n_bags=0, truth=None, n=20_000, rate=True):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(n, self.p))
        points = rng.uniform(-1, 1, (30, self.p))
        weights = (1 + (x + 0.3) @ points.T) ** 2 + 0.1 * (points**2).sum(axis=1)
        coefficients = self.polynomial.coefficients(weights * expected / n, points)
        edges = (-1.5, -0.7, 0.0, 0.7, 1.5)
        bins = sum(np.digitize(x[:, k], edges) * 6**k for k in range(self.p))
        truth = np.zeros(self.p) if truth is None else truth
        seen = self.polynomial.weights(np.asarray(truth)[None])[0]
        likelihoods = []
        for bag in range(n_bags + 1):
            counts = rng.poisson(1, n) if bag else np.ones(n)
            content = [np.bincount(bins, c * counts) for c in coefficients.T]
            densities = np.stack(content, axis=-1)
            norm = densities.sum(axis=0)
            likelihoods.append(
                Densities(
                    self.polynomial,
                    self.polynomial.region,
                    densities @ seen,
                    densities,
                    norm,
                    norm if rate else None,
                )
            )
        return likelihoods


def test_errors_of_bags_against_exact_refits():
    # Bags that see what is expected at other true points, so that best fits spread as well.
    rng = np.random.default_rng(5)
    truths = [[0.1, -0.1], *rng.normal([0.1, -0.1], 0.002, (12, 2))]
    shifted = [Toy().likelihoods(300.0, truth=truth)[0] for truth in truths]
    resampled = Toy().likelihoods(300.0, n_bags=12, n=5_000)
    for likelihoods in (shifted, resampled):
        found = intervals(likelihoods, [0.0, 0.0])
        exact = [intervals([bag], [0.0, 0.0]) for bag in likelihoods[1:]]
        for kind in ("profiled", "fixed"):
            for axis, estimate in enumerate(getattr(found, kind)):
                refits = [getattr(bag, kind)[axis] for bag in exact]
                best = np.std([refit.best_fit for refit in refits], ddof=1)
                assert estimate.error == pytest.approx(best, rel=0.05, abs=1e-4)
                for level in LEVELS:
                    actual = np.std([ends(refit, level) for refit in refits], axis=0, ddof=1)
                    assert errors(estimate, level) == pytest.approx(actual, rel=0.2)


def test_distance_of_the_best_fit_from_the_truth():
    centres = np.array([0.0, 0.01, 0.03, -0.02])
    likelihoods = [normal([centre, 0.0], 400 * np.eye(2)) for centre in centres]
    value, uncertainty = q_at(likelihoods, [0.02, 0.0])
    assert value == pytest.approx(400 * 0.02**2, abs=1e-5)
    assert uncertainty == pytest.approx(np.std(400 * (centres[1:] - 0.02) ** 2, ddof=1), abs=1e-5)
    assert np.isnan(q_at(likelihoods[:2], [0.02, 0.0])[1])


def test_fewer_than_two_bags_have_no_spread():
    likelihood = normal([0.0, 0.1], 400 * np.eye(2))
    [estimate, _] = intervals([likelihood, likelihood], [0, 0]).profiled
    assert np.isnan(estimate.error)
    assert np.isnan(errors(estimate, "68")).all()


@pytest.mark.parametrize("function", [intervals, q_at])
def test_true_point_outside_the_region(function):
    with pytest.raises(ValueError, match=r"1\.5 of parameter 1 is outside the region, -1 to 1"):
        function([normal([0.0, 0.0], np.eye(2))], [0.0, 1.5])


@pytest.mark.parametrize(("p", "pair"), [(2, (0, 1)), (2, (1, 0)), (3, (0, 2)), (4, (3, 1))])
def test_pairs_of_a_normal(p, pair):
    centre, hessian = np.linspace(0.1, -0.05, p), correlated(p) / 9
    found = pairwise(normal(centre, hessian), *pair, 9)
    values = np.linspace(-1, 1, 9)
    away = np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1) - centre[list(pair)]
    covariance = np.linalg.inv(hessian)[np.ix_(pair, pair)]
    expected = np.einsum("abi,ij,abj->ab", away, np.linalg.inv(covariance), away)
    # Others that would be best outside the region are kept inside.
    inside = expected < 20
    assert inside.sum() > 9
    assert found[inside] == pytest.approx(expected[inside], abs=1e-4)
    assert (found > expected - 1e-4).all()


def test_pairs_of_a_quadratic_theory_against_a_dense_grid():
    [likelihood] = Toy(3).likelihoods(60.0, truth=[0.2, -0.3, 0.1])
    found = pairwise(likelihood, 0, 1, 11)
    coarse, dense = np.linspace(-1, 1, 11), np.linspace(-1, 1, 401)
    points = np.stack(np.meshgrid(coarse, coarse, dense, indexing="ij"), axis=-1)
    values = -2 * likelihood(points.reshape(-1, 3)).reshape(11, 11, -1).max(axis=-1)
    expected = values + 2 * best_fit(likelihood)[1]
    assert found == pytest.approx(expected, abs=2e-2, rel=1e-3)


@settings(max_examples=10, deadline=None)
@given(
    truth=st.tuples(*[st.floats(-0.9, 0.9)] * 2),
    expected=st.floats(20.0, 5000.0),
    rate=st.booleans(),
)
def test_what_intervals_contain(truth, expected, rate):
    found = intervals(Toy().likelihoods(expected, truth=truth, n=2_000, rate=rate), truth)
    for profiled, fixed in zip(found.profiled, found.fixed, strict=True):
        for estimate in (profiled, fixed):
            best = [[estimate.best_fit] * 2]
            assert _contains(ends(estimate, "68"), best)
            assert _contains(ends(estimate, "95"), ends(estimate, "68"))
        # Expected data are best described by the truth.
        for level in LEVELS:
            assert _contains(ends(profiled, level), ends(fixed, level))


def _contains(pieces, others):
    rounding = 1e-3
    return all(
        any(low - rounding <= start and stop <= high + rounding for low, high in pieces)
        for start, stop in others
    )


@settings(max_examples=10, deadline=None)
@given(truth=st.tuples(*[st.floats(-0.9, 0.9)] * 2), expected=st.floats(20.0, 2000.0))
def test_quadratic_theories_against_a_dense_grid(truth, expected):
    [likelihood] = Toy().likelihoods(expected, truth=truth, n=2_000)
    found = intervals([likelihood], truth)
    axis = np.linspace(-1, 1, 201)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    q = 2 * (best_fit(likelihood)[1] - likelihood(points).reshape(201, 201))
    for number in (0, 1):
        profile = q.min(axis=1 - number)
        for level, threshold in LEVELS.items():
            # Dense as it is, the grid's profile may be a little too high.
            for value in axis[profile < threshold]:
                assert _contains(ends(found.profiled[number], level), [[value, value]])
            pieces = ends(found.profiled[number], level)
            for value in axis[profile > 1.05 * threshold + 0.05]:
                assert not ((pieces[:, 0] < value) & (value < pieces[:, 1])).any()


def test_arrays_and_back():
    likelihoods = [counting(expected, -1.6, 2.0, low=-0.05) for expected in (200.0, 210.0, 195.0)]
    found = intervals(likelihoods, [0.0])
    arrays = to_arrays(found, "with_rate")
    assert set(arrays) == {
        f"intervals/with_rate/{kind}/{name}"
        for kind in ("profiled", "fixed")
        for name in ("best_fit", "68", "95")
    }
    rows = arrays["intervals/with_rate/profiled/95"]
    assert rows.dtype == float
    assert rows.shape == (2, 7)
    assert rows[0, [0, 5, 6]].tolist() == [0, 1, 0]
    back = from_arrays(arrays, "with_rate")
    again = to_arrays(back, "with_rate")
    for key, array in arrays.items():
        np.testing.assert_array_equal(again[key], array)
    assert back.profiled[0].pieces["95"][1] == found.profiled[0].pieces["95"][1]
    assert back.profiled[0].pieces["95"][0].low_is_edge is True


def test_gap_where_branches_meet():
    """The profile rises to q = 1.2 within a step of the scan, and falls on another branch."""
    width, half_step = 0.125, 1 / 48
    centres = half_step + width * np.sqrt(1.2) * np.array([[-1.0], [1.0]])
    likelihood = Normals(
        np.hstack([centres, [[-0.5], [0.5]]]), np.diag([1 / width**2, 1e5]), np.zeros(2)
    )
    found = intervals([likelihood], [0.0, 0.5], {"68": 1.0})
    pieces = centres + width * np.array([[-1, 1]])
    assert pieces[1, 0] - pieces[0, 1] < 2 * half_step
    assert ends(found.profiled[0], "68") == pytest.approx(pieces, abs=2e-5)


def test_a_further_error_is_added_in_quadrature():
    piece = Piece(-0.3, 0.5, 0.03, np.nan, False, True)
    estimate = Estimate(0.0, 0.01, {"68": (piece,)})
    found = widened(Intervals((estimate,), (estimate,)), 0.1)
    (wider,) = found.profiled[0].pieces["68"]
    assert wider.low_error == pytest.approx(np.hypot(0.03, 0.1 * 0.4))
    assert np.isnan(wider.high_error)
    assert (wider.low, wider.high) == (-0.3, 0.5)
    assert found.fixed[0].error == pytest.approx(np.hypot(0.01, 0.1 * 0.4))
