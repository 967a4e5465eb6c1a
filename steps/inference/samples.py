"""Training and test samples with joint likelihood ratio and joint score, drawn by MadMiner."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.inference.methods import Kind, kind
from steps.interface import madminer as _madminer  # noqa: F401 - mends MadMiner before its use

from madminer.sampling import SampleAugmenter  # isort: skip

_PRIORS = {
    "flat": lambda rng, low, high, n: rng.uniform(low, high, n),
    "gaussian": lambda rng, mean, width, n: rng.normal(mean, width, n),
}


def parameter_points(
    spec: Mapping[str, Any], n_parameters: int, rng: np.random.Generator
) -> tuple[str, Any]:
    """Translate a ``theta`` block of the input file for MadMiner's samplers.

    Random points are drawn here, once: MadMiner's own ``random_morphing_points`` draws one set for
    the numerator and another for the denominator, and a classifier (CARL) then learns which
    points belong to which class.

    Args:
        spec: Block with ``sampling_method`` and its argument.
        n_parameters: Number of the theory's parameters.
        rng: Source of random points.

    Raises:
        ValueError: Points or priors do not fit the number of parameters.
    """
    method = spec["sampling_method"]
    if method in ("benchmark", "benchmarks"):
        return method, spec["sampling_arg"]
    if method == "morphing_points":
        points = np.atleast_2d(np.array(spec["sampling_arg"], dtype=float))
        given = points.shape[1]
    else:
        priors = [next(iter(prior.values())) for prior in spec["prior"]]
        given = len(priors)
        points = np.stack(
            [
                _PRIORS[p["prior_shape"]](
                    rng, p["prior_param_0"], p["prior_param_1"], spec["sampling_number"]
                )
                for p in priors
            ],
            axis=-1,
        )
    if given != n_parameters:
        raise ValueError(f"{given} parameters are given, the data file has {n_parameters}")
    return "morphing_points", list(points)


def single_point(spec: Mapping[str, Any]) -> str | NDArray | None:
    """Return the benchmark or point of a ``theta`` block that names one alone, else None."""
    argument = spec.get("sampling_arg")
    match spec["sampling_method"]:
        case "benchmark":
            return argument
        case "benchmarks" if len(argument) == 1:
            return argument[0]
        case "morphing_points" if len(points := np.atleast_2d(argument)) == 1:
            return points[0]
    return None


def draw(
    data_file: str,
    method: str,
    thetas: Mapping[str, Mapping[str, Any]],
    n_samples: int,
    rng: np.random.Generator,
    *,
    partition: str = "train",
    test_split: float = 0.2,
    nuisance: bool = False,
) -> dict[str, NDArray]:
    """Draw an unweighted sample with the augmented data that a method trains on.

    NumPy's global state must be seeded: MadMiner draws from it.

    Args:
        data_file: MadMiner file.
        method: Name of the method.
        thetas: Blocks ``theta_0`` and, for ratios, ``theta_1`` of the input file.
        n_samples: Number of events (rounded to a multiple of the number of parameter points).
        rng: Source of random parameter points.
        partition: ``train`` or ``test``.
        test_split: Share of the file's events that is kept for tests.
        nuisance: Whether to include nuisance parameters.

    Returns:
        Float32 columns of equal length n: ``x`` (n, n_observables), ``theta`` (n, n_parameters)
        and ``t_xz`` (n, n_parameters), the joint score at theta; for ratios also ``y`` (n, 1),
        0 for the numerator, and ``r_xz`` (n, 1), the joint ratio of theta_0 to theta_1.

    Raises:
        ValueError: The blocks do not fit the data file.
    """
    sampler = SampleAugmenter(data_file, include_nuisance_parameters=nuisance)
    points = {
        name: parameter_points(spec, sampler.n_parameters, rng) for name, spec in thetas.items()
    }
    # All events serve every parameter point: with the default the nearest benchmark's alone would.
    options = {
        "n_samples": n_samples,
        "partition": partition,
        "test_split": test_split,
        "validation_split": 0.0,
        "sample_only_from_closest_benchmark": False,
        "folder": None,
        "filename": None,
    }
    if kind(method) is Kind.RATIO:
        x, theta, _, y, r_xz, t_xz, _ = sampler.sample_train_ratio(
            theta0=points["theta_0"], theta1=points["theta_1"], **options
        )
        columns = {"x": x, "theta": theta, "y": y, "r_xz": r_xz, "t_xz": t_xz}
    else:
        x, theta, t_xz, _ = sampler.sample_train_local(theta=points["theta_0"], **options)
        columns = {"x": x, "theta": theta, "t_xz": t_xz}
    return {name: np.asarray(column, dtype=np.float32) for name, column in columns.items()}
