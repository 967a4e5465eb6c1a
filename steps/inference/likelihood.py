"""Log likelihoods as continuous functions of the parameters, with their derivatives.

Whatever estimates p(x|theta), a likelihood of many events is a function of theta. Of densities that
are polynomials of theta, by event (networks that know the polynomial) or by bin (histograms), it is
known in closed form; of other estimates it is interpolated between the points of a grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.interpolate import NdBSpline, make_interp_spline

from steps.arrays import Array
from steps.inference.morphing.polynomial import Polynomial

# Densities times parameter points held at once; more leave the cache.
_MOST_NUMBERS = 200_000
# Where a density vanishes its logarithm is that of this part of the mean.
_TINY = 1e-12


class Likelihood(Protocol):
    """A log likelihood, up to a constant."""

    @property
    def region(self) -> Array:
        """Lowest and highest value of each parameter, ``(p, 2)``, where it is known."""

    def __call__(self, points: Array) -> Array:
        """Return it at parameter points ``(g, p)``, ``(g,)``."""

    def gradient(self, point: Array) -> Array:
        """Return its gradient ``(p,)`` at one point ``(p,)``."""


@dataclass(frozen=True)
class Densities:
    """The log likelihood of events whose densities are polynomials of the parameters.

    ln L(theta) = sum_e n_e ln[f_e(theta) / f(theta)] + N ln s(theta) - s(theta) with densities f_e
    of an event or a bin, their norm f, and the number of events s expected of which N = sum_e n_e
    occur; each a polynomial. Without the rate the last two terms are absent.

    Attributes:
        polynomial: Monomials of the parameters.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        counts: Expected or observed number of events n_e, ``(n,)``.
        densities: Coefficients of f_e, ``(n, c)``.
        norm: Coefficients of f, ``(c,)``.
        rate: Coefficients of s, ``(c,)``; None for the shapes alone.
    """

    polynomial: Polynomial
    region: Array
    counts: Array
    densities: Array
    norm: Array
    rate: Array | None = None

    def __call__(self, points: Array) -> Array:
        """Return the log likelihood at parameter points ``(g, p)``, ``(g,)``."""
        monomials = self.polynomial.weights(points)
        total = np.zeros(len(points))
        batch = max(1, _MOST_NUMBERS // len(points))
        for start in range(0, len(self.counts), batch):
            events = slice(start, start + batch)
            values = self.densities[events] @ monomials.T
            total += self.counts[events] @ np.log(np.maximum(values, _TINY))
        n = self.counts.sum()
        total -= n * np.log(np.maximum(monomials @ self.norm, _TINY))
        if self.rate is not None:
            expected = np.maximum(monomials @ self.rate, _TINY)
            total += n * np.log(expected) - expected
        return total

    def gradient(self, point: Array) -> Array:
        """Return the gradient of the log likelihood at one point, ``(p,)``."""
        monomials = self.polynomial.weights(point[None])[0]
        slopes = self.polynomial.weight_gradients(point)
        values = self.densities @ monomials
        share = np.where(values > _TINY, self.counts / np.maximum(values, _TINY), 0.0)
        n = self.counts.sum()
        slope: Array = slopes @ (share @ self.densities)
        slope -= n * (slopes @ self.norm) / max(monomials @ self.norm, _TINY)
        if self.rate is not None:
            expected = max(monomials @ self.rate, _TINY)
            slope += (n / expected - 1) * (slopes @ self.rate)
        return slope


@dataclass(frozen=True)
class Interpolated:
    """A log likelihood between the points of a grid, by cubic splines.

    Attributes:
        axes: Values of each parameter on the grid.
        values: Log likelihoods, ``(n_0, ..., n_p)``.
    """

    axes: Sequence[Array]
    values: Array

    @property
    def region(self) -> Array:
        """Lowest and highest value of each parameter, ``(p, 2)``."""
        return np.array([[axis[0], axis[-1]] for axis in self.axes])

    def __call__(self, points: Array) -> Array:
        """Return the log likelihood at parameter points ``(g, p)``, ``(g,)``."""
        values: Array = self._spline(self._inside(points))
        return values

    def gradient(self, point: Array) -> Array:
        """Return the gradient of the log likelihood at one point, ``(p,)``."""
        inside = self._inside(point[None])
        return np.array(
            [self._spline(inside, nu=axis)[0] for axis in np.eye(len(point), dtype=int)]
        )

    def _inside(self, points: Array) -> Array:
        low, high = self.region.T
        return np.clip(points, low, high)

    @cached_property
    def _spline(self) -> NdBSpline:
        coefficients, knots, degrees = self.values, [], []
        for number, axis in enumerate(self.axes):
            degree = min(3, len(axis) - 1)
            spline = make_interp_spline(axis, np.moveaxis(coefficients, number, 0), k=degree)
            coefficients = np.moveaxis(spline.c, 0, number)
            knots.append(spline.t)
            degrees.append(degree)
        return NdBSpline(tuple(knots), coefficients, tuple(degrees))


def q(likelihood: Likelihood, points: Array, best: float) -> Array:
    """Return q = -2 ln(L / L_best) at parameter points ``(g, p)``, ``(g,)``.

    Args:
        likelihood: The log likelihood.
        points: Parameter points.
        best: Its greatest value.
    """
    return 2 * (best - likelihood(points))
