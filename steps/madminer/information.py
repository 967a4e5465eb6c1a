"""MadMiner's Fisher information."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.madminer.library import FisherInformation


class Information:
    """Fisher information at one parameter point: matrices ``(n_parameters, n_parameters)``.

    Errors, of the same shape, are from the finite simulation.
    """

    def __init__(self, data_file: str, theta: Array, luminosity: float) -> None:
        """Open a MadMiner file.

        Args:
            data_file: The file.
            theta: Parameter point ``(n_parameters,)``.
            luminosity: Integrated luminosity in 1/pb.
        """
        self._fisher = FisherInformation(data_file, include_nuisance_parameters=False)
        self._theta, self._luminosity = theta, luminosity

    def in_rate(self) -> tuple[Array, Array]:
        """Return the information in the number of events, and its error."""
        found = self._fisher.rate_information(
            self._theta, self._luminosity, include_nuisance_parameters=False
        )
        return _with_error(*found)

    def in_histogram(self, settings: Mapping[str, Any]) -> tuple[Array, Array]:
        """Return that in a histogram, and its error.

        Args:
            settings: ``observable``, ``histogram_bins``, ``histogram_range``.
        """
        bins = settings["histogram_bins"]
        found = self._fisher.histo_information(
            self._theta,
            self._luminosity,
            observable=settings["observable"],
            bins=np.asarray(bins, dtype=float) if isinstance(bins, Sequence) else bins,
            histrange=settings.get("histogram_range"),
        )
        return _with_error(*found)

    def in_score(self, model_file: str) -> Array:
        """Return that in all observables and the rate, by a score estimator that was saved.

        MadMiner knows the error of the rate's part alone.
        """
        matrix: Array = self._fisher.full_information(
            self._theta, model_file, luminosity=self._luminosity
        )[0]
        return matrix


def _with_error(matrix: Array, covariance: Array) -> tuple[Array, Array]:
    """Return a matrix and the errors of its elements, given their covariance ``(p, p, p, p)``."""
    return matrix, np.sqrt(np.einsum("ijij->ij", covariance))
