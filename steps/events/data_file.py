"""A data file checked as a whole, before anything is computed from it.

Any file that MadMiner wrote is welcome, also from somebody else. What its readers rely on is
checked here once: that datasets are there, of the right shapes and kinds and no larger than the
file; that names tell things apart; that numbers are numbers and weights those of a theory.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from steps.arrays import Array
from steps.events import hdf5
from steps.events.hdf5 import Hdf5Error
from steps.events.madminer_file import Shifted
from steps.stage.errors import InputError, reading

# Kinds of numbers: MadMiner writes truth as integers.
_NUMBERS, _WHOLE, _TEXT = "fiu", "iub", "SO"
# Sizes: parameters, benchmarks, monomials, observables, events, nuisance parameters.
_NEEDED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "parameters/names": (_TEXT, ("p",)),
    "parameters/lha_blocks": (_TEXT, ("p",)),
    "parameters/lha_ids": (_NUMBERS, ("p",)),
    "parameters/max_power": (_NUMBERS, ("p",)),
    "parameters/val_ranges": (_NUMBERS, ("p", "2")),
    "parameters/transforms": (_TEXT, ("p",)),
    "benchmarks/names": (_TEXT, ("b",)),
    "benchmarks/values": (_NUMBERS, ("b", "p")),
    "morphing/components": (_NUMBERS, ("c", "p")),
    "morphing/morphing_matrix": (_NUMBERS, ("c", "c")),
    "observables/names": (_TEXT, ("o",)),
    "observables/definitions": (_TEXT, ("o",)),
    "samples/observations": (_NUMBERS, ("n", "o")),
    "samples/weights": (_NUMBERS, ("n", "b")),
}
_FURTHER: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "benchmarks/is_nuisance": (_WHOLE, ("b",)),
    "benchmarks/is_reference": (_WHOLE, ("b",)),
    "samples/processes": (_WHOLE, ("n",)),
    "samples/events": (_WHOLE, ("n",)),
    "samples/cross_sections": (_NUMBERS, ("processes", "physical benchmarks")),
    "sample_summary/background_events": (_NUMBERS, ()),
    "nuisance_parameters/names": (_TEXT, ("k",)),
    "nuisance_parameters/systematics": (_TEXT, ("k",)),
    "nuisance_parameters/benchmark_positive": (_TEXT, ("k",)),
    "nuisance_parameters/benchmark_negative": (_TEXT, ("k",)),
}
_NUISANCE = [name for name in _FURTHER if name.startswith("nuisance_parameters/")]
# What MadMiner and its readers open besides.
_GROUPS = ("systematics", "finite_differences")
# Folds of histograms and networks need an event each, for training and for its test.
_FEWEST = 50
# Largest power of a parameter, and number of benchmarks and parameters, that anybody means.
_HIGHEST, _MANY = 20, 10_000
# Relative error of a weight of the morphing's basis that rounding explains.
_ROUNDING = 1e-3
_AGAIN = "write the file again with MadMiner"
_COUNT_AGAIN = "let MadMiner's combine_and_shuffle(recalculate_header=True) count again"


def check(path: Path) -> None:
    """Refuse a file that is no sound MadMiner file with events.

    Args:
        path: The file.

    Raises:
        InputError: The first thing that is wrong, in one line.
    """
    with reading(path, "a MadMiner file", "give one that is whole"), h5py.File(path, "r") as file:
        try:
            with np.errstate(all="ignore"):
                _check(_Open(file))
        except (_UnsoundError, Hdf5Error) as error:
            raise InputError(f"{path}: {error}") from None


class _UnsoundError(Exception):
    """What is wrong and what to do, by who does not know the file."""


class _Open:
    """The datasets of an open file, and its sizes as far as known."""

    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.sizes: dict[str, int] = {"2": 2}
        self.found = hdf5.datasets(file)

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def read(self, name: str) -> Array:
        return hdf5.read(name, self.found[name])

    def checked(self, name: str, kinds: str, shape: Sequence[str]) -> Array:
        """Read a dataset of certain kinds and sizes."""
        data = self.found[name]
        if data.dtype.kind not in kinds or len(data.shape) != len(shape):
            raise _UnsoundError(
                f"{name}: is of type {data.dtype} and shape {data.shape}, not "
                f"{len(shape)}-dimensional {'text' if kinds == _TEXT else 'numbers'}; {_AGAIN}"
            )
        for size, of in zip(data.shape, shape, strict=True):
            if size != self.sizes.setdefault(of, size):
                raise _UnsoundError(
                    f"{name}: has shape {data.shape}, where other datasets have "
                    f"{self.sizes[of]} for {size}; {_AGAIN}"
                )
        return self.read(name)


def _check(file: _Open) -> None:
    if not any(name in file for name in ("parameters/names", "benchmarks/names")):
        raise _UnsoundError("is no MadMiner file; give one that has events")
    if not any(name in file for name in ("samples/observations", "observables/names")):
        raise _UnsoundError("has no events; give the combined file")
    for name in _NEEDED:
        if name not in file:
            raise _UnsoundError(f"{name}: missing; {_AGAIN}")
    for name in _GROUPS:
        if name in file.file and not isinstance(file.file[name], h5py.Group):
            raise _UnsoundError(f"{name}: is no group; {_AGAIN}")
    known = {name: file.checked(name, *about) for name, about in _NEEDED.items()}
    known |= {n: file.checked(n, *about) for n, about in _FURTHER.items() if n in file}
    for what in ("parameters", "benchmarks", "observables"):
        _check_names(f"{what}/names", _texts(f"{what}/names", known[f"{what}/names"]))
    for name, values in known.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _UnsoundError(_not_finite(name, values, known))
        if values.dtype.kind in _TEXT:
            _texts(name, values)
    _check_morphing(known)
    _check_events(file, known)
    _check_systematics(file, known)


def _texts(name: str, values: Array) -> list[str]:
    try:
        return [value.decode() for value in values.tolist()]
    except (AttributeError, UnicodeDecodeError):
        raise _UnsoundError(f"{name}: is no text in UTF-8; {_AGAIN}") from None


def _check_names(where: str, names: Sequence[str]) -> None:
    """Refuse names that do not tell things apart, or that are none within a file."""
    if not names:
        raise _UnsoundError(f"{where}: is empty; {_AGAIN}")
    if len(names) > _MANY:
        raise _UnsoundError(f"{where}: has {len(names)} names, more than {_MANY}; {_AGAIN}")
    for name in names:
        if not name.strip() or not name.isprintable() or "/" in name or name in (".", ".."):
            raise _UnsoundError(
                f"{where}: {name!r} is no name; give one without '/' and of printable characters"
            )
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise _UnsoundError(f"{where}: '{name}' is there {times} times; rename the others")


def _not_finite(name: str, values: Array, known: Mapping[str, Array]) -> str:
    """Say where numbers are none: of events by column."""
    column = {"samples/observations": "observables", "samples/weights": "benchmarks"}.get(name)
    bad = ~np.isfinite(values)
    if column is None:
        return f"{name}: has NaN or infinity; {_AGAIN}"
    where = known[f"{column}/names"][bad.any(axis=0)].tolist()
    told = ", ".join(text.decode() for text in where[:3]) + (", …" if len(where) > 3 else "")
    return (
        f"{name}: {int(bad.any(axis=1).sum())} of {len(values)} events have NaN or infinity "
        f"({told}); drop these events"
    )


def _check_morphing(known: Mapping[str, Array]) -> None:
    """Refuse a morphing whose matrix does not give the weights of its basis back."""
    powers, matrix = known["morphing/components"], known["morphing/morphing_matrix"]
    c, where = len(powers), "morphing/components"
    if not c or (powers < 0).any() or (powers > _HIGHEST).any() or (powers % 1).any():
        raise _UnsoundError(f"{where}: are no powers from 0 to {_HIGHEST}; {_AGAIN}")
    physical = known["benchmarks/values"][~_nuisance(known)]
    if len(physical) < c:
        raise _UnsoundError(f"{where}: {c} monomials, but {len(physical)} benchmarks; {_AGAIN}")
    basis = np.prod(physical[:c, None, :].astype(float) ** powers[None], axis=-1)
    error = np.abs(basis @ matrix - np.eye(c)).max()
    if not error < _ROUNDING:
        raise _UnsoundError(
            "morphing/morphing_matrix: does not give the weights at the first "
            f"{c} benchmarks back; set the morphing up again with MadMiner's set_morphing"
        )


def _nuisance(known: Mapping[str, Array]) -> Array:
    none = np.zeros(len(known["benchmarks/names"]))
    return np.asarray(known.get("benchmarks/is_nuisance", none), dtype=bool)


def _check_events(file: _Open, known: Mapping[str, Array]) -> None:
    weights = known["samples/weights"]
    if len(weights) < _FEWEST:
        raise _UnsoundError(
            f"samples: {len(weights)} events, limits take {_FEWEST} at least; loosen the cuts, or "
            "simulate more events"
        )
    nuisance = _nuisance(known)
    totals = weights.sum(axis=0, dtype=float)
    names = _texts("benchmarks/names", known["benchmarks/names"])
    for name, total, skip in zip(names, totals.tolist(), nuisance, strict=True):
        if not (skip or 0 < total < np.inf):
            raise _UnsoundError(
                f"samples/weights: the cross section at benchmark {name} is {total:.4g} pb, which "
                "is not positive; simulate more events"
            )
    _check_sampled(file, known)
    _check_processes(file, known)


def _check_sampled(file: _Open, known: Mapping[str, Array]) -> None:
    """Refuse numbers of events that are not those of the events."""
    name, n, b = "samples/sampling_benchmarks", file.sizes["n"], file.sizes["b"]
    summary = "sample_summary/signal_events"
    if name not in file:
        return
    sampled = _whole(file, name)
    if not len(sampled):
        return
    if sampled.shape != (n,) or not ((sampled >= -1) & (sampled < b)).all():
        raise _UnsoundError(f"{name}: are not the numbers of {n} events' benchmarks; {_AGAIN}")
    signal = np.bincount(sampled[sampled >= 0], minlength=b)
    counted = _whole(file, summary) if summary in file else np.zeros(0, dtype=int)
    if len(counted) < np.count_nonzero(~_nuisance(known)) or len(counted) > b:
        raise _UnsoundError(f"{summary}: missing, or not of all benchmarks; {_COUNT_AGAIN}")
    if (counted != signal[: len(counted)]).any() or signal[len(counted) :].any():
        raise _UnsoundError(
            f"{summary}: {int(counted.sum())} events in other parts than the {int(signal.sum())} "
            f"of {name}; {_COUNT_AGAIN}"
        )


def _whole(file: _Open, name: str) -> Array:
    data = file.found[name]
    # MadMiner's empty list is of floating-point numbers.
    if len(data.shape) != 1 or (data.dtype.kind not in _WHOLE and data.size):
        raise _UnsoundError(f"{name}: is no list of whole numbers; {_AGAIN}")
    return file.read(name)


def _check_processes(file: _Open, known: Mapping[str, Array]) -> None:
    if "samples/processes" not in file:
        return
    if "samples/events" not in file:
        raise _UnsoundError("samples/events: missing beside samples/processes; combine again")
    found = file.found["samples/processes"]
    names = _described("samples/processes: names", found.attrs.get("names"), str)
    _check_names("samples/processes: names", names)
    before_cuts = known.get("samples/cross_sections")
    if before_cuts is not None and (
        before_cuts.shape != (len(names), np.count_nonzero(~_nuisance(known)))
        or (before_cuts < 0).any()
    ):
        raise _UnsoundError(
            "samples/cross_sections: are not those of all processes and benchmarks; combine again"
        )
    index = known["samples/processes"]
    if not ((index >= 0) & (index < len(names))).all():
        raise _UnsoundError(f"samples/processes: some are none of {len(names)}; combine again")


def _described(where: str, text: Any, kind: type) -> list[Any]:
    """Return the entries of a list in JSON."""
    try:
        entries = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, kind) for entry in entries):
        raise _UnsoundError(f"{where}: is no list in JSON; combine again")
    return entries


def _check_systematics(file: _Open, known: Mapping[str, Array]) -> None:
    there = [name for name in _NUISANCE if name in file]
    if there and there != _NUISANCE:
        missing = next(name for name in _NUISANCE if name not in there)
        raise _UnsoundError(f"{missing}: missing beside {there[0]}; {_AGAIN}")
    names = _texts(there[0], known[there[0]]) if there else []
    if names:
        _check_names(there[0], names)
        _check_benchmarks_of_nuisances(known)
    if "systematics" not in file.file.attrs:
        return
    entries = _described("systematics", file.file.attrs["systematics"], dict)
    for entry in entries:
        wanted = {"name": str, "systematic": str, "form": str, "type": str, "processes": list}
        for key, kind in wanted.items():
            if not isinstance(entry.get(key), kind):
                raise _UnsoundError(f"systematics: {key} of an entry is missing; combine again")
    described = [entry["name"] for entry in entries]
    if entries:
        _check_names("systematics", described)
    if absent := set(names) - set(described):
        raise _UnsoundError(f"systematics: does not describe {min(absent)}; combine again")
    for entry in entries:
        if entry["form"] == "shifted":
            _check_shifted(file, entry["systematic"], int(np.sum(~_nuisance(known))))


def _check_benchmarks_of_nuisances(known: Mapping[str, Array]) -> None:
    flagged = _nuisance(known)
    benchmarks = _texts("benchmarks/names", known["benchmarks/names"])
    if not known.get("benchmarks/is_reference", np.zeros(1)).any():
        raise _UnsoundError(
            "benchmarks/is_reference: marks none, which nuisance parameters are relative to; "
            f"{_AGAIN}"
        )
    allowed = {name for name, is_one in zip(benchmarks, flagged, strict=True) if is_one}
    for side in ("positive", "negative"):
        where = f"nuisance_parameters/benchmark_{side}"
        for name in _texts(where, known[where]):
            if name not in allowed | ({"None"} if side == "negative" else set()):
                raise _UnsoundError(
                    f"{where}: '{name}' is no benchmark of a nuisance parameter; {_AGAIN}"
                )


def _check_shifted(file: _Open, name: str, n_benchmarks: int) -> None:
    for side in ("up", "down"):
        columns = {}
        for column in fields(Shifted):
            where = f"shifted/{name}/{side}/{column.name}"
            if where not in file:
                raise _UnsoundError(f"{where}: missing; combine again")
            columns[column.name] = file.read(where)
        n = len(columns["weights"]) if columns["weights"].ndim else -1
        shapes = {
            "observations": (n, file.sizes["o"]),
            "weights": (n, n_benchmarks),
            "events": (n,),
            "processes": (n,),
        }
        for key, values in columns.items():
            numbers = values.dtype.kind in _NUMBERS and np.isfinite(values).all()
            if values.shape != shapes[key] or not numbers:
                raise _UnsoundError(
                    f"shifted/{name}/{side}/{key}: has shape {values.shape} for {shapes[key]}, or "
                    "no numbers; combine again"
                )
        names = json.loads(file.found["samples/processes"].attrs["names"])
        index = columns["processes"]
        if not ((index >= 0) & (index < len(names))).all():
            raise _UnsoundError(f"shifted/{name}/{side}/processes: some are none; combine again")
