"""The luminosity up to which limits that are not reliable would be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from steps.arrays import Array
from steps.inference import judging, reliability
from steps.inference.evidence import Check
from steps.inference.likelihood import Likelihood
from steps.inference.targets import Target

_STEP = 2.0
_MOST_STEPS = 8
# As many bags tell an uncertainty to a third.
_BAGS = 6


@dataclass(frozen=True)
class Scaled:
    """A likelihood at another luminosity.

    Attributes:
        likelihood: That at the luminosity which is known.
        factor: The other one in units of it.
    """

    likelihood: Likelihood
    factor: float

    @property
    def region(self) -> Array:
        """Lowest and highest value of each parameter, ``(p, 2)``."""
        return self.likelihood.region

    def __call__(self, points: Array) -> Array:
        """Return the log likelihood at parameter points ``(g, p)``, ``(g,)``."""
        return self.factor * self.likelihood(points)

    def gradient(self, point: Array) -> Array:
        """Return its gradient at one point, ``(p,)``."""
        return self.factor * self.likelihood.gradient(point)


def supported_luminosity(
    case: judging.Case,
    likelihoods: Sequence[Likelihood],
    tests: Callable[[Array, Target], Sequence[Check]],
) -> float:
    """Return a luminosity in 1/pb at which nothing speaks against the limits; NaN if none is found.

    A contour that leaves the region is no matter of luminosity.

    Args:
        case: The limits.
        likelihoods: The nominal likelihood and those of the bags, at the luminosity of the case.
        tests: Tests of the ratio, given points near the contour and what limits are wanted of.
    """
    for step in range(1, _MOST_STEPS + 1):
        factor = _STEP**-step
        target = case.frame.target
        target = replace(target, luminosity=factor * target.luminosity)
        there = replace(case, frame=replace(case.frame, target=target))
        scaled = [Scaled(likelihood, factor) for likelihood in likelihoods[: 1 + _BAGS]]
        facts = judging.facts(there, scaled)
        checks = tests(facts.simulation.points, target)
        if not reliability.findings(replace(facts, checks=checks), region=False):
            return target.luminosity
    return float("nan")
