"""Fisher information: how sharply the expected data fix the parameters at one point."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.interface import madminer as _madminer  # noqa: F401 - mends MadMiner before its use

from madminer.fisherinformation import FisherInformation  # isort: skip


def from_observables(
    data_file: str, settings: Mapping[str, Any], luminosity: float
) -> dict[str, NDArray]:
    """Return the information in the rate and in the histogram of one observable.

    Args:
        data_file: MadMiner file.
        settings: Section ``fisher_information`` of the input file.
        luminosity: Integrated luminosity in 1/pb.

    Returns:
        Matrices ``(n_parameters, n_parameters)`` as ``fisher/rate`` and ``fisher/histogram``;
        nothing if the section is switched off.
    """
    if not settings["bool"]:
        return {}
    fisher = FisherInformation(data_file, include_nuisance_parameters=False)
    theta = np.asarray(settings["theta_true"], dtype=float)
    bins = settings["histogram_bins"]
    rate, _ = fisher.rate_information(theta, luminosity, include_nuisance_parameters=False)
    histogram, _ = fisher.histo_information(
        theta,
        luminosity,
        observable=settings["observable"],
        bins=np.asarray(bins, dtype=float) if isinstance(bins, Sequence) else bins,
        histrange=settings.get("histogram_range"),
    )
    return {"fisher/rate": rate, "fisher/histogram": histogram}


def from_score(
    data_file: str, settings: Mapping[str, Any], luminosity: float, model_file: str
) -> NDArray | None:
    """Return the information in all observables and the rate, by an estimated score.

    Args:
        data_file: MadMiner file.
        settings: Section ``fisher_information`` of the input file.
        luminosity: Integrated luminosity in 1/pb.
        model_file: Score estimator as MadMiner saved it.

    Returns:
        Matrix ``(n_parameters, n_parameters)``, or None if the section is switched off.
    """
    if not settings["bool"]:
        return None
    fisher = FisherInformation(data_file, include_nuisance_parameters=False)
    full, _ = fisher.full_information(
        np.asarray(settings["theta_true"], dtype=float), model_file, luminosity=luminosity
    )
    return full
