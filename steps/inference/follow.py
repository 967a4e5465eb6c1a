"""Where the likelihood lives: the part of a region that is worth training in and looking at."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import qmc

from steps.arrays import Array
from steps.inference.likelihood import Likelihood

# Beyond this -2 ln(L / L_best) nothing is of interest: four and a half standard deviations.
_FAR = 20.0
_POINTS = 2048
# As many points must lie in it for its extent to be known.
_ENOUGH = 64
# Part of its width that is added on either side.
_MARGIN = 0.08
# A box that keeps this share of the width of each parameter has converged.
_CONVERGED = 0.9
_MOST_STEPS = 50


def reach(weights: Array, luminosity: float) -> float:
    """Return up to which q = -2 ln(L / L_best) a point may be near the best: 20, and noise.

    Finite simulation makes the noise 2 sqrt(q t) + t of q, with t events expected for each
    effective one that is simulated.

    Args:
        weights: The simulated events' weights at the true point in pb, ``(n,)``.
        luminosity: Integrated luminosity in 1/pb.
    """
    t = luminosity * float(weights.sum()) / effective_events(weights)
    return float((np.sqrt(t) + np.sqrt(_FAR + 2 * t)) ** 2)


def focus(
    likelihoods: Sequence[Likelihood], region: Array, keep: Array, far: float = _FAR
) -> Array:
    """Return the smallest box in a region that holds all points near the best of any likelihood.

    The box shrinks step by step, so that a region may be much larger than what it is searched for.

    Args:
        likelihoods: Log likelihoods, of which each counts.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        keep: A point that stays in the box, the true one, ``(p,)``.
        far: Up to which q = -2 ln(L / L_best) points are near, see :func:`reach`.
    """
    region = np.asarray(region, dtype=float)
    unit = qmc.Sobol(len(region), scramble=True, seed=1).random(_POINTS)
    box = region
    for _ in range(_MOST_STEPS):
        low, high = box.T
        points = low + unit * (high - low)
        values = [likelihood(points) for likelihood in likelihoods]
        distance = np.min([2 * (v.max() - v) for v in values], axis=0)
        near = distance < max(far, np.partition(distance, _ENOUGH)[_ENOUGH])
        shrunk = _around(np.vstack([points[near], keep]), region)
        done = (np.ptp(shrunk, axis=1) > _CONVERGED * np.ptp(box, axis=1)).all()
        box = np.stack([np.maximum(shrunk[:, 0], low), np.minimum(shrunk[:, 1], high)], axis=-1)
        if done:
            break
    return box


def joined(one: Array, other: Array) -> Array:
    """Return the smallest box that holds two, ``(p, 2)`` each."""
    return np.stack(
        [np.minimum(one[:, 0], other[:, 0]), np.maximum(one[:, 1], other[:, 1])], axis=-1
    )


def _around(points: Array, region: Array) -> Array:
    """Return a box about points with a margin, within a region."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * (high - low)
    return np.stack(
        [np.maximum(low - margin, region[:, 0]), np.minimum(high + margin, region[:, 1])], axis=-1
    )


def effective_events(weights: Array) -> float:
    """Return (sum w)^2 / sum w^2 of weights ``(n,)``."""
    return float(weights.sum() ** 2 / np.sum(weights**2))
