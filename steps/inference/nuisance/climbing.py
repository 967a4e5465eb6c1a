"""The nearest maximum of joint likelihoods, by Newton's method with exact second derivatives."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from steps.arrays import Array
from steps.inference.nuisance.jets import Jet
from steps.inference.nuisance.likelihood import Joint

# A step that gains less in ln L is the last one; what remains is of third order in it.
_GAIN = 1e-6
_MOST_STEPS = 60
# The longest steps of theta, in half widths of the region, and of nu.
_LONGEST_THETA, _LONGEST_NU = 0.5, 2.0
# How near to an end of the region theta is at it.
_AT_END = 1e-9
# Curvatures are taken as at least this part of the greatest one, and this at all.
_FLATTEST, _FLAT = 1e-8, 1e-30
# A step is halved until it is an improvement, down to this part of it.
_SHORTEST = 2.0**-20
# The other side of a nuisance parameter is tried where it moved by more.
_MOVED = 0.5


@dataclass(frozen=True)
class Maxima:
    """Maxima of ln L that were reached from T points.

    Attributes:
        parameters: Where they are, theta and nu, ``(T, d)``.
        values: ln L there, ``(T,)``.
    """

    parameters: Array
    values: Array


def climb(joint: Joint, start: Array, free: Array) -> Maxima:
    """Return the maxima that are reached from points, theta staying in the region.

    Of T experiments each begins at its own point. Steps are damped: curvatures of the wrong sign
    are turned, and a step that is no improvement is halved.

    Args:
        joint: The joint log likelihood.
        start: Parameters to begin with, ``(T, d)``, which those that are held keep.
        free: Which parameters are free, ``(d,)`` or ``(T, d)``.
    """
    state = _State.of(joint, start, np.broadcast_to(free, start.shape))
    found, values = np.array(start, dtype=float), np.empty(len(start))
    going = np.arange(len(start))
    for _ in range(_MOST_STEPS):
        whole, gain = state.newton
        done = (gain < _GAIN) | (state.share < _SHORTEST)
        found[going[done]] = state.inside(whole)[done]
        values[going[done]] = state.jet.value[done] + np.minimum(gain[done], _GAIN)
        going = going[~done]
        if not going.size:
            return Maxima(found, values)
        state = state.taken(~done).moved(whole[~done])
    found[going], values[going] = state.parameters, state.jet.value
    return Maxima(found, values)


def climb_highest(joint: Joint, start: Array, free: Array) -> Maxima:
    """Return the higher of two maxima where a nuisance parameter has one on either side.

    Where both variations of it do the same, as a one-sided one does, ln L has two maxima in it. For
    each that moved, the other side is tried, where a quadratic ln L would be lower by more: by
    twice the squared distance, since the constraint's curvature is 1 and data add to it.

    Args:
        joint: The joint log likelihood.
        start: Parameters to begin with, ``(T, d)``.
        free: Which parameters are free, ``(d,)`` or ``(T, d)``.
    """
    found = climb(joint, start, free)
    free = np.broadcast_to(free, start.shape)
    for place in range(joint.p, joint.p + joint.n_nuisance):
        rows, other = _other_side(joint, found, place, free[:, place])
        if rows.size:
            again = climb(joint.of(joint.data.taken(rows)), other, free[rows])
            better = again.values > found.values[rows]
            found.parameters[rows[better]] = again.parameters[better]
            found.values[rows[better]] = again.values[better]
    return found


def _other_side(joint: Joint, found: Maxima, place: int, free: Array) -> tuple[Array, Array]:
    """Return the numbers of maxima to try on the other side of a parameter, and where to begin."""
    auxiliary = joint.data.auxiliary[..., place - joint.p]
    away = found.parameters[:, place] - auxiliary
    rows = np.flatnonzero(free & (np.abs(away) > _MOVED))
    other, away = found.parameters[rows], away[rows]
    other[:, place] -= 2 * away
    if not rows.size:
        return rows, other
    loss = found.values[rows] - joint.of(joint.data.taken(rows)).value(other)
    tried = loss < away**2
    return rows[tried], other[tried]


@dataclass(frozen=True)
class _State:
    """Experiments that are still climbing.

    Attributes:
        joint: Their log likelihood.
        parameters: Where they are, ``(T, d)``.
        free: Which parameters are free, ``(T, d)``.
        jet: ln L there.
        share: Part of a step that is tried next, ``(T,)``.
    """

    joint: Joint
    parameters: Array
    free: Array
    jet: Jet
    share: Array

    @classmethod
    def of(cls, joint: Joint, parameters: Array, free: Array) -> "_State":
        at = np.array(parameters, dtype=float)
        return cls(joint, at, free, joint.jet(at), np.ones(len(at)))

    def _each(self, theta: Array | float, nu: float) -> Array:
        """Return numbers for each parameter, ``(d,)``."""
        of_theta = np.broadcast_to(theta, self.joint.p)
        return np.append(of_theta, np.full(self.joint.n_nuisance, nu))

    @cached_property
    def unit(self) -> Array:
        """What steps are measured in, ``(d,)``."""
        return self._each(0.5 * np.ptp(self.joint.region, axis=1), 1.0)

    @cached_property
    def ends(self) -> tuple[Array, Array]:
        """Lowest and highest values, ``(d,)``."""
        low, high = self.joint.region.T
        return self._each(low, -np.inf), self._each(high, np.inf)

    @cached_property
    def newton(self) -> tuple[Array, Array]:
        """Whole steps in units, ``(T, d)``, and what they are to gain, ``(T,)``."""
        slope = self.jet.gradient * self.unit
        curvature = self.jet.hessian * self.unit[:, None] * self.unit
        low, high = self.ends
        at_low = self.parameters <= low + _AT_END * self.unit
        at_high = self.parameters >= high - _AT_END * self.unit
        moves = self.free
        # What is at an end and would leave stays, which changes the others' steps.
        for _ in range(self.joint.p + 1):
            step = _ascent(slope, curvature, moves)
            stays = (at_low & (step < 0)) | (at_high & (step > 0))
            if not stays.any():
                break
            moves = moves & ~stays
        gain: Array = 0.5 * np.sum(slope * step, axis=1)
        return step, gain

    def inside(self, step: Array) -> Array:
        """Return where steps lead, ended where they leave the region."""
        where: Array = np.clip(self.parameters + step * self.unit, *self.ends)
        return where

    def taken(self, experiments: Array) -> "_State":
        """Return some of the experiments."""
        return _State(
            self.joint.of(self.joint.data.taken(experiments)),
            self.parameters[experiments],
            self.free[experiments],
            self.jet.at((experiments,)),
            self.share[experiments],
        )

    def moved(self, whole: Array) -> "_State":
        """Return the state after a part of steps, where that is an improvement."""
        step = self.share[:, None] * self._shortened(whole)
        at = self.inside(step)
        jet = self.joint.jet(at)
        better = jet.value >= self.jet.value
        return replace(
            self,
            parameters=np.where(better[:, None], at, self.parameters),
            jet=jet.where(better, self.jet),
            share=np.where(better, np.minimum(2 * self.share, 1.0), 0.5 * self.share),
        )

    def _shortened(self, step: Array) -> Array:
        """Return steps that are not too long and end where the first parameter is at an end."""
        low, high = self.ends
        room = np.where(step > 0, high - self.parameters, self.parameters - low) / self.unit
        longest = np.minimum(room, self._each(_LONGEST_THETA, _LONGEST_NU))
        longest = np.where(self.free, longest, np.inf)
        size = np.maximum(np.abs(step), _FLAT)
        part = np.min(np.where(step == 0, 1.0, longest / size), axis=1, keepdims=True)
        shortened: Array = step * np.minimum(part, 1.0)
        return shortened


def _ascent(slope: Array, curvature: Array, moves: Array) -> Array:
    """Return Newton's steps ``(T, d)`` of what moves, with curvatures of the wrong sign turned."""
    slope = np.where(moves, slope, 0.0)
    curvature = np.where(moves[:, :, None] & moves[:, None, :], curvature, 0.0)
    values, vectors = np.linalg.eigh(-curvature)
    size = np.abs(values)
    size = np.maximum(size, _FLATTEST * size.max(axis=-1, keepdims=True) + _FLAT)
    along = np.einsum("tij,ti->tj", vectors, slope) / size
    step: Array = np.einsum("tij,tj->ti", vectors, along)
    # Exactly, as what is held is to keep its value.
    return np.where(moves, step, 0.0)
