"""Likelihoods of theta alone, the nuisance parameters at their best values.

They satisfy :class:`steps.inference.likelihood.Likelihood`, so intervals, contours and grids are
made as without nuisance parameters. The gradient is that of the joint likelihood at the best nu,
since it is stationary there (the envelope theorem).

Profiling changes ln L by a smooth function of theta, which few points fix: splines through these
make likelihoods of many events as fast as without nuisance parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import qmc

from steps.arrays import Array
from steps.inference.likelihood import Likelihood
from steps.inference.nuisance.climbing import Maxima, climb_highest
from steps.inference.nuisance.likelihood import Joint

# Rows times points that are evaluated together; of those that are climbed more begin at what was
# found next to them.
_MOST_NUMBERS = 200_000
# Of distances in splines.
_POWER = 5
# q = -2 ln(L / L_best) up to which a spline is to be exact.
_REACH = 20.0
# Error of ln L that is left to it up to this q; beyond, as much of q.
TOLERANCE = 0.01
_FULL = 4.0
# Points of a spline to begin with, and that are added at once, in units of its quadratic's terms.
_FIRST, _ADDED = 3, 2
# The region's corners are among the first, of so many parameters at most.
_MOST_CORNERS = 5
_MOST_ROUNDS = 12
# Points are added in the box of those near the best, wider by this part of the region on each side,
# and chosen among so many times as many.
_MARGIN, _CHOICE = 0.1, 20


@dataclass(frozen=True)
class Profiled:
    """The log likelihood of theta, nu at their best values.

    Attributes:
        joint: That of both, of one experiment.
        held: Which nuisance parameters are held instead, ``(K,)``; None for none.
        at: Values of these, ``(K,)``; of others those that are begun with. None for the auxiliary
            measurements.
    """

    joint: Joint
    held: Array | None = None
    at: Array | None = None

    @property
    def region(self) -> Array:
        """Lowest and highest value of each parameter, ``(p, 2)``."""
        return self.joint.region

    def __call__(self, points: Array) -> Array:
        """Return the log likelihood at parameter points ``(g, p)``, ``(g,)``."""
        return self.maxima(points).values

    def gradient(self, point: Array) -> Array:
        """Return its gradient at one point, ``(p,)``."""
        return self.slope(self.maxima(point[None]).parameters[0])

    def slope(self, parameters: Array) -> Array:
        """Return the gradient ``(p,)`` where theta and the best nu are known, ``(d,)``."""
        slope: Array = self.joint.jet(parameters[None]).gradient[0, : self.joint.p]
        return slope

    def maxima(self, points: Array) -> Maxima:
        """Return the best nu and the likelihood at parameter points ``(g, p)``."""
        points = np.asarray(points, dtype=float)
        nuisance = self.joint.data.auxiliary if self.at is None else self.at
        starts = np.hstack([points, np.broadcast_to(nuisance, (len(points), len(nuisance)))])
        values = np.empty(len(points))
        for these in _together(self.joint, len(points)):
            if these.start:
                near = self._nearest(points[these], points[: these.start])
                starts[these, self.joint.p :] = starts[near, self.joint.p :]
            found = climb_highest(self.joint, starts[these], self._free)
            starts[these], values[these] = found.parameters, found.values
        return Maxima(starts, values)

    @cached_property
    def _free(self) -> Array:
        held = np.zeros(self.joint.n_nuisance, dtype=bool) if self.held is None else self.held
        return np.append(np.zeros(self.joint.p, dtype=bool), ~held)

    def _nearest(self, points: Array, others: Array) -> Array:
        """Return the numbers of the others that are next to points."""
        width = np.ptp(self.region, axis=1)
        nearest: Array = cdist(points / width, others / width).argmin(axis=1)
        return nearest


@dataclass(frozen=True)
class Spline:
    """A function through values at scattered points, smooth between them.

    It is a sum of |x - x_i|^5 about the points and a quadratic polynomial: the natural quintic
    spline, of several parameters too (Duchon, doi:10.1007/BFb0086566). Of the corrections of two
    and three parameters errors are a fifth to a half of those of the cubic one.

    Attributes:
        region: Lowest and highest value of each parameter, ``(p, 2)``, whose widths x is in.
        points: The points, ``(m, p)``.
        values: The values, ``(m,)``.
    """

    region: Array
    points: Array
    values: Array

    def __call__(self, points: Array) -> Array:
        """Return its values at points ``(g, p)``, ``(g,)``."""
        of_distances, of_powers = self._coefficients
        at = self._scaled(points)
        values: Array = cdist(at, self._scaled(self.points)) ** _POWER @ of_distances
        values += _powers(at) @ of_powers
        return values

    def gradient(self, point: Array) -> Array:
        """Return its gradient at one point, ``(p,)``."""
        of_distances, of_powers = self._coefficients
        at = self._scaled(point)
        away = at - self._scaled(self.points)
        distances = np.linalg.norm(away, axis=1)
        slope = _POWER * (of_distances * distances ** (_POWER - 2)) @ away
        slope += _power_slopes(at) @ of_powers
        gradient: Array = slope / np.ptp(self.region, axis=1)
        return gradient

    def _scaled(self, points: Array) -> Array:
        low, high = self.region.T
        scaled: Array = (np.asarray(points, dtype=float) - low) / (high - low) - 0.5
        return scaled

    @cached_property
    def _coefficients(self) -> tuple[Array, Array]:
        at = self._scaled(self.points)
        powers = _powers(at)
        m, c = powers.shape
        matrix = np.zeros((m + c, m + c))
        matrix[:m, :m] = cdist(at, at) ** _POWER
        matrix[:m, m:], matrix[m:, :m] = powers, powers.T
        found = np.linalg.solve(matrix, np.append(self.values, np.zeros(c)))
        return found[:m], found[m:]


def _powers(at: Array) -> Array:
    """Return the monomials up to second order ``(g, c)`` of points ``(g, p)``."""
    i, j = np.triu_indices(at.shape[1])
    return np.hstack([np.ones((len(at), 1)), at, at[:, i] * at[:, j]])


def _power_slopes(at: Array) -> Array:
    """Return the derivatives ``(p, c)`` of the monomials at a point ``(p,)``."""
    i, j = np.triu_indices(len(at))
    unit = np.eye(len(at))
    return np.hstack([np.zeros((len(at), 1)), unit, unit[:, i] * at[j] + at[i] * unit[:, j]])


@dataclass(frozen=True)
class Corrected:
    """A log likelihood and a smooth correction.

    Attributes:
        statistical: The log likelihood that is corrected.
        correction: What is added.
        error: The largest error of the correction at points where it was tried before they were
            made part of it, all with q < 20; where q > 4, times 4 / q.
    """

    statistical: Likelihood
    correction: Spline
    error: float

    @property
    def region(self) -> Array:
        """Lowest and highest value of each parameter, ``(p, 2)``."""
        return self.statistical.region

    def __call__(self, points: Array) -> Array:
        """Return the log likelihood at parameter points ``(g, p)``, ``(g,)``."""
        values: Array = self.statistical(points) + self.correction(points)
        return values

    def gradient(self, point: Array) -> Array:
        """Return its gradient at one point, ``(p,)``."""
        return self.statistical.gradient(point) + self.correction.gradient(point)


@dataclass(frozen=True)
class _Known:
    """Points at which the profiled likelihood is known.

    Attributes:
        statistical: The likelihood without nuisance parameters.
        profiled: That with them.
        maxima: What is known.
    """

    statistical: Likelihood
    profiled: Profiled
    maxima: Maxima

    @property
    def points(self) -> Array:
        points: Array = self.maxima.parameters[:, : len(self.profiled.region)]
        return points

    def corrected(self, error: float = np.nan) -> Corrected:
        correction = self.maxima.values - self.statistical(self.points)
        spline = Spline(self.profiled.region, self.points, correction)
        return Corrected(self.statistical, spline, error)

    def with_points(self, points: Array) -> "_Known":
        found = self.profiled.maxima(points)
        parameters = np.vstack([self.maxima.parameters, found.parameters])
        return _Known(
            self.statistical,
            self.profiled,
            Maxima(parameters, np.append(self.maxima.values, found.values)),
        )

    def wanted(self, unit: qmc.Halton, n_points: int) -> Array:
        """Return points up to the reach that are far from all known ones and each other."""
        near = self.points[2 * (self.maxima.values.max() - self.maxima.values) < _REACH]
        low, high = self.profiled.region.T
        width = high - low
        margin = _MARGIN * width
        box = np.clip([near.min(axis=0) - margin, near.max(axis=0) + margin], low, high)
        choice = box[0] + unit.random(_CHOICE * n_points) * (box[1] - box[0])
        values = self.corrected()(choice)
        best = max(values.max(), self.maxima.values.max())
        choice = choice[2 * (best - values) < _REACH]
        chosen: Array = width * _far_apart(choice / width, self.points / width, n_points)
        return chosen


def corrected(
    statistical: Sequence[Likelihood],
    profiled: Profiled,
    bags: Sequence[Joint] = (),
    tolerance: float = TOLERANCE,
) -> list[Corrected]:
    """Return likelihoods with nuisance parameters at their best, as fast as those without.

    The correction, ln L profiled less the statistical ln L, is a spline. Points are added to it
    where q < 20, far from all others, until it is right at such points before they are added.

    Bags are taken at the nominal likelihood's best nu: what their own would add to q is of second
    order in the difference of both, since q is stationary in nu.

    Args:
        statistical: Log likelihoods without nuisance parameters, nominal and bags.
        profiled: The nominal one with them.
        bags: The bags' joint log likelihoods.
        tolerance: Greatest error of ln L up to q = 4; beyond, as much of q.

    Returns:
        Nominal log likelihood and bags.
    """
    low, high = profiled.region.T
    unit = qmc.Halton(len(low), scramble=True, seed=1)
    n_powers = _powers(low[None]).shape[1]
    first = low + _first(unit, _FIRST * n_powers) * (high - low)
    known = _Known(statistical[0], profiled, profiled.maxima(first))
    for _ in range(_MOST_ROUNDS):
        n_known = len(known.points)
        before, known = known.corrected(), known.with_points(known.wanted(unit, _ADDED * n_powers))
        points, exact = known.points[n_known:], known.maxima.values[n_known:]
        q = 2 * (known.maxima.values.max() - exact)
        errors = np.abs(before(points) - exact) * _FULL / np.maximum(q, _FULL)
        error = float(errors.max(initial=0.0))
        if error < tolerance:
            break
    found = [known.corrected(error)]
    for of, bag in zip(statistical[1:], bags, strict=True):
        at = known.maxima.parameters
        values = np.concatenate([bag.value(at[some]) for some in _together(bag, len(at))])
        spline = Spline(profiled.region, known.points, values - of(known.points))
        found.append(Corrected(of, spline, error))
    return found


def _together(joint: Joint, n_points: int) -> list[slice]:
    """Return which of so many points are evaluated together."""
    size = max(1, _MOST_NUMBERS // joint.n_rows)
    return [slice(begin, begin + size) for begin in range(0, n_points, size)]


def _first(unit: qmc.Halton, n_points: int) -> Array:
    """Return points of the unit cube, its corners among them if these are not too many."""
    d = int(unit.d)
    corners = list(product((0.0, 1.0), repeat=d)) if d <= _MOST_CORNERS else []
    return np.vstack([*corners, unit.random(n_points)])


def _far_apart(choice: Array, others: Array, n_points: int) -> Array:
    """Return so many points, each as far from the others and those before as can be."""
    distance = cdist(choice, others).min(axis=1)
    chosen = []
    for _ in range(min(n_points, len(choice))):
        farthest = int(distance.argmax())
        chosen.append(choice[farthest])
        distance = np.minimum(distance, np.linalg.norm(choice - choice[farthest], axis=1))
    return np.array(chosen).reshape(-1, choice.shape[1])
