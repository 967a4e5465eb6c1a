"""Limits with systematic uncertainties: events, or bins, of processes that respond to them.

What networks or histograms say of rows as those of each process, and of their responses
(:mod:`steps.inference.morphing.responses`), makes a joint likelihood of theta and nu. Profiled over
nu it is a likelihood of theta as all others are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np

from steps.arrays import Array, encoded
from steps.inference import clipping, cross_fitted, observing, reliability
from steps.inference.clipping import Cuts
from steps.inference.cross_fitted import Rates, Sample
from steps.inference.evaluation import Evaluated, Random
from steps.inference.frames import NAMES, Frame
from steps.inference.judging import lines
from steps.inference.likelihood import Densities
from steps.inference.morphing.processes import Processes
from steps.inference.morphing.responses import Response
from steps.inference.morphing.variations import Variations
from steps.inference.nuisance import breakdown, experiments, judging
from steps.inference.nuisance.breakdown import Fit
from steps.inference.nuisance.experiments import Simulated
from steps.inference.nuisance.likelihood import Data, Joint, Mixture, Process, Rows
from steps.inference.nuisance.profiling import Corrected, Profiled, corrected
from steps.inference.observing import PREFIX as OBSERVED
from steps.inference.observing import Data as Seen
from steps.inference.observing import Experiment, best_fit
from steps.inference.reliability import Facts, Finding

PREFIX = "systematics/"
"""What the names of likelihoods with nuisance parameters begin with."""

_NORM = "norm"


@dataclass(frozen=True)
class Nuisance:
    """A nuisance parameter.

    Attributes:
        name: Its name.
        source: Name of the systematic uncertainty that it is of.
        processes: Names of the processes that respond; None for all.
        log_kappa: Logarithm of the factor of their rates at nu = 1, where that is all; else zero.
    """

    name: str
    source: str
    processes: Sequence[str] | None
    log_kappa: float

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """Return what a data file says, see :func:`steps.events.madminer_file.read_systematics`."""
        log_kappa = float(np.log1p(about["value"])) if about.get("type") == _NORM else 0.0
        return cls(about["name"], about["systematic"], about.get("processes"), log_kappa)

    def touches(self, process: str) -> bool:
        """Return whether a process responds."""
        return self.processes is None or process in self.processes


@dataclass(frozen=True)
class Model:
    """Rows, events or bins, that respond to nuisance parameters.

    Attributes:
        sample: The rows as networks or histograms know them, with their responses.
        rates: Cross sections of each process by name, of the nominal sample and each bag.
        nuisances: The nuisance parameters.
        filled: Numbers of the rows that the likelihoods have, nominally and in each bag; None for
            all.
    """

    sample: Sample
    rates: Sequence[Mapping[str, Rates]]
    nuisances: Sequence[Nuisance]
    filled: Sequence[Array] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the nuisance parameters."""
        return [each.name for each in self.nuisances]

    @property
    def sources(self) -> dict[str, list[int]]:
        """Numbers of the nuisance parameters of each systematic uncertainty."""
        found: dict[str, list[int]] = {}
        for number, nuisance in enumerate(self.nuisances):
            found.setdefault(nuisance.source, []).append(number)
        return found

    def expected(self, theta: Array, luminosity: float) -> dict[str, float]:
        """Return the number of events of each process by name at a point ``(p,)`` and nu = 0."""
        monomials = self.sample.events.polynomial.weights(theta[None])[0]
        own = {name: of.nominal for name, of in self.rates[0].items()}
        return {
            name: luminosity * float(of @ (monomials if len(of) == len(monomials) else np.ones(1)))
            for name, of in own.items()
        }

    def joint(
        self, statistical: Densities, bag: int, luminosity: float, seen: Seen | None = None
    ) -> Joint:
        """Return the joint log likelihood of the nominal sample or a bag.

        Args:
            statistical: The log likelihood without nuisance parameters.
            bag: Number of the bag, 0 for the nominal sample.
            luminosity: Integrated luminosity in 1/pb.
            seen: The observed events that it is given; None where these are the sample's.
        """
        events, response = self.sample.events, self.sample.response
        processes = []
        for number, (name, part) in enumerate(events.parts.items()):
            rates, shaped = self.rates[bag][name], self._shaped(name)
            processes.append(
                Process(
                    rows=_rows(part[bag], response, number, shaped),
                    numbers=shaped,
                    rate=luminosity * rates.nominal,
                    varied=luminosity * rates.varied[shaped],
                    log_kappa=np.array([of.log_kappa * of.touches(name) for of in self.nuisances]),
                )
            )
        multiplicity = events.multiplicity[bag].astype(float)
        if self.filled is not None:
            multiplicity = multiplicity[self.filled[bag]]
            processes = [replace(p, rows=p.rows.taken(self.filled[bag])) for p in processes]
        mixture = Mixture(events.polynomial, processes, multiplicity)
        rows = None
        if seen is not None:
            rows = [
                _rows(seen.parts[name][bag], seen.response, number, self._shaped(name))
                for number, name in enumerate(events.parts)
            ]
        data = Data(statistical.counts, np.zeros(len(self.nuisances)), rows)
        return Joint(mixture, statistical.region, data, statistical.rate is not None)

    def _shaped(self, process: str) -> Array:
        """Return the numbers of what changes the shape of a process, ``(k,)``."""
        own = [n for n, of in enumerate(self.nuisances) if of.touches(process) and not of.log_kappa]
        return np.array(own, dtype=np.int64)


def below(events: Mapping[str, Array], observable: int, cut: float) -> dict[str, Array]:
    """Return events whose weights vanish from a cut on, shifted ones by their own observations.

    Args:
        events: See :func:`steps.inference.samples.varied`.
        observable: Number of the observable.
        cut: The cut.
    """
    variations = Variations.of(events)
    kept = events["x"][:, observable] < cut
    return {
        **events,
        "weights": np.where(kept[:, None], events["weights"], 0.0),
        **(variations.below(observable, cut).to_arrays() if variations else {}),
    }


def _rows(densities: Array, response: Response | None, process: int, shaped: Array) -> Rows:
    assert response is not None
    return Rows(
        densities, response.linear[process][:, shaped], response.quadratic[process][:, shaped]
    )


def rates_of_bags(
    events: Mapping[str, Array], processes: Processes, multiplicity: Array
) -> list[dict[str, Rates]]:
    """Return the cross sections of each process by name, of the nominal sample and each bag.

    Args:
        events: See :func:`steps.inference.samples.varied`.
        processes: What they are of.
        multiplicity: How often each event counts, ``(1 + n_bags, n)``; a bag is of the size of the
            sample.
    """
    return [
        cross_fitted.rates(events, processes, counts * (len(counts) / counts.sum()))
        for counts in multiplicity
    ]


def profiled(
    model: Model, statistical: Sequence[Densities], luminosity: float, seen: Seen | None = None
) -> tuple[list[Corrected], list[Joint]]:
    """Return log likelihoods of theta, nu at their best, of the nominal sample and each bag.

    Args:
        model: Events that respond to nuisance parameters.
        statistical: The same without these.
        luminosity: Integrated luminosity in 1/pb.
        seen: The observed events that they are given; None where these are the sample's.

    Returns:
        The likelihoods, and the joint ones.
    """
    joints = [model.joint(each, bag, luminosity, seen) for bag, each in enumerate(statistical)]
    return corrected(statistical, Profiled(joints[0]), joints[1:]), joints


@dataclass(frozen=True)
class Limits:
    """Limits with systematic uncertainties of one likelihood.

    Attributes:
        name: Name of the likelihood, ``systematics/...``.
        likelihoods: Log likelihoods of theta, nominal and of each bag.
        joints: Those of theta and nu.
        best: Best fit of the nominal one.
        arrays: What is told of them.
    """

    name: str
    likelihoods: Sequence[Corrected]
    joints: Sequence[Joint]
    best: Fit
    arrays: Mapping[str, Array]

    @classmethod
    def of(
        cls,
        model: Model,
        frame: Frame,
        name: str,
        statistical: Sequence[Densities],
        further: float = 0.0,
        seen: Seen | None = None,
    ) -> Self:
        """Set limits.

        Args:
            model: Events that respond to nuisance parameters.
            frame: Where limits are set.
            name: Name of the likelihood without nuisance parameters.
            statistical: It, nominal and of each bag.
            further: See :meth:`steps.inference.frames.Frame.curve`.
            seen: The observed events that it is given; None where these are the sample's.
        """
        of = f"{PREFIX}{name}"
        likelihoods, joints = profiled(model, statistical, frame.target.luminosity, seen)
        arrays = frame.curve(of, likelihoods, further)
        arrays[f"spline_error/{name}"] = np.array(likelihoods[0].error)
        best = breakdown.fit(joints[0], best_fit(arrays, of))
        parts = breakdown.split(joints[0], best, model.sources)
        shifts = breakdown.impacts(joints[0], best)
        arrays |= breakdown.to_arrays(best, shifts, parts, name)
        arrays["nuisance/names"] = encoded(model.names)
        return cls(of, likelihoods, joints, best, arrays)

    def truth(self, theta: Array) -> dict[str, Array]:
        """Return how far a point ``(p,)`` is from observed events, by Wilks' theorem alone."""
        distance = observing.distance(
            self.likelihoods[0], self.best.parameters[: len(theta)], theta
        )
        return {f"truth/{self.name}": np.array([*distance, np.nan, 0])}

    def findings(self, facts: Facts, further: Sequence[Finding]) -> dict[str, Array]:
        """Return why they are not reliable: by facts, and what else was found."""
        reasons = [*reliability.findings(facts), *further]
        return {f"findings/{self.name}": lines(reasons)}


def limits(
    model: Model,
    evaluated: Evaluated,
    n_toys: int,
    random: Random,
    unclosed: Sequence[Finding] = (),
) -> dict[str, Array]:
    """Return limits of cross-fitted networks with systematic uncertainties.

    Args:
        model: Events that respond to nuisance parameters.
        evaluated: The same events, where limits are set, and the observed events if any.
        n_toys: Number of pseudo-experiments of each kind, of which not more are made than
            :data:`steps.inference.nuisance.experiments.MOST_TOYS`; none for 0.
        random: Source of what is random.
        unclosed: Responses that are not reliable, see
            :func:`steps.inference.nuisance.judging.unclosed`.

    Returns:
        For each likelihood, ``<name>``, and given observed events, ``observed/<name>``:
        :meth:`steps.inference.frames.Frame.curve` of ``systematics/<name>``;
        ``findings/systematics/<name>``, why it is not reliable; ``spline_error/<name>``, the error
        of ln L from interpolating what profiling changes; ``nuisance/names`` and
        ``nuisance/<name>/...``, see :func:`steps.inference.nuisance.breakdown.to_arrays`. Of
        pseudo-experiments ``coverage/systematics/<name>``; of observed events
        ``truth/systematics/observed/<name>`` and ``goodness/systematics/observed/<name>/...``, see
        :func:`steps.inference.nuisance.experiments.observed`.
    """
    frame, sample, target = evaluated.frame, model.sample, evaluated.frame.target
    arrays: dict[str, Array] = {}
    n_toys, further = min(n_toys, experiments.MOST_TOYS), cross_fitted.TRAINING_ERROR
    for with_rate in target.rates:
        name = NAMES[with_rate]
        options = (target.region, target.theta_true, target.luminosity)
        statistical = cross_fitted.likelihoods(sample, *options, with_rate=with_rate)
        found = Limits.of(model, frame, name, statistical, further)
        pulled = judging.pulled(found.best, found.joints[1:], model.names)
        facts, _ = evaluated.judged(found.likelihoods)
        arrays |= {**found.arrays, **found.findings(facts, [*pulled, *unclosed])}
        if n_toys:
            rng = random("toys", found.name)
            simulated = Simulated.of(sample, found.joints[0], target.theta_true, rng)
            covered = experiments.coverage(simulated, target.theta_true, n_toys, rng)
            arrays[f"coverage/{found.name}"] = covered
        if seen := evaluated.data:
            observed = cross_fitted.observed_likelihoods(
                sample, seen.densities, target.region, target.luminosity, with_rate=with_rate
            )
            found = Limits.of(model, frame, f"{OBSERVED}{name}", observed, further, seen)
            # Neither need observed events fit best at the true point, nor at nu = 0.
            facts = replace(evaluated.judged(found.likelihoods)[0], best_fit=None)
            arrays |= {**found.arrays, **found.findings(facts, unclosed)}
            arrays |= _tested(evaluated, found, seen, n_toys, random("observed", found.name))
    return arrays


def clipped(
    model: Model,
    evaluated: Evaluated,
    cuts: Cuts,
    rates_below: Callable[[float], Sequence[Mapping[str, Rates]]],
) -> dict[str, Array]:
    """Return the limits of the events below each cut, with systematic uncertainties.

    Args:
        model: Events that respond to nuisance parameters.
        evaluated: The same events, and where limits are set.
        cuts: The cuts.
        rates_below: Function from a cut to what :func:`rates_of_bags` are below it.

    Returns:
        See :func:`steps.inference.clipping.scan`, of ``systematics/<name>``.
    """
    values = evaluated.x[:, evaluated.names.observables.index(cuts.observable)]
    luminosity = evaluated.frame.target.luminosity

    @cache
    def part(cut: float) -> Model:
        sample = clipping.of_sample(model.sample, values < cut)
        return Model(sample, rates_below(cut), model.nuisances)

    def with_all(cut: float, _: str, statistical: Sequence[Densities]) -> Sequence[Corrected]:
        return profiled(part(cut), statistical, luminosity)[0]

    scanned = clipping.of_networks(model.sample, values, evaluated.case)
    return clipping.scan(replace(scanned, corrected=with_all, prefix=PREFIX), cuts)


def _tested(
    evaluated: Evaluated, found: Limits, seen: Seen, n_toys: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Return how far the true point is from observed events, and the goodness of fit."""
    observables = evaluated.names.observables
    experiment = Experiment(
        evaluated.sample, evaluated.x, observables, evaluated.frame, seen, n_toys
    )
    truth, tested = experiments.observed(experiment, found.joints[0], found.best, rng)
    goodness = {f"goodness/{found.name}/{quantity}": row for quantity, row in tested.items()}
    return {f"truth/{found.name}": truth, **goodness}
