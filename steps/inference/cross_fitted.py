"""Likelihoods and quality of networks that were cross-fitted: every event is expected data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from steps.arrays import Array
from steps.inference import closure, quality
from steps.inference.morphing.ensemble import Events

# q of points that are "at the contour" when its uncertainty is told.
_CONTOUR = (1.0, 4.0)


@dataclass(frozen=True)
class Sample:
    """Events that networks were trained on, each judged by one that has not seen it.

    Attributes:
        events: What the networks say of them.
        coefficients: Coefficients of their weights in pb, ``(n, c)``.
    """

    events: Events
    coefficients: Array

    def weights(self, points: Array) -> Array:
        """Return the events' weights at parameter points in pb, ``(n_points, n)``."""
        weights: Array = self.events.polynomial.weights(points) @ self.coefficients.T
        return weights


def log_likelihoods(
    sample: Sample, points: Array, theta_true: Sequence[float], luminosity: float
) -> dict[str, Array]:
    """Return log likelihoods of parameter points given the data expected at a true point.

    Args:
        sample: The events.
        points: Parameter points ``(n_points, n_parameters)``.
        theta_true: True point.
        luminosity: Integrated luminosity in 1/pb.

    Returns:
        ``log_likelihood/kinematics`` ``(n_points,)``; of the bags ``bags/kinematics`` and
        ``bags/rate`` ``(n_bags, n_points)``; and ``uncertainty/kinematics`` and
        ``uncertainty/with_rate``, the standard deviation of q = -2 ln(L / L_best) near the 68 %
        contour from finite simulation and training.
    """
    truth = np.asarray(theta_true, dtype=float)[None]
    at_truth, monomials = sample.weights(truth)[0], sample.events.polynomial.weights(points)
    kinematics, rate = [], []
    for bag, counts in enumerate(sample.events.multiplicity):
        # Each bag is a sample of the same size.
        shares = counts * at_truth * (len(counts) / counts.sum())
        expected = luminosity * shares.sum()
        per_event = sample.events.expected(points, shares / shares.sum(), bag)
        cross_sections = monomials @ (counts @ sample.coefficients) * (len(counts) / counts.sum())
        kinematics.append(expected * per_event)
        rate.append(expected * np.log(cross_sections) - luminosity * cross_sections)
    arrays = {
        "log_likelihood/kinematics": kinematics[0],
        "bags/kinematics": np.array(kinematics[1:]).reshape(-1, len(points)),
        "bags/rate": np.array(rate[1:]).reshape(-1, len(points)),
    }
    if len(kinematics) > 2:
        both = np.array(kinematics) + np.array(rate)
        arrays["uncertainty/kinematics"] = _spread(np.array(kinematics))
        arrays["uncertainty/with_rate"] = _spread(both)
    return arrays


def _spread(log_likelihood: Array) -> Array:
    """Return the bags' standard deviation of q at the contour of the first log likelihood."""
    q = -2 * (log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    low, high = _CONTOUR
    there = (q[0] > low) & (q[0] < high)
    if not there.any():
        return np.array(np.nan)
    return np.asarray(np.sqrt(q[1:, there].var(axis=0, ddof=1).mean()))


def compare(sample: Sample, x: Array, region: Sequence[Sequence[float]]) -> dict[str, Array]:
    """Compare ratios to the mixture with histograms of all events.

    The mean of rho over the mixture's events in a bin is the ratio of the bin contents. No ratio to
    one parameter point is formed, which has no bound where that one's density vanishes.

    Args:
        sample: The events.
        x: Their observations ``(n, n_observables)``.
        region: Lowest and highest value of each parameter.

    Returns:
        As :func:`steps.inference.quality.ratio`.
    """
    points = quality.comparison_points(region)
    each = np.ones(len(x))
    bins = quality.bins(x, each)
    pairs = zip(sample.weights(points), sample.events.log_ratio(points), strict=True)
    comparisons = [closure.ratio_closure(bins, each, *pair) for pair in pairs]
    return closure.to_arrays(comparisons) | {"closure/points": points}


def joint(sample: Sample, reference: Array, points: Array, rows: Array) -> dict[str, Array]:
    """Compare with joint ratios of some events, each at a parameter point of its own.

    Args:
        sample: The events.
        reference: Parameter point of the ratio's denominator, ``(n_parameters,)``.
        points: Parameter points ``(m, n_parameters)``, used in turn.
        rows: Numbers of the events, ``(n,)``.

    Returns:
        ``joint/truth`` and ``joint/estimate``, log ratios ``(n,)``, and ``held_out_loss`` as
        :func:`steps.inference.quality.held_out_loss`, events counting as they do at the reference.
    """
    own = np.arange(len(rows)) % len(points)
    both = np.vstack([points, reference[None]])
    weights = sample.weights(both)[:, rows]
    log_rho = sample.events.log_ratio(both)[:, rows]
    norm = sample.coefficients.sum(axis=0) @ sample.events.polynomial.weights(both).T
    at = np.arange(len(rows))
    with np.errstate(divide="ignore"):
        truth = np.log(weights[own, at] / norm[own]) - np.log(weights[-1] / norm[-1])
    estimate = log_rho[own, at] - log_rho[-1]
    valid = np.isfinite(truth)
    truth, estimate, share = truth[valid], estimate[valid], weights[-1, valid]
    # Half of the events from either hypothesis, as ALICE has it.
    share = share * (1 + np.exp(truth))
    numerator = expit(truth)
    losses = -numerator * log_expit(estimate) - (1 - numerator) * log_expit(-estimate)
    loss = np.average(losses, weights=share)
    return {"joint/truth": truth, "joint/estimate": estimate, "held_out_loss": np.array(loss)}
