"""Likelihoods of one or two observables from histograms of weights that are polynomials.

A bin knows the mean weight of the mixture's events in it, a polynomial of the parameters, which is
an estimate of sigma(theta) p(x|theta) / p_mix(x) as that of the networks is. Events are in folds;
each is judged by the bins that the others fill. Bins are fine, and those with few events lean on
the mean of the four (or two) that they are part of, these on the next larger ones, and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference.likelihood import Densities
from steps.inference.morphing.features import kind
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.simulation import Simulation

# Most observables that a histogram has.
MOST = 2

# Bins of equal probability of an observable, alone or one of two.
_CORE = {1: 29, 2: 17}
# The outermost ones are halved so often.
_HALVINGS = 3
_ANGLES = 24
# Events that the mean of the next larger bin counts as. Of 3000 and 1000 events of the default
# analysis the mean 68 % area is right within 2 %; with 10 it is 11 % and 22 % too large, without
# any 14 % and 26 % too small. Gaussian toys with 1000 events want less: q is up to 11 % too small.
_PRIOR = 2.0


@dataclass(frozen=True)
class Histogram:
    """Cross-fitted histograms of a nominal sample and of bags, each of the same size.

    Attributes:
        polynomial: Monomials of the weights.
        events: Events of the mixture in each fold and bin, ``(1 + n_bags, n_folds, n_bins)``.
        contents: Coefficients of their weights in pb, ``(1 + n_bags, n_folds, n_bins, c)``, summed.
        densities: Coefficients of the mean weight in pb that the other folds say of an event in a
            bin, likewise.
        columns: Numbers of the observables.
        edges: Inner edges of the bins of each.
    """

    polynomial: Polynomial
    events: Array
    contents: Array
    densities: Array
    columns: Sequence[int]
    edges: Sequence[Array]

    @classmethod
    def of(cls, simulation: Simulation, columns: Sequence[int], fold: Array) -> Self:
        """Fill histograms.

        Args:
            simulation: Events of the mixture, and bags of them.
            columns: Numbers of the observables, one or two.
            fold: Fold of each event, ``(n,)``, at least two of them.

        Raises:
            ValueError: There are more than two observables.
        """
        multiplicity = simulation.multiplicity
        chosen = simulation.x[:, list(columns)]
        edges = inner_edges(chosen)
        index, shape = bins(chosen, edges)
        n_folds, n_bins = int(fold.max()) + 1, int(np.prod(shape))
        cells = fold * n_bins + index
        each = np.column_stack([np.ones(len(index)), simulation.coefficients])
        sums = np.stack(
            [
                [np.bincount(cells, counts * column, n_folds * n_bins) for column in each.T]
                for counts in multiplicity
            ]
        )
        sums = np.moveaxis(sums, 1, -1).reshape(len(multiplicity), n_folds, *shape, -1)
        others = sums.sum(axis=1, keepdims=True) - sums
        densities = _means(others[..., :1], others[..., 1:])
        flat = (len(multiplicity), n_folds, n_bins)
        events, contents = sums[..., 0], sums[..., 1:]
        return cls(
            simulation.polynomial,
            events.reshape(flat),
            contents.reshape(*flat, -1),
            densities.reshape(*flat, -1),
            columns,
            edges,
        )

    def filled(self) -> list[Array]:
        """Return which of the folds' bins have events, nominally and in each bag.

        Numbers are those of folds and bins as one axis.
        """
        return [np.flatnonzero(events) for events in self.events.reshape(len(self.events), -1)]

    def norms(self) -> Array:
        """Return the mean densities over the mixture, nominal and of each bag, ``(1 + n_bags, c)``.

        Every event is judged by the other folds, as it is in the likelihood: of densities divided
        by it the mean is exactly one at every theta.
        """
        total = np.einsum("bkj,bkjc->bc", self.events, self.densities)
        means: Array = total / self.events.sum(axis=(1, 2))[:, None]
        return means


def inner_edges(x: Array) -> list[Array]:
    """Return the inner edges of the bins of one or two observables.

    Those of an angle are equal. Others have equal probability in the mixture, but for the tails,
    where bins halve it: operators act there.

    Args:
        x: Observations ``(n, n_observables)``.

    Raises:
        ValueError: There are more than two observables.
    """
    n_observables = x.shape[1]
    if n_observables not in _CORE:
        raise ValueError(
            f"a histogram of {n_observables} observables has too few events per bin; "
            f"name one or {MOST} observables"
        )
    return [_edges(column, _CORE[n_observables]) for column in x.T]


def bins(x: Array, edges: Sequence[Array] | None = None) -> tuple[Array, tuple[int, int]]:
    """Sort events into bins.

    Args:
        x: Observations ``(n, n_observables)``.
        edges: Inner edges of each; those of the events themselves by default.

    Returns:
        Bin of each event ``(n,)``, and the number of bins along either axis, of which the second is
        one for a single observable; the second axis varies fastest.
    """
    edges = inner_edges(x) if edges is None else edges
    places = tuple(
        np.searchsorted(inner, column, side="right")
        for inner, column in zip(edges, x.T, strict=True)
    )
    numbers = [len(inner) + 1 for inner in edges]
    first, second = (*numbers, 1)[:MOST]
    return np.ravel_multi_index(places, numbers), (first, second)


def likelihoods(
    histogram: Histogram,
    region: Array,
    theta_true: Array,
    luminosity: float,
    *,
    with_rate: bool,
) -> list[Densities]:
    """Return the log likelihoods given the data expected at a true point, nominal and of each bag.

    Args:
        histogram: The histograms.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        theta_true: True point, ``(p,)``.
        luminosity: Integrated luminosity in 1/pb.
        with_rate: Whether the number of events is part of it.
    """
    at_truth = histogram.polynomial.weights(theta_true[None])[0]
    sizes = histogram.events.sum(axis=(1, 2))
    norms, every = histogram.norms(), histogram.filled()
    found = []
    for bag, (contents, filled) in enumerate(zip(histogram.contents, every, strict=True)):
        # Of the size of the nominal sample.
        expected = contents.reshape(-1, contents.shape[-1]) * (luminosity * sizes[0] / sizes[bag])
        counts = expected @ at_truth
        # Densities of about one.
        unit = norms[bag] @ at_truth
        found.append(
            Densities(
                polynomial=histogram.polynomial,
                region=region,
                counts=counts[filled],
                densities=histogram.densities[bag].reshape(expected.shape)[filled] / unit,
                norm=norms[bag] / unit,
                rate=expected.sum(axis=0) if with_rate else None,
            )
        )
    return found


def observed_likelihoods(
    histogram: Histogram, x: Array, region: Array, luminosity: float, *, with_rate: bool
) -> list[Densities]:
    """Return the log likelihoods given observed events, nominal and of each bag.

    They are in no fold: the mean of what the folds say judges them.

    Args:
        histogram: The histograms.
        x: Observed events, all of their observables, ``(m, n_observables)``.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        luminosity: Integrated luminosity in 1/pb.
        with_rate: Whether their number is part of it.
    """
    index, _ = bins(x[:, list(histogram.columns)], histogram.edges)
    sizes = histogram.events.sum(axis=(1, 2))
    found = []
    for bag, norm in enumerate(histogram.norms()):
        rate = histogram.contents[bag].sum(axis=(0, 1)) * (luminosity * sizes[0] / sizes[bag])
        # Densities of about one.
        unit = norm @ histogram.polynomial.weights(region.mean(axis=1)[None])[0]
        found.append(
            Densities(
                polynomial=histogram.polynomial,
                region=region,
                counts=np.ones(len(index)),
                densities=histogram.densities[bag].mean(axis=0)[index] / unit,
                norm=norm / unit,
                rate=rate if with_rate else None,
            )
        )
    return found


def _edges(column: Array, n_bins: int) -> Array:
    """Return the inner edges of the bins of an observable; bins are closed below."""
    of = kind(column)
    if of == "angle":
        return np.linspace(-np.pi, np.pi, _ANGLES + 1)[1:-1]
    inner = np.arange(1, n_bins) / n_bins
    tail = 0.5 ** np.arange(_HALVINGS, 0, -1) / n_bins
    upper = 1 - tail[::-1]
    ends = (inner, upper) if of == "positive" else (tail, inner, upper)
    probabilities = np.concatenate(ends)
    # Observables that are integers, or constant, have fewer bins.
    edges: Array = np.unique(np.quantile(column, probabilities))
    return edges


def _means(events: Array, contents: Array) -> Array:
    """Return contents per event, where bins with few events lean on larger ones.

    Args:
        events: Events in each bin, ``(..., n_first, n_second, 1)``.
        contents: What is in them, ``(..., n_first, n_second, c)``.

    Returns:
        Means ``(..., n_first, n_second, c)``; no bin is empty where there is any event.
    """
    first, second = contents.shape[-3:-1]
    if first == second == 1:
        whole: Array = contents / np.maximum(events, 1)
        return whole
    larger = _means(_merged(events), _merged(contents))
    around = np.repeat(np.repeat(larger, 2, axis=-3), 2, axis=-2)[..., :first, :second, :]
    means: Array = (contents + _PRIOR * around) / (events + _PRIOR)
    return means


def _merged(values: Array) -> Array:
    """Sum neighbouring pairs along both axes of bins, ``(..., n_first, n_second, c)``."""
    for axis in (-3, -2):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], 2), axis=axis)
    return values
