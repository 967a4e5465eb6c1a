"""Responses to nuisance parameters: of events, in bins, and how well estimates close there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.stats import chi2

from steps.arrays import Array, decoded, encoded
from steps.inference.morphing.features import Features
from steps.inference.morphing.processes import Part
from steps.inference.morphing.responses import Response, Responses, Settings, fit
from steps.inference.morphing.variations import Nominal, Pairs, Variations

# Events that scatter in a bin from which on its sum is about normal.
_FILLED = 25
# Relative error that rounding explains.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Varied:
    """Events with weights at one point, or averaged over a region, at nu = 0 and +-1.

    Attributes:
        nominal: Those at nu = 0.
        variations: What they are at nu = +-1.
    """

    nominal: Nominal
    variations: Variations

    @classmethod
    def of(
        cls, events: Mapping[str, Array], weight: Callable[[Array], Array], fold: Array
    ) -> Self | None:
        """Return events of a sample; None where there are no nuisance parameters.

        Args:
            events: See :func:`steps.inference.samples.varied`.
            weight: Function from weights at the benchmarks ``(m, b)`` to those wanted, ``(m,)``.
            fold: Fold of each event, ``(n,)``.
        """
        variations = Variations.of(events)
        if variations is None:
            return None
        nominal = Nominal(events["x"], weight(events["weights"]), Part.of(events), fold)
        return cls(nominal, variations.weighted(weight))

    def merged(self) -> Self:
        """Return the same as events of one process, whose response is that of the whole."""
        part = Part.alone(len(self.nominal.x))
        return replace(
            self,
            nominal=replace(self.nominal, part=part),
            variations=self.variations.merged(),
        )

    def learn(self, kinds: Sequence[str | None] | None, seed: int) -> Responses:
        """Train networks of the responses.

        Args:
            kinds: Kind of each observable; recognised where None.
            seed: Seed of the training.
        """
        features = Features.of(self.nominal.x, kinds)
        return fit(self.nominal, self.variations, features, Settings(seed=seed))


PREFIX = "responses/"
"""What the names of arrays of a :class:`Learnt` begin with."""


@dataclass(frozen=True)
class Learnt:
    """Networks of responses, and which events of their data file they have seen.

    Attributes:
        responses: The networks.
        processes: Names of the processes that they know.
        fold: Fold of each event of the file, ``(n,)``, whose network has not seen it.
    """

    responses: Responses
    processes: Sequence[str]
    fold: Array

    def of_rows(self, x: Array, index: Array, processes: Sequence[str]) -> Response:
        """Return responses of events of the file as those of some processes.

        Args:
            x: Their observations ``(m, n_observables)``.
            index: Their numbers in the file, ``(m,)``.
            processes: Names of the processes; those that are not known respond to nothing.
        """
        return self._of(self.responses.unseen(x, self.fold[index]), processes)

    def __call__(self, x: Array, processes: Sequence[str]) -> Response:
        """Return responses of other events, likewise: the mean over the folds."""
        return self._of(self.responses(x), processes)

    def _of(self, response: Response, processes: Sequence[str]) -> Response:
        def own(values: Array) -> Array:
            found = dict(zip(self.processes, values, strict=True))
            nothing = np.zeros(values.shape[1:])
            return np.stack([found.get(name, nothing) for name in processes])

        return Response(own(response.linear), own(response.quadratic))

    def to_arrays(self) -> dict[str, Array]:
        """Return plain arrays by name."""
        arrays = {"fold": self.fold, "processes": encoded(self.processes)}
        arrays |= self.responses.arrays()
        return {f"{PREFIX}{name}": array for name, array in arrays.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Self | None:
        """Return what :meth:`to_arrays` gave, among others; None where it is not there."""
        own = {k.removeprefix(PREFIX): v for k, v in arrays.items() if k.startswith(PREFIX)}
        if not own:
            return None
        return cls(Responses.of(own), decoded(own["processes"]), own["fold"])


def in_bins(nominal: Nominal, response: Response, bins: Array, n_bins: int) -> Response:
    """Return responses of bins: A and B of each process at each bin, ``(n_processes, n_bins, k)``.

    A bin has exp u+- = sum w e^u+-(x) / sum w over the events of the process in it: what varied
    events would sum to, without their scatter, which moved events have even in full bins. One bin
    of all events has the exact change of the cross section. A bin without events of a process has
    that one, too.

    Args:
        nominal: Events of the mixture.
        response: Responses at these events.
        bins: Bin of each event, ``(n,)``.
        n_bins: Number of bins.
    """
    logs, found = response.logs(), []
    for number, own in enumerate(logs):
        weights = np.where(nominal.part.number == number, nominal.weights, 0.0)
        varied = (weights[:, None, None] * np.exp(own)).reshape(len(weights), -1)
        contents = np.bincount(bins, weights, n_bins)
        each = np.stack([np.bincount(bins, column, n_bins) for column in varied.T], axis=-1)
        filled = contents > 0
        ratios = np.repeat(_total(weights, varied)[None], n_bins, axis=0)
        ratios[filled] = each[filled] / contents[filled, None]
        found.append(np.log(ratios).reshape(n_bins, *logs.shape[2:]))
    up, down = np.moveaxis(np.array(found), -1, 0)
    return Response((up - down) / 2, (up + down) / 2)


def _total(weights: Array, varied: Array) -> Array:
    """Return ratios of summed weights, ``(columns,)``; one of a process without any."""
    total = weights.sum()
    ratios: Array = varied.sum(axis=0) / total if total > 0 else np.ones(varied.shape[1])
    return ratios


@dataclass(frozen=True)
class Closure:
    """How well a response describes varied events in bins of an observable.

    Attributes:
        process: Name of the process.
        nuisance: Name of the nuisance parameter.
        sign: nu, +1 or -1.
        observable: Number of the observable.
        estimate: sum w e^u in each bin over sum w, ``(n_bins,)``.
        exact: sum w' in each bin, likewise.
        error: Standard error of their difference, of paired events.
    """

    process: str
    nuisance: str
    sign: int
    observable: int
    estimate: Array
    exact: Array
    error: Array

    @property
    def chi2(self) -> float:
        """Sum of squared differences in units of their errors."""
        known = self._scatters
        pulls = (self.estimate - self.exact)[known] / self.error[known]
        return float(pulls @ pulls)

    @property
    def _scatters(self) -> Array:
        """Bins whose error is not that of rounding, ``(n_bins,)``."""
        scatters: Array = self.error > _ROUNDING * self.exact
        return scatters

    @property
    def deviation(self) -> float:
        """Root of the mean squared difference of log responses, which statistics do not shrink."""
        filled = (self.exact > 0) & (self.estimate > 0)
        if not filled.any():
            return 0.0
        logs = np.log(self.estimate[filled] / self.exact[filled])
        return float(np.sqrt(np.average(logs**2, weights=self.exact[filled])))

    @property
    def excess(self) -> float:
        """The deviation without what the errors explain of it."""
        filled = (self.exact > 0) & (self.estimate > 0)
        if not filled.any():
            return 0.0
        noise = np.average(
            (self.error[filled] / self.exact[filled]) ** 2, weights=self.exact[filled]
        )
        return float(np.sqrt(max(self.deviation**2 - noise, 0.0)))

    @property
    def p_value(self) -> float:
        """Chance of a larger sum; one where nothing scatters."""
        filled = np.count_nonzero(self._scatters)
        return float(chi2.sf(self.chi2, filled)) if filled else 1.0


def closures(nominal: Nominal, variations: Variations, response: Response) -> list[Closure]:
    """Compare responses with events at nu = +-1, in bins of equal probability of each observable.

    Args:
        nominal: Events; at best such as the networks have not seen.
        variations: What they are at nu = +-1, with weights at the same point.
        response: Responses at these events.
    """
    pairs, part = Pairs.of(nominal, variations), nominal.part
    logs = response.logs()
    found = []
    for observable, column in enumerate(pairs.x.T):
        for p, name in enumerate(part.names):
            own = pairs.process == p
            n_bins = _number(nominal.x[part.number == p])
            inner = np.quantile(
                column[: len(nominal.x)][part.number == p], np.arange(1, n_bins) / n_bins
            )
            bins = np.searchsorted(inner, column, side="right")
            for k, nuisance in enumerate(variations.names):
                for side, sign in enumerate((1, -1)):
                    sums = _differences(
                        _Case(pairs, own, bins, n_bins), logs[p, :, k, side], k, side
                    )
                    found.append(Closure(name, nuisance, sign, observable, *sums))
    return found


def _number(x: Array) -> int:
    """Return a number of bins for so many events."""
    return int(np.clip(len(x) // (4 * _FILLED), 1, 20))


@dataclass(frozen=True)
class _Case:
    """Pairs of one process, and the bins of all observations."""

    pairs: Pairs
    own: Array
    bins: Array
    n_bins: int


def _differences(case: _Case, logs: Array, k: int, side: int) -> tuple[Array, Array, Array]:
    """Return estimates, exact contents and errors of their difference in bins, ``(n_bins,)``."""
    pairs, rows = case.pairs, case.pairs.row[case.own]
    weights = pairs.weights[case.own]
    # Only nominal events, which come first, have an estimate.
    here = np.where(weights > 0, rows[:, 0], 0)
    estimate = weights * np.exp(logs[here])
    varied = pairs.varied[case.own, k, side]
    at, to = case.bins[here], case.bins[rows[:, pairs.version[k, side]]]
    same = at == to
    squares = np.bincount(at, np.where(same, (estimate - varied) ** 2, estimate**2), case.n_bins)
    squares += np.bincount(to, np.where(same, 0, varied**2), case.n_bins)
    total = max(weights.sum(), np.finfo(float).tiny)
    sums = (np.bincount(at, estimate, case.n_bins), np.bincount(to, varied, case.n_bins))
    return sums[0] / total, sums[1] / total, np.sqrt(squares) / total
