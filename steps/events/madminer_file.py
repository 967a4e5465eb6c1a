"""MadMiner's HDF5 file: the set-up of an analysis and its events.

Written and read directly, so that stages that only pass events on need not import MadMiner.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from steps.arrays import Array
from steps.events import expressions
from steps.events.origin import Origin

# Name of the set-up of a job, beside its plan and beside its events.
JOB_SETUP = "setup.h5"
_NO_TRANSFORM = ("", "_", "None")
_STRING = "S256"


@dataclass(frozen=True)
class Setup:
    """Parameters and benchmarks of an analysis.

    Attributes:
        parameters: For each parameter its (LHA block, LHA code, transform to the card's value).
        benchmarks: For each benchmark its parameter values by parameter name.
        observables: Names of the observables, empty before events are added.
    """

    parameters: Mapping[str, tuple[str, int, str]]
    benchmarks: Mapping[str, Mapping[str, float]]
    observables: Sequence[str]

    def card_values(self, point: Mapping[str, float]) -> dict[tuple[str, int], float]:
        """Return the parameter card's values by (block, code) at a point, given by name.

        Raises:
            steps.events.expressions.ExpressionError: A transform does not parse.
        """
        values = {}
        for name, (block, code, transform) in self.parameters.items():
            theta = point[name]
            if transform not in _NO_TRANSFORM:
                expression = expressions.parse(transform, ["theta"])
                theta = float(expression.evaluate({"theta": theta})[0])
            values[block.lower(), code] = theta
        return values


def read_setup(path: Path) -> Setup:
    """Read the set-up of any file that MadMiner wrote.

    Raises:
        OSError: The file cannot be read.
        KeyError: It is not a MadMiner file.
    """
    with h5py.File(path) as file:
        p = file["parameters"]
        names = _strings(p["names"])
        blocks, transforms = _strings(p["lha_blocks"]), _strings(p["transforms"])
        parameters = {
            name: (block, int(code), transform)
            for name, block, code, transform in zip(
                names, blocks, p["lha_ids"][()], transforms, strict=True
            )
        }
        b = file["benchmarks"]
        nuisance = b["is_nuisance"][()] if "is_nuisance" in b else np.zeros(len(b["names"]))
        benchmarks = {
            name: dict(zip(names, (float(v) for v in values), strict=True))
            for name, values, skip in zip(
                _strings(b["names"]), b["values"][()], nuisance, strict=True
            )
            if not skip
        }
        observables = _strings(file["observables/names"]) if "observables" in file else []
    return Setup(parameters, benchmarks, observables)


def read_exponents(path: Path) -> Array:
    """Return the powers of each parameter in each monomial of the weights, ``(c, p)``.

    The first c benchmarks of a set-up are its morphing basis.
    """
    with h5py.File(path) as file:
        return np.asarray(file["morphing/components"][()], dtype=int)


def restrict(path: Path, setup_file: Path, benchmark: str) -> None:
    """Write a set-up without the benchmarks that are neither of the morphing basis nor the one.

    Args:
        path: File to write.
        setup_file: The whole set-up.
        benchmark: The benchmark to keep beside the basis.
    """
    n_basis = len(read_exponents(setup_file))
    with h5py.File(setup_file) as setup, h5py.File(path, "w") as file:
        names = _strings(setup["benchmarks/names"])
        kept = [k for k, name in enumerate(names) if k < n_basis or name == benchmark]
        for group in setup:
            if group != "benchmarks":
                setup.copy(group, file)
        for name, column in setup["benchmarks"].items():
            file[f"benchmarks/{name}"] = column[()][kept]


def read_weights(path: Path) -> tuple[Array, Array]:
    """Read what weights are as functions of the parameters, of any file that MadMiner wrote.

    Returns:
        Powers of each parameter in each monomial of the weights, ``(c, p)``; weights of the events
        at the benchmarks, ``(n, b)``.

    Raises:
        OSError: The file cannot be read.
        KeyError: It has no morphing or no events.
    """
    exponents = read_exponents(path)
    with h5py.File(path) as file:
        weights = file["samples/weights"][()]
        b = file["benchmarks"]
        if "is_nuisance" in b:
            weights = weights[:, ~np.asarray(b["is_nuisance"][()], dtype=bool)]
    return exponents, weights


def read_processes(path: Path) -> tuple[Array, list[str]]:
    """Read which process each event is of.

    Returns:
        Numbers of the processes ``(n,)``, and their names. Of a file that does not tell, events
        drawn at no benchmark are of one background.

    Raises:
        OSError: The file cannot be read.
        KeyError: It has no events.
    """
    with h5py.File(path) as file:
        samples = file["samples"]
        if "processes" in samples:
            names = json.loads(samples["processes"].attrs["names"])
            return np.asarray(samples["processes"][()], dtype=int), list(names)
        if "sampling_benchmarks" not in samples:
            return np.zeros(len(samples["weights"]), dtype=int), ["signal"]
        background = np.asarray(samples["sampling_benchmarks"][()]) < 0
    return background.astype(int), ["signal", "background"]


def read_observable(path: Path, name: str) -> Array:
    """Read the values of an observable ``(n,)`` of a file with events."""
    with h5py.File(path) as file:
        number = _strings(file["observables/names"]).index(name)
        return np.asarray(file["samples/observations"][:, number], dtype=float)


def _strings(dataset: h5py.Dataset) -> list[str]:
    return [value.decode() for value in dataset[()]]


@dataclass(frozen=True)
class Sample:
    """Events of one benchmark and job.

    Attributes:
        observations: Values of the observables, ``(n, n_observables)``.
        weights: Weights ``(n, n_benchmarks)`` in pb, in the order of the set-up's benchmarks; those
            of all events that the job drew sum to the cross sections.
        origin: Where the events were drawn.
        cut_flow: For each requirement in turn, events that passed it and all before it.
    """

    observations: Array
    weights: Array
    origin: Origin
    cut_flow: Mapping[str, int]


def write_setup(path: Path, setup_file: Path, observables: Mapping[str, str]) -> None:
    """Write a set-up with definitions by name of the observables."""
    shutil.copyfile(setup_file, path)
    with h5py.File(path, "a") as file:
        for key, texts in (("names", observables.keys()), ("definitions", observables.values())):
            file[f"observables/{key}"] = np.array([t.encode() for t in texts], dtype=_STRING)


def read_observables(path: Path) -> dict[str, str]:
    """Return the definitions by name of the observables of a file."""
    with h5py.File(path) as file:
        names, definitions = (_strings(file[f"observables/{k}"]) for k in ("names", "definitions"))
    return dict(zip(names, definitions, strict=True))


def write_sample(
    path: Path, setup_file: Path, observables: Mapping[str, str], sample: Sample
) -> None:
    """Write the events of one benchmark and job, with the set-up of the analysis.

    Args:
        path: File to write.
        setup_file: MadMiner file that holds the set-up.
        observables: Definitions by name of the observables.
        sample: The events.
    """
    benchmark = sample.origin.benchmark
    index = list(read_setup(setup_file).benchmarks).index(benchmark) if benchmark else -1
    write_setup(path, setup_file, observables)
    replace_events(path, sample.observations, sample.weights, np.full(len(sample.weights), index))
    with h5py.File(path, "a") as file:
        attributes = file["samples"].attrs
        attributes.update(asdict(sample.origin))
        attributes["cut_flow"] = json.dumps(dict(sample.cut_flow))


def read_sample(path: Path) -> Sample:
    """Read what :func:`write_sample` wrote."""
    with h5py.File(path) as file:
        samples = file["samples"]
        return Sample(
            samples["observations"][()],
            samples["weights"][()],
            Origin(
                str(samples.attrs["process"]),
                str(samples.attrs["benchmark"]),
                float(samples.attrs["cross_section"]),
                int(samples.attrs["n_events"]),
            ),
            json.loads(samples.attrs["cut_flow"]),
        )


def replace_events(path: Path, observations: Array, weights: Array, sampled: Array) -> None:
    """Put events in place of those of a MadMiner file, if any.

    Args:
        path: File to change.
        observations: Values of the observables, ``(n, n_observables)``.
        weights: Weights ``(n, n_benchmarks)`` in pb.
        sampled: Index of the benchmark that each event was drawn at, -1 for backgrounds, ``(n,)``.
    """
    with h5py.File(path, "a") as file:
        for group in ("samples", "sample_summary"):
            if group in file:
                del file[group]
        file["samples/observations"] = observations
        file["samples/weights"] = weights
        file["samples/sampling_benchmarks"] = sampled
        signal = np.bincount(sampled[sampled >= 0], minlength=weights.shape[1])
        file["sample_summary/signal_events"] = signal
        file["sample_summary/background_events"] = int(np.sum(sampled < 0))
