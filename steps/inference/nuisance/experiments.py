"""What pseudo-experiments say of limits with nuisance parameters: coverage, p-values, fits.

They are drawn from the simulated events' own weights times the responses, with auxiliary
measurements about nu, and each is fitted anew, theta and nu.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import chi2

from steps.arrays import Array
from steps.inference import goodness, observing, pseudo_experiments
from steps.inference.cross_fitted import Sample
from steps.inference.goodness import Bins
from steps.inference.nuisance import toys
from steps.inference.nuisance.breakdown import Fit
from steps.inference.nuisance.climbing import Maxima
from steps.inference.nuisance.likelihood import Data, Joint
from steps.inference.nuisance.profiling import Profiled
from steps.inference.observing import Experiment
from steps.inference.statistics import CONFIDENCE_LEVELS

MOST_TOYS = 500
"""As many experiments tell a coverage to two per cent."""

# Simulated events that experiments are drawn from, at most.
_MOST_EVENTS = 4_000
# Experiments times events that are fitted at once.
_MOST_NUMBERS = 1_000_000


@dataclass(frozen=True)
class Simulated:
    """Simulated events that experiments are drawn from and fitted with.

    Attributes:
        rows: Their numbers in the sample, ``(m,)``.
        joint: The joint log likelihood of networks, with these events as its mixture.
        weighted: The same with the events' own weights in place of what networks say.
    """

    rows: Array
    joint: Joint
    weighted: Joint

    @classmethod
    def of(cls, sample: Sample, joint: Joint, theta: Array, rng: np.random.Generator) -> Self:
        """Choose some events.

        Args:
            sample: The events.
            joint: Their joint log likelihood.
            theta: Where experiments are made, ``(p,)``.
            rng: Source of randomness.
        """
        assert sample.part is not None
        some, rows = toys.thinned(joint, sample.weights(theta[None])[0], _MOST_EVENTS, rng)
        own = (sample.coefficients[rows], sample.part.number[rows])
        return cls(rows, some, toys.of_weights(some, *own, theta))

    def counts(self, point: Array) -> Array:
        """Return how often each is expected at a point in theta and nu ``(d,)``, ``(m,)``."""
        counts: Array = np.maximum(self.weighted.expected(point), 0.0)
        return counts

    def contents(self, points: Array, bins: Sequence[Bins]) -> list[Array]:
        """Return the numbers expected in bins at points ``(t, d)``, each ``(t, size)``."""
        counts = np.stack([self.counts(point) for point in points])
        return [each.counted(counts) for each in bins]

    def truth(self, point: Array) -> toys.Truth:
        """Return what experiments at a point ``(d,)`` are made of."""
        return toys.Truth(point, self.counts(point))


def coverage(simulated: Simulated, theta: Array, n_toys: int, rng: np.random.Generator) -> Array:
    """Return how often regions hold a point, in experiments at nu = 0.

    Args:
        simulated: What experiments are made of.
        theta: The point ``(p,)``.
        n_toys: Number of experiments.
        rng: Source of randomness.

    Returns:
        A row as those of :func:`steps.inference.covering.toys`, NaN for Neyman's thresholds, which
        are not made, ``(1, p + 8)``.
    """
    point = np.append(theta, np.zeros(simulated.joint.n_nuisance))
    q = toys.experiments(simulated.joint, simulated.truth(point), n_toys, rng)
    cuts = [float(chi2.isf(level, df=len(theta))) for level in CONFIDENCE_LEVELS.values()]
    covered = [value for cut in cuts for value in pseudo_experiments.coverage(q, cut)]
    return np.array([[*theta, *covered, *np.full(len(covered), np.nan)]])


def observed(
    experiment: Experiment, joint: Joint, best: Fit, rng: np.random.Generator
) -> tuple[Array, dict[str, Array]]:
    """Return how far the true point is from observed events, and the goodness of fit.

    Experiments are made at the true point with the nu that fit best there, and at the best fit.

    Args:
        experiment: Simulated and observed events, and the number of experiments.
        joint: The joint log likelihood given the observed events.
        best: Its best fit.
        rng: Source of randomness.

    Returns:
        q of the true point, its p-values by Wilks' theorem and by experiments, NaN without any, and
        the number of these, ``(4,)``; and :func:`steps.inference.goodness.test`.
    """
    theta, n_toys = experiment.frame.target.theta_true, experiment.n_toys
    there = Profiled(joint).maxima(theta[None])
    q = 2 * max(best.value - float(there.values[0]), 0.0)
    p_value, fitted = np.nan, best.parameters[: best.p]
    if n_toys:
        simulated = Simulated.of(experiment.sample, joint, theta, rng)
        truth = simulated.truth(there.parameters[0])
        exceeded = toys.experiments(simulated.joint, truth, n_toys, rng) >= q
        p_value = (1 + np.count_nonzero(exceeded)) / (1 + n_toys)
    simulated = Simulated.of(experiment.sample, joint, fitted, rng)
    tested = goodness.test(
        observing.quantities(experiment, fitted, simulated.rows),
        simulated,
        goodness.Fit(best.parameters, best.parameters, _fitter(simulated.joint, best, rng)),
        n_toys,
        rng,
        with_rate=joint.with_rate,
    )
    return np.array([q, chi2.sf(q, df=len(theta)), p_value, n_toys]), tested


def _fitter(
    joint: Joint, best: Fit, rng: np.random.Generator
) -> Callable[[Array | csr_array], Array]:
    """Return a function that fits experiments at the best fit, with auxiliary measurements."""

    def fit(counts: Array | csr_array) -> Array:
        n_toys, n_events = counts.shape
        auxiliary = rng.normal(best.pulls[:, 0], 1.0, (n_toys, best.n_nuisance))
        found, size = [], max(1, _MOST_NUMBERS // n_events)
        for begin in range(0, n_toys, size):
            these = slice(begin, begin + size)
            some = counts[these]
            dense = some.toarray() if isinstance(some, csr_array) else some
            data = Data(dense.astype(float), auxiliary[these])
            starts = np.tile(best.parameters, (len(dense), 1))
            start = Maxima(starts, np.full(len(dense), -np.inf))
            found.append(toys.best(joint.of(data), start).parameters)
        return np.concatenate(found)

    return fit
