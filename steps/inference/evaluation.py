"""What is told of trained networks: limits, whether to rely on them, how well they know the truth.

All is arrays by name, as files of results hold them; ``<name>`` is that of a likelihood, with the
number of events or without, see :data:`steps.inference.frames.NAMES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steps.arrays import Array
from steps.inference import (
    clipping,
    covering,
    cross_fitted,
    evidence,
    goodness,
    judging,
    observing,
    reliability,
    samples,
    support,
    truncated,
)
from steps.inference.clipping import Cuts
from steps.inference.cross_fitted import Sample
from steps.inference.frames import NAMES, Frame
from steps.inference.goodness import Expected, Fit, Quantity
from steps.inference.likelihood import Densities, Likelihood
from steps.inference.observing import PREFIX, Data, Experiment
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
        data: Observed events; None where there are none.
    """

    sample: Sample
    x: Array
    benchmarks: Array
    frame: Frame
    names: judging.Names
    data: Data | None = None

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
        :func:`steps.inference.covering.toys`. The same of ``observed/<name>`` given observed
        events, and what :func:`_observed` says. Of all ``fisher/<method>`` and
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
        if evaluated.data:
            arrays |= _observed(evaluated, wanted, evaluated.data, name, random)
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


@dataclass(frozen=True)
class Counted:
    """What observed events are counted in, where pseudo-experiments are not fitted again.

    Attributes:
        quantities: Values of simulated and observed events by name.
        expected: What the theory expects of the simulated ones.
        n_toys: Number of pseudo-experiments.
    """

    quantities: Mapping[str, Quantity]
    expected: Expected
    n_toys: int


def of_observed_grid(
    case: judging.Case, kinematics: Array, rate: Array, counted: Counted, random: Random
) -> dict[str, Array]:
    """Return limits given observed events, of log likelihoods as :func:`of_grid`.

    Returns:
        As :func:`of_cross_fitted` has of observed events, without a p-value of the true point by
        pseudo-experiments.
    """
    arrays: dict[str, Array] = {}
    theta = case.frame.target.theta_true
    for with_rate in case.frame.target.rates:
        of = f"{PREFIX}{NAMES[with_rate]}"
        likelihoods = [case.frame.interpolated(row) for row in kinematics + rate * with_rate]
        arrays |= case.frame.curve(of, likelihoods)
        facts = replace(judging.facts(case, likelihoods), best_fit=None)
        arrays[f"findings/{of}"] = judging.lines(reliability.findings(facts))
        best = observing.best_fit(arrays, of)
        arrays[f"truth/{of}"] = np.array(
            [*observing.distance(likelihoods[0], best, theta), np.nan, counted.n_toys]
        )
        tested = goodness.test(
            counted.quantities,
            counted.expected,
            Fit(best, best),
            counted.n_toys,
            random("observed", of),
            with_rate=with_rate,
        )
        arrays |= {f"goodness/{of}/{quantity}": row for quantity, row in tested.items()}
    return arrays


def _observed(
    evaluated: Evaluated, wanted: Wanted, data: Data, name: str, random: Random
) -> dict[str, Array]:
    """Return limits given observed events.

    Returns:
        Of ``observed/<name>`` the curve and the findings; ``truth/observed/<name>``, q of the true
        point, its p-values by Wilks' theorem and by pseudo-experiments, and the number of these;
        ``goodness/observed/<name>/<quantity>``, see :func:`steps.inference.goodness.test`.
    """
    sample, frame = evaluated.sample, evaluated.frame
    of, target, with_rate = f"{PREFIX}{name}", frame.target, name == NAMES[True]
    found = cross_fitted.observed_likelihoods(
        sample, data.densities, target.region, target.luminosity, with_rate=with_rate
    )
    arrays = frame.curve(of, found, cross_fitted.TRAINING_ERROR)
    facts, _ = evaluated.judged(found)
    # Observed events need not fit best at the true point.
    arrays[f"findings/{of}"] = judging.lines(reliability.findings(replace(facts, best_fit=None)))
    best, n_toys = observing.best_fit(arrays, of), covering.MORE * wanted.n_toys
    experiment = Experiment(sample, evaluated.x, evaluated.names.observables, frame, data, n_toys)
    p_value, tested = observing.toys(experiment, found[0], best, random("observed", name))
    truth = observing.distance(found[0], best, target.theta_true)
    arrays[f"truth/{of}"] = np.array([*truth, p_value, n_toys])
    return arrays | {f"goodness/{of}/{quantity}": row for quantity, row in tested.items()}


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
