"""Likelihoods of parameter points given the data expected at a true point."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.inference.methods import Likelihood, Method
from steps.madminer.estimator import Estimator
from steps.madminer.events import Events, Reference
from steps.madminer.limits import MOST_NUMBERS, HistogramLikelihood

# Larger than any file: histograms shall use every event of the training partition.
_ALL_EVENTS = 10**9
_SALLINO_BINS = 25
_EMPTY = 1e-9


class Analysis:
    """Expected data at a true parameter point, and the likelihoods of a grid given them.

    The expected ("Asimov") data are the events of the test partition, weighted to the true point;
    the expected number of events is exact, not rounded.
    """

    def __init__(
        self,
        data_file: str,
        theta_true: Sequence[float],
        points: Array,
        luminosity: float,
        test_split: float,
        n_histogram: int = 0,
    ) -> None:
        """Read the data.

        Args:
            data_file: MadMiner file.
            theta_true: True parameter point.
            points: Grid of parameter points ``(n_grid, n_parameters)``.
            luminosity: Integrated luminosity in 1/pb.
            test_split: Share of the events that the estimators have not seen.
            n_histogram: Events of the other share that fill histograms, 0 for all.
        """
        self._n_histogram = n_histogram or _ALL_EVENTS
        self._events = Events(data_file)
        self.points = points
        self._test_split = test_split
        self._luminosity = luminosity
        self._theta_true = theta = np.asarray(theta_true, dtype=float)
        self._histogram = HistogramLikelihood(data_file, theta, test_split, self._n_histogram)
        self.cross_sections = self._events.cross_sections(list(points))
        self.n_expected = float(luminosity * self._events.cross_sections([theta])[0])
        first_test = round((1 - test_split) * self._events.n) + 1
        x, weights = self._events.weighted(theta, first=first_test)
        self.x, self.weights = x, weights / weights.sum()

    def expectation(self) -> dict[str, Array]:
        """Return what likelihoods must share to be shown together, as ``expectation/<name>``."""
        shared = {
            "grid": self.points,
            "theta_true": self._theta_true,
            "luminosity": self._luminosity,
            "n_expected": self.n_expected,
            "n_events": len(self.x),
        }
        return {f"expectation/{name}": np.asarray(value) for name, value in shared.items()}

    def rate(self) -> Array:
        """Return the Poisson log likelihood of the number of events, up to a constant."""
        mean = self._luminosity * self.cross_sections
        return self.n_expected * np.log(mean) - mean

    def from_log_ratio(self, evaluate: Callable[[Array, Array], Array]) -> Array:
        """Return the kinematic log likelihood given a function (x, points) -> log r (n_grid, n)."""
        total = np.zeros(len(self.points))
        batch = max(1, MOST_NUMBERS // len(self.points))
        for start in range(0, len(self.x), batch):
            events = slice(start, start + batch)
            log_r = evaluate(self.x[events], self.points)
            # Morphing can give an event a negative weight; there the ratio has no logarithm.
            log_r[:, ~np.isfinite(log_r).all(axis=0)] = 0.0
            total += log_r @ self.weights[events]
        return self.n_expected * total

    def from_histogram(self, variables: Sequence[str]) -> Array:
        """Return the kinematic log likelihood of histograms of observables."""
        return self.n_expected * self._histogram.of_observables(self.points, variables)

    def from_score_histogram(self, model_file: str) -> Array:
        """Return the kinematic log likelihood of histograms of all components of a score.

        Args:
            model_file: Score estimator as MadMiner saved it.
        """
        return self.n_expected * self._histogram.of_score(self.points, model_file)

    def from_score_projection(
        self, evaluate: Callable[[Array], Array], reference: Reference
    ) -> Array:
        """Return the kinematic log likelihood of histograms of h = t . (theta - theta_ref).

        The projection h differs from point to point, so densities of h can only be compared at
        the same h: the likelihood of a point is that relative to the reference in the same bins.
        (MadMiner's own mode compares densities of different projections.)

        Args:
            evaluate: Function from observations ``(n, n_observables)`` to scores.
            reference: Benchmark or point at which the score was trained.
        """
        events = self._events
        theta_ref = events.point(reference)
        last_train = round((1 - self._test_split) * events.n)
        x, benchmark_weights = events.drawn(last_train, min(self._n_histogram, last_train))
        train, test = evaluate(x), evaluate(self.x)

        def weights(theta: Array) -> Array:
            result: Array = benchmark_weights @ events.morphing_weights(theta)
            result /= result.sum()
            return result

        at_reference = weights(theta_ref)
        log_r = np.zeros(len(self.points))
        for k, direction in enumerate(self.points - theta_ref):
            if not direction.any():
                continue
            h = train @ direction
            edges = np.quantile(h, np.linspace(0, 1, _SALLINO_BINS + 1)[1:-1])
            bins = np.searchsorted(edges, h)
            here, there = (
                np.bincount(bins, w, minlength=_SALLINO_BINS)
                for w in (weights(self.points[k]), at_reference)
            )
            ratio = np.maximum(here, _EMPTY) / np.maximum(there, _EMPTY)
            log_r[k] = self.weights @ np.log(ratio)[np.searchsorted(edges, test @ direction)]
        return self.n_expected * log_r


def log_likelihood(
    analysis: Analysis,
    method: Method,
    model: Estimator,
    model_file: Path,
    reference: Reference | None,
) -> Array:
    """Return the kinematic log likelihood of the grid's points that a method makes.

    Args:
        analysis: Expected data and grid.
        method: The method.
        model: Its network, trained.
        model_file: The same as MadMiner saved it.
        reference: Benchmark or point at which a score was trained.
    """
    match method.likelihood:
        case Likelihood.SUM:
            return analysis.from_log_ratio(model.log_ratio)
        case Likelihood.HISTOGRAM:
            return analysis.from_score_histogram(str(model_file))
        case Likelihood.PROJECTION:
            assert reference is not None  # the schema allows no other
            n_parameters = analysis.points.shape[1]
            return analysis.from_score_projection(lambda x: model.score(x, n_parameters), reference)
