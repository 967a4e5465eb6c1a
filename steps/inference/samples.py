"""Training and test samples with joint likelihood ratio and joint score, drawn by MadMiner."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.events.combination import from_mixture
from steps.inference.methods import Kind, Method
from steps.inference.morphing.variations import Shifted, Variations
from steps.madminer.events import Events, Sampler
from steps.stage.errors import reading


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
        n = spec["sampling_number"]
        points = np.stack([_drawn(prior, n, rng) for prior in priors], axis=-1)
    if given != n_parameters:
        raise ValueError(f"{given} parameters are given, the data file has {n_parameters}")
    return "morphing_points", list(points)


def _drawn(prior: Mapping[str, Any], n: int, rng: np.random.Generator) -> Array:
    """Draw ``n`` values of one parameter."""
    first, second = prior["prior_param_0"], prior["prior_param_1"]
    if prior["prior_shape"] == "flat":
        return rng.uniform(first, second, n)
    return rng.normal(first, second, n)


def points(spec: Mapping[str, Any]) -> list[str | Array]:
    """Return the benchmarks or points that a ``theta`` block names; none where they are random."""
    argument: Any = spec.get("sampling_arg")
    match spec["sampling_method"]:
        case "benchmark":
            return [argument]
        case "benchmarks":
            return list(argument)
        case "morphing_points":
            return list(np.atleast_2d(argument))
    return []


def single_point(spec: Mapping[str, Any]) -> str | Array | None:
    """Return the benchmark or point of a ``theta`` block that names one alone, else None."""
    found = points(spec)
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class Draw:
    """What to draw.

    Attributes:
        thetas: Blocks ``theta_0`` and, for ratios, ``theta_1`` of the input file.
        n_samples: Number of events (rounded to a multiple of the number of parameter points).
        test_split: Share of the file's events that is kept for tests.
        valid_split: Share of the others that is kept for validation.
        nuisance: Whether to include nuisance parameters.
    """

    thetas: Mapping[str, Mapping[str, Any]]
    n_samples: int
    test_split: float
    valid_split: float
    nuisance: bool = False


def draw(
    data_file: str, method: Method, what: Draw, rng: np.random.Generator, partition: str
) -> dict[str, Array]:
    """Draw an unweighted sample with the augmented data that a method trains on.

    The partitions have no event in common. NumPy's global state must be seeded: MadMiner draws
    from it.

    Args:
        data_file: MadMiner file.
        method: The method.
        what: What to draw.
        rng: Source of random parameter points.
        partition: ``train``, ``validation`` or ``test``.

    Returns:
        Float32 columns of equal length n: ``x`` (n, n_observables), ``theta`` (n, n_parameters)
        and ``t_xz`` (n, n_parameters), the joint score at theta; for ratios also ``y`` (n, 1),
        0 for the numerator, and ``r_xz`` (n, 1), the joint ratio of theta_0 to theta_1.

    Raises:
        ValueError: The blocks do not fit the data file.
    """
    sampler = Sampler(data_file, nuisance=what.nuisance)
    points = {
        name: parameter_points(spec, sampler.n_parameters, rng)
        for name, spec in what.thetas.items()
    }
    options = {
        "n_samples": what.n_samples,
        "partition": partition,
        "test_split": what.test_split,
        # MadMiner's is a share of all events.
        "validation_split": what.valid_split * (1 - what.test_split),
    }
    if method.kind is Kind.RATIO:
        columns = sampler.ratio(points["theta_0"], points["theta_1"], **options)
    else:
        columns = sampler.local(points["theta_0"], **options)
    return {name: np.asarray(column, dtype=np.float32) for name, column in columns.items()}


def mixture(data_file: str, index: Array | None = None) -> dict[str, Array]:
    """Return events with all that fixes their weights at any parameter point.

    Args:
        data_file: MadMiner file.
        index: Numbers of the events to take; all where None.

    Returns:
        ``index`` in the file ``(n,)``, ``x`` ``(n, n_observables)``, ``weights`` ``(n, b)`` in pb,
        summing to the cross sections; ``benchmarks`` ``(b, p)``, ``exponents`` ``(c, p)``. Of
        several processes, or with systematic uncertainties, also ``processes`` ``(n,)``, numbers of
        ``process_names``: those that have any of these events.
    """
    events = Events(data_file)
    x, weights, drawn = events.drawn()
    weights = from_mixture(weights, drawn)
    index = np.arange(len(x)) if index is None else index
    return {
        "index": index,
        "x": x[index],
        "weights": weights[index] * (len(x) / len(index)),
        "benchmarks": events.benchmarks,
        "exponents": events.exponents,
        **_origins(Path(data_file), index),
    }


def _origins(data_file: Path, index: Array) -> dict[str, Array]:
    """Return which processes events are of."""
    processes = madminer_file.read_processes(data_file)
    present, numbers = np.unique(processes.index[index], return_inverse=True)
    if len(present) == 1 and not madminer_file.read_systematics(data_file):
        return {}
    return {"processes": numbers, "process_names": np.array(processes.names)[present]}


def varied(data_file: str, index: Array | None = None) -> dict[str, Array]:
    """Return the same as :func:`mixture`, and what events are with systematic uncertainties.

    Returns:
        With these also :meth:`steps.inference.morphing.variations.Variations.to_arrays`.
    """
    found = mixture(data_file, index)
    return found | _variations(Path(data_file), found["index"])


def _variations(data_file: Path, index: Array) -> dict[str, Array]:
    described = madminer_file.read_systematics(data_file)
    if not described:
        return {}
    processes = madminer_file.read_processes(data_file)
    present = np.unique(processes.index[index])
    known = np.full(len(processes.names), -1)
    known[present] = np.arange(len(present))
    shifted = {}
    for k, entry in enumerate(described):
        if entry.get("form") == "shifted":
            up, down = madminer_file.read_shifted(data_file, entry["systematic"])
            shifted[k] = (_shifted(up, known), _shifted(down, known))
    names = [entry["name"] for entry in described]
    responses = madminer_file.read_responses(data_file)
    variations = Variations(names, responses, processes.events, shifted)
    return variations.of_rows(index).to_arrays()


def _shifted(of: madminer_file.Shifted, known: Array) -> Shifted:
    """Return shifted events of the processes that have a number, -1 for none."""
    rows = known[of.processes] >= 0
    return Shifted(
        of.observations[rows], of.weights[rows], known[of.processes][rows], of.events[rows]
    )


def some(n: int, n_most: int, rng: np.random.Generator) -> Array:
    """Return the numbers of at most ``n_most`` of ``n`` events, in their order."""
    if n <= n_most:
        return np.arange(n)
    return np.sort(rng.choice(n, n_most, replace=False))


def save(folder: Path, label: str, sample: Mapping[str, Array]) -> None:
    """Write the columns of a sample as ``<column>_<label>.npy``."""
    for name, column in sample.items():
        np.save(folder / f"{name}_{label}.npy", column, allow_pickle=False)


def load(folder: Path, label: str) -> dict[str, Array]:
    """Read the columns of a sample.

    Raises:
        InputError: One cannot be read.
    """
    ending = f"_{label}.npy"
    columns = {}
    for path in folder.glob(f"*{ending}"):
        with reading(path, "a column of a sample", "draw the sample again"):
            columns[path.name.removesuffix(ending)] = np.load(path, allow_pickle=False)
    return columns
