"""What nuisance parameters do to a result: pulls, impacts, and the error of each theta by source.

The pull of a nuisance parameter is its best value, in units of the error it had before, with the
error it has after. Its impact on a theta is the shift of the best theta when it is fixed away from
its best value, by its error before or after, all others fitted anew. The part of a source in the
error of a theta is what is missing in quadrature when its parameters are fixed at their best
values; the statistical error is that with all of them fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steps.arrays import Array
from steps.inference.nuisance.climbing import climb, climb_highest
from steps.inference.nuisance.likelihood import Joint

# Curvatures of the profiled ln L are taken as at least this, in units of the region's widths: an
# error of theta is at most the region's width, also at its ends, where ln L need not be curved.
_FLATTEST = 1.0
# Standard deviations that a nuisance parameter may start from its best value.
_FAR = 5.0
# Ends are found to this part of the error.
_PRECISION = 1e-5
_MOST_STEPS = 40
# Where q vanishes its root is taken as this.
_LEAST = 1e-9


@dataclass(frozen=True)
class Fit:
    """The best fit of all parameters.

    Attributes:
        parameters: Best theta and nu, ``(d,)``.
        value: ln L there.
        covariance: Inverse of the negative second derivatives of ln L, ``(d, d)``, where errors of
            theta are not larger than the region.
        n_nuisance: Number K of nuisance parameters.
    """

    parameters: Array
    value: float
    covariance: Array
    n_nuisance: int

    @property
    def p(self) -> int:
        """Number of parameters theta."""
        return len(self.parameters) - self.n_nuisance

    @property
    def errors(self) -> Array:
        """Errors of all parameters, the others profiled, ``(d,)``."""
        errors: Array = np.sqrt(np.diagonal(self.covariance))
        return errors

    @property
    def pulls(self) -> Array:
        """Best values of the nuisance parameters and their errors, ``(K, 2)``."""
        return np.stack([self.parameters, self.errors], axis=-1)[self.p :]

    @property
    def correlation(self) -> Array:
        """Correlation matrix, ``(d, d)``."""
        correlation: Array = self.covariance / np.outer(self.errors, self.errors)
        return correlation


def fit(joint: Joint, theta: Array) -> Fit:
    """Return the best fit of all parameters that is next to a point.

    Args:
        joint: The joint log likelihood, of one experiment.
        theta: Where the likelihood is about greatest, ``(p,)``, see
            :func:`steps.inference.intervals.best_fit`.
    """
    start = np.append(theta, joint.data.auxiliary)
    first = climb_highest(joint, start[None], np.arange(len(start)) >= joint.p)
    found = climb_highest(joint, first.parameters, np.ones(len(start), dtype=bool))
    [at] = found.parameters
    return Fit(at, float(found.values[0]), _covariance(joint, at), joint.n_nuisance)


def _covariance(joint: Joint, at: Array) -> Array:
    """Return the covariance of all parameters at the best ones, ``(d, d)``."""
    p, unit = joint.p, np.ptp(joint.region, axis=1)
    curvature = -joint.jet(at[None]).hessian[0]
    of_nu = np.linalg.inv(curvature[p:, p:])
    # How the best nu follow theta, and the curvature of what is profiled over them.
    follow = -of_nu @ curvature[p:, :p]
    profiled = (curvature[:p, :p] + curvature[:p, p:] @ follow) * unit[:, None] * unit
    values, vectors = np.linalg.eigh(profiled)
    vectors = vectors * unit[:, None] / np.sqrt(np.maximum(values, _FLATTEST))
    of_theta = vectors @ vectors.T
    across = of_theta @ follow.T
    return np.block([[of_theta, across], [across.T, of_nu + follow @ across]])


def impacts(joint: Joint, best: Fit) -> Array:
    """Return the shifts of the best theta by each nuisance parameter.

    Args:
        joint: The joint log likelihood.
        best: Its best fit.

    Returns:
        ``(K, p, 4)``: shifts when the nuisance parameter is fixed at its best value plus and minus
        its error after the fit, then plus and minus 1, its error before.
    """
    k, d = best.n_nuisance, len(best.parameters)
    post = best.errors[best.p :, None] * [1, -1]
    pre = np.broadcast_to([1.0, -1.0], (k, 2))
    away = np.hstack([post, pre])
    starts, free = np.empty((k, 4, d)), np.ones((k, 4, d), dtype=bool)
    for number in range(k):
        place = best.p + number
        # To first order the others follow as their covariance says.
        along = best.covariance[place] / best.covariance[place, place]
        starts[number] = best.parameters + away[number, :, None] * along
        free[number, :, place] = False
    low, high = joint.region.T
    starts[..., : best.p] = np.clip(starts[..., : best.p], low, high)
    # Far away, where a fit of few events sends them, responses are not finite.
    nuisance = best.parameters[best.p :]
    starts[..., best.p :] = np.clip(starts[..., best.p :], nuisance - _FAR, nuisance + _FAR)
    found = climb(joint, starts.reshape(-1, d), free.reshape(-1, d))
    shifts: Array = (found.parameters - best.parameters)[:, : best.p]
    return np.moveaxis(shifts.reshape(k, 4, best.p), 1, -1)


def ranking(shifts: Array) -> Array:
    """Return the numbers of the nuisance parameters by impact on each theta, ``(p, K)``.

    The greatest is the first, of impacts with the errors after the fit.

    Args:
        shifts: See :func:`impacts`.
    """
    order: Array = np.argsort(-np.abs(shifts[..., :2]).max(axis=-1), axis=0, kind="stable").T
    return order


@dataclass(frozen=True)
class Split:
    """The errors of each theta by source, downwards and upwards, ``(p, 2)``.

    They are the distances from the best fit to the ends of the profiled interval that holds it; NaN
    where the region ends before.

    Attributes:
        total: With all sources.
        statistics: All nuisance parameters at their best values.
        groups: Parts of groups of these, by name: what is missing in quadrature without.
    """

    total: Array
    statistics: Array
    groups: Mapping[str, Array]

    @property
    def systematics(self) -> Array:
        """What all nuisance parameters add in quadrature, ``(p, 2)``."""
        return _less(self.total, self.statistics)


def split(
    joint: Joint, best: Fit, groups: Mapping[str, Sequence[int]], level: float = 1.0
) -> Split:
    """Return the errors of each theta by source.

    Parts need not add up to the total in quadrature: sources are correlated after the fit.

    Args:
        joint: The joint log likelihood.
        best: Its best fit.
        groups: Numbers of nuisance parameters by name of their group.
        level: q at the ends, 1 for 68 %.
    """
    held = np.zeros((2 + len(groups), best.n_nuisance), dtype=bool)
    held[1] = True
    for row, numbers in zip(held[2:], groups.values(), strict=True):
        row[list(numbers)] = True
    total, statistics, *others = errors(joint, best, held, level)
    parts = [_less(total, other) for other in others]
    return Split(total, statistics, dict(zip(groups, parts, strict=True)))


def _less(total: Array, other: Array) -> Array:
    """Return the difference in quadrature."""
    difference: Array = np.sqrt(np.maximum(total**2 - other**2, 0.0))
    return difference


def errors(joint: Joint, best: Fit, held: Array, level: float = 1.0) -> Array:
    """Return the distances from the best fit to where the profiled q of each theta is at a level.

    Args:
        joint: The joint log likelihood.
        best: Its best fit.
        held: Nuisance parameters that stay at their best values, a row for each set ``(m, K)``.
        level: q at the ends.

    Returns:
        Distances downwards and upwards, ``(m, p, 2)``; NaN where the region ends before.
    """
    m, p = len(held), best.p
    sets, axis, side = (of.ravel() for of in np.indices((m, p, 2)))
    free = np.hstack([np.ones((len(sets), p), dtype=bool), ~held[sets]])
    free[np.arange(len(sets)), axis] = False
    low, high = (np.abs(ends - best.parameters[:p]) for ends in joint.region.T)
    rays = _Rays(joint, best, axis, np.where(side == 0, -1.0, 1.0), free)
    room = np.where(side == 0, low[axis], high[axis])
    return rays.ends(room, level).reshape(m, p, 2)


@dataclass(frozen=True)
class _Rays:
    """Ways from the best fit along one theta each, the free parameters at their best.

    Attributes:
        joint: The joint log likelihood.
        best: Its best fit.
        axis: Number of the theta, ``(T,)``.
        sign: 1 for upwards, -1 for downwards, ``(T,)``.
        free: Parameters that are free, ``(T, d)``.
    """

    joint: Joint
    best: Fit
    axis: Array
    sign: Array
    free: Array

    def taken(self, rays: Array) -> "_Rays":
        """Return some of them."""
        chosen = (of[rays] for of in (self.axis, self.sign, self.free))
        return _Rays(self.joint, self.best, *chosen)

    def start(self, at: Array) -> Array:
        """Return parameters at distances ``(T,)`` as the covariance tells, ``(T, d)``."""
        covariance = self.best.covariance[self.axis]
        variance = np.diagonal(self.best.covariance)[self.axis]
        along = np.where(self.free, covariance / variance[:, None], 0.0)
        return self.placed(self.best.parameters + (self.sign * at)[:, None] * along, at)

    def placed(self, parameters: Array, at: Array) -> Array:
        """Return parameters ``(T, d)`` with the thetas at distances ``(T,)``."""
        placed = parameters.copy()
        placed[np.arange(len(at)), self.axis] = self.best.parameters[self.axis] + self.sign * at
        placed[:, : self.best.p] = np.clip(placed[:, : self.best.p], *self.joint.region.T)
        return placed

    def root(self, parameters: Array) -> tuple[Array, Array, Array]:
        """Return the root of q from starts ``(T, d)``, its slope, ``(T,)``, and the maxima."""
        found = climb(self.joint, parameters, self.free)
        slopes = self.joint.jet(found.parameters).gradient[np.arange(len(self.axis)), self.axis]
        root = np.sqrt(np.maximum(2 * (self.best.value - found.values), _LEAST))
        return root, -self.sign * slopes / root, found.parameters

    def ends(self, room: Array, level: float) -> Array:
        """Return where q is at a level, NaN where it is less at the end of the room, ``(T,)``.

        The root of q is almost linear: Newton's method, or the middle where it leaves what is known
        to hold the end.
        """
        sigma = self.best.errors[self.axis]
        inside, outside = np.zeros_like(room), np.full_like(room, np.inf)
        at = np.minimum(np.sqrt(level) * sigma, room)
        parameters, ends = self.start(at), np.full_like(room, np.nan)
        going = np.arange(len(room))
        for _ in range(_MOST_STEPS):
            rays = self.taken(going)
            here = at[going]
            root, slope, parameters[going] = rays.root(rays.placed(parameters[going], here))
            beyond = root >= np.sqrt(level)
            outside[going] = np.where(beyond, here, outside[going])
            inside[going] = np.where(beyond, inside[going], here)
            step = (np.sqrt(level) - root) / np.maximum(slope, _LEAST)
            wanted = np.minimum(here + step, room[going])
            again = (wanted <= inside[going]) | (wanted >= outside[going])
            middle = 0.5 * (inside[going] + np.minimum(outside[going], room[going]))
            close = np.abs(step) < _PRECISION * sigma[going]
            ends[going[close]] = here[close] + step[close]
            is_edge = ~beyond & (here >= room[going])
            at[going] = np.where(again, middle, wanted)
            going = going[~(close | is_edge)]
            if not going.size:
                break
        return ends


def to_arrays(best: Fit, shifts: Array, parts: Split, name: str) -> dict[str, Array]:
    """Return the breakdown of a result as numeric arrays.

    Args:
        best: The best fit.
        shifts: Impacts, see :func:`impacts`.
        parts: Errors by source.
        name: What the keys have after ``nuisance/``, for instance ``with_rate``.

    Returns:
        ``nuisance/<name>/best_fit`` ``(d,)``, ``.../log_likelihood`` ``()``, ``.../covariance``
        ``(d, d)``, ``.../impacts`` ``(K, p, 4)``; and ``.../errors/total``,
        ``.../errors/statistics`` and ``.../errors/groups/<group>``, ``(p, 2)``.
    """
    key = f"nuisance/{name}"
    arrays = {
        f"{key}/best_fit": best.parameters,
        f"{key}/log_likelihood": np.array(best.value),
        f"{key}/covariance": best.covariance,
        f"{key}/impacts": shifts,
        f"{key}/errors/total": parts.total,
        f"{key}/errors/statistics": parts.statistics,
    }
    return arrays | {f"{key}/errors/groups/{group}": of for group, of in parts.groups.items()}


def from_arrays(arrays: Mapping[str, Array], name: str) -> tuple[Fit, Array, Split]:
    """Return what :func:`to_arrays` made arrays of: best fit, impacts, errors by source."""
    key = f"nuisance/{name}"
    shifts = arrays[f"{key}/impacts"]
    best = Fit(
        arrays[f"{key}/best_fit"],
        float(arrays[f"{key}/log_likelihood"]),
        arrays[f"{key}/covariance"],
        len(shifts),
    )
    groups = f"{key}/errors/groups/"
    parts = Split(
        arrays[f"{key}/errors/total"],
        arrays[f"{key}/errors/statistics"],
        {k.removeprefix(groups): v for k, v in arrays.items() if k.startswith(groups)},
    )
    return best, shifts, parts
