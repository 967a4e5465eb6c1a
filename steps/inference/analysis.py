"""Likelihoods of parameter points given the data expected at a true point."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from steps.interface import madminer as _madminer  # noqa: F401 - mends MadMiner before its use

from madminer.limits import AsymptoticLimits  # isort: skip

# Larger than any file: histograms shall use every event of the training partition.
_ALL_EVENTS = 10**9
# Events times parameter points held at once; MadMiner makes some ten copies of 8 bytes each.
_MOST_NUMBERS = 10_000_000
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
        points: NDArray,
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
        self._limits = AsymptoticLimits(data_file)
        self.points = points
        self._theta_true = np.asarray(theta_true, dtype=float)
        self._test_split = test_split
        self._luminosity = luminosity
        self.cross_sections = self._limits.xsecs(thetas=list(points))[0]
        self.n_expected = luminosity * self._limits.xsecs(thetas=[self._theta_true])[0][0]
        first_test = round((1 - test_split) * self._limits.n_samples) + 1
        x, weights = self._limits.weighted_events(theta=self._theta_true, start_event=first_test)
        self.x, self.weights = x, weights / weights.sum()

    def rate(self) -> NDArray:
        """Return the Poisson log likelihood of the number of events, up to a constant."""
        mean = self._luminosity * self.cross_sections
        return self.n_expected * np.log(mean) - mean

    def from_log_ratio(self, evaluate: Callable[[NDArray, NDArray], NDArray]) -> NDArray:
        """Return the kinematic log likelihood given a function (x, points) -> log r (n_grid, n)."""
        total = np.zeros(len(self.points))
        batch = max(1, _MOST_NUMBERS // len(self.points))
        for start in range(0, len(self.x), batch):
            events = slice(start, start + batch)
            log_r = evaluate(self.x[events], self.points)
            # Morphing can give an event a negative weight; there the ratio has no logarithm.
            log_r[:, ~np.isfinite(log_r).all(axis=0)] = 0.0
            total += log_r @ self.weights[events]
        return self.n_expected * total

    def from_histogram(self, variables: Sequence[str]) -> NDArray:
        """Return the kinematic log likelihood of histograms of observables."""
        return self._madminer("histo", hist_vars=list(variables))

    def from_sally(self, model_file: str) -> NDArray:
        """Return the kinematic log likelihood of histograms of all components of a score.

        Args:
            model_file: Score estimator as MadMiner saved it.
        """
        return self._madminer("sally", model_file=model_file)

    def from_sallino(
        self, evaluate: Callable[[NDArray], NDArray], reference: str | NDArray
    ) -> NDArray:
        """Return the kinematic log likelihood of histograms of h = t . (theta - theta_ref).

        The projection h differs from point to point, so densities of h can only be compared at
        the same h: the likelihood of a point is that relative to the reference in the same bins.
        (MadMiner's own mode compares densities of different projections.)

        Args:
            evaluate: Function from observations ``(n, n_observables)`` to scores.
            reference: Benchmark or point at which the score was trained.
        """
        data = self._limits
        theta_ref = np.asarray(data._get_theta_value(reference), dtype=float)
        last_train = round((1 - self._test_split) * data.n_samples)
        x, benchmark_weights = data.weighted_events(
            start_event=0, end_event=last_train, n_draws=min(self._n_histogram, last_train)
        )
        train, test = evaluate(x), evaluate(self.x)

        def weights(theta: NDArray) -> NDArray:
            result = benchmark_weights @ data.morpher.calculate_morphing_weights(theta)
            return result / result.sum()

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

    def _madminer(self, mode: str, **options: object) -> NDArray:
        n_events = min(self._n_histogram, self._limits.n_samples)
        luminosity = 1.0 / self._limits._calculate_xsecs([self._theta_true])[0]
        _, _, _, log_r, _, _ = self._limits.expected_limits(
            mode=mode,
            theta_true=self._theta_true,
            include_xsec=False,
            thetas_eval=self.points,
            grid_resolutions=None,
            luminosity=luminosity,
            test_split=self._test_split,
            n_histo_toys=self._n_histogram,
            n_binning_toys=self._n_histogram,
            histo_theta_batchsize=min(len(self.points), max(1, _MOST_NUMBERS // n_events)),
            sample_only_from_closest_benchmark=False,
            return_histos=False,
            **options,
        )
        return self.n_expected * log_r
