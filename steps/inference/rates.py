"""How many events a theory can expect."""

import numpy as np
from scipy.stats import qmc

from steps.arrays import Array
from steps.inference.morphing.polynomial import Polynomial

_POINTS = 2048


def extremes(polynomial: Polynomial, rate: Array, region: Array) -> tuple[float, float]:
    """Return about the least and the greatest value of a polynomial in a region.

    Its corners are among the points that are tried; between them a polynomial of few powers is
    smooth.

    Args:
        polynomial: The monomials.
        rate: Their coefficients, ``(c,)``: the number of events expected.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
    """
    low, high = region.T
    n = len(low)
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * n, indexing="ij"), axis=-1).reshape(-1, n)
    unit = np.vstack([corners, qmc.Sobol(n, scramble=True, seed=1).random(_POINTS)])
    values = polynomial.weights(low + unit * (high - low)) @ rate
    return float(values.min()), float(values.max())
