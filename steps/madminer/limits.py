"""MadMiner's own likelihoods of histograms, and Fisher information."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.madminer.library import AsymptoticLimits, FisherInformation

# Events times parameter points held at once; MadMiner makes some ten copies of 8 bytes each.
MOST_NUMBERS = 10_000_000


class HistogramLikelihood:
    """Log likelihoods of parameter points from histograms, given data expected at a true point."""

    def __init__(
        self, data_file: str, theta_true: Array, test_split: float, n_histogram: int
    ) -> None:
        """Open a MadMiner file.

        Args:
            data_file: The file.
            theta_true: True point ``(n_parameters,)``.
            test_split: Share of the events that are the expected data.
            n_histogram: Events of the others that fill histograms.
        """
        self._limits = AsymptoticLimits(data_file)
        self._theta_true = theta_true
        self._test_split = test_split
        self._n_histogram = n_histogram

    def of_observables(self, points: Array, names: Sequence[str]) -> Array:
        """Return the log likelihood per event at points, from a histogram of observables."""
        return self._call("histo", points, hist_vars=list(names))

    def of_score(self, points: Array, model_file: str) -> Array:
        """Return the log likelihood per event at points, from one of all components of a score.

        Args:
            points: Parameter points ``(n_points, n_parameters)``.
            model_file: Score estimator as MadMiner saved it.
        """
        return self._call("sally", points, model_file=model_file)

    def _call(self, mode: str, points: Array, **options: Any) -> Array:
        n_events = min(self._n_histogram, self._limits.n_samples)
        luminosity = 1.0 / self._limits._calculate_xsecs([self._theta_true])[0]
        log_likelihood: Array = self._limits.expected_limits(
            mode=mode,
            theta_true=self._theta_true,
            include_xsec=False,
            thetas_eval=points,
            grid_resolutions=None,
            luminosity=luminosity,
            test_split=self._test_split,
            n_histo_toys=self._n_histogram,
            n_binning_toys=self._n_histogram,
            histo_theta_batchsize=min(len(points), max(1, MOST_NUMBERS // n_events)),
            sample_only_from_closest_benchmark=False,
            return_histos=False,
            **options,
        )[3]
        return log_likelihood


class Information:
    """Fisher information at one parameter point; matrices ``(n_parameters, n_parameters)``."""

    def __init__(self, data_file: str, theta: Array, luminosity: float) -> None:
        """Open a MadMiner file.

        Args:
            data_file: The file.
            theta: Parameter point ``(n_parameters,)``.
            luminosity: Integrated luminosity in 1/pb.
        """
        self._fisher = FisherInformation(data_file, include_nuisance_parameters=False)
        self._theta, self._luminosity = theta, luminosity

    def in_rate(self) -> Array:
        """Return the information in the number of events."""
        matrix: Array = self._fisher.rate_information(
            self._theta, self._luminosity, include_nuisance_parameters=False
        )[0]
        return matrix

    def in_histogram(self, settings: Mapping[str, Any]) -> Array:
        """Return that in a histogram: ``observable``, ``histogram_bins``, ``histogram_range``."""
        bins = settings["histogram_bins"]
        matrix: Array = self._fisher.histo_information(
            self._theta,
            self._luminosity,
            observable=settings["observable"],
            bins=np.asarray(bins, dtype=float) if isinstance(bins, Sequence) else bins,
            histrange=settings.get("histogram_range"),
        )[0]
        return matrix

    def in_score(self, model_file: str) -> Array:
        """Return that in all observables and the rate, by a score estimator that was saved."""
        matrix: Array = self._fisher.full_information(
            self._theta, model_file, luminosity=self._luminosity
        )[0]
        return matrix
