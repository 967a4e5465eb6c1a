"""Grids of parameter points, and q = -2 ln(L / L_best) to p-values (arXiv:1007.1727)."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

from steps.arrays import Array

CONFIDENCE_LEVELS = {"68": 0.32, "95": 0.05}
"""p-value at the edge of the region of each confidence level, in per cent."""


def grid(region: Sequence[Sequence[float]], resolutions: Sequence[int]) -> Array:
    """Return the points ``(n_grid, n_parameters)`` of a grid; the last parameter varies fastest."""
    axes = [np.linspace(low, high, n) for (low, high), n in zip(region, resolutions, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def p_values(q: Array, n_parameters: int) -> Array:
    """Return the p-values of q of so many parameters, by Wilks' theorem."""
    values: Array = chi2.sf(q, df=n_parameters)
    return values


def level(p_value: float, n_parameters: int) -> float:
    """Return q at the edge of the joint region of so many parameters, by Wilks' theorem."""
    return float(chi2.isf(p_value, df=n_parameters))
