"""How well a trained network knows the truth: weighted histograms, joint quantities, its loss."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, log_expit

from steps.arrays import Array
from steps.inference import closure
from steps.inference.methods import Kind, Method
from steps.madminer.estimator import Estimator, Sample
from steps.madminer.events import Events, Reference

_MOST_BINS = {1: 40, 2: 12}
_EVENTS_PER_BIN = 250
_DISTANCE = 0.5


def comparison_points(region: Sequence[Sequence[float]], n_points: int = 5) -> Array:
    """Return parameter points ``(n_points, n_parameters)`` in the inner half of a region.

    Half-way to the edge along either direction of each axis in turn; where axes do not suffice,
    further ones along the diagonal.
    """
    low, high = np.array(region, dtype=float).T
    centre, reach = 0.5 * (low + high), 0.5 * _DISTANCE * (high - low)
    axes = np.eye(len(reach))
    corner = [np.ones(len(reach))] if len(reach) > 1 else []
    diagonal = np.ones(len(reach)) / np.sqrt(len(reach))
    inner = [0.6 * diagonal, -0.6 * diagonal, 0.3 * diagonal]
    directions = np.stack([*(sign * axis for axis in axes for sign in (1, -1)), *corner, *inner])
    points: Array = (centre + directions * reach)[:n_points]
    return points


def ratio(
    data_file: str, model: Estimator, reference: Reference, points: Array, *, is_likelihood: bool
) -> dict[str, Array]:
    """Compare estimated log ratios at parameter points with histograms of all events.

    Args:
        data_file: MadMiner file.
        model: Estimator of ratios to ``reference``, or of likelihoods.
        reference: Benchmark name or parameter point of the ratio's denominator.
        points: Parameter points ``(n_points, n_parameters)``.
        is_likelihood: Whether the model estimates likelihoods.

    Returns:
        For each point k ``closure/<k>/{point, truth, estimate, weight}``, and ``closure/points``,
        ``closure/correlation`` and ``closure/slope`` of all.
    """
    data = Events(data_file)
    x, denominator = data.weighted(reference)
    log_r = model.log_ratio(x, points)
    if is_likelihood:
        log_r = log_r - model.log_ratio(x, data.point(reference)[None])
    filled = bins(x, denominator)
    comparisons = [
        closure.ratio_closure(filled, denominator, data.weighted(point)[1], estimate)
        for point, estimate in zip(points, log_r, strict=True)
    ]
    return closure.to_arrays(comparisons) | {"closure/points": points}


def score(data_file: str, model: Estimator, reference: Reference) -> dict[str, Array]:
    """Compare an estimated score with histograms of all events.

    Args:
        data_file: MadMiner file.
        model: Score estimator trained at ``reference``.
        reference: Benchmark name or parameter point.

    Returns:
        As :func:`ratio`, one comparison per parameter.
    """
    data = Events(data_file)
    x, weights = data.weighted(reference)
    theta = data.point(reference)
    estimate = model.score(x, len(theta))
    gradients = data.gradients(theta)
    comparisons = closure.score_closure(bins(x, weights), weights, gradients, estimate)
    return closure.to_arrays(comparisons)


def compare(
    data_file: str,
    method: Method,
    model: Estimator,
    reference: Reference | None,
    region: Sequence[Sequence[float]],
) -> dict[str, Array]:
    """Compare a network with histograms of all events, whatever it estimates.

    Args:
        data_file: MadMiner file.
        method: The method.
        model: Its network.
        reference: Benchmark or point that ratios are to, or that a score was trained at; nothing
            is compared where there are several.
        region: Lowest and highest value of each parameter.

    Returns:
        As :func:`ratio`.
    """
    if reference is None:
        return {}
    if method.kind is Kind.SCORE:
        return score(data_file, model, reference)
    points = comparison_points(region)
    return ratio(data_file, model, reference, points, is_likelihood=method.kind is Kind.DENSITY)


def joint(model: Estimator, sample: Sample) -> dict[str, Array]:
    """Compare with the joint ratio or score, which know the momenta that no detector sees.

    Args:
        model: Estimator of ratios or scores.
        sample: Test sample, see :func:`steps.inference.samples.draw`.

    Returns:
        ``joint/truth`` and ``joint/estimate``: log ratios ``(n,)`` or scores ``(n, n_parameters)``.
    """
    if "r_xz" not in sample:
        truth_score = sample["t_xz"]
        estimate = model.score(sample["x"], truth_score.shape[1])
        return {"joint/truth": truth_score, "joint/estimate": estimate}
    estimate = _at_own_points(model, sample)
    return {"joint/truth": np.log(sample["r_xz"].ravel()), "joint/estimate": estimate}


def held_out_loss(method: Method, model: Estimator, sample: Sample) -> float:
    """Return a loss on events that the training has not seen, to compare settings of a method.

    Ratio methods share the cross entropy with the joint ratio in place of labels (ALICE's loss,
    arXiv:1808.00973), whatever they minimise themselves; score methods the mean squared error of
    the joint score; likelihoods the mean negative log likelihood. All are least for the closure.

    Args:
        method: The method.
        model: Trained estimator.
        sample: Test sample of the method, see :func:`steps.inference.samples.draw`.
    """
    if method.kind is Kind.SCORE:
        difference = model.score(sample["x"], sample["t_xz"].shape[1]) - sample["t_xz"]
        return float(np.mean(difference**2))
    estimate = _at_own_points(model, sample)
    if method.kind is Kind.DENSITY:
        return float(-np.mean(estimate))
    joint_ratio = sample["r_xz"].ravel()
    # Morphing can give an event a negative weight; there the ratio has no logarithm.
    valid = joint_ratio > 0
    numerator, estimate = expit(np.log(joint_ratio[valid])), estimate[valid]
    losses = -numerator * log_expit(estimate) - (1 - numerator) * log_expit(-estimate)
    return float(np.mean(losses))


def _at_own_points(model: Estimator, sample: Sample) -> Array:
    """Evaluate each event of a sample at its own parameter point, ``(n,)``."""
    points, inverse = np.unique(sample["theta"], axis=0, return_inverse=True)
    estimate = np.empty(len(inverse))
    for index, point in enumerate(points):
        rows = inverse.ravel() == index
        estimate[rows] = model.log_ratio(sample["x"][rows], point[None])[0]
    return estimate


def bins(x: Array, weights: Array) -> closure.Binning:
    # The identity between bin contents and the mean ratio holds in any projection of x.
    shown = x[:, :2]
    n_dimensions = shown.shape[1]
    n_effective = weights.sum() ** 2 / np.sum(weights**2)
    n_bins = int((n_effective / _EVENTS_PER_BIN) ** (1 / n_dimensions))
    return closure.quantile_bins(shown, weights, min(max(n_bins, 2), _MOST_BINS[n_dimensions]))
