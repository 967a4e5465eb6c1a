"""Goodness of fit: are observed events like any that the best fit expects?

An unbinned likelihood has no saturated model. So events are counted in bins of each observable, and
of what the networks say of them, and compared with what the simulation expects at the best fit, by
the likelihood ratio to the saturated model (Baker and Cousins, doi:10.1016/0167-5087(84)90016-4),

    chi2 = 2 sum_b [nu_b - n_b + n_b ln(n_b / nu_b)],

without the number of events with nu scaled to it. Its distribution is that of pseudo-experiments
made at the best fit, each fitted again where that is possible. Finite simulation makes nu
uncertain, which is neglected: events are judged reliable only where there are many more simulated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from scipy.sparse import csr_array
from scipy.special import xlogy

from steps.arrays import Array
from steps.inference import pseudo_experiments
from steps.inference.morphing.polynomial import Polynomial

ALL = "all"
"""Name of what is told of all quantities together."""

# Events expected in a bin, at least, and bins.
_PER_BIN = 5.0
_MOST_BINS = 20
_TINY = 1e-9


@dataclass(frozen=True)
class Quantity:
    """What events are counted in bins of: values of the simulated and of the observed events."""

    simulated: Array
    observed: Array


class Theory(Protocol):
    """Numbers of events that are expected, as functions of all parameters that are fitted."""

    def counts(self, point: Array) -> Array:
        """Return how often each simulated event is expected at a point ``(d,)``, ``(n,)``."""

    def contents(self, points: Array, bins: "Sequence[Bins]") -> list[Array]:
        """Return the numbers expected in bins at points ``(t, d)``, each ``(t, size)``."""


@dataclass(frozen=True)
class Expected:
    """Numbers of events that a theory without nuisance parameters expects.

    Attributes:
        polynomial: Monomials of the parameters.
        coefficients: Coefficients of how often each simulated event is expected, ``(n, c)``.
    """

    polynomial: Polynomial
    coefficients: Array

    def counts(self, point: Array) -> Array:
        """Return how often each event is expected at a point ``(p,)``, ``(n,)``."""
        counts = self.coefficients @ self.polynomial.weights(point[None])[0]
        # Squares that vanish may be negative by rounding.
        positive: Array = np.maximum(counts, 0.0)
        return positive

    def contents(self, points: Array, bins: "Sequence[Bins]") -> list[Array]:
        """Return the numbers expected in bins at points ``(t, p)``, each ``(t, size)``."""
        monomials = self.polynomial.weights(points)
        return [monomials @ each.sums(self.coefficients.T).T for each in bins]


@dataclass(frozen=True)
class Fit:
    """A best fit.

    Attributes:
        best: The point at which pseudo-experiments are made, ``(d,)``.
        again: The best fit of the observed events by the procedure that pseudo-experiments are
            fitted by, ``(d,)``.
        of_toys: Returns best fits ``(t, d)`` of pseudo-experiments, given how often each simulated
            event occurs in them, ``(t, n)``; None where they are not fitted again, and p-values
            are too large.
    """

    best: Array
    again: Array
    of_toys: Callable[[Array | csr_array], Array] | None = None


def test(
    quantities: Mapping[str, Quantity],
    expected: Theory,
    fit: Fit,
    n_toys: int,
    rng: np.random.Generator,
    *,
    with_rate: bool,
) -> dict[str, Array]:
    """Return the chi2 of each quantity, its number of bins and its p-value.

    Args:
        quantities: What events are counted in bins of, by name.
        expected: What the theory expects.
        fit: The best fit.
        n_toys: Number of pseudo-experiments; without any p-values are NaN.
        rng: Source of randomness.
        with_rate: Whether the number of events counts.

    Returns:
        ``(chi2, bins, p)`` by name; of ``ALL`` the least p-value, the number of quantities, and
        the share of pseudo-experiments whose least p-value is as small.
    """
    counts = expected.counts(fit.best)
    bins = [Bins.of(q, counts) for q in quantities.values()]
    seen = [
        np.bincount(each.at(q.observed), minlength=each.size).astype(float)[None]
        for each, q in zip(bins, quantities.values(), strict=True)
    ]
    contents = expected.contents(fit.again[None], bins)
    found = _chi2s(seen, contents, with_rate=with_rate)[:, 0]
    toys = np.full((len(bins), 0), np.nan)
    if n_toys:
        every = []
        for some in pseudo_experiments.batches(counts, 1, n_toys, rng):
            points = fit.of_toys(some) if fit.of_toys else fit.again[None]
            drawn = [each.counted(some) for each in bins]
            every.append(_chi2s(drawn, expected.contents(points, bins), with_rate=with_rate))
        toys = np.hstack(every)
    # The observed events are one of n + 1 experiments, so no p-value is zero.
    p = _exceeded(toys, found[:, None])[:, 0]
    told = {
        name: np.array([value, each.size, one])
        for name, value, each, one in zip(quantities, found, bins, p, strict=True)
    }
    least = _exceeded(toys, toys).min(axis=0) if n_toys else np.empty(0)
    overall = (1 + np.count_nonzero(least <= p.min() + _TINY)) / (1 + n_toys)
    return told | {ALL: np.array([p.min(), len(found), overall if n_toys else np.nan])}


@dataclass(frozen=True)
class Bins:
    """Simulated events in bins.

    Attributes:
        edges: Inner edges, which belong to the bin above, ``(size - 1,)``.
        index: Bin of each event, ``(n,)``.
    """

    edges: Array
    index: Array

    @classmethod
    def of(cls, quantity: Quantity, counts: Array) -> Self:
        """Make bins in which about as many events are expected, given these of each, ``(n,)``."""
        n_bins = int(np.clip(counts.sum() / _PER_BIN, 2, _MOST_BINS))
        order = np.argsort(quantity.simulated, kind="stable")
        cumulative = np.cumsum(counts[order])
        places = np.searchsorted(cumulative, np.arange(1, n_bins) / n_bins * cumulative[-1])
        # Observables that are integers have fewer bins; none is below the least value.
        edges = np.unique(quantity.simulated[order][places])
        edges = edges[edges > quantity.simulated.min()]
        return cls(edges, np.searchsorted(edges, quantity.simulated, side="right"))

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1

    def at(self, values: Array) -> Array:
        """Return the bins of values."""
        return np.searchsorted(self.edges, values, side="right")

    def sums(self, columns: Array) -> Array:
        """Return sums of each column, a row for each ``(m, n)``, in bins, ``(size, m)``."""
        return np.stack([np.bincount(self.index, each, self.size) for each in columns], axis=-1)

    def counted(self, toys: Array | csr_array) -> Array:
        """Return the events in bins, given how often each occurs ``(t, n)``, ``(t, size)``."""
        n = len(self.index)
        member = csr_array((np.ones(n), self.index, np.arange(n + 1)), shape=(n, self.size))
        counts = toys @ member
        counts = counts.toarray() if isinstance(counts, csr_array) else counts
        return np.asarray(counts, dtype=float)


def _chi2s(counts: Sequence[Array], expected: Sequence[Array], *, with_rate: bool) -> Array:
    """Return chi2 of each quantity in each experiment, ``(n_quantities, t)``."""
    pairs = zip(counts, expected, strict=True)
    return np.array([_chi2(seen, np.maximum(of, _TINY), with_rate=with_rate) for seen, of in pairs])


def _chi2(counts: Array, expected: Array, *, with_rate: bool) -> Array:
    """Return 2 sum [nu - n + n ln(n / nu)] of counts and expectations ``(t, size)``, ``(t,)``."""
    if not with_rate:
        share = counts.sum(axis=1, keepdims=True) / expected.sum(axis=1, keepdims=True)
        expected = np.maximum(expected * share, _TINY)
    terms = expected - counts + xlogy(counts, counts / expected)
    total: Array = 2 * terms.sum(axis=1)
    return total


def _exceeded(toys: Array, values: Array) -> Array:
    """Return the share of experiments, each value among them, that are at least as large.

    Args:
        toys: Pseudo-experiments, a row for each quantity, ``(q, t)``.
        values: Values of each quantity, ``(q, m)``.
    """
    if not toys.shape[1]:
        return np.full(values.shape, np.nan)
    rows = []
    for ordered, of in zip(np.sort(toys, axis=1), values, strict=True):
        below = np.searchsorted(ordered, of - _TINY, side="left")
        rows.append((1 + len(ordered) - below) / (1 + len(ordered)))
    return np.array(rows)
