"""Whether limits with nuisance parameters can be relied on: what they alone are judged by."""

from collections.abc import Mapping, Sequence

import numpy as np

from steps.arrays import Array
from steps.inference import responding
from steps.inference.cross_fitted import Sample
from steps.inference.morphing.processes import Part
from steps.inference.morphing.variations import Nominal, Variations
from steps.inference.nuisance.breakdown import Fit
from steps.inference.nuisance.climbing import climb
from steps.inference.nuisance.likelihood import Joint
from steps.inference.reliability import HALF_AN_ERROR, UNLIKELY, BestFit, Finding
from steps.inference.responding import Closure


def pulled(best: Fit, bags: Sequence[Joint], names: Sequence[str]) -> list[Finding]:
    """Find the worst pull by data expected at nu = 0 that is not zero within its noise.

    What is too far is as for the best fit of theta; the noise is that of the bags' best fits.

    Args:
        best: Best fit of the nominal joint log likelihood.
        bags: Those of the bags.
        names: Names of the nuisance parameters.
    """
    values, errors = best.pulls.T
    start, free = best.parameters[None], np.ones(len(best.parameters), dtype=bool)
    fits = np.array([climb(bag, start, free).parameters[0, best.p :] for bag in bags])
    q = (values / errors) ** 2
    q_bags = ((fits.reshape(-1, len(values)) - values) / errors) ** 2
    found = [BestFit(*each) for each in zip(q.tolist(), q_bags.T, strict=True)]
    off = [k for k, each in enumerate(found) if each.is_off(len(found))]
    if not off:
        return []
    worst = max(off, key=lambda k: q[k])
    reason = (
        f"data expected at nu = 0 pull {names[worst]} to {values[worst]:+.2g} ± {errors[worst]:.2g}"
    )
    if not np.isnan(found[worst].p_value):
        reason += f" (p = {found[worst].p_value:.1g} by the spread of the bags)"
    return [Finding(reason, "simulate more events, or train for more epochs")]


def closures(events: Mapping[str, Array], sample: Sample, theta: Array) -> list[Closure]:
    """Compare responses with the events at nu = +-1, weighted as at a point of theta.

    Args:
        events: See :func:`steps.inference.samples.mixture`.
        sample: The same as networks know them.
        theta: The point, ``(p,)``.
    """
    variations, polynomial = Variations.of(events), sample.events.polynomial
    if variations is None or sample.response is None:
        return []
    there = polynomial.combined(events["benchmarks"], polynomial.weights(theta[None])[0])
    x = events["x"]
    nominal = Nominal(x, there(events["weights"]), Part.of(events), np.zeros(len(x), dtype=int))
    return responding.closures(nominal, variations.weighted(there), sample.response)


def unclosed(
    closures: Sequence[Closure], expected: Mapping[str, float], observables: Sequence[str]
) -> list[Finding]:
    """Find the worst response that does not describe the varied events.

    That is one which statistics do not explain, among all that were tested, and which shifts the
    events that are expected by more than half a statistical error.

    Args:
        closures: Comparisons.
        expected: Number of events of each process by name.
        observables: Names of the observables.
    """
    found = [
        (expected[each.process] * each.excess**2, each)
        for each in closures
        if each.p_value * len(closures) < UNLIKELY
    ]
    shift, worst = max(found, key=lambda pair: pair[0], default=(0.0, None))
    if worst is None or shift <= HALF_AN_ERROR:
        return []
    reason = (
        f"the response of {worst.process} to {worst.nuisance} = {worst.sign:+d} is off by "
        f"{100 * worst.excess:.2g} % in {observables[worst.observable]} "
        f"(global p = {min(1.0, worst.p_value * len(closures)):.1g})"
    )
    return [Finding(reason, f"simulate more events of {worst.process}")]
