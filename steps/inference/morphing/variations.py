"""How events respond to nuisance parameters at nu = +1 and -1: by their weights, or by their place.

Theories, parton densities and showers change weights: an event has r = w(nu) / w(0). A shifted
detector moves observations and lets events cross cuts: its events are a sample of their own, each
with the number of the generated event that it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference.morphing.processes import Part

SIDES = ("up", "down")
"""nu = +1 and nu = -1, in the order of all axes of two."""

_OF_SHIFTED = ("x", "weights", "processes", "events")


@dataclass(frozen=True)
class Shifted:
    """Events that pass with a shifted detector.

    Attributes:
        x: Observations, ``(m, n_observables)``.
        weights: Weights at the benchmarks in pb, ``(m, b)``, or already at one point, ``(m,)``.
        process: Number of each event's process, ``(m,)``.
        events: Number of the generated event that each is, ``(m,)``.
    """

    x: Array
    weights: Array
    process: Array
    events: Array


@dataclass(frozen=True)
class Variations:
    """What events are at nu = +-1 of each nuisance parameter.

    Attributes:
        names: Names of the nuisance parameters.
        ratios: Weight at nu = +1 and -1 over the nominal one, ``(n, k, 2)``; one where there is no
            response, and where a shift has samples of its own.
        events: Number of the generated event that each is, ``(n,)``.
        shifted: By number of the nuisance parameter, events at nu = +1 and -1.
    """

    names: Sequence[str]
    ratios: Array
    events: Array
    shifted: Mapping[int, tuple[Shifted, Shifted]]

    def of_rows(self, index: Array) -> Self:
        """Return what some of the nominal events are, where the others are not there.

        Shifted versions of these are weighted as :func:`steps.inference.samples.mixture` does;
        events that no nominal detector sees all stay.

        Args:
            index: Rows of the events.
        """
        events = self.events[index]
        factor = len(self.events) / len(index)

        def some(of: Shifted) -> Shifted:
            kept = np.isin(of.events, events)
            rows = kept | ~np.isin(of.events, self.events)
            scale = np.where(kept, factor, 1.0)
            weights = (of.weights.T * scale).T
            return Shifted(of.x[rows], weights[rows], of.process[rows], of.events[rows])

        shifted = {k: (some(up), some(down)) for k, (up, down) in self.shifted.items()}
        return type(self)(self.names, self.ratios[index], events, shifted)

    def below(self, observable: int, cut: float) -> Self:
        """Return the same, of shifted events only those below a cut on their own observations."""

        def some(of: Shifted) -> Shifted:
            rows = of.x[:, observable] < cut
            return Shifted(of.x[rows], of.weights[rows], of.process[rows], of.events[rows])

        shifted = {k: (some(up), some(down)) for k, (up, down) in self.shifted.items()}
        return replace(self, shifted=shifted)

    def weighted(self, weight: Callable[[Array], Array]) -> Self:
        """Return the same with weights ``(m,)`` that a function makes of those at benchmarks."""

        def at(of: Shifted) -> Shifted:
            return replace(of, weights=weight(of.weights))

        shifted = {k: (at(up), at(down)) for k, (up, down) in self.shifted.items()}
        return replace(self, shifted=shifted)

    def merged(self) -> Self:
        """Return the same with all shifted events of the first process."""

        def alone(of: Shifted) -> Shifted:
            return replace(of, process=np.zeros_like(of.process))

        shifted = {k: (alone(up), alone(down)) for k, (up, down) in self.shifted.items()}
        return replace(self, shifted=shifted)

    def to_arrays(self) -> dict[str, Array]:
        """Return plain arrays by name, beside those of :func:`steps.inference.samples.mixture`."""
        arrays = {
            "nuisances": np.array(self.names, dtype=np.str_),
            "ratios": self.ratios,
            "events": self.events,
        }
        for k, both in self.shifted.items():
            for side, shifted in zip(SIDES, both, strict=True):
                values = (shifted.x, shifted.weights, shifted.process, shifted.events)
                names = (f"shifted_{k}_{side}_{name}" for name in _OF_SHIFTED)
                arrays |= dict(zip(names, values, strict=True))
        return arrays

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Self | None:
        """Return what :meth:`to_arrays` gave; None where there are no nuisance parameters."""
        if "nuisances" not in arrays:
            return None
        names = arrays["nuisances"].tolist()

        def read(k: int, side: str) -> Shifted:
            return Shifted(*(arrays[f"shifted_{k}_{side}_{name}"] for name in _OF_SHIFTED))

        shifted = {
            k: (read(k, SIDES[0]), read(k, SIDES[1]))
            for k in range(len(names))
            if f"shifted_{k}_{SIDES[0]}_x" in arrays
        }
        return cls(names, arrays["ratios"], arrays["events"], shifted)


@dataclass(frozen=True)
class Nominal:
    """Events with the nominal detector, and what is fixed of the estimate of their responses.

    Attributes:
        x: Observations, ``(n, n_observables)``.
        weights: Weights, ``(n,)``, at a point or averaged over a region.
        part: Which process each is of.
        fold: Fold of each, ``(n,)``.
    """

    x: Array
    weights: Array
    part: Part
    fold: Array

    def taken(self, rows: Array) -> Self:
        """Return some of the events, by number or truth value."""
        return type(self)(self.x[rows], self.weights[rows], self.part.taken(rows), self.fold[rows])


@dataclass(frozen=True)
class Pairs:
    """Generated events as the nominal and each shifted detector see them.

    An event that a detector does not see has the weight zero there. Versions are the nominal one,
    then those of each shift at nu = +1 and -1. Events and their shifted versions are of one fold,
    and their noise cancels in all differences.

    Attributes:
        x: Observations of the nominal events, then of the shifted ones, ``(m, n_observables)``.
        row: Where these are in ``x``, ``(u, versions)``; for a version that is not seen, one that
            is.
        weights: Nominal weights, ``(u,)``.
        varied: Weights at nu = +-1, ``(u, k, 2)``.
        version: Version of which these are, ``(k, 2)``.
        process: Number of the process, ``(u,)``.
        fold: Fold, ``(u,)``.
    """

    x: Array
    row: Array
    weights: Array
    varied: Array
    version: Array
    process: Array
    fold: Array

    @classmethod
    def of(cls, nominal: Nominal, variations: Variations) -> Self:
        """Pair events.

        Args:
            nominal: Nominal events.
            variations: What they are at nu = +-1, of shifted ones weighted as the nominal ones.
        """
        events, ratios = variations.events, variations.ratios
        samples = [each for both in variations.shifted.values() for each in both]
        first, where = np.unique(events, return_index=True)
        beside = np.setdiff1d(np.concatenate([events, *(s.events for s in samples)]), first)
        every = np.concatenate([first, beside])
        order = np.argsort(every)
        n, u = len(first), len(every)
        row = np.full((u, 1 + len(samples)), -1, dtype=np.int64)
        row[:n, 0] = where
        weights, process = np.zeros(u), np.zeros(u, dtype=np.int64)
        weights[:n] = nominal.weights[where]
        process[:n] = nominal.part.number[where]
        fold = beside % (int(nominal.fold.max()) + 1)
        fold = np.concatenate([nominal.fold[where], fold])
        varied = np.zeros((u, *ratios.shape[1:]))
        varied[:n] = weights[:n, None, None] * ratios[where]
        version = np.zeros(ratios.shape[1:], dtype=np.int64)
        start = len(nominal.x)
        shifts = ((k, side) for k in variations.shifted for side in range(len(SIDES)))
        for number, ((k, side), sample) in enumerate(zip(shifts, samples, strict=True), start=1):
            places = order[np.searchsorted(every, sample.events, sorter=order)]
            row[places, number] = start + np.arange(len(places))
            varied[:, k, side] = 0
            varied[places, k, side] = sample.weights
            process[places] = sample.process
            version[k, side] = number
            start += len(places)
        some = np.take_along_axis(row, (row >= 0).argmax(axis=1)[:, None], axis=1)
        row = np.where(row >= 0, row, some)
        x = np.concatenate([nominal.x, *(sample.x for sample in samples)])
        return cls(x, row, weights, varied, version, process, fold)

    def sums(self, n_processes: int) -> Array:
        """Return summed weights, nominal and at nu = +-1, ``(n_processes, 1 + 2 k)``."""
        columns = [self.weights, *self.varied.reshape(len(self.weights), -1).T]
        sums = [np.bincount(self.process, column, n_processes) for column in columns]
        return np.stack(sums, axis=-1)

    def totals(self, n_processes: int) -> Array:
        """Return the logarithms of the change of the cross section, ``(n_processes, k, 2)``."""
        sums = self.sums(n_processes)
        shape = (n_processes, *self.version.shape)
        nominal = np.where(sums[:, :1] > 0, sums[:, :1], 1.0)
        ratio = np.where(sums[:, 1:] > 0, sums[:, 1:], nominal) / nominal
        totals: Array = np.log(ratio).reshape(shape)
        return totals
