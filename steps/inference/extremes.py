"""Where a region q < level of many parameters is extreme, for which a grid has too many points.

q(theta) = -2 ln[L(theta) / L_best]. Such a region may have several pieces. Those count that a
coarse scan meets, or whose minimum it leads to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import NonlinearConstraint, minimize
from scipy.spatial import KDTree
from scipy.stats import qmc

from steps.arrays import Array
from steps.inference import intervals
from steps.inference.likelihood import Likelihood

_SCAN_POWER = 11
# So many minima of the scan are followed, and are the same if they are less apart.
_MOST_MINIMA = 8
_APART = 0.02
# Step of the derivatives of gradients, in widths of the region.
_STEP = 1e-3
# q at the points found may be so far from the level, in parts of it.
_TOLERANCE = 1e-3


def best_fits(likelihoods: Sequence[Likelihood], theta_true: Array) -> Array:
    """Return the best fits of the nominal likelihood and the bags, ``(1 + n_bags, p)``.

    Those of the bags are the maxima next to the nominal one.

    Args:
        likelihoods: Nominal log likelihood and bags.
        theta_true: The true point, ``(p,)``, where fits begin too.
    """
    nominal, _ = intervals.best_fit(likelihoods[0], [theta_true])
    bags = [_Cube.of(bag) for bag in likelihoods[1:]]
    return np.array([nominal, *(bag.point(bag.fit(bag.scaled(nominal))) for bag in bags)])


def points(likelihood: Likelihood, best: Array, level: float) -> Array:
    """Return the points of q <= level at which each parameter is least and greatest.

    Args:
        likelihood: The log likelihood.
        best: Its best fit, ``(p,)``.
        level: q at the edge of the region.

    Returns:
        Points ``(2 p, p)``; at the edge of the likelihood's region where that cuts them off.
    """
    cube = _Cube.of(likelihood)
    at = cube.scaled(best)
    most = cube.value(at) + level
    scan = qmc.Sobol(len(at), scramble=False).random_base2(_SCAN_POWER)
    values = cube.values(scan)
    inside = scan[values < most]
    pieces = [at, *_others(cube, at, _minima(scan, values), most)]
    covariances = [np.linalg.pinv(cube.curvature(piece)) for piece in pieces]
    found = []
    for axis in range(len(at)):
        for sign in (-1, 1):
            starts = [
                piece + sign * _reach(covariance[axis], axis, level)
                for piece, covariance in zip(pieces, covariances, strict=True)
            ]
            if len(inside):
                starts.append(inside[(sign * inside[:, axis]).argmax()])
            ends = [_climb(cube, np.clip(each, 0, 1), axis, sign, most) for each in starts]
            kept = [end for end in ends if cube.value(end) < most + _TOLERANCE * level]
            found.append(max([*kept, at], key=_along(axis, sign)))
    return cube.point(np.array(found))


def _reach(covariances: Array, axis: int, level: float) -> Array:
    """Return how far a parabola is below a level along a parameter, given those with it."""
    step: Array = covariances * np.sqrt(2 * level / max(covariances[axis], 1e-12))
    return step


def _along(axis: int, sign: int) -> Callable[[Array], float]:
    return lambda at: float(sign * at[axis])


def _minima(scan: Array, values: Array) -> Array:
    """Return the best points of a scan that are lower than the points around them, ``(m, p)``."""
    around = np.asarray(KDTree(scan).query(scan, k=2 * scan.shape[1] + 3)[1])
    lowest = np.flatnonzero(values <= values[around].min(axis=1))
    best: Array = scan[lowest[np.argsort(values[lowest])][:_MOST_MINIMA]]
    return best


def _others(cube: "_Cube", best: Array, starts: Array, most: float) -> list[Array]:
    """Return the minima below a value, apart from the best, that starts lead to."""
    kept = [best]
    for start in starts:
        at = cube.fit(start)
        if cube.value(at) < most and all(np.abs(at - other).max() > _APART for other in kept):
            kept.append(at)
    return kept[1:]


@dataclass(frozen=True)
class _Cube:
    """-2 ln L on the unit cube, the region."""

    likelihood: Likelihood
    low: Array
    width: Array

    @classmethod
    def of(cls, likelihood: Likelihood) -> "_Cube":
        low, high = likelihood.region.T
        return cls(likelihood, low, high - low)

    def point(self, at: Array) -> Array:
        point: Array = self.low + self.width * at
        return point

    def scaled(self, point: Array) -> Array:
        scaled: Array = (point - self.low) / self.width
        return scaled

    def values(self, at: Array) -> Array:
        values: Array = -2 * self.likelihood(self.point(np.atleast_2d(at)))
        return values

    def value(self, at: Array) -> float:
        return float(self.values(at)[0])

    def gradient(self, at: Array) -> Array:
        slope: Array = -2 * self.width * self.likelihood.gradient(self.point(at))
        return slope

    def fit(self, start: Array) -> Array:
        """Return the best point next to one."""
        found = minimize(
            self.value,
            start,
            jac=self.gradient,
            method="L-BFGS-B",
            bounds=[(0, 1)] * len(start),
        )
        return np.asarray(found.x)

    def curvature(self, at: Array) -> Array:
        """Return the second derivatives, ``(p, p)``."""
        rows = []
        for step in _STEP * np.eye(len(at)):
            above, below = np.minimum(at + step, 1), np.maximum(at - step, 0)
            change = self.gradient(above) - self.gradient(below)
            rows.append(change / np.sum(above - below))
        curvature: Array = 0.5 * (np.array(rows) + np.array(rows).T)
        return curvature


def _climb(cube: _Cube, start: Array, axis: int, sign: int, most: float) -> Array:
    """Return where a parameter is extreme, of the points next to one that are below a value."""
    direction: Array = -sign * np.eye(len(start))[axis]

    def height(at: Array) -> float:
        return float(direction @ at)

    def slope(at: Array) -> Array:
        return direction

    found = minimize(
        height,
        start,
        jac=slope,
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints=NonlinearConstraint(cube.values, -np.inf, most, jac=cube.gradient),
    )
    end: Array = np.clip(found.x, 0, 1)
    return end
