"""Thresholds that cover, from pseudo-experiments, and what thresholds of chi-squared cover."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import chi2

from steps.arrays import Array
from steps.inference import pseudo_experiments
from steps.inference.frames import Frame
from steps.inference.likelihood import Densities
from steps.inference.statistics import CONFIDENCE_LEVELS

MORE = 4
"""As many times the pseudo-experiments of a threshold tell a coverage to a per cent."""

GRID = {1: 101, 2: 25, 3: 11}
"""Points along each parameter in which best fits are sought, by number of parameters."""

MOST_EVENTS = {1: 40_000, 2: 40_000, 3: 4_000}
"""Simulated events that pseudo-experiments are drawn from, at most, likewise."""

# Points along each parameter for Neyman's construction.
_POINTS = {1: 21, 2: 9, 3: 3}
# Points up to this q may be inside a contour, of data other than the expected ones too.
_REACH = 12.0


def toys(
    frame: Frame,
    likelihood: Densities,
    counts: Callable[[Array], Array],
    n_toys: int,
    points: Sequence[Sequence[float]],
    rng: np.random.Generator,
) -> tuple[dict[str, Array], Array]:
    """Return thresholds of q by Neyman's construction, and coverages.

    Args:
        frame: Where limits are set.
        likelihood: The nominal log likelihood.
        counts: Function from a parameter point ``(p,)`` to how often each event is expected there,
            ``(n,)``.
        n_toys: Number of pseudo-experiments at a point.
        points: Parameter points at which coverage is told; those outside the region are left out.
        rng: Source of what is random.

    Returns:
        By confidence level in per cent the thresholds at the grid's points, ``(g,)``; and for each
        point a row of it, the coverages of chi-squared thresholds at 68 % and 95 % and of Neyman's,
        each with its error, ``(n_points, p + 8)``.
    """
    levels, p = list(CONFIDENCE_LEVELS.values()), len(frame.resolutions)
    axes = [np.linspace(low, high, GRID[p]) for low, high in frame.target.region.tolist()]
    model = pseudo_experiments.Model(likelihood, axes, counts).thinned(MOST_EVENTS[p], rng)
    found = pseudo_experiments.neyman(
        model, _within(frame, likelihood, _POINTS[p]), levels, n_toys, rng
    )
    on_grid = dict(zip(CONFIDENCE_LEVELS, found.at(frame.points), strict=True))
    rows = []
    low, high = frame.target.region.T
    wanted = np.atleast_2d(np.array(points, dtype=float))
    for point in wanted[((wanted >= low) & (wanted <= high)).all(axis=1)]:
        q = pseudo_experiments.experiments(model.table, model.at(point), MORE * n_toys, rng)
        cuts = np.concatenate([chi2.isf(levels, df=len(axes)), found.at(point[None])[:, 0]])
        covered = [value for cut in cuts for value in pseudo_experiments.coverage(q, float(cut))]
        rows.append([*point, *covered])
    return on_grid, np.array(rows)


def _within(frame: Frame, likelihood: Densities, n_points: int) -> Array:
    """Return a grid ``(g, p)`` over the points that may be inside a contour."""
    values = likelihood(frame.points)
    near = frame.points[2 * (values.max() - values) < _REACH]
    # At least a step of the grid wide.
    steps = np.ptp(frame.target.region, axis=1) / (np.array(frame.resolutions) - 1)
    middle, half = (
        0.5 * (near.min(axis=0) + near.max(axis=0)),
        np.maximum(0.5 * np.ptp(near, axis=0), 0.5 * steps),
    )
    ends = zip(middle - half, middle + half, strict=True)
    axes = [np.linspace(low, high, n_points) for low, high in ends]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
