"""Pseudo-experiments: how q = -2 ln(L / L_best) at the true point is distributed, and thresholds.

Where Wilks' theorem holds, q is distributed as chi-squared (arXiv:1007.1727). In theories whose
rates are quadratic in the parameters it is not: a best fit cannot follow a fluctuation to where no
theory is, and has several places to go to. Thresholds that are quantiles of q in pseudo-experiments
at each point (Neyman, doi:10.1098/rsta.1937.0005; physics/9711021) cover there too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.sparse import csr_array
from scipy.stats import chi2

from steps.arrays import Array
from steps.inference.likelihood import Densities

# Numbers held at once.
_MOST_NUMBERS = 10_000_000
# Below this share of all events, summing only those that occur is faster (measured).
_SPARSE = 0.05
# Where a density vanishes its logarithm is that of this part of the mean.
_TINY = 1e-12
# Smoothings of thresholds between points that are tried.
_SMOOTHINGS = np.geomspace(1e-5, 1e4, 28)


@dataclass(frozen=True)
class Table:
    """Log likelihood ratios of events, or bins, on a grid of parameter points.

    Attributes:
        axes: Values of each parameter on the grid, evenly spaced, three or more.
        log_ratios: Log densities ln[f_e(theta) / f(theta)], up to a constant of each event,
            ``(n, n_grid)``; the last parameter varies fastest.
        expected: Number of events expected at each point, ``(n_grid,)``; None for the shapes alone.
    """

    axes: Sequence[Array]
    log_ratios: Array
    expected: Array | None = None

    def __post_init__(self) -> None:
        """Refuse grids on which no maximum can be found.

        Raises:
            ValueError: An axis has fewer than three points.
        """
        if min(map(len, self.axes)) < 3:
            raise ValueError(
                "pseudo-experiments need three or more points of each parameter; "
                "raise the resolution of the grid"
            )

    @classmethod
    def of(cls, likelihood: Densities, axes: Sequence[Array]) -> "Table":
        """Return the table of a likelihood; in single precision, as it may be large."""
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        table = np.empty((len(likelihood.densities), len(points)), dtype=np.float32)
        batch = max(1, _MOST_NUMBERS // len(points))
        for start in range(0, len(table), batch):
            rows = slice(start, start + batch)
            table[rows] = _log_ratios(likelihood, points, rows)
        return cls(axes, table, _expected(likelihood, points))

    def values(self, counts: Array | csr_array) -> Array:
        """Return log likelihoods on the grid ``(m, n_grid)``, given how often each event occurs.

        Args:
            counts: In each of m experiments, ``(m, n)``.
        """
        values: Array = (counts @ self.log_ratios).astype(float)
        if self.expected is not None:
            total = counts.sum(axis=1, dtype=float)
            values += total[:, None] * np.log(self.expected) - self.expected
        return values


@dataclass(frozen=True)
class Hypothesis:
    """A parameter point at which experiments are made.

    Attributes:
        counts: Number of times that each event, or bin, is expected to occur, ``(n,)``.
        log_ratio: Log densities as in a :class:`Table`, with the same constants, ``(n,)``.
        expected: Number of events that the likelihood expects; of no effect without the rate.
    """

    counts: Array
    log_ratio: Array
    expected: float


@dataclass(frozen=True)
class Model:
    """A likelihood, and what experiments are made of.

    Attributes:
        likelihood: Densities of the events, or bins; their counts are of no effect.
        axes: Values of each parameter on the grid in which the best fit is sought.
        counts: Returns the number of times that each event is expected to occur, ``(n,)``, at a
            parameter point ``(p,)``.
    """

    likelihood: Densities
    axes: Sequence[Array]
    counts: Callable[[Array], Array]

    @cached_property
    def table(self) -> Table:
        """Log likelihood ratios on the grid."""
        return Table.of(self.likelihood, self.axes)

    def at(self, theta: Array) -> Hypothesis:
        """Return what is needed of a parameter point ``(p,)``, which need not be of the grid."""
        # Squares that vanish may be negative by rounding.
        counts = np.maximum(self.counts(theta), 0.0)
        log_ratio = _log_ratios(self.likelihood, theta[None], slice(None))[:, 0]
        expected = _expected(self.likelihood, theta[None])
        return Hypothesis(
            counts, log_ratio, float(counts.sum() if expected is None else expected[0])
        )

    def thinned(self, most: int, rng: np.random.Generator) -> "Model":
        """Return it with a random choice of its events, which occur as often in total.

        Args:
            most: Greatest number of events.
            rng: Source of randomness.
        """
        size = len(self.likelihood.densities)
        if size <= most:
            return self
        rows = np.sort(rng.choice(size, most, replace=False))

        def counts(theta: Array) -> Array:
            of_all = self.counts(theta)
            chosen: Array = of_all[rows] * (of_all.sum() / of_all[rows].sum())
            return chosen

        likelihood = replace(
            self.likelihood,
            counts=self.likelihood.counts[rows],
            densities=self.likelihood.densities[rows],
        )
        return Model(likelihood, self.axes, counts)


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of q in pseudo-experiments.

    Attributes:
        levels: Part of the experiments above each, as ``statistics.CONFIDENCE_LEVELS``.
        values: The quantiles, ``(n_levels,)``.
        errors: Their statistical errors, ``(n_levels,)``.
    """

    levels: Array
    values: Array
    errors: Array


@dataclass(frozen=True)
class Comparison:
    """Pseudo-experiments compared to chi-squared.

    Attributes:
        quantiles: Those of the pseudo-experiments.
        chi2: Those of chi-squared, ``(n_levels,)``.
        coverage: Part of the experiments up to the latter, ``(n_levels,)``; 1 - level where Wilks'
            theorem holds.
        coverage_errors: Its statistical error, ``(n_levels,)``.
    """

    quantiles: Quantiles
    chi2: Array
    coverage: Array
    coverage_errors: Array


@dataclass(frozen=True)
class Neyman:
    """Thresholds of q from pseudo-experiments at some points, and between them.

    Attributes:
        points: Where experiments were made, ``(m, p)``.
        levels: Part of the experiments above each threshold, ``(n_levels,)``.
        values: Thresholds ``(n_levels, m)``.
        errors: Their statistical errors, ``(n_levels, m)``.
    """

    points: Array
    levels: Array
    values: Array
    errors: Array

    def at(self, points: Array) -> Array:
        """Return the thresholds at parameter points ``(g, p)``, ``(n_levels, g)``.

        A point belongs to the contour if its q is at most this. Thresholds are joined by thin-plate
        splines that are as smooth as their errors allow. Outside the box of the points of the
        experiments, they are those of its edge.
        """
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        known = (self.points - low) / (high - low)
        wanted = (np.clip(points, low, high) - low) / (high - low)
        # Errors of single points are rough, and of about the same size.
        variances = np.median(self.errors**2, axis=1)
        smooth = [_smooth(known, *row, wanted) for row in zip(self.values, variances, strict=True)]
        return np.maximum(smooth, 0.0)


def experiments(table: Table, truth: Hypothesis, n_toys: int, rng: np.random.Generator) -> Array:
    """Return q = 2 (max ln L - ln L(theta)) of pseudo-experiments at a point theta.

    The number of events is a Poisson number with or without the rate in the likelihood; events are
    drawn with probabilities as they are expected. The maximum is that of a quadratic about the best
    point of the grid, and nowhere beyond the grid; the value at theta is exact.

    Args:
        table: Log likelihood ratios on the grid.
        truth: The point.
        n_toys: Number of pseudo-experiments.
        rng: Source of randomness.

    Returns:
        q of each, ``(n_toys,)``, never negative.
    """
    _, n_grid = table.log_ratios.shape
    return np.concatenate(
        [_q(table, truth, counts) for counts in batches(truth.counts, n_grid, n_toys, rng)]
    )


def batches(
    expected: Array, n_numbers: int, n_toys: int, rng: np.random.Generator
) -> Iterator[Array | csr_array]:
    """Yield how often each event occurs in pseudo-experiments, ``(n_some, n)``, some at a time.

    Args:
        expected: Number of times that each event, or bin, is expected to occur, ``(n,)``.
        n_numbers: Further numbers that are held of each pseudo-experiment.
        n_toys: Number of pseudo-experiments.
        rng: Source of randomness.
    """
    n_events = expected.sum()
    sparse = n_events < _SPARSE * len(expected)
    batch = int(max(1, _MOST_NUMBERS // (n_numbers + (n_events if sparse else len(expected)))))
    draw = _drawn if sparse else _counted
    for start in range(0, n_toys, batch):
        yield draw(expected, min(batch, n_toys - start), rng)


def _drawn(expected: Array, n_toys: int, rng: np.random.Generator) -> csr_array:
    """Draw events one by one, counts ``(n_toys, n)``."""
    cumulative = np.cumsum(expected)
    ends = np.concatenate([[0], np.cumsum(rng.poisson(cumulative[-1], n_toys))])
    # The rounding of a sum must not lead beyond the last event that can occur.
    last = np.flatnonzero(expected)[-1] if cumulative[-1] > 0 else 0
    events = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], ends[-1]), side="right")
    events = np.minimum(events, last)
    ones = np.ones(ends[-1], dtype=np.float32)
    return csr_array((ones, events, ends), shape=(n_toys, len(expected)))


def _counted(expected: Array, n_toys: int, rng: np.random.Generator) -> Array:
    """Draw how often each event occurs, counts ``(n_toys, n)``."""
    counts: Array = rng.poisson(expected, (n_toys, len(expected))).astype(np.float32)
    return counts


def _q(table: Table, truth: Hypothesis, counts: Array | csr_array) -> Array:
    on_grid = table.values(counts)
    at_truth = counts @ truth.log_ratio
    if table.expected is not None:
        total = counts.sum(axis=1, dtype=float)
        at_truth = at_truth + total * np.log(truth.expected) - truth.expected
    best = _maxima(on_grid.reshape(-1, *map(len, table.axes)))
    q: Array = 2 * np.maximum(best - at_truth, 0.0)
    return q


def _maxima(values: Array) -> Array:
    """Return the maxima of functions on grids ``(m, n_0, ..., n_p)``, ``(m,)``.

    The greatest value and its neighbours fix a quadratic, whose maximum among these counts.
    """
    shape = np.array(values.shape[1:])
    flat = values.reshape(len(values), -1)
    rows, steps = np.arange(len(flat)), np.eye(len(shape), dtype=int)
    place = flat.argmax(axis=1)
    greatest = np.stack(np.unravel_index(place, shape), axis=-1)
    # At an edge, the neighbours are those inwards.
    centre = np.clip(greatest, 1, shape - 2)

    def value(step: Array) -> Array:
        taken: Array = flat[rows, np.ravel_multi_index(tuple((centre + step).T), tuple(shape))]
        return taken

    middle = value(np.zeros(len(shape), dtype=int))
    slope = np.empty((len(flat), len(shape)))
    curvature = np.empty((len(flat), len(shape), len(shape)))
    for i, step in enumerate(steps):
        above, below = value(step), value(-step)
        slope[:, i] = 0.5 * (above - below)
        curvature[:, i, i] = above + below - 2 * middle
        for j, other in enumerate(steps[:i]):
            along = value(step + other) + value(-step - other)
            across = value(step - other) + value(other - step)
            curvature[:, i, j] = curvature[:, j, i] = 0.25 * (along - across)
    # Relative to the greatest value, which the quadratic misses in corners.
    gain = _box_maxima(slope, curvature) - _quadratic(slope, curvature, greatest - centre)
    maxima: Array = flat[rows, place] + gain
    return maxima


def _quadratic(slope: Array, curvature: Array, u: Array) -> Array:
    """Return g.u + u.H u / 2, ``(m,)``, of g ``(m, p)``, H ``(m, p, p)`` and u ``(m, p)``."""
    half = 0.5 * np.einsum("mij,mj->mi", curvature, u)
    values: Array = np.sum((slope + half) * u, axis=1)
    return values


def _box_maxima(slope: Array, curvature: Array) -> Array:
    """Return the maxima of g.u + u.H u / 2 in -1 <= u_i <= 1, ``(m,)``.

    Each is a stationary point of the quadratic on one of the faces of the box, its inside and its
    corners among them.

    Args:
        slope: g, ``(m, p)``.
        curvature: H, ``(m, p, p)``.
    """
    best = np.full(len(slope), -np.inf)
    for face in product((-1.0, 0.0, 1.0), repeat=slope.shape[1]):
        u = np.broadcast_to(face, slope.shape).copy()
        free = np.flatnonzero(np.array(face) == 0)
        if len(free):
            linear = slope[:, free] + np.einsum("mij,mj->mi", curvature[:, free], u)
            inverse = np.linalg.pinv(curvature[:, free[:, None], free])
            u[:, free] = -np.einsum("mij,mj->mi", inverse, linear)
        inside = (np.abs(u) <= 1).all(axis=1)
        values = _quadratic(slope, curvature, u)
        best = np.maximum(best, np.where(inside, values, -np.inf))
    return best


def thresholds(q: Array, levels: Sequence[float]) -> Quantiles:
    """Return thresholds that the part ``level`` of pseudo-experiments is above.

    Of values that repeat, as those of few events do, the smallest threshold is taken that covers.
    Errors are those of the number of experiments below, read off the values themselves.

    Args:
        q: Values in pseudo-experiments, ``(n_toys,)``.
        levels: p-values at the thresholds, as ``statistics.CONFIDENCE_LEVELS``.
    """
    below = 1 - np.asarray(levels, dtype=float)
    error = np.sqrt(below * (1 - below) / len(q))
    low, values, high = (
        np.quantile(q, np.clip(part, 0, 1), method="inverted_cdf")
        for part in (below - error, below, below + error)
    )
    return Quantiles(1 - below, values, 0.5 * (high - low))


def coverage(q: Array, threshold: float) -> tuple[float, float]:
    """Return the part of pseudo-experiments up to a threshold, and its error.

    The error is that of a binomial number whose probability is not known, so never zero.

    Args:
        q: Values in pseudo-experiments, ``(n_toys,)``.
        threshold: The threshold.
    """
    n, inside = len(q), int(np.count_nonzero(q <= threshold))
    variance = (inside + 1) * (n - inside + 1) / ((n + 2) ** 2 * (n + 3))
    return inside / n, float(np.sqrt(variance))


def compare(q: Array, n_parameters: int, levels: Sequence[float]) -> Comparison:
    """Compare the distribution of q with chi-squared.

    Args:
        q: Values in pseudo-experiments, ``(n_toys,)``.
        n_parameters: Degrees of freedom.
        levels: p-values at which quantiles are compared.
    """
    expected = np.asarray(chi2.isf(levels, n_parameters))
    found = np.array([coverage(q, value) for value in expected])
    return Comparison(thresholds(q, levels), expected, *found.T)


def neyman(
    model: Model,
    points: Array,
    levels: Sequence[float],
    n_toys: int,
    rng: np.random.Generator,
) -> Neyman:
    """Find thresholds by pseudo-experiments at some points, between which they are smooth.

    Args:
        model: Likelihood and events.
        points: Where to make experiments: a coarse grid over what is within reach, ``(m, p)``,
            of two or more values of each parameter.
        levels: p-values at the thresholds.
        n_toys: Number of pseudo-experiments at each point.
        rng: Source of randomness.
    """
    found = [
        thresholds(experiments(model.table, model.at(point), n_toys, rng), levels)
        for point in points
    ]
    return Neyman(
        points=points,
        levels=np.asarray(levels, dtype=float),
        values=np.stack([quantiles.values for quantiles in found], axis=-1),
        errors=np.stack([quantiles.errors for quantiles in found], axis=-1),
    )


def _smooth(known: Array, values: Array, variance: float, wanted: Array) -> Array:
    """Return values at points ``(g, p)`` by a thin-plate spline through points ``(m, p)``.

    Of smoothings, that one is taken whose error is expected to be smallest (Mallows,
    Technometrics 15 (1973) 661).
    """
    expected = []
    for smoothing in _SMOOTHINGS:
        # Smoothing is linear: what it makes of unit vectors is its matrix.
        matrix = _spline(known, np.eye(len(known)), smoothing)(known)
        residuals = values - matrix @ values
        expected.append(residuals @ residuals + 2 * variance * np.trace(matrix))
    best = _SMOOTHINGS[int(np.argmin(expected))]
    smooth: Array = _spline(known, values, best)(wanted)
    return smooth


def _spline(points: Array, values: Array, smoothing: float) -> RBFInterpolator:
    return RBFInterpolator(points, values, smoothing=smoothing, kernel="thin_plate_spline")


def _log_ratios(likelihood: Densities, points: Array, rows: slice) -> Array:
    """Return ln[f_e(theta) / f(theta)] at points ``(g, p)`` of some events, ``(n, g)``."""
    monomials = likelihood.polynomial.weights(points)
    ratios = likelihood.densities[rows] @ monomials.T
    ratios /= np.maximum(monomials @ likelihood.norm, _TINY)
    log_ratios: Array = np.log(np.maximum(ratios, _TINY))
    return log_ratios


def _expected(likelihood: Densities, points: Array) -> Array | None:
    """Return the number of events expected at points ``(g, p)``, ``(g,)``, if it counts."""
    if likelihood.rate is None:
        return None
    expected: Array = np.maximum(likelihood.polynomial.weights(points) @ likelihood.rate, _TINY)
    return expected
