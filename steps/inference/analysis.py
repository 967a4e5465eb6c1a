"""Likelihoods of MadMiner's networks, given the data expected at a true point, or observed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steps.arrays import Array
from steps.inference import closure
from steps.inference.likelihood import Densities
from steps.inference.methods import Likelihood, Method
from steps.inference.simulation import Simulation
from steps.inference.targets import Target
from steps.madminer.estimator import Estimator

# Events times parameter points held at once.
_MOST_NUMBERS = 10_000_000
_SALLINO_BINS = 25
# Bins of each component of a score, at most, and events of the mixture in a bin, at least.
_SCORE_BINS = {1: 40, 2: 20}
_EVENTS_PER_BIN = 50
_EMPTY = 1e-9


@dataclass(frozen=True)
class Parts:
    """Which simulated events serve what.

    Attributes:
        test: Numbers of the events that no network has seen: the expected data.
        filling: Numbers of events of the others that fill histograms.
    """

    test: Array
    filling: Array

    @classmethod
    def of(cls, n: int, test_split: float, n_filling: int, rng: np.random.Generator) -> "Parts":
        """Divide n events as MadMiner does.

        Args:
            n: Number of events.
            test_split: Share of them that no network has seen, the last ones.
            n_filling: Number of events that fill histograms, 0 for all.
            rng: Source of what is random.
        """
        first_test = round((1 - test_split) * n) + 1
        filling = np.arange(first_test - 1)
        if n_filling and n_filling < len(filling):
            filling = np.sort(rng.choice(filling, n_filling, replace=False))
        return cls(np.arange(first_test, n), filling)


@dataclass(frozen=True)
class Analysis:
    """A simulation, what limits are wanted of, and the parameter points ``(g, p)`` of these.

    Log likelihoods are ``(1 + n_bags, g)``, the nominal one first; where there are observed events
    ``(2 (1 + n_bags), g)``, those given the expected data, then those given the observed.
    """

    simulation: Simulation
    parts: Parts
    target: Target
    points: Array
    observed: Array | None = None

    def rate(self) -> Array:
        """Return the Poisson log likelihoods of the number of events, up to a constant."""
        rates = self.simulation.rates(self.target.luminosity)
        monomials = self.simulation.polynomial.weights(self.points)
        observed = rates @ self.simulation.polynomial.weights(self.target.theta_true[None]).T
        expected = rates @ monomials.T
        log_likelihoods: Array = observed * np.log(expected) - expected
        if self.observed is None:
            return log_likelihoods
        counted = len(self.observed) * np.log(expected) - expected
        return np.vstack([log_likelihoods, counted])

    @property
    def _judged(self) -> Array:
        """Observations of the test events, and the observed ones, ``(m, n_observables)``."""
        test = self.simulation.x[self.parts.test]
        return test if self.observed is None else np.vstack([test, self.observed])

    def _bag(self, row: int) -> int:
        """Return the number of the bag of a row of log likelihoods, 0 for none."""
        return row % len(self.simulation.multiplicity)

    def _counts(self) -> Array:
        """Return how many of each judged event there are, a row for each log likelihood."""
        simulation, truth = self.simulation, self.target.theta_true
        shares = simulation.multiplicity[:, self.parts.test]
        shares = shares * simulation.weights(truth[None])[0, self.parts.test]
        rates = simulation.rates(self.target.luminosity)
        expected = rates @ simulation.polynomial.weights(truth[None]).T
        counts: Array = shares / shares.sum(axis=1, keepdims=True) * expected
        if self.observed is None:
            return counts
        n_bags, n_test, n_observed = *counts.shape, len(self.observed)
        return np.block(
            [
                [counts, np.zeros((n_bags, n_observed))],
                [np.zeros((n_bags, n_test)), np.ones((n_bags, n_observed))],
            ]
        )

    def of_ratio(
        self, evaluate: Callable[[Array, Array], Array], references: Sequence[Array]
    ) -> Array:
        """Return the kinematic log likelihoods of a ratio r(x|theta).

        The ratio is divided by its mean over the events of its denominator, which is one for the
        exact ratio.

        Args:
            evaluate: Function (x, points) -> log r ``(n_points, n)``.
            references: Parameter points of the denominator, equally likely; without any r is taken
                as it is.
        """
        simulation, points = self.simulation, self.points
        counts, judged = self._counts(), self._judged
        below = simulation.multiplicity[:, self.parts.test] * np.mean(
            [
                _normalised(simulation.weights(point[None])[0, self.parts.test])
                for point in references
            ]
            or [np.zeros(len(self.parts.test))],
            axis=0,
        )
        # Observed events are not of the denominator's.
        below = np.pad(below, ((0, 0), (0, len(judged) - below.shape[1])))
        total, norm = (np.zeros((len(each), len(points))) for each in (counts, below))
        batch = max(1, _MOST_NUMBERS // len(points))
        for start in range(0, len(judged), batch):
            part = slice(start, start + batch)
            log_r = evaluate(judged[part], points)
            # Morphing can give an event a negative weight; there the ratio has no logarithm.
            log_r[:, ~np.isfinite(log_r).all(axis=0)] = 0.0
            total += counts[:, part] @ log_r.T
            norm += below[:, part] @ np.exp(log_r).T
        if len(references):
            norm /= below.sum(axis=1, keepdims=True)
            log_norm = np.log(np.maximum(norm, _EMPTY))
            rows = [self._bag(row) for row in range(len(counts))]
            total -= counts.sum(axis=1, keepdims=True) * log_norm[rows]
        return total

    def of_score(self, evaluate: Callable[[Array], Array]) -> Array:
        """Return the kinematic log likelihoods of histograms of all components of a score.

        Args:
            evaluate: Function from observations ``(n, n_observables)`` to scores ``(n, p)``.
        """
        found = self.binned(self.bins(evaluate(self.scored)))
        return np.array([likelihood(self.points) for likelihood in found])

    @property
    def scored(self) -> Array:
        """Observations of the events that fill histograms, then of those that are judged."""
        return np.vstack([self.simulation.x[self.parts.filling], self._judged])

    def bins(self, scores: Array) -> closure.Binning:
        """Return bins of all components of scores ``(m, p)`` of :attr:`scored`."""
        n, p = len(self.parts.filling), scores.shape[1]
        n_bins = min(int((n / _EVENTS_PER_BIN) ** (1 / p)), _SCORE_BINS.get(p, 12))
        return closure.quantile_bins(scores, _first(n, len(scores)), max(n_bins, 2))

    def contents(self, bins: closure.Binning, coefficients: Array, row: int) -> Array:
        """Return the sums of coefficients ``(n, c)`` of all events that fill bins, ``(b, c)``."""
        filling = self.parts.filling
        multiplicity = self.simulation.multiplicity[self._bag(row), filling]
        weights = coefficients[filling] * multiplicity[:, None]
        filled = bins.index[: len(filling)]
        return np.stack([np.bincount(filled, w, bins.size) for w in weights.T], axis=-1)

    def binned(self, bins: closure.Binning) -> list[Densities]:
        """Return the kinematic log likelihoods of bins of :attr:`scored`, a row each."""
        simulation, judged = self.simulation, bins.index[len(self.parts.filling) :]
        found = []
        for row, expected in enumerate(self._counts()):
            densities = self.contents(bins, simulation.coefficients, row)
            # A bin that nothing fills knows nothing.
            empty = (densities == 0).all(axis=1)[:, None]
            found.append(
                Densities(
                    polynomial=simulation.polynomial,
                    region=self.target.region,
                    counts=np.bincount(judged, expected, bins.size),
                    densities=np.where(empty, densities.sum(axis=0), densities),
                    norm=densities.sum(axis=0),
                )
            )
        return found

    def of_projection(self, evaluate: Callable[[Array], Array], reference: Array) -> Array:
        """Return the kinematic log likelihoods of histograms of h = t . (theta - theta_ref).

        The projection h differs from point to point, so densities of h can only be compared at
        the same h: the likelihood of a point is that relative to the reference in the same bins.
        (MadMiner's own mode compares densities of different projections.)

        Args:
            evaluate: Function from observations ``(n, n_observables)`` to scores.
            reference: Point at which the score was trained.
        """
        simulation = self.simulation
        train, test = (evaluate(x) for x in (simulation.x[self.parts.filling], self._judged))
        weights = {
            k: simulation.weights(point[None])[0, self.parts.filling]
            for k, point in enumerate([*self.points, reference])
        }
        at_reference, counts = weights[len(self.points)], self._counts()
        total = np.zeros((len(counts), len(self.points)))
        for k, direction in enumerate(self.points - reference):
            if not direction.any():
                continue
            h = train @ direction
            edges = np.quantile(h, np.linspace(0, 1, _SALLINO_BINS + 1)[1:-1])
            filled = np.searchsorted(edges, h)
            judged = np.searchsorted(edges, test @ direction)
            for row in range(len(counts)):
                multiplicity = simulation.multiplicity[self._bag(row), self.parts.filling]
                here, there = (
                    _normalised(np.bincount(filled, multiplicity * w, _SALLINO_BINS))
                    for w in (weights[k], at_reference)
                )
                ratio = np.maximum(here, _EMPTY) / np.maximum(there, _EMPTY)
                total[row, k] = counts[row] @ np.log(ratio)[judged]
        return total


def _normalised(weights: Array) -> Array:
    total: Array = weights / weights.sum()
    return total


def _first(n: int, of: int) -> Array:
    """Return weights ``(of,)`` that count the first n alone."""
    return (np.arange(of) < n).astype(float)


def log_likelihoods(
    analysis: Analysis, method: Method, model: Estimator, references: Sequence[Array]
) -> Array:
    """Return the kinematic log likelihoods that a method makes, see :class:`Analysis`.

    Args:
        analysis: Expected data and parameter points.
        method: The method.
        model: Its network, trained.
        references: Points of a ratio's denominator, or the one at which a score was trained.
    """
    n_parameters = analysis.points.shape[1]
    match method.likelihood:
        case Likelihood.SUM:
            return analysis.of_ratio(model.log_ratio, references)
        case Likelihood.HISTOGRAM:
            return analysis.of_score(lambda x: model.score(x, n_parameters))
        case Likelihood.PROJECTION:
            return analysis.of_projection(lambda x: model.score(x, n_parameters), references[0])
