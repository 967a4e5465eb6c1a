"""What is told of trained networks: limits, whether to rely on them, how well they know the truth.

All is arrays by name, as files of results hold them; ``<name>`` is that of a likelihood, with the
number of events or without, see :data:`steps.inference.frames.NAMES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steps.arrays import Array
from steps.inference import (
    clipping,
    covering,
    cross_fitted,
    evidence,
    judging,
    reliability,
    samples,
    support,
    truncated,
)
from steps.inference.clipping import Cuts
from steps.inference.cross_fitted import Sample
from steps.inference.frames import NAMES, Frame
from steps.inference.likelihood import Densities, Likelihood
from steps.inference.targets import Target

Random = Callable[..., np.random.Generator]
"""Returns a source of what is random for a purpose, given in words; the same for the same ones."""

# Parameter points that events are compared at with their joint ratios.
_JOINT_POINTS = 100


@dataclass(frozen=True)
class Evaluated:
    """Cross-fitted networks, as their events know them, and where limits are set.

    Attributes:
        sample: The events.
        x: Their observations ``(n, n_observables)``.
        benchmarks: Parameter points ``(b, p)`` that may tell of them.
        frame: Where limits are set.
        names: Names of what there is.
    """

    sample: Sample
    x: Array
    benchmarks: Array
    frame: Frame
    names: judging.Names

    @property
    def case(self) -> judging.Case:
        """The limits that are judged."""
        trained = self.sample.events.polynomial.region
        return judging.Case(self.frame, trained, self.sample.weights, self.names)

    def tested(self, points: Array, target: Target) -> evidence.Evidence:
        """Return tests of the ratio.

        Args:
            points: Parameter points near the contour, ``(g, p)``.
            target: What limits are wanted of.
        """
        return evidence.gather(
            cross_fitted.judged(self.sample, self.x, self.names, self.benchmarks, points, target)
        )

    def judged(
        self, likelihoods: Sequence[Likelihood]
    ) -> tuple[reliability.Facts, evidence.Evidence]:
        """Return what limits are judged by, and the tests of the ratio that are part of it.

        Args:
            likelihoods: The nominal likelihood and those of the bags.
        """
        facts = judging.facts(self.case, likelihoods)
        found = self.tested(facts.simulation.points, self.frame.target)
        return replace(facts, checks=found.checks), found


@dataclass(frozen=True)
class Wanted:
    """What is wanted of cross-fitted networks beside limits.

    Attributes:
        method: Name of their method.
        n_toys: Pseudo-experiments at a point; none for 0.
        covered: Further parameter points at which coverage is told, the true one apart.
        information: Parameter point of the Fisher information ``(p,)``; none for None.
        reference: Parameter point that joint ratios are relative to, ``(p,)``.
        n_joint: Events that are compared with their joint ratios, at most.
        clip: Cuts below which limits are told; none for None.
    """

    method: str
    n_toys: int
    covered: Sequence[Sequence[float]]
    information: Array | None
    reference: Array
    n_joint: int
    clip: Cuts | None = None


def of_cross_fitted(evaluated: Evaluated, wanted: Wanted, random: Random) -> dict[str, Array]:
    """Evaluate cross-fitted networks.

    Args:
        evaluated: Their events, and where limits are set.
        wanted: What is wanted beside limits.
        random: Source of what is random.

    Returns:
        For each likelihood :meth:`steps.inference.frames.Frame.curve`; ``findings/<name>``, why it
        is not reliable, and ``evidence/<name>/<kind>``, global p-value, change of q and error of
        the worst test of each kind; of pseudo-experiments, if wanted and there is a grid,
        ``thresholds/<name>/<level>`` and ``coverage/<name>``, see
        :func:`steps.inference.covering.toys`. Of all ``fisher/<method>`` and
        ``fisher_error/<method>``, and what :mod:`steps.inference.truncated`,
        :mod:`steps.inference.clipping`, :func:`steps.inference.cross_fitted.compare` and
        :func:`steps.inference.cross_fitted.joint` say.
    """
    sample, target = evaluated.sample, evaluated.frame.target
    arrays: dict[str, Array] = {}
    for with_rate in target.rates:
        name = NAMES[with_rate]
        found = cross_fitted.likelihoods(
            sample, target.region, target.theta_true, target.luminosity, with_rate=with_rate
        )
        arrays |= evaluated.frame.curve(name, found, cross_fitted.TRAINING_ERROR)
        arrays |= _judged(evaluated, name, found)
        if wanted.n_toys and evaluated.frame.has_grid:
            arrays |= _covered(evaluated, wanted, name, found[0], random("toys", name))
    # Linear terms are those of an expansion about zero, and bins count events.
    if True in target.rates and not target.theta_true.any():
        arrays |= truncated.to_arrays(sample, target.luminosity)
    if wanted.clip is not None:
        values = evaluated.x[:, evaluated.names.observables.index(wanted.clip.observable)]
        scanned = clipping.of_networks(sample, values, evaluated.case)
        arrays |= clipping.scan(scanned, wanted.clip)
    arrays |= cross_fitted.compare(sample, evaluated.x, target.region.tolist())
    if wanted.information is not None:
        matrices = cross_fitted.information(sample, wanted.information, target.luminosity)
        arrays[f"fisher/{wanted.method}"] = matrices[0]
        if len(matrices) > 2:
            arrays[f"fisher_error/{wanted.method}"] = matrices[1:].std(axis=0, ddof=1)
    return arrays | _joint(sample, wanted, target.region, random("test points"))


def of_grid(case: judging.Case, kinematics: Array, rate: Array) -> dict[str, Array]:
    """Return the limits of log likelihoods that are known at the points of a grid.

    Args:
        case: Where limits are set, and what they are judged by.
        kinematics: Log likelihoods without the number of events, nominally and of each bag,
            ``(1 + n_bags, g)``.
        rate: Those of the number of events alone, likewise.

    Returns:
        For each likelihood :meth:`steps.inference.frames.Frame.curve`, and ``findings/<name>``, why
        it is not reliable.
    """
    arrays: dict[str, Array] = {}
    for with_rate in case.frame.target.rates:
        name = NAMES[with_rate]
        likelihoods = [case.frame.interpolated(row) for row in kinematics + rate * with_rate]
        arrays |= case.frame.curve(name, likelihoods)
        found = reliability.findings(judging.facts(case, likelihoods))
        arrays[f"findings/{name}"] = judging.lines(found)
    return arrays


def _judged(evaluated: Evaluated, name: str, likelihoods: Sequence[Likelihood]) -> dict[str, Array]:
    """Return tests of the ratio, and why limits are not reliable."""
    facts, found = evaluated.judged(likelihoods)
    reasons = reliability.findings(facts)
    if reasons:
        supported = support.supported_luminosity(
            evaluated.case,
            likelihoods,
            lambda points, target: evaluated.tested(points, target).checks,
        )
        reasons = [*reasons, reliability.together(supported)]
    arrays = {f"findings/{name}": judging.lines(reasons)}
    for kind in evidence.KINDS:
        worst = found.worst(kind)
        arrays[f"evidence/{name}/{kind}"] = np.array([worst.p_global, worst.change, worst.error])
    return arrays


def _covered(
    evaluated: Evaluated,
    wanted: Wanted,
    name: str,
    likelihood: Densities,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Return thresholds from pseudo-experiments, and coverages."""
    target = evaluated.frame.target
    thresholds, coverage = covering.toys(
        evaluated.frame,
        likelihood,
        lambda point: target.luminosity * evaluated.sample.weights(point[None])[0],
        wanted.n_toys,
        [target.theta_true.tolist(), *wanted.covered],
        rng,
    )
    arrays = {f"thresholds/{name}/{level}": values for level, values in thresholds.items()}
    return arrays | {f"coverage/{name}": coverage}


def _joint(
    sample: Sample, wanted: Wanted, region: Array, rng: np.random.Generator
) -> dict[str, Array]:
    """Compare some events with their joint ratios at random points of a region."""
    rows = samples.some(len(sample.coefficients), wanted.n_joint, rng)
    low, high = region.T
    points = rng.uniform(low, high, (_JOINT_POINTS, len(low)))
    return cross_fitted.joint(sample, wanted.reference, points, rows)
