"""MadMiner's HDF5 file: the set-up of an analysis and its events.

Written and read directly, so that stages that only pass events on need not import MadMiner.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from steps.events import expressions

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

    def card_values(self, benchmark: str) -> dict[tuple[str, int], float]:
        """Return the parameter card's values at a benchmark by (block, code).

        Raises:
            steps.events.expressions.ExpressionError: A transform does not parse.
        """
        values = {}
        for name, (block, code, transform) in self.parameters.items():
            theta = self.benchmarks[benchmark][name]
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


def _strings(dataset: h5py.Dataset) -> list[str]:
    return [value.decode() for value in dataset[()]]


def write_sample(
    path: Path,
    setup_file: Path,
    observables: Mapping[str, str],
    observations: NDArray,
    weights: NDArray,
    sampled: str,
    cut_flow: Mapping[str, int],
) -> None:
    """Write the events of one benchmark, with the set-up of the analysis.

    Args:
        path: File to write.
        setup_file: MadMiner file that holds the set-up.
        observables: Definitions by name of the observables.
        observations: Values ``(n, n_observables)``.
        weights: Weights ``(n, n_benchmarks)`` in pb, in the order of the set-up's benchmarks.
        sampled: Name of the benchmark that the events were sampled at.
        cut_flow: For each requirement in turn, events that passed it and all before it.
    """
    benchmarks = list(read_setup(setup_file).benchmarks)
    index = benchmarks.index(sampled)
    generated = np.zeros(len(benchmarks), dtype=np.int64)
    generated[index] = len(weights)
    shutil.copyfile(setup_file, path)
    with h5py.File(path, "a") as file:
        for key, texts in (("names", observables.keys()), ("definitions", observables.values())):
            file[f"observables/{key}"] = np.array([t.encode() for t in texts], dtype=_STRING)
        file["samples/observations"] = observations
        file["samples/weights"] = weights
        file["samples/sampling_benchmarks"] = np.full(len(weights), index)
        file["samples"].attrs["cut_flow"] = json.dumps(dict(cut_flow))
        file["sample_summary/signal_events"] = generated
        file["sample_summary/background_events"] = 0


def read_samples(path: Path) -> tuple[NDArray, NDArray, NDArray]:
    """Read all events of a MadMiner file.

    Returns:
        Observations ``(n, n_observables)``; weights ``(n, n_benchmarks)`` in pb as stored; index
        of the benchmark each event was sampled at, ``(n,)``, -1 for backgrounds.
    """
    with h5py.File(path) as file:
        samples = file["samples"]
        weights = samples["weights"][()]
        sampled = samples["sampling_benchmarks"][()]
        return samples["observations"][()], weights, sampled


def combine(path: Path, files: Sequence[Path], rng: np.random.Generator) -> dict[str, int]:
    """Merge files of the same set-up and shuffle their events.

    Weights are kept as they are: every file's weights refer to all events of their benchmark, so
    jobs of one benchmark add up to its cross section once.  (MadMiner's own merging is not seeded.)

    Args:
        path: File to write.
        files: MadMiner files of one set-up.
        rng: Source of the new order.

    Returns:
        The files' cut flow summed; the last number is that of the events in the file.
    """
    observations, weights, sampled = (
        np.concatenate(columns) for columns in zip(*map(read_samples, files), strict=True)
    )
    order = rng.permutation(len(weights))
    n_benchmarks = weights.shape[1]
    flow: dict[str, int] = {}
    for source in files:
        with h5py.File(source) as file:
            for requirement, passed in json.loads(file["samples"].attrs["cut_flow"]).items():
                flow[requirement] = flow.get(requirement, 0) + passed

    shutil.copyfile(files[0], path)
    with h5py.File(path, "a") as file:
        del file["samples"], file["sample_summary"]
        file["samples/observations"] = observations[order]
        file["samples/weights"] = weights[order]
        file["samples/sampling_benchmarks"] = sampled[order]
        signal = np.bincount(sampled[sampled >= 0], minlength=n_benchmarks)
        file["sample_summary/signal_events"] = signal
        file["sample_summary/background_events"] = int(np.sum(sampled < 0))
    return flow
