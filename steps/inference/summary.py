"""Numbers that sum up the evaluation of one network."""

from collections.abc import Mapping, Sequence

import numpy as np

from steps.arrays import Array
from steps.inference.statistics import CONFIDENCE_LEVELS, intervals, limits


def closure_numbers(arrays: Mapping[str, Array]) -> dict[str, float]:
    """Return how well a network knows the truth.

    Args:
        arrays: What an evaluation wrote.

    Returns:
        ``correlation`` and ``slope`` of each comparison with histograms, their least and mean; the
        ``joint_correlation`` with the joint log likelihood ratio or (mean of components) score of
        events that the training has not seen; ``held_out_loss``.
    """
    numbers = {"held_out_loss": float(arrays["held_out_loss"])}
    for name in ("correlation", "slope"):
        values = arrays.get(f"closure/{name}", np.array([]))
        if values.size:
            numbers |= {f"{name}_{k}": float(value) for k, value in enumerate(values)}
            numbers |= {f"{name}_least": float(values.min()), f"{name}_mean": float(values.mean())}
    if "joint/truth" in arrays:
        truth, estimate = (
            arrays[f"joint/{name}"].reshape(len(arrays["joint/truth"]), -1)
            for name in ("truth", "estimate")
        )
        valid = np.isfinite(truth).all(axis=1)
        pairs = zip(truth[valid].T, estimate[valid].T, strict=True)
        numbers["joint_correlation"] = float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))
    return numbers


def limit_numbers(
    name: str, log_likelihood: Array, points: Array, parameters: Sequence[str]
) -> dict[str, float]:
    """Return best fit and limits at 68 % and 95 % CL.

    Args:
        name: What the numbers' names begin with, for instance ``kinematics``.
        log_likelihood: Log likelihoods of the grid's points, ``(n_grid,)``.
        points: Grid of parameter points, ``(n_grid, n_parameters)``.
        parameters: Names of the parameters.

    Returns:
        ``<name>_best_fit/<parameter>``, ``<name>_<level>/<parameter>_low`` and ``_high``.
    """
    found = limits(log_likelihood, len(parameters))
    best_fit = zip(parameters, points[found.best_fit], strict=True)
    numbers = {f"{name}_best_fit/{key}": float(value) for key, value in best_fit}
    for level, p in CONFIDENCE_LEVELS.items():
        for key, ends in zip(parameters, intervals(points, found.p_values, p), strict=True):
            numbers |= {
                f"{name}_{level}/{key}_{end}": value
                for end, value in zip(("low", "high"), ends, strict=True)
            }
    return numbers


def fisher_numbers(matrix: Array, parameters: Sequence[str]) -> dict[str, float]:
    """Return the elements of a Fisher information matrix as ``fisher_information/<i>_<j>``."""
    return {
        f"fisher_information/{parameters[i]}_{parameters[j]}": float(matrix[i, j])
        for i in range(len(parameters))
        for j in range(i, len(parameters))
    }
