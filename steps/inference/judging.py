"""Whether limits can be relied on: the facts of an evaluation, for :mod:`reliability`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from steps.arrays import Array
from steps.inference import extremes, reliability
from steps.inference.follow import effective_events
from steps.inference.frames import Frame
from steps.inference.likelihood import Likelihood
from steps.inference.statistics import CONFIDENCE_LEVELS
from steps.inference.surfaces import Surface


@dataclass(frozen=True)
class Names:
    """Names of the parameters, the observables and the benchmarks of an analysis."""

    parameters: Sequence[str]
    observables: Sequence[str]
    benchmarks: Sequence[str]


@dataclass(frozen=True)
class Case:
    """Limits that are judged.

    Attributes:
        frame: Where they are set.
        trained: Lowest and highest value of each parameter that networks were trained in,
            ``(p, 2)``.
        weights: The simulated events' weights in pb at parameter points, ``(g, n)``.
        names: Names of what there is.
    """

    frame: Frame
    trained: Array
    weights: Callable[[Array], Array]
    names: Names


def contour_points(surface: Surface, level: float) -> Array:
    """Return the points of q < level at which a parameter is extreme, ``(2 p, p)``."""
    inside = np.argwhere(surface.q < level)
    rows = [pick(inside[:, k]) for k in range(inside.shape[1]) for pick in (np.argmin, np.argmax)]
    return np.stack(
        [[axis[i] for axis, i in zip(surface.axes, inside[row], strict=True)] for row in rows]
    )


def facts(case: Case, likelihoods: Sequence[Likelihood]) -> reliability.Facts:
    """Return what limits are judged by.

    Args:
        case: The limits.
        likelihoods: The nominal likelihood and those of the bags.
    """
    target = case.frame.target
    level = float(chi2.isf(CONFIDENCE_LEVELS["68"], df=len(case.trained)))
    seek = _on_grid if case.frame.has_grid else _without_grid
    found = seek(case.frame, likelihoods, level)
    truth = target.theta_true[None]
    q = -2 * likelihoods[0](np.vstack([truth, found.fits]))
    q -= q.min()
    effective = [effective_events(w) for w in case.weights(np.vstack([truth, found.points]))]
    return reliability.Facts(
        reliability.Simulation(
            n_expected=target.luminosity * float(case.weights(truth).sum()),
            luminosity=target.luminosity,
            effective=effective[0],
            points=found.points,
            effective_at_points=np.array(effective[1:]),
        ),
        reliability.Contour(
            names=case.names.parameters,
            region=case.trained,
            searched=case.frame.target.region,
            extent=found.extent,
            q=level,
            # Not known without bags, nor where all of the region is inside the contour.
            uncertainty=found.uncertainty if np.isfinite(found.uncertainty) else None,
        ),
        reliability.BestFit(q_truth=float(q[0]), q_bags=q[2:]),
    )


@dataclass(frozen=True)
class _Found:
    """Best fits, and the contour of the nominal likelihood.

    Attributes:
        fits: Best fits of all likelihoods, ``(1 + n_bags, p)``.
        points: Where each parameter is least and greatest on the contour, ``(2 p, p)``.
        extent: How far the contour reaches along each parameter, ``(p, 2)``.
        uncertainty: The bags' standard deviation of q near the contour; NaN for fewer than two.
    """

    fits: Array
    points: Array
    extent: Array
    uncertainty: float


def _on_grid(frame: Frame, likelihoods: Sequence[Likelihood], level: float) -> _Found:
    surfaces = [_surface(frame, likelihood) for likelihood in likelihoods]
    near = np.abs(surfaces[0].q - level) < 0.75 * level
    return _Found(
        fits=np.array([surface.best_fit() for surface in surfaces]),
        points=contour_points(surfaces[0], level),
        extent=np.array(surfaces[0].extent(level)),
        uncertainty=_spread(np.array([surface.q[near] for surface in surfaces])),
    )


def _without_grid(frame: Frame, likelihoods: Sequence[Likelihood], level: float) -> _Found:
    fits = extremes.best_fits(likelihoods, frame.target.theta_true)
    points = extremes.points(likelihoods[0], fits[0], level)
    q = [
        2 * (likelihood(fit[None]) - likelihood(points))
        for likelihood, fit in zip(likelihoods, fits, strict=True)
    ]
    size = len(frame.resolutions)
    extent = points.reshape(size, 2, size)[np.arange(size), :, np.arange(size)]
    return _Found(fits, points, extent, _spread(np.array(q)))


def _surface(frame: Frame, likelihood: Likelihood) -> Surface:
    values = likelihood(frame.points)
    unknown = np.full(len(values), np.nan)
    return Surface.of(frame.target.region, frame.resolutions, values, unknown)


def _spread(q: Array) -> float:
    """Return the bags' standard deviation of q ``(1 + n_bags, m)``; NaN where not known."""
    if len(q) < 3 or not q.size:
        return float("nan")
    return float(np.sqrt(np.mean(q[1:].var(axis=0, ddof=1))))


def lines(findings: Sequence[reliability.Finding]) -> Array:
    """Return findings as lines of bytes, for a file."""
    texts = [f"{finding.reason}; {finding.remedy}" for finding in findings]
    return np.array([text.encode() for text in texts], dtype="S") if texts else np.array([], "S1")
