"""Limits with systematic uncertainties: events, or bins, of processes that respond to them.

What networks or histograms say of rows as those of each process, and of their responses
(:mod:`steps.inference.morphing.responses`), makes a joint likelihood of theta and nu. Profiled over
nu it is a likelihood of theta as all others are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from steps.arrays import Array
from steps.inference import cross_fitted
from steps.inference.cross_fitted import Rates, Sample
from steps.inference.frames import NAMES, Frame
from steps.inference.likelihood import Densities
from steps.inference.morphing.processes import Processes
from steps.inference.nuisance import breakdown
from steps.inference.nuisance.likelihood import Data, Joint, Mixture, Process, Rows
from steps.inference.nuisance.profiling import Corrected, Profiled, corrected

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
    def sources(self) -> dict[str, list[int]]:
        """Numbers of the nuisance parameters of each systematic uncertainty."""
        found: dict[str, list[int]] = {}
        for number, nuisance in enumerate(self.nuisances):
            found.setdefault(nuisance.source, []).append(number)
        return found

    def joint(self, statistical: Densities, bag: int, luminosity: float) -> Joint:
        """Return the joint log likelihood of the nominal sample or a bag.

        Args:
            statistical: The log likelihood without nuisance parameters.
            bag: Number of the bag, 0 for the nominal sample.
            luminosity: Integrated luminosity in 1/pb.
        """
        events = self.sample.events
        names = enumerate(events.parts)
        processes = [self._process(p, name, bag, luminosity) for p, name in names]
        multiplicity = events.multiplicity[bag].astype(float)
        if self.filled is not None:
            multiplicity = multiplicity[self.filled[bag]]
            processes = [replace(p, rows=p.rows.taken(self.filled[bag])) for p in processes]
        mixture = Mixture(events.polynomial, processes, multiplicity)
        data = Data(statistical.counts, np.zeros(len(self.nuisances)))
        return Joint(mixture, statistical.region, data, statistical.rate is not None)

    def _process(self, p: int, name: str, bag: int, luminosity: float) -> Process:
        response, rates = self.sample.response, self.rates[bag][name]
        assert response is not None
        own = [n for n, of in enumerate(self.nuisances) if of.touches(name)]
        shaped = np.array([n for n in own if not self.nuisances[n].log_kappa], dtype=np.int64)
        log_kappa = np.zeros(len(self.nuisances))
        log_kappa[own] = [self.nuisances[n].log_kappa for n in own]
        return Process(
            rows=Rows(
                self.sample.events.parts[name][bag],
                response.linear[p][:, shaped],
                response.quadratic[p][:, shaped],
            ),
            numbers=shaped,
            rate=luminosity * rates.nominal,
            varied=luminosity * rates.varied[shaped],
            log_kappa=log_kappa,
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
    model: Model, statistical: Sequence[Densities], luminosity: float
) -> tuple[list[Corrected], Joint]:
    """Return log likelihoods of theta, nu at their best, of the nominal sample and each bag.

    Args:
        model: Events that respond to nuisance parameters.
        statistical: The same without these.
        luminosity: Integrated luminosity in 1/pb.

    Returns:
        The likelihoods, and the nominal joint one.
    """
    nominal, *bags = [model.joint(each, bag, luminosity) for bag, each in enumerate(statistical)]
    return corrected(statistical, Profiled(nominal), bags), nominal


def sources(model: Model, joint: Joint, best: Array, name: str) -> dict[str, Array]:
    """Return pulls, impacts and the errors of each theta by source, as arrays.

    Args:
        model: Events that respond to nuisance parameters.
        joint: The joint log likelihood.
        best: About the best fit of theta, ``(p,)``.
        name: Name of the likelihood.

    Returns:
        See :func:`steps.inference.nuisance.breakdown.to_arrays`; and ``nuisance/names``.
    """
    found = breakdown.fit(joint, best)
    parts = breakdown.split(joint, found, model.sources)
    made = breakdown.to_arrays(found, breakdown.impacts(joint, found), parts, name)
    return made | {"nuisance/names": np.array([each.name for each in model.nuisances], "S")}


def limits(model: Model, frame: Frame) -> dict[str, Array]:
    """Return limits of cross-fitted networks with systematic uncertainties.

    Args:
        model: Events that respond to nuisance parameters.
        frame: Where limits are set.

    Returns:
        See :func:`of_likelihood`.
    """
    target = frame.target
    options = (target.region, target.theta_true, target.luminosity)
    arrays: dict[str, Array] = {}
    for with_rate in target.rates:
        statistical = cross_fitted.likelihoods(model.sample, *options, with_rate=with_rate)
        arrays |= of_likelihood(
            model, frame, NAMES[with_rate], statistical, cross_fitted.TRAINING_ERROR
        )
    return arrays


def of_likelihood(
    model: Model,
    frame: Frame,
    name: str,
    statistical: Sequence[Densities],
    further: float = 0.0,
) -> dict[str, Array]:
    """Return limits of one likelihood with systematic uncertainties.

    Args:
        model: Rows that respond to nuisance parameters.
        frame: Where limits are set.
        name: Name of the likelihood.
        statistical: The same without these, nominal and of each bag.
        further: See :meth:`steps.inference.frames.Frame.curve`.

    Returns:
        :meth:`steps.inference.frames.Frame.curve` of ``systematics/<name>``,
        ``spline_error/<name>``, the error of ln L from interpolating what profiling changes, and
        :func:`sources`.
    """
    found, joint = profiled(model, statistical, frame.target.luminosity)
    arrays = frame.curve(f"{PREFIX}{name}", found, further)
    arrays[f"spline_error/{name}"] = np.array(found[0].error)
    best = arrays[f"intervals/{PREFIX}{name}/profiled/best_fit"][:, 0]
    return arrays | sources(model, joint, best, name)
