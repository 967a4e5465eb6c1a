"""MadMiner's HDF5 file: the set-up of an analysis and its events.

Written and read directly, so that stages that only pass events on need not import MadMiner.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from steps.arrays import Array
from steps.events.combination import from_mixture
from steps.events.origin import SIGNAL, Origin
from steps.stage.errors import reading

# Name of the set-up of a job, beside its plan and beside its events.
JOB_SETUP = "setup.h5"
_STRING = "S256"
_SIDES = ("up", "down")


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


def read_setup(path: Path) -> Setup:
    """Read the set-up of any file that MadMiner wrote.

    Raises:
        InputError: The file cannot be read, or is none.
    """
    with _reading(path), h5py.File(path) as file:
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


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, "a MadMiner file", "run the step that made it again")


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
        KeyError: It has no morphing or no events; see :func:`steps.events.data_file.check`.
    """
    exponents = read_exponents(path)
    with h5py.File(path) as file:
        weights = file["samples/weights"][()]
        b = file["benchmarks"]
        if "is_nuisance" in b:
            weights = weights[:, ~np.asarray(b["is_nuisance"][()], dtype=bool)]
    return exponents, weights


@dataclass(frozen=True)
class Mixture:
    """Events as drawn from the mixture of all benchmarks.

    Attributes:
        observations: Values of the observables by name, ``(n,)`` each.
        weights: Weights of the benchmarks ``(n, b)`` in pb, summing to the cross sections.
        is_background: Which events do not depend on the parameters, ``(n,)``.
        points: Parameter points of the benchmarks, ``(b, p)``.
        exponents: Powers of each parameter in each monomial of the weights, ``(c, p)``.
    """

    observations: Mapping[str, Array]
    weights: Array
    is_background: Array
    points: Array
    exponents: Array


def read_mixture(path: Path) -> Mixture:
    """Read the events of any file that MadMiner wrote, without MadMiner.

    Raises:
        OSError: The file cannot be read.
        KeyError: It has no morphing or no events; see :func:`steps.events.data_file.check`.
    """
    setup = read_setup(path)
    exponents, weights = read_weights(path)
    with h5py.File(path) as file:
        x = file["samples/observations"][()].astype(float)
        name = "samples/sampling_benchmarks"
        sampled = file[name][()] if name in file else np.empty(0, dtype=int)
    if len(sampled) < len(weights):  # MadMiner leaves them out where it does not know them
        sampled = np.zeros(len(weights), dtype=int)
    signal = sampled >= 0
    counts = np.bincount(sampled[signal], minlength=weights.shape[1])
    share = np.where(signal, counts[sampled] / max(signal.sum(), 1), 1.0)
    return Mixture(
        dict(zip(setup.observables, x.T, strict=True)),
        from_mixture(weights * share[:, None], sampled),
        ~signal,
        np.array([list(values.values()) for values in setup.benchmarks.values()]),
        exponents,
    )


def read_observable(path: Path, name: str) -> Array:
    """Read the values of an observable ``(n,)`` of a file with events."""
    with h5py.File(path) as file:
        number = _strings(file["observables/names"]).index(name)
        return np.asarray(file["samples/observations"][:, number], dtype=float)


def _strings(dataset: h5py.Dataset) -> list[str]:
    return [value.decode() for value in dataset[()]]


@dataclass(frozen=True)
class Selected:
    """Events that pass the cuts.

    Attributes:
        observations: Values of the observables, ``(n, n_observables)``.
        weights: Weights ``(n, n_benchmarks)`` in pb.
        events: Number of each event among those generated, ``(n,)``; it is that of the same event
            with other scales of the detector.
    """

    observations: Array
    weights: Array
    events: Array


@dataclass(frozen=True)
class Shifted(Selected):
    """Events of a combined file that pass with a scale of the detector shifted.

    Attributes:
        processes: Number of each event's process among the file's, ``(n,)``.
    """

    processes: Array


_S = TypeVar("_S", bound=Selected)


@dataclass(frozen=True)
class Sample:
    """Events of one benchmark and job.

    Attributes:
        observations: Values of the observables, ``(n, n_observables)``.
        weights: Weights ``(n, n_benchmarks)`` in pb, in the order of the set-up's benchmarks; those
            of all events that the job drew sum to the cross sections.
        origin: Where the events were drawn.
        cut_flow: For each requirement in turn, events that passed it and all before it.
        events: Numbers of the events among all that the job drew, before cuts, ``(n,)``.
        log_responses: By the name of a systematic uncertainty, log responses of the weights
            ``(n, m)``; see :mod:`steps.events.responses`.
        shifted: By the name of a systematic uncertainty of the detector, the events that pass with
            its scale shifted up and down.
    """

    observations: Array
    weights: Array
    origin: Origin
    cut_flow: Mapping[str, int]
    events: Array
    log_responses: Mapping[str, Array] = field(default_factory=dict)
    shifted: Mapping[str, tuple[Selected, Selected]] = field(default_factory=dict)


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
        file["samples/events"] = sample.events
        for name, logs in sample.log_responses.items():
            file[f"log_responses/{name}"] = logs
        for name, sides in sample.shifted.items():
            for side, selected in zip(_SIDES, sides, strict=True):
                for column in fields(Selected):
                    group = f"shifted/{name}/{side}/{column.name}"
                    file[group] = getattr(selected, column.name)


def read_sample(path: Path) -> Sample:
    """Read what :func:`write_sample` wrote.

    Raises:
        InputError: It is not that.
    """
    with _reading(path), h5py.File(path) as file:
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
            samples["events"][()],
            log_responses={name: d[()] for name, d in file.get("log_responses", {}).items()},
            shifted={name: _sides(group, Selected) for name, group in _shifts(file).items()},
        )


def _columns(group: h5py.Group, kind: type) -> dict[str, Array]:
    return {column.name: group[column.name][()] for column in fields(kind)}


def _sides(group: h5py.Group, kind: type[_S]) -> tuple[_S, _S]:
    up, down = (kind(**_columns(group[side], kind)) for side in _SIDES)
    return up, down


def _shifts(file: h5py.File) -> Mapping[str, h5py.Group]:
    found: Mapping[str, h5py.Group] = file.get("shifted", {})
    return found


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


@dataclass(frozen=True)
class Processes:
    """Which process each event of a file belongs to, and which generated event it is.

    Attributes:
        names: Names of the processes.
        index: Number of each event's process among these, ``(n,)``.
        events: Number of the generated event, the same for all versions of one, ``(n,)``.
    """

    names: Sequence[str]
    index: Array
    events: Array


def write_processes(path: Path, processes: Processes) -> None:
    """Add to a file, after its events, which processes these belong to. MadMiner ignores it."""
    with h5py.File(path, "a") as file:
        file["samples/processes"] = processes.index
        file["samples/processes"].attrs["names"] = json.dumps(list(processes.names))
        file["samples/events"] = processes.events


def write_cross_sections(path: Path, cross_sections: Array) -> None:
    """Add to a file, after its processes, what these have before cuts. MadMiner ignores it.

    Args:
        path: File to change.
        cross_sections: In pb, with the factors that weights have too, of each process at each
            benchmark, ``(n_processes, n_benchmarks)``.
    """
    with h5py.File(path, "a") as file:
        file[_BEFORE_CUTS] = cross_sections


def read_cross_sections(path: Path) -> Array | None:
    """Return what :func:`write_cross_sections` wrote; None for files that do not say."""
    with h5py.File(path) as file:
        return file[_BEFORE_CUTS][()] if _BEFORE_CUTS in file else None


_BEFORE_CUTS = "samples/cross_sections"


def read_processes(path: Path) -> Processes:
    """Read which processes the events of any MadMiner file belong to.

    Where the file does not say, events drawn at a benchmark are the signal's, others those of one
    background, and all are events of their own.

    Raises:
        OSError: The file cannot be read.
        KeyError: It has no events.
    """
    with h5py.File(path) as file:
        samples = file["samples"]
        if "processes" in samples:
            found = samples["processes"]
            names = json.loads(found.attrs["names"])
            return Processes(names, found[()], samples["events"][()])
        n = len(samples["observations"])
        # MadMiner leaves the benchmarks empty where it does not know them.
        sampled = samples["sampling_benchmarks"][()] if "sampling_benchmarks" in samples else []
        background = np.zeros(n, dtype=int)
        background[: len(sampled)] = np.asarray(sampled) < 0
    names = [SIGNAL, "background"] if background.any() else [SIGNAL]
    return Processes(names, background, np.arange(n))


def write_systematics(path: Path, systematics: Sequence[Mapping[str, Any]], logs: Array) -> None:
    """Add nuisance parameters as MadMiner has them: benchmarks and weights beyond the others.

    The reference is the first benchmark. MadMiner's own group ``systematics`` is left out, which
    knows fewer types; ours is an attribute of the file.

    Args:
        path: File with events.
        systematics: For each of k nuisance parameters ``name``, ``type``, ``systematic`` (the name
            of the entry it belongs to), ``processes``, ``form`` and more.
        logs: Log responses of the events' weights at nu = +1 and -1, ``(n, k, 2)``.
    """
    names, positive, negative, columns = [], [], [], []
    with h5py.File(path, "a") as file:
        weights = file["samples/weights"][()]
        for k, entry in enumerate(systematics):
            if entry["form"] == "shifted":
                continue
            # A factor kappa^nu is what MadMiner makes of one side.
            sides = _SIDES[:1] if entry["type"] == "norm" else _SIDES
            made = [f"nu_{entry['name']}_{side}" for side in sides]
            names.append((entry["name"], entry["systematic"]))
            positive.append(made[0])
            negative.append(made[1] if len(made) > 1 else _NOTHING)
            for side, name in enumerate(made):
                columns.append((name, weights[:, 0] * np.exp(logs[:, k, side])))
        file.attrs["systematics"] = json.dumps([dict(entry) for entry in systematics])
        if not names:
            return
        _replace(file, "samples/weights", np.column_stack([weights, *(w for _, w in columns)]))
        _add_benchmarks(file["benchmarks"], [name for name, _ in columns])
        made_of = {
            "names": [name for name, _ in names],
            "systematics": [systematic for _, systematic in names],
            "benchmark_positive": positive,
            "benchmark_negative": negative,
        }
        for key, texts in made_of.items():
            file[f"nuisance_parameters/{key}"] = _encoded(texts)


# MadMiner's word where there is no benchmark.
_NOTHING = "None"


def _add_benchmarks(group: h5py.Group, names: Sequence[str]) -> None:
    """Add benchmarks of nuisance parameters at the point of the reference, the first benchmark."""
    values, n = group["values"][()], len(names)
    known = len(values)
    _replace(group, "names", _encoded([*_strings(group["names"]), *names]))
    _replace(group, "values", np.concatenate([values, np.repeat(values[:1], n, axis=0)]))
    _replace(group, "is_nuisance", np.repeat([0, 1], [known, n]))
    _replace(group, "is_reference", np.repeat([1, 0], [1, known + n - 1]))


def _replace(group: h5py.Group, name: str, values: Array) -> None:
    if name in group:
        del group[name]
    group[name] = values


def _encoded(texts: Sequence[str]) -> Array:
    return np.array([text.encode() for text in texts], dtype=_STRING)


def write_shifted(path: Path, name: str, up: Shifted, down: Shifted) -> None:
    """Add the events that pass with a scale of the detector shifted up and down."""
    with h5py.File(path, "a") as file:
        for side, shifted in zip(_SIDES, (up, down), strict=True):
            for column in fields(Shifted):
                file[f"shifted/{name}/{side}/{column.name}"] = getattr(shifted, column.name)


def read_systematics(path: Path) -> list[dict[str, Any]]:
    """Return what the nuisance parameters of a file are.

    Returns:
        For each its ``name`` and the ``systematic`` that it belongs to; of files of this workflow
        also ``type``, ``processes`` (names), ``form`` and more. Empty where there are none.
    """
    with h5py.File(path) as file:
        if "systematics" in file.attrs:
            found: list[dict[str, Any]] = json.loads(file.attrs["systematics"])
            return found
        names, systematics = _nuisance(file, "names"), _nuisance(file, "systematics")
    pairs = zip(names, systematics, strict=True)
    return [{"name": name, "systematic": systematic} for name, systematic in pairs]


def read_responses(path: Path) -> Array:
    """Return the responses of all weights to the nuisance parameters.

    Returns:
        r at nu = +1 and -1 of each event and parameter of :func:`read_systematics`, ``(n, k, 2)``;
        1 where there is none, as for shifts of the detector. Of parameters with a positive
        benchmark alone, r at -1 is 1 / r at +1.
    """
    parameters = [entry["name"] for entry in read_systematics(path)]
    with h5py.File(path) as file:
        weights = file["samples/weights"][()]
        names = _strings(file["benchmarks/names"])
        known = _nuisance(file, "names")
        responses = np.ones((len(weights), len(parameters), 2))
        if not known:
            return responses
        reference = weights[:, int(np.argmax(file["benchmarks/is_reference"][()]))]
        sides = [_nuisance(file, f"benchmark_{side}") for side in ("positive", "negative")]
    for k, of in enumerate(zip(*sides, strict=True)):
        given = [
            None if name == _NOTHING else _ratio(weights[:, names.index(name)], reference)
            for name in of
        ]
        for side, response in enumerate(given):
            other = given[1 - side]
            if response is None and other is not None:
                response = 1 / other
            if response is not None:
                responses[:, parameters.index(known[k]), side] = response
    return responses


def _ratio(weights: Array, reference: Array) -> Array:
    one = np.ones_like(weights)
    ratio: Array = np.divide(weights, reference, out=one, where=(reference != 0) & (weights != 0))
    return ratio


def _nuisance(file: h5py.File, key: str) -> list[str]:
    name = f"nuisance_parameters/{key}"
    return _strings(file[name]) if name in file else []


def read_shifted(path: Path, name: str) -> tuple[Shifted, Shifted]:
    """Return the events that pass with a scale of the detector shifted up and down.

    Args:
        path: Combined file.
        name: Name of the systematic.

    Raises:
        KeyError: The file has no such events.
    """
    with h5py.File(path) as file:
        return _sides(file[f"shifted/{name}"], Shifted)
