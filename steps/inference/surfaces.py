"""q = -2 ln(L / L_best) between the points of a grid: contours, areas, and other luminosities.

Expected data scale with the luminosity, and q with them: what is known at one luminosity is known
at all others, as far as the region and the error of q allow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steps.arrays import Array
from steps.inference.likelihood import Interpolated

LUMINOSITIES = np.geomspace(1e2, 3e6, 46)
"""In 1/pb: 0.1 to 3000/fb, ten per decade."""

_FINE = {1: 1001, 2: 201, 3: 41}
MOST_PARAMETERS = max(_FINE)
"""Of which there are grids."""

# q of points that are at the joint 68 % contour when its error is told.
_CONTOUR = (1.0, 4.0)
# Error of q at the contour beyond which a result is not reliable.
MOST_ERROR = 1.0
# Points of the fine grid at a contour, at least, for its error to be known.
_FEWEST_AT_CONTOUR = 8
# Points of the fine grid that an interval takes at least, to be known to a few per cent.
_FEWEST_INSIDE = 4


def _axes(region: Array, numbers: Sequence[int]) -> list[Array]:
    return [np.linspace(low, high, n) for (low, high), n in zip(region, numbers, strict=True)]


def refined(region: Array, resolutions: Sequence[int], values: Array) -> Array:
    """Return values on the fine grid, ``(n_0, ..., n_p)``, interpolated in those of a coarse one.

    Args:
        region: Lowest and highest value of each parameter, ``(p, 2)``; at most three parameters.
        resolutions: Points of the coarse grid along each parameter.
        values: Values there, ``(g,)``, the last parameter fastest.
    """
    coarse = Interpolated(_axes(region, resolutions), values.reshape(resolutions))
    axes = _axes(region, [_FINE[len(region)]] * len(region))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return coarse(points.reshape(-1, len(axes))).reshape(points.shape[:-1])


@dataclass(frozen=True)
class Surface:
    """q and its error on a fine grid.

    Attributes:
        axes: Values of each parameter.
        q: ``(n_0, ..., n_p)``.
        error: Its standard deviation from finite simulation and training, likewise; NaN where it
            is not known.
    """

    axes: Sequence[Array]
    q: Array
    error: Array

    @classmethod
    def of(
        cls, region: Array, resolutions: Sequence[int], values: Array, error: Array
    ) -> "Surface":
        """Return the surface of a coarse grid, of at most three parameters.

        Args:
            region: Lowest and highest value of each parameter, ``(p, 2)``.
            resolutions: Points of the coarse grid along each parameter.
            values: Log likelihoods there, ``(g,)``, the last parameter fastest.
            error: Errors of q there, ``(g,)``.
        """
        q = -2 * refined(region, resolutions, values)
        errors = np.full(q.shape, np.nan)
        if np.isfinite(error).all():
            # Next to the best fit the error has an edge, as |theta|; its square is smooth.
            errors = np.sqrt(np.maximum(refined(region, resolutions, error**2), 0))
        return cls(_axes(region, [_FINE[len(region)]] * len(region)), q - q.min(), errors)

    @classmethod
    def of_q(cls, region: Array, q: Array) -> "Surface":
        """Return the surface of q on a coarse grid ``(n_0, ..., n_p)``, of unknown error.

        Args:
            region: Lowest and highest value of each parameter, ``(p, 2)``.
            q: q there, of a likelihood whose greatest value may be beside the grid's points.
        """
        fine = refined(region, q.shape, q)
        return cls(_axes(region, fine.shape), fine, np.full(fine.shape, np.nan))

    def best_fit(self) -> Array:
        """Return where q is least, ``(p,)``."""
        index = np.unravel_index(self.q.argmin(), self.q.shape)
        return np.array([axis[i] for axis, i in zip(self.axes, index, strict=True)])

    def extent(self, level: float) -> list[tuple[float, float]]:
        """Return the extent of the region q < level along each parameter."""
        inside = self.q < level
        ends = []
        for number, axis in enumerate(self.axes):
            others = tuple(k for k in range(len(self.axes)) if k != number)
            there = axis[inside.any(axis=others)]
            ends.append((float(there.min()), float(there.max())))
        return ends

    def size(self, level: float) -> tuple[float, float]:
        """Return the length, area or volume of the region q < level, and its error."""
        cell = float(np.prod([axis[1] - axis[0] for axis in self.axes]))
        size, small, large = (
            cell * int(np.count_nonzero(q < level))
            for q in (self.q, self.q + self.error, self.q - self.error)
        )
        known = np.isfinite(self.error).all()
        return size, 0.5 * (large - small) if known else float("nan")

    def projected(self, n_shown: int) -> "Surface":
        """Return it for the first parameters, the others at their best values."""
        if n_shown >= len(self.axes):
            return self
        q = self.q.reshape(*self.q.shape[:n_shown], -1)
        best = q.argmin(axis=-1)[..., None]
        error = self.error.reshape(q.shape)
        taken = (np.take_along_axis(values, best, axis=-1)[..., 0] for values in (q, error))
        return Surface(self.axes[:n_shown], *taken)

    def alone(self, number: int) -> "Surface":
        """Return it for one parameter, given by its number, the others at their best values."""
        order = [number, *(k for k in range(len(self.axes)) if k != number)]
        moved = (np.transpose(values, order) for values in (self.q, self.error))
        return Surface([self.axes[k] for k in order], *moved).projected(1)

    def error_at_contour(self, scale: float = 1.0) -> float:
        """Return the error of q at the joint 68 % contour, at ``scale`` times the luminosity.

        It is NaN where the contour is beyond the region, or too small for the fine grid.
        """
        near = (scale * self.q > _CONTOUR[0]) & (scale * self.q < _CONTOUR[1])
        if np.count_nonzero(near) < _FEWEST_AT_CONTOUR:
            return float("nan")
        return float(scale * np.sqrt(np.mean(self.error[near] ** 2)))

    def supported(self) -> float:
        """Return up to how many times the luminosity the error of q at the contour is below 1.

        It is the greatest one at which the fine grid tells, at most; NaN where there is none.
        """
        scales = np.geomspace(1e-3, 1e3, 121)
        errors = np.array([self.error_at_contour(scale) for scale in scales])
        too_large = scales[errors > MOST_ERROR]
        below = scales < too_large.min() if too_large.size else np.isfinite(scales)
        trusted = scales[below & (errors <= MOST_ERROR)]
        return float(trusted.max()) if trusted.size else float("nan")

    def intervals(self, luminosity: float) -> Array:
        """Return the profiled 68 % intervals of each parameter at all ``LUMINOSITIES``.

        Args:
            luminosity: That of q, in 1/pb.

        Returns:
            ``(n_luminosities, p, 5)``: luminosity, low, high and their errors; NaN where the
            interval leaves the region, is too small for the fine grid, or the error of q is too
            large. Where that is not known the errors alone are NaN.
        """
        found = np.full((len(LUMINOSITIES), len(self.axes), 5), np.nan)
        found[..., 0] = LUMINOSITIES[:, None]
        scales = LUMINOSITIES / luminosity
        most = self.supported() if np.isfinite(self.error).all() else np.inf
        rows = np.flatnonzero(scales <= most)
        for number, axis in enumerate(self.axes):
            moved = self.alone(number)
            for row in rows:
                scale = scales[row]
                found[row, number, 1:] = _interval(axis, scale * moved.q, scale * moved.error)
        return found


def _interval(axis: Array, q: Array, error: Array) -> tuple[float, float, float, float]:
    """Return the outermost ends where q crosses 1, and their errors; NaN where these are unknown.

    Between points the square root of q is taken as linear: that of a parabola is.
    """
    inside = np.flatnonzero(q < 1)
    if len(inside) < _FEWEST_INSIDE or inside[0] == 0 or inside[-1] == len(q) - 1:
        return (np.nan,) * 4
    root = np.sqrt(q)
    ends = []
    for within, beyond in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        # Which part of the step the end is at.
        part = (1 - root[within]) / (root[beyond] - root[within])
        step = axis[beyond] - axis[within]
        # d sqrt(q) = dq / 2 where q = 1.
        slope = abs(2 * (root[beyond] - root[within]) / step)
        spread = error[within] + part * (error[beyond] - error[within])
        ends.append((float(axis[within] + part * step), float(spread / slope)))
    (low, low_error), (high, high_error) = ends
    return low, high, low_error, high_error
