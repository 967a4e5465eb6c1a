"""Surfaces over the plane of parameters, between the points where they are known."""

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import make_interp_spline

from steps.arrays import Array

# Surfaces are told on grids so many times finer.
_FINER = 8


def finer(axes: Sequence[Array], values: Array) -> tuple[list[Array], Array]:
    """Return a surface on a finer grid, by splines.

    Args:
        axes: Values of each parameter of the grid.
        values: The surface, as many axes.
    """
    fine = [np.linspace(axis[0], axis[-1], _FINER * (len(axis) - 1) + 1) for axis in axes]
    found = values
    for number, (axis, at) in enumerate(zip(axes, fine, strict=True)):
        found = make_interp_spline(axis, found, k=3, axis=number)(at)
    return fine, found


def crossings(axis: Array, values: Array, level: float) -> list[float]:
    """Return where a curve crosses a level, ascending; linear between the points."""
    away = values - level
    found = []
    for k in np.flatnonzero(np.signbit(away[1:]) != np.signbit(away[:-1])):
        share = away[k] / (away[k] - away[k + 1])
        found.append(float(axis[k] + share * (axis[k + 1] - axis[k])))
    return found
