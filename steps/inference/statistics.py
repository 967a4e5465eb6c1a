"""Grids of parameter points, and likelihoods on them to p-values (arXiv:1007.1727)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from steps.arrays import Array

CONFIDENCE_LEVELS = {"68": 0.32, "95": 0.05}
"""p-value at the edge of the region of each confidence level, in per cent."""


@dataclass(frozen=True)
class Limits:
    """p-values on a grid of parameter points.

    Attributes:
        p_values: p-value of each point, ``(n_grid,)``.
        best_fit: Index of the best-fit point.
    """

    p_values: Array
    best_fit: int


def grid(region: Sequence[Sequence[float]], resolutions: Sequence[int]) -> Array:
    """Return the points ``(n_grid, n_parameters)`` of a grid; the last parameter varies fastest."""
    axes = [np.linspace(low, high, n) for (low, high), n in zip(region, resolutions, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def limits(log_likelihood: Array, n_parameters: int) -> Limits:
    """Turn log likelihoods into p-values by Wilks' theorem.

    -2 ln(L / L_best) is compared to a chi-squared distribution with ``n_parameters`` degrees of
    freedom; the best fit is the best point of the grid.

    Args:
        log_likelihood: Log likelihoods of the grid's points, up to a constant, ``(n_grid,)``.
        n_parameters: Number of parameters.
    """
    best_fit = int(np.argmax(log_likelihood))
    statistic = -2 * (log_likelihood - log_likelihood[best_fit])
    return Limits(chi2.sf(statistic, df=n_parameters), best_fit)


def profile(p_values: Array, n_shown: int) -> Array:
    """Reduce p-values on a grid to its first parameters, the others at their best values."""
    hidden = tuple(range(n_shown, p_values.ndim))
    return p_values.max(axis=hidden) if hidden else p_values


def intervals(points: Array, p_values: Array, level: float) -> list[tuple[float, float]]:
    """Return the extent of the region p > level along each parameter.

    Args:
        points: Grid ``(n_0, ..., n_k, n_parameters)``.
        p_values: p-values ``(n_0, ..., n_k)``.
        level: p-value of the region's edge; 0.32 for 68 % CL.
    """
    inside = points[p_values > level]
    return [(float(column.min()), float(column.max())) for column in inside.T]
