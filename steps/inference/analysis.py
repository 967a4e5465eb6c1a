"""Likelihoods of parameter points given the data expected at a true point."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from steps.interface import madminer as _madminer  # noqa: F401 - mends MadMiner before its use

from madminer.limits import AsymptoticLimits  # isort: skip

# Larger than any file: histograms shall use every event of the training partition.
_ALL_EVENTS = 10**9


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
        self._points = points
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
        log_r = evaluate(self.x, self._points)
        # Morphing can give an event a negative weight; there the ratio has no logarithm.
        log_r[:, ~np.isfinite(log_r).all(axis=0)] = 0.0
        return self.n_expected * log_r @ self.weights

    def from_histogram(self, variables: Sequence[str]) -> NDArray:
        """Return the kinematic log likelihood of histograms of observables."""
        return self._madminer("histo", hist_vars=list(variables))

    def from_score(self, mode: str, model_file: str) -> NDArray:
        """Return the kinematic log likelihood of histograms of an estimated score.

        Args:
            mode: ``sally`` or ``sallino``.
            model_file: Estimator as MadMiner saved it.
        """
        return self._madminer(mode, model_file=model_file)

    def _madminer(self, mode: str, **options: object) -> NDArray:
        luminosity = 1.0 / self._limits._calculate_xsecs([self._theta_true])[0]
        _, _, _, log_r, _, _ = self._limits.expected_limits(
            mode=mode,
            theta_true=self._theta_true,
            include_xsec=False,
            thetas_eval=self._points,
            grid_resolutions=None,
            luminosity=luminosity,
            test_split=self._test_split,
            n_histo_toys=self._n_histogram,
            n_binning_toys=self._n_histogram,
            histo_theta_batchsize=len(self._points),
            sample_only_from_closest_benchmark=False,
            thetaref=self._theta_true,
            return_histos=False,
            **options,
        )
        return self.n_expected * log_r
