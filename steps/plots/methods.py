"""Figures of one method, from the arrays that its evaluations wrote."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from steps.plots import figures

Runs = Sequence[Mapping[str, NDArray]]


def correlation(method: str, runs: Runs) -> dict[str, Figure]:
    """Return ``correlation_<METHOD>``, estimates against joint quantities, where these exist.

    Args:
        method: Name of the method.
        runs: Arrays of each of its evaluations, ``joint/truth`` and ``joint/estimate`` among them.
    """
    if "joint/truth" not in runs[0]:
        return {}
    truth, estimate = (
        np.concatenate([arrays[f"joint/{name}"] for arrays in runs])
        for name in ("truth", "estimate")
    )
    quantity = "log likelihood ratio"
    if truth.ndim == 2:
        truth, estimate, quantity = truth[:, 0], estimate[:, 0], "score"
    figure = figures.correlation(method, truth, estimate, quantity)
    return {f"correlation_{method.upper()}": figure}


def closure(
    method: str,
    runs: Runs,
    comparisons: Sequence[Mapping[str, NDArray]],
    numbers: Sequence[tuple[float, float]],
) -> dict[str, Figure]:
    """Return ``closure_<METHOD>``, estimates against weighted histograms, where these exist.

    Args:
        method: Name of the method.
        runs: Arrays of each of its evaluations, of which ``closure/points`` matters here.
        comparisons: ``truth``, ``estimate`` and ``weight`` of each bin, for each comparison.
        numbers: Correlation and slope of each comparison.
    """
    if not comparisons:
        return {}
    if "closure/points" in runs[0]:
        quantity = "log likelihood ratio"
        labels = ["(" + ", ".join(f"{v:.2f}" for v in p) + ")" for p in runs[0]["closure/points"]]
    else:
        quantity, labels = "score", [f"component {k}" for k in range(len(comparisons))]
    figure = figures.closure(method, quantity, labels, comparisons, numbers)
    return {f"closure_{method.upper()}": figure}
