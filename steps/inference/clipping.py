"""Limits of the events below an upper cut on an energy-like observable, against the cut.

An effective theory is an expansion in energy over a scale: limits that are set by events of high
energy hold only for scales above that. Limits of the events below a cut are those for all scales
above the cut (arXiv:1604.06444; proposals and debate in arXiv:2201.04974). All events at or above
it are left out, data and expectation alike: of the events e that are left

    p(x|theta, below) = f_e(theta) / f(theta),   f(theta) the mean of f_e over the mixture below,

and the number of events is that below. No network is trained again: densities that are known up to
their norm are those of the part, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Self

import numpy as np

from steps.arrays import Array
from steps.inference import cross_fitted, intervals, judging, reliability, summary
from steps.inference.cross_fitted import Sample
from steps.inference.follow import effective_events, focus, reach
from steps.inference.frames import NAMES, Frame
from steps.inference.likelihood import Densities, Likelihood
from steps.inference.simulation import Simulation
from steps.inference.summary import Curve

Arrays = Mapping[str, Array]

FEWEST = 20.0
"""Effective simulated events below a cut from which on there are limits."""

_BEYOND = "networks are trained where limits without a cut live; see the reference, or cut higher"


@dataclass(frozen=True)
class Cuts:
    """Upper cuts on an observable, and where limits are searched.

    Attributes:
        observable: Name of the observable.
        values: The cuts in ascending order, ``(k,)``; the last is infinite, which is no cut.
        regions: Lowest and highest value of each parameter for each cut, ``(k, p, 2)``.
    """

    observable: str
    values: Array
    regions: Array

    @classmethod
    def of(cls, section: Mapping[str, Any], region: Array) -> Self:
        """Return what section ``clip`` of the input file says, in one region for all cuts."""
        values = np.append(np.array(section["values"], dtype=float), np.inf)
        return cls(section["observable"], values, np.stack([region] * len(values)))

    def are_those_of(self, arrays: Arrays) -> bool:
        """Return whether arrays that :func:`scan` made have the same cuts."""
        there = arrays.get("clip/cuts", np.array([]))
        return self.observable == observable(arrays) and np.array_equal(self.values, there)


@dataclass(frozen=True)
class Scanned:
    """Simulated events whose limits are told against a cut.

    Attributes:
        case: What limits are judged by; its frame has the true point, luminosity and resolutions.
        values: The observable of each event, ``(n,)``.
        multiplicity: How often each event counts, nominally and in each bag, ``(1 + n_bags, n)``.
        likelihoods: Function from the events that are kept, ``(n,)`` of truth values, to
            likelihoods of these alone by name, nominal and of each bag, as if each bag had as many
            of them as the nominal sample.
        further: Error of ends that bags do not see, in units of half an interval.
        corrected: Function from a cut, and the name of a likelihood of the events below it and what
            this is, nominal and of each bag, to the likelihoods that limits are told of; None for
            the same ones.
        prefix: What the names of its likelihoods begin with.
    """

    case: judging.Case
    values: Array
    multiplicity: Array
    likelihoods: Callable[[Array], Mapping[str, Sequence[Densities]]]
    further: float = 0.0
    corrected: Callable[[float, str, Sequence[Densities]], Sequence[Likelihood]] | None = None
    prefix: str = ""

    def kept(self, cut: float) -> Array:
        """Return which events are below a cut, ``(n,)``."""
        below: Array = self.values < cut
        return below

    def at_truth(self, cut: float) -> Array:
        """Return the weights of the events below a cut at the true point in pb."""
        truth = self.case.frame.target.theta_true
        weights: Array = self.case.weights(truth[None])[0, self.kept(cut)]
        return weights

    def effective(self, cut: float) -> float:
        """Return the effective events below a cut at the true point."""
        weights = self.at_truth(cut)
        return effective_events(weights) if weights.any() else 0.0

    def below(self, cut: float) -> dict[str, list[Densities]]:
        """Return the likelihoods of the events below a cut by name, nominal and of each bag."""
        kept, counts = self.kept(cut), self.multiplicity
        # How many events a bag has below the cut is part of its scatter.
        sizes = (counts[:, kept].sum(axis=1) / counts.sum(axis=1)) * (len(kept) / kept.sum())
        return {
            name: [_times(*pair) for pair in zip(found, sizes.tolist(), strict=True)]
            for name, found in self.likelihoods(kept).items()
        }


def _times(likelihood: Densities, factor: float) -> Densities:
    rate = likelihood.rate
    return replace(
        likelihood,
        counts=factor * likelihood.counts,
        rate=None if rate is None else factor * rate,
    )


def of_sample(sample: Sample, kept: Array) -> Sample:
    """Return some events of cross-fitted networks, ``(n,)`` of truth values."""
    events = sample.events
    part = replace(
        events,
        densities=np.compress(kept, events.densities, axis=1),
        multiplicity=np.compress(kept, events.multiplicity, axis=1),
        parts={k: np.compress(kept, v, axis=1) for k, v in events.parts.items()},
    )
    of, response = sample.part, sample.response
    return Sample(
        part,
        sample.coefficients[kept],
        of and of.taken(kept),
        response and response.taken(kept),
    )


def of_simulation(simulation: Simulation, kept: Array) -> Simulation:
    """Return some events of a simulation, ``(n,)`` of truth values."""
    return replace(
        simulation,
        x=simulation.x[kept],
        coefficients=simulation.coefficients[kept],
        multiplicity=np.compress(kept, simulation.multiplicity, axis=1),
    )


def of_networks(sample: Sample, values: Array, case: judging.Case) -> Scanned:
    """Return the events of cross-fitted networks for a scan.

    Args:
        sample: The events.
        values: The observable of each, ``(n,)``.
        case: What limits are judged by.
    """
    target = case.frame.target

    def likelihoods(kept: Array) -> dict[str, list[Densities]]:
        part = of_sample(sample, kept)
        return {
            NAMES[with_rate]: cross_fitted.likelihoods(
                part, target.region, target.theta_true, target.luminosity, with_rate=with_rate
            )
            for with_rate in target.rates
        }

    further = cross_fitted.TRAINING_ERROR
    return Scanned(case, values, sample.events.multiplicity, likelihoods, further)


def follow(scanned: Scanned, cuts: Cuts, names: str = "") -> Cuts:
    """Return cuts with the regions where the likelihoods live, see :mod:`steps.inference.follow`.

    Args:
        scanned: The events.
        cuts: The cuts, and the regions that are searched.
        names: What the names of the likelihoods begin with that count.
    """
    target, regions = scanned.case.frame.target, []
    for cut, region in zip(cuts.values, cuts.regions, strict=True):
        if scanned.effective(cut) < FEWEST:
            regions.append(region)
            continue
        below = scanned.below(cut).items()
        nominal = [found[0] for name, found in below if name.startswith(names)]
        far = reach(scanned.at_truth(cut), target.luminosity)
        regions.append(focus(nominal, region, target.theta_true, far))
    return replace(cuts, regions=np.array(regions))


def scan(scanned: Scanned, cuts: Cuts) -> dict[str, Array]:
    """Return the limits of the events below each cut.

    Args:
        scanned: The events.
        cuts: The cuts.

    Returns:
        ``clip/observable``, ``clip/cuts`` and ``clip/region``, see :class:`Cuts`;
        ``clip/n_expected`` ``(k, 2)``, number of events expected below each cut and its error from
        simulation; ``clip/effective`` ``(k,)``, effective simulated events at the true point. For
        cut k, if there are at least :data:`FEWEST` of these,
        ``clip/<k>/intervals/<name>/...``, see :func:`steps.inference.intervals.to_arrays`, and
        ``clip/<k>/findings/<name>``, why these are not reliable; names begin with the prefix.
    """
    luminosity = scanned.case.frame.target.luminosity
    expected = np.array([luminosity * scanned.at_truth(cut).sum() for cut in cuts.values])
    effective = np.array([scanned.effective(cut) for cut in cuts.values])
    arrays = {
        "clip/observable": np.array(cuts.observable.encode()),
        "clip/cuts": cuts.values,
        "clip/region": cuts.regions,
        "clip/n_expected": np.stack([expected, expected / np.sqrt(np.maximum(effective, 1))]).T,
        "clip/effective": effective,
    }
    for number, cut in enumerate(cuts.values.tolist()):
        if effective[number] >= FEWEST:
            found = _limits(scanned, cut, cuts.regions[number])
            arrays |= {f"clip/{number}/{key}": values for key, values in found.items()}
    return arrays


def _limits(scanned: Scanned, cut: float, region: Array) -> dict[str, Array]:
    kept, whole = scanned.kept(cut), scanned.case
    frame = Frame(replace(whole.frame.target, region=region), whole.frame.resolutions)
    case = replace(whole, frame=frame, weights=lambda points: whole.weights(points)[:, kept])
    truth = frame.target.theta_true.tolist()
    arrays: dict[str, Array] = {}
    for statistical, found in scanned.below(cut).items():
        name = f"{scanned.prefix}{statistical}"
        densities = [replace(each, region=region) for each in found]
        likelihoods: Sequence[Likelihood] = densities
        if scanned.corrected:
            likelihoods = scanned.corrected(cut, statistical, densities)
        ends = intervals.widened(intervals.intervals(likelihoods, truth), scanned.further)
        arrays |= intervals.to_arrays(ends, name)
        facts = judging.facts(case, likelihoods)
        arrays[f"findings/{name}"] = judging.lines(_findings(facts))
    return arrays


def _findings(facts: reliability.Facts) -> list[reliability.Finding]:
    """Return why limits are not reliable; what mends a scan is not what mends limits."""
    others = reliability.findings(facts, region=False)
    return [
        finding if finding in others else replace(finding, remedy=_BEYOND)
        for finding in reliability.findings(facts)
    ]


@dataclass(frozen=True)
class Below:
    """Limits of the events below a cut.

    Attributes:
        cut: The cut; infinite for none.
        n_expected: Number of events expected, and its error.
        effective: Effective simulated events.
        curve: The limits; None for too few events.
        why: Why they are not reliable, or not there, one line each.
    """

    cut: float
    n_expected: tuple[float, float]
    effective: float
    curve: Curve | None
    why: Sequence[str]


def observable(arrays: Arrays) -> str | None:
    """Return the observable that is cut on; None where there is no scan."""
    return arrays["clip/observable"].item().decode() if "clip/observable" in arrays else None


def read(runs: Sequence[Arrays], name: str) -> list[Below]:
    """Read the scan of evaluations that only differ in their networks.

    Args:
        runs: Arrays of each, with the same cuts.
        name: Name of the likelihood.

    Returns:
        Limits for each cut; none where an evaluation has no scan.
    """
    if any("clip/cuts" not in arrays for arrays in runs):
        return []
    first = runs[0]
    found = []
    for number, cut in enumerate(first["clip/cuts"].tolist()):
        value, error = first["clip/n_expected"][number].tolist()
        effective = min(float(arrays["clip/effective"][number]) for arrays in runs)
        prefix = f"clip/{number}/"
        parts = [
            {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            for arrays in runs
        ]
        curve, why = None, [too_few(str(observable(first)), cut, effective)]
        if all(f"findings/{name}" in part for part in parts):
            lines = [line.decode() for part in parts for line in part[f"findings/{name}"].tolist()]
            why = list(dict.fromkeys(lines))
            ends = [intervals.from_arrays(part, name) for part in parts]
            curve = Curve(ends, why, surface=None, thresholds={}, coverage=None)
        found.append(Below(cut, (value, error), effective, curve, why))
    return found


def too_few(name: str, cut: float, effective: float) -> str:
    """Return that there are too few events for limits, one line.

    Args:
        name: Name of the observable.
        cut: The cut.
        effective: Effective simulated events below it.
    """
    where = f"with {name} below {cut:g}" if np.isfinite(cut) else "in all"
    return (
        f"no limits from {effective:.0f} effective simulated events {where}, fewer than "
        f"{FEWEST:.0f}; raise the cut or simulate more events"
    )


def table(
    found: Sequence[Below], parameters: Sequence[str], full: Sequence[Below] = ()
) -> list[dict[str, Any]]:
    """Return the limits for each cut, the other parameters profiled, each with its error.

    Args:
        found: The limits.
        parameters: Names of the parameters.
        full: Those with systematic uncertainties for the same cuts, if there are any.
    """
    return [
        {
            "below": each.cut if np.isfinite(each.cut) else "no cut",
            "events_expected": {
                name: float(f"{number:.4g}")
                for name, number in zip(("value", "error"), each.n_expected, strict=True)
            },
            "effective_simulated_events": round(each.effective),
            **_told(each, parameters),
            **({"with_systematics": _told(other, parameters)} if other else {}),
        }
        for each, other in zip_longest(found, full)
    ]


def _told(below: Below, parameters: Sequence[str]) -> dict[str, Any]:
    return {
        "reliable": not below.why,
        **({"why": list(below.why)} if below.why else {}),
        **({"intervals": summary.profiled(below.curve, parameters)} if below.curve else {}),
    }
