"""Evidence that a likelihood ratio is right: closure, norms, calibration, a second classifier.

Events of the mixture count once each. The estimate rho_hat(x|theta) of p(x|theta) / p_mix(x) is
right if it is the mean of rho_e = w_e(theta) / <w(theta)> over the events with the same x. Then
sum_e d_e f(x_e) with d_e = rho_hat(x_e|theta) - rho_e has the expectation zero for every function
f, and the error sqrt(sum_e d_e^2 f(x_e)^2), as both terms are of the same events. All tests are
such sums (closure and calibration: arXiv:1506.02169; two samples: arXiv:1610.06545):

- closure: f are bins of each observable, and of random projections of all;
- calibration: f are bins of rho_hat itself, that is of s = rho_hat / (1 + rho_hat);
- norm: rho_hat(theta) / rho_hat(theta_b) has the mean one over the events of each benchmark b;
  with rho_hat(theta) of the mean one over the mixture, it is rho_hat(theta_b) that is tested;
- two samples: f is the rank that a classifier gives an event which tries to tell events weighted
  by rho_hat from events weighted by rho_e; its area under the curve is 1/2 - <d_e f(x_e)>.

Events with random signs of d_e tell how small the smallest p-value of all tests is by chance.
Cross-fitted networks that follow the noise of their sample cancel it in the sum over the folds:
then p-values are larger than they should be, never smaller.

How much a failure matters is a change of q(theta) = -2 ln(L(theta) / L_best): that which the
correction of rho_hat by c_b = sum_b rho_e / sum_b rho_hat in the bins b makes, with n events
expected of which the share s_b is in bin b at the true point theta_0,

    dq = -2 n sum_b s_b [ln c_b(theta) - ln c_b(theta_0)].

Of the norm m over the mixture it is dq = 2 n [ln m(theta) - ln m(theta_0)]; that over the events of
a benchmark is decided where its density is small, and its change of q that in bins of the ratio.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2, norm

from steps.arrays import Array
from steps.inference.closure import Binning, quantile_bins
from steps.inference.morphing.features import Features

CLOSURE, CALIBRATION, NORM, TWO_SAMPLES = KINDS = "closure", "calibration", "norm", "two samples"

_EVENTS_PER_BIN = 1000
_FEWEST_BINS, _MOST_BINS = 4, 20
# Effective events in a bin from which on its sum is about normal.
_FILLED = 25
_PROJECTIONS = 8
# Random signs; groups of events that share one.
_DRAWS = 1000
_GROUPS = 500
# The second classifier: cosines, folds, and the size of ln(rho / rho_hat) that it looks for.
_COSINES = 128
_FOLDS = 4
_SOUGHT = 0.05
# Lengths that its cosines resolve, in widths of the sample.
_LENGTHS = 0.3, 1.5
# Keeps its curvature invertible where estimates are exact.
_RIDGE = 1e-3
_TINY = 1e-300


@dataclass(frozen=True)
class Ratios:
    """Ratios to the mixture at parameter points.

    Attributes:
        log_ratio: Estimated log rho_hat of the events, ``(g, n)``.
        weights: Their exact weights in pb, ``(g, n)``.
    """

    log_ratio: Array
    weights: Array

    @property
    def norm(self) -> Array:
        """Mean of rho_hat over the mixture, ``(g,)``."""
        mean: Array = np.exp(self.log_ratio).mean(axis=1)
        return mean

    @property
    def estimate(self) -> Array:
        """rho_hat with the mean one, ``(g, n)``."""
        estimate: Array = np.exp(self.log_ratio) / self.norm[:, None]
        return estimate

    @property
    def exact(self) -> Array:
        """rho_e, with the mean one, ``(g, n)``."""
        exact: Array = self.weights / self.weights.mean(axis=1, keepdims=True)
        return exact

    def of(self, rows: Array) -> "Ratios":
        """Return those of some events."""
        return Ratios(self.log_ratio[:, rows], self.weights[:, rows])


@dataclass(frozen=True)
class Judged:
    """Events of the mixture whose ratios are judged, each by a network that has not seen it.

    Attributes:
        x: Observations ``(n, d)``.
        names: Names of the observables.
        points: Ratios at the parameter points that are of interest, those near the contour.
        truth: Ratios at the true point, ``g = 1``.
        benchmarks: Ratios at the benchmarks.
        benchmark_names: Names of these.
        n_expected: Number of events expected at the true point.
    """

    x: Array
    names: Sequence[str]
    points: Ratios
    truth: Ratios
    benchmarks: Ratios
    benchmark_names: Sequence[str]
    n_expected: float

    def of(self, rows: Array) -> "Judged":
        """Return some of the events."""
        return replace(
            self,
            x=self.x[rows],
            points=self.points.of(rows),
            truth=self.truth.of(rows),
            benchmarks=self.benchmarks.of(rows),
        )


@dataclass(frozen=True)
class Check:
    """One test.

    Attributes:
        kind: ``closure``, ``calibration``, ``norm`` or ``two samples``.
        subject: Observable, projection or benchmark.
        point: Number of the parameter point.
        p_value: Probability of a larger deviation of a right ratio in this test.
        p_global: Probability that any of all tests has as small a p-value.
        change: What correcting the deviation changes q(theta) by.
        error: Statistical error of ``change``.
    """

    kind: str
    subject: str
    point: int
    p_value: float
    p_global: float
    change: float
    error: float


@dataclass(frozen=True)
class Evidence:
    """What the tests say.

    Attributes:
        checks: All tests.
        estimated: Mean s = rho_hat / (1 + rho_hat) in bins of it, theta against mixture: the
            calibration curves, ``(g, n_bins)``; NaN for bins without events.
        observed: Share of theta's events among theta's and the mixture's there, likewise.
        observed_error: Its statistical error, likewise.
        area: Area under the curve of the second classifier, ``(g,)``; 1/2 by chance.
        area_error: Its statistical error, ``(g,)``.
        norms: Mean of rho_hat(theta) / rho_hat(theta_b) over the events of the mixture (first) and
            of each benchmark b, ``(g, 1 + n_benchmarks)``; for the mixture, of rho_hat.
        norm_errors: Their statistical errors, likewise.
    """

    checks: Sequence[Check]
    estimated: Array
    observed: Array
    observed_error: Array
    area: Array
    area_error: Array
    norms: Array
    norm_errors: Array

    def worst(self, kind: str) -> Check:
        """Return the test of a kind with the smallest p-value, of equal ones the largest change."""
        checks = [check for check in self.checks if check.kind == kind]
        return min(checks, key=lambda check: (check.p_global, -abs(check.change)))


@dataclass(frozen=True)
class _Test:
    """A test, and its p-values of random signs ``(_DRAWS,)``."""

    check: Check
    null: Array


@dataclass(frozen=True)
class _Prepared:
    """Differences d and estimates at the points ``(g, n)`` and at the truth ``(n,)``."""

    judged: Judged
    estimate: Array
    difference: Array
    at_truth: Array
    difference_at_truth: Array
    share_at_truth: Array
    signs: "_Signs"


class _Signs:
    """Random signs of groups of events."""

    def __init__(self, group: Array, signs: Array) -> None:
        self._group, self._signs, self._n_groups = group, signs, signs.shape[1]

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> "_Signs":
        n_groups = min(n, _GROUPS)
        signs = rng.choice(np.array([-1, 1], dtype=np.float32), (_DRAWS, n_groups))
        return cls(rng.permutation(n) % n_groups, signs)

    def of(self, rows: Array) -> "_Signs":
        """Return those of some events."""
        return _Signs(self._group[rows], self._signs)

    def sums(self, bins: Binning, values: Array) -> Array:
        """Return sums of values ``(n,)`` with random signs in each bin, ``(_DRAWS, n_bins)``."""
        cells = Binning(self._group * bins.size + bins.index, self._n_groups * bins.size)
        by_group = cells.sums(values).reshape(self._n_groups, bins.size)
        sums: Array = self._signs @ by_group.astype(np.float32)
        return sums

    def total(self, values: Array) -> Array:
        """Return sums of values ``(n,)`` with random signs, ``(_DRAWS,)``."""
        return self.sums(Binning(np.zeros(len(values), dtype=np.int64), 1), values)[:, 0]


def gather(judged: Judged, seed: int = 1) -> Evidence:
    """Test ratios in every way.

    Args:
        judged: The events and what is to be judged.
        seed: Seed of projections, signs and the second classifier.
    """
    rng = np.random.default_rng(seed)
    signs = _Signs.draw(len(judged.x), rng)
    prepared = _prepare(judged, signs)
    features = Features.of(judged.x)(judged.x)
    tests = list(_closures(prepared, features, rng))
    curves = []
    for point, estimate in enumerate(prepared.estimate):
        bins = _bins(estimate)
        tests.append(_binned(CALIBRATION, "ratio", point, bins, prepared))
        curves.append(_calibration_curve(bins, estimate, prepared.difference[point]))
    norms = [list(_norms(prepared, point)) for point in range(len(prepared.estimate))]
    tests += [test for row in norms for test, _, _ in row]
    areas = []
    ranked, ranks = _ranks(prepared, features, rng)
    rest = _prepare(judged.of(ranked), signs.of(ranked))
    for point, of_point in enumerate(ranks):
        test, *area = _two_samples(rest, point, of_point)
        tests.append(test)
        areas.append(area)
    estimated, observed, observed_error = np.array(curves).transpose(1, 0, 2)
    return Evidence(
        checks=_with_global(tests),
        estimated=estimated,
        observed=observed,
        observed_error=observed_error,
        area=np.array([area for area, _ in areas]),
        area_error=np.array([error for _, error in areas]),
        norms=np.array([[mean for _, mean, _ in row] for row in norms]),
        norm_errors=np.array([[error for _, _, error in row] for row in norms]),
    )


def _prepare(judged: Judged, signs: _Signs) -> _Prepared:
    estimate, at_truth = judged.points.estimate, judged.truth.estimate[0]
    exact_at_truth = judged.truth.exact[0]
    return _Prepared(
        judged=judged,
        estimate=estimate,
        difference=estimate - judged.points.exact,
        at_truth=at_truth,
        difference_at_truth=at_truth - exact_at_truth,
        share_at_truth=exact_at_truth / exact_at_truth.sum(),
        signs=signs,
    )


def _with_global(tests: Sequence[_Test]) -> list[Check]:
    smallest = np.sort(np.min([test.null for test in tests], axis=0))
    below = np.searchsorted(smallest, [test.check.p_value for test in tests], side="right")
    return [
        replace(test.check, p_global=float((1 + count) / (1 + _DRAWS)))
        for test, count in zip(tests, below, strict=True)
    ]


def _bins(values: Array) -> Binning:
    n_bins = min(max(len(values) // _EVENTS_PER_BIN, _FEWEST_BINS), _MOST_BINS)
    return quantile_bins(values[:, None], np.ones(len(values)), n_bins)


def _closures(prepared: _Prepared, features: Array, rng: np.random.Generator) -> Iterator[_Test]:
    directions = rng.normal(size=(features.shape[1], _PROJECTIONS))
    columns = [*prepared.judged.x.T, *(features @ directions).T]
    names = [*prepared.judged.names, *(f"projection {k}" for k in range(_PROJECTIONS))]
    for name, column in zip(names, columns, strict=True):
        bins = _bins(column)
        for point in range(len(prepared.estimate)):
            yield _binned(CLOSURE, name, point, bins, prepared)


def _binned(kind: str, subject: str, point: int, bins: Binning, prepared: _Prepared) -> _Test:
    """Compare the sums of estimated and exact ratios in bins."""
    difference, estimate = prepared.difference[point], prepared.estimate[point]
    content, squares = bins.sums(estimate), bins.sums(difference**2)
    filled = _filled(point, bins, prepared) & (content > 0)
    dof = max(int(filled.sum()) - 1, 1)
    sums = np.vstack([bins.sums(difference), prepared.signs.sums(bins, difference)])
    deviation = _deviation(sums[:, filled], content[filled], squares[filled])
    p_values = chi2.sf(deviation, dof)
    change, error = _change(point, bins, filled, prepared)
    return _Test(Check(kind, subject, point, float(p_values[0]), 1.0, change, error), p_values[1:])


def _filled(point: int, bins: Binning, prepared: _Prepared) -> Array:
    """Return in which bins sums are about normal, ``(n_bins,)``."""
    exact = prepared.estimate[point] - prepared.difference[point]
    filled: Array = bins.sums(exact) ** 2 > _FILLED * bins.sums(exact**2)
    return filled & (bins.sums(prepared.at_truth - prepared.difference_at_truth) > 0)


def _deviation(sums: Array, content: Array, squares: Array) -> Array:
    """Return chi-squared of sums ``(m, n_bins)``, whose total is free: both are normalised."""
    squares = np.maximum(squares, _TINY)
    explained = (sums @ (content / squares)) ** 2 / max(np.sum(content**2 / squares), _TINY)
    deviation: Array = np.maximum((sums**2) @ (1 / squares) - explained, 0.0)
    return deviation


def _change(point: int, bins: Binning, filled: Array, prepared: _Prepared) -> tuple[float, float]:
    """Return what correcting the ratios in bins changes q by, and its error."""
    share = np.where(filled, bins.sums(prepared.share_at_truth), 0.0)
    differences = prepared.difference[point], prepared.difference_at_truth
    correction, slopes = np.zeros(bins.size), []
    for sign, estimate, difference in zip(
        (1, -1), (prepared.estimate[point], prepared.at_truth), differences, strict=True
    ):
        content = np.where(filled, bins.sums(estimate), 1.0)
        exact = np.where(filled, content - bins.sums(difference), 1.0)
        correction += sign * np.log(np.maximum(exact, _TINY) / content)
        # The totals of estimated and exact ratios are the same.
        slopes.append(sign * (share / content - share.sum() / len(estimate)))
    # Error of the sum over the events of slopes . differences.
    variance = sum(
        np.sum(bins.sums(differences[i] * differences[j]) * slopes[i] * slopes[j])
        for i in range(2)
        for j in range(2)
    )
    factor = 2 * prepared.judged.n_expected
    return float(-factor * share @ correction), float(factor * np.sqrt(max(variance, 0.0)))


def _calibration_curve(bins: Binning, estimate: Array, difference: Array) -> tuple[Array, ...]:
    """Return estimated and observed share and its error in bins, ``(_MOST_BINS,)`` each."""
    counts, content = bins.sums(np.ones(len(estimate))), bins.sums(estimate)
    exact = content - bins.sums(difference)
    with np.errstate(invalid="ignore"):
        estimated, observed = content / (content + counts), exact / (exact + counts)
        error = counts * np.sqrt(bins.sums(difference**2)) / (exact + counts) ** 2
    rest = (0, _MOST_BINS - bins.size)
    return tuple(np.pad(v, rest, constant_values=np.nan) for v in (estimated, observed, error))


def _norms(prepared: _Prepared, point: int) -> Iterator[tuple[_Test, float, float]]:
    """Test the norm over the mixture and over the events of each benchmark."""
    judged, size = prepared.judged, len(prepared.at_truth)
    means = np.array([judged.points.norm[point], judged.truth.norm[0]])
    # Not normalised: the plain mean of the estimate, with its own error.
    over_mixture = np.stack([prepared.estimate[point], prepared.at_truth]) - 1 / means[:, None]
    yield _norm(prepared, point, "mixture", means, means[:, None] * over_mixture)
    for name, estimate, exact in zip(
        judged.benchmark_names, judged.benchmarks.estimate, judged.benchmarks.exact, strict=True
    ):
        ratios = np.stack([prepared.estimate[point], prepared.at_truth]) / estimate
        means = ratios @ exact / size
        # Over the mixture the mean is one, exactly, so that only exact - estimate counts.
        test, mean, error_of_mean = _norm(
            prepared, point, name, means, (ratios - 1) * (exact - estimate)
        )
        # The mean is decided where the benchmark's density is small; data at the truth are not.
        bins = _bins(ratios[0])
        change, error = _change(point, bins, _filled(point, bins, prepared), prepared)
        yield _Test(replace(test.check, change=change, error=error), test.null), mean, error_of_mean


def _norm(
    prepared: _Prepared, point: int, subject: str, means: Array, deviations: Array
) -> tuple[_Test, float, float]:
    """Test a mean that should be one.

    Args:
        prepared: What is judged.
        point: Number of the parameter point.
        subject: Whose events the mean is over.
        means: Mean at the point and at the truth, ``(2,)``.
        deviations: What each event adds to ``n`` times either, ``(2, n)``.
    """
    size = deviations.shape[1]
    error = np.sqrt(max(np.sum(deviations[0] ** 2), _TINY))
    z = np.concatenate([[size * (means[0] - 1)], prepared.signs.total(deviations[0])]) / error
    p_values = chi2.sf(z**2, 1)
    factor = 2 * prepared.judged.n_expected
    # The likelihood loses ln(mean) for every event.
    change = factor * (np.log(means[0]) - np.log(means[1]))
    relative = deviations / means[:, None]
    change_error = factor * np.sqrt(np.sum((relative[0] - relative[1]) ** 2)) / size
    check = Check(NORM, subject, point, float(p_values[0]), 1.0, float(change), float(change_error))
    return _Test(check, p_values[1:]), float(means[0]), float(error / size)


def _ranks(prepared: _Prepared, features: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Let a second classifier rank events by how much it takes them for ones of rho_e.

    Ridge regression on random cosines (Rahimi and Recht, NIPS 2007), one Newton step of the
    logistic loss. Each fold is ranked, among itself, by what the folds before it teach: so the sums
    of the folds are uncorrelated. If each was ranked by all others, two folds that happen to be
    alike would confirm each other twice, and the error be too small (measured: by a factor 1.2).

    Returns:
        The events of all folds but the first, ``(m,)``, and ranks between 0 and 1, uniform for
        events that are weighted by rho_hat, ``(g, m)``.
    """
    basis = _Cosines.draw(features, rng)
    folds = np.array_split(rng.permutation(len(features)), _FOLDS)
    # Best for coefficients that make ln(rho / rho_hat) as large as is sought.
    noise = np.mean(prepared.difference**2, axis=1)
    ridges = noise * _COSINES / (2 * _SOUGHT**2)
    curvatures = (ridges + _RIDGE)[:, None, None] * np.eye(_COSINES)
    slopes = np.zeros((len(ridges), _COSINES))
    ranks = []
    for number, rows in enumerate(folds):
        values = basis(rows)
        estimate, difference = prepared.estimate[:, rows], prepared.difference[:, rows]
        if number:
            coefficients = np.linalg.solve(curvatures, slopes[:, :, None])[:, :, 0]
            scores = coefficients.astype(np.float32) @ values.T
            ranks.append([_rank(*pair) for pair in zip(scores, estimate, strict=True)])
        slopes -= difference.astype(np.float32) @ values
        for curvature, weights in zip(curvatures, estimate.astype(np.float32), strict=True):
            curvature += values.T @ (weights[:, None] * values)
    return np.concatenate(folds[1:]), np.concatenate(ranks, axis=1)


@dataclass(frozen=True)
class _Cosines:
    """Cosines of random projections of features ``(n, f)``."""

    features: Array
    frequencies: Array
    phases: Array

    @classmethod
    def draw(cls, features: Array, rng: np.random.Generator) -> "_Cosines":
        shortest, longest = np.log(_LENGTHS)
        lengths = np.exp(rng.uniform(shortest, longest, _COSINES)) * np.sqrt(features.shape[1])
        frequencies = rng.normal(size=(features.shape[1], _COSINES)) / lengths
        phases = rng.uniform(0, 2 * np.pi, _COSINES)
        return cls(features, frequencies.astype(np.float32), phases.astype(np.float32))

    def __call__(self, rows: Array) -> Array:
        """Return them for some events, ``(m, _COSINES)``."""
        values: Array = np.cos(self.features[rows] @ self.frequencies + self.phases)
        return values


def _rank(score: Array, weights: Array) -> Array:
    """Return the share of weights below each score, half of its own included."""
    order = np.argsort(score)
    ordered = weights[order]
    ranks = np.empty_like(weights)
    ranks[order] = (np.cumsum(ordered) - 0.5 * ordered) / ordered.sum()
    return ranks


def _two_samples(prepared: _Prepared, point: int, ranks: Array) -> tuple[_Test, float, float]:
    """Test whether a second classifier tells estimated from exact ratios: area and its error."""
    terms = -prepared.difference[point] * (ranks - 0.5)
    size, error = len(terms), np.sqrt(max(np.sum(terms**2), _TINY))
    z = np.concatenate([[terms.sum()], prepared.signs.total(terms)]) / error
    # By chance alone does it do worse than guess.
    p_values = norm.sf(z)
    bins = _bins(ranks)
    filled = bins.sums(prepared.estimate[point] - prepared.difference[point]) > 0
    filled &= bins.sums(prepared.at_truth - prepared.difference_at_truth) > 0
    change, change_error = _change(point, bins, filled, prepared)
    check = Check(TWO_SAMPLES, "classifier", point, float(p_values[0]), 1.0, change, change_error)
    return _Test(check, p_values[1:]), float(0.5 + terms.sum() / size), float(error / size)
