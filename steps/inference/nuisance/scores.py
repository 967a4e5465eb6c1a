"""Limits of a score that nuisance parameters hardly move, with systematic uncertainties.

Networks of a score know no processes. What the hardened score of :mod:`steps.inference.hardened`
needs, the score t_nu of all events together, is the response of the mixture as one process; the
likelihood is that of its bins, whose processes respond each in its way.
"""

from dataclasses import dataclass, replace

import numpy as np

from steps.arrays import Array
from steps.inference.analysis import Analysis
from steps.inference.frames import NAMES, Frame
from steps.inference.hardened import hardened
from steps.inference.nuisance.binned import Responding
from steps.inference.nuisance.systematics import Limits
from steps.inference.observing import PREFIX as OBSERVED


@dataclass(frozen=True)
class Scores:
    """Scores of events, those of :attr:`steps.inference.analysis.Analysis.scored`.

    Attributes:
        theta: Derivatives of the log density p(x) in the parameters, ``(m, p)``.
        nu: Derivatives of the log of the expected number of events per x in nu, ``(m, k)``.
        reference: Where they are taken, nu being 0, ``(p,)``.
    """

    theta: Array
    nu: Array
    reference: Array


def limits(
    analysis: Analysis, responding: Responding, scores: Scores, frame: Frame
) -> dict[str, Array]:
    """Return limits of the hardened score with systematic uncertainties.

    Args:
        analysis: The simulated events, and which of them serve what.
        responding: The same events.
        scores: Their scores.
        frame: Where limits are set.

    Returns:
        Of each likelihood, given the expected data and observed events if there are any, the arrays
        of :class:`steps.inference.nuisance.systematics.Limits`; given observed events also what
        :meth:`steps.inference.nuisance.systematics.Limits.truth` returns.
    """
    rates = analysis.simulation.rates(frame.target.luminosity)
    arrays: dict[str, Array] = {}
    for with_rate in frame.target.rates:
        bins = analysis.bins(_hardened(analysis, scores, with_rate=with_rate))
        every = analysis.binned(bins)
        model = responding.of_scores(analysis, bins)
        # The first ones are those given the expected data.
        for begin in range(0, len(every), len(rates)):
            statistical = [
                replace(each, rate=rate if with_rate else None)
                for each, rate in zip(every[begin : begin + len(rates)], rates, strict=True)
            ]
            name = f"{OBSERVED if begin else ''}{NAMES[with_rate]}"
            found = Limits.of(model, frame, name, statistical)
            arrays |= found.arrays
            if begin:
                arrays |= found.truth(frame.target.theta_true)
    return arrays


def _hardened(analysis: Analysis, scores: Scores, *, with_rate: bool) -> Array:
    simulation, filling = analysis.simulation, analysis.parts.filling
    weights = simulation.weights(scores.reference[None])[0]
    counts = np.zeros(len(scores.theta))
    counts[: len(filling)] = weights[filling] * (
        analysis.target.luminosity * weights.sum() / weights[filling].sum()
    )
    theta = scores.theta
    if with_rate:
        polynomial, total = simulation.polynomial, simulation.coefficients.sum(axis=0)
        slope = polynomial.weight_gradients(scores.reference) @ total
        theta = theta + slope / (polynomial.weights(scores.reference[None])[0] @ total)
    return hardened(theta, scores.nu, counts, with_rate=with_rate)
