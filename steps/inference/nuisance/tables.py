"""What systematic uncertainties do to limits, as tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steps.arrays import Array, decoded
from steps.inference import summary
from steps.inference.nuisance import breakdown
from steps.inference.nuisance.systematics import PREFIX
from steps.inference.summary import Curve

Arrays = Mapping[str, Array]
_DIGITS = 4
_EDGE = "not known: the region ends before"


@dataclass(frozen=True)
class Found:
    """What systematic uncertainties do to the limits of one likelihood.

    Attributes:
        curve: The limits with all of them.
        names: Names of the nuisance parameters.
        pulls: Best values of these and their errors after the fit, ``(K, 2)``.
        impacts: Shifts of the best theta, see :func:`steps.inference.nuisance.breakdown.impacts`,
            ``(K, p, 4)``.
        errors: Errors of each theta by source, those of all and of statistics first, downwards and
            upwards, ``(p, 2)``.
    """

    curve: Curve
    names: Sequence[str]
    pulls: Array
    impacts: Array
    errors: Mapping[str, Array]


def read(runs: Sequence[Arrays], name: str, resolutions: Sequence[int]) -> Found | None:
    """Read what evaluations that only differ in their networks wrote; None without systematics.

    Args:
        runs: Arrays of each; numbers are their means.
        name: Name of the likelihood.
        resolutions: Points of the grid along each parameter.
    """
    if any(f"nuisance/{name}/impacts" not in arrays for arrays in runs):
        return None
    found = [breakdown.from_arrays(arrays, name) for arrays in runs]
    every = [
        {"all": parts.total, "statistics": parts.statistics, **parts.groups}
        for _, _, parts in found
    ]
    return Found(
        curve=Curve.read(runs, f"{PREFIX}{name}", resolutions),
        names=decoded(runs[0]["nuisance/names"]),
        pulls=np.mean([best.pulls for best, _, _ in found], axis=0),
        impacts=np.mean([shifts for _, shifts, _ in found], axis=0),
        errors={source: np.mean([parts[source] for parts in every], axis=0) for source in every[0]},
    )


def table(found: Found, parameters: Sequence[str]) -> dict[str, Any]:
    """Return limits with systematic uncertainties, and what these do to them.

    Args:
        found: What they do.
        parameters: Names of the parameters.
    """
    ranks = breakdown.ranking(found.impacts)
    return {
        **summary.table(found.curve, parameters),
        "errors_by_source": {
            parameter: {source: _ends(values[number]) for source, values in found.errors.items()}
            for number, parameter in enumerate(parameters)
        },
        "pulls": {
            name: {"value": value, "error": error}
            for name, (value, error) in zip(found.names, _rounded(found.pulls), strict=True)
        },
        "impacts": {
            parameter: {
                found.names[k]: {
                    "plus": round(float(found.impacts[k, number, 0]), _DIGITS),
                    "minus": round(float(found.impacts[k, number, 1]), _DIGITS),
                }
                for k in ranks[number]
            }
            for number, parameter in enumerate(parameters)
        },
    }


def _ends(values: Array) -> dict[str, Any]:
    names = ("down", "up")
    return {
        name: round(value, _DIGITS) if np.isfinite(value) else _EDGE
        for name, value in zip(names, values.tolist(), strict=True)
    }


def _rounded(values: Array) -> list[Any]:
    rounded: list[Any] = np.round(values, _DIGITS).tolist()
    return rounded
