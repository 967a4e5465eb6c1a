"""The section ``systematics`` of a physics input: checked, complete, and the part of each stage.

A complete entry is plain data: ``name``, ``type``, ``processes`` (names), ``form`` (see
:class:`steps.events.responses.Form`), ``columns`` (number of variations), ``parameters`` (names of
its nuisance parameters), and what belongs to its type.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.events.responses import Form, parameters
from steps.physics import partons
from steps.stage.errors import SettingError

Entry = Mapping[str, Any]

# What an entry has beside name, type and processes: required keys, optional ones.
_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "norm": (("value",), ()),
    "scale": (("scale", "value"), ()),
    "pdf": (("value",), ("components",)),
    "shower": (("variation", "value"), ()),
    "detector": (("object", "value"), ()),
}
_GENERATED = ("scale", "pdf", "shower")
_COMPONENTS = 10
_LEAST_FACTOR = 0.01
_MOST_RELATIVE = 10.0


def complete(
    section: Sequence[Entry], processes: Sequence[str], folder: Path
) -> list[dict[str, Any]]:
    """Check a section and fill in what it leaves out.

    Args:
        section: Entries as in the input file.
        processes: Names of all processes.
        folder: Folder that paths in the input file are relative to.

    Raises:
        SettingError: The first thing that is wrong.
    """
    found = [_completed(entry, processes, folder) for entry in section]
    names = [name for entry in found for name in {entry["name"], *entry["parameters"]}]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"systematics: name '{name}' appears twice; rename one")
    return found


def of_generation(entries: Iterable[Entry]) -> list[Entry]:
    """Return what matters to the generation and shower of events."""
    return [entry for entry in entries if entry["type"] in _GENERATED]


def of_detector(entries: Iterable[Entry]) -> list[Entry]:
    """Return what matters to the simulation of the detector."""
    return [entry for entry in entries if entry["type"] == "detector"]


def touching(entries: Iterable[Entry], process: str, *types: str) -> list[Entry]:
    """Return the entries of some types that affect a process."""
    return [e for e in entries if e["type"] in types and process in e["processes"]]


def _completed(entry: Entry, processes: Sequence[str], folder: Path) -> dict[str, Any]:
    where, kind = f"systematics: {entry['name']}", entry["type"]
    required, optional = _KEYS[kind]
    for key in required:
        if key not in entry:
            raise SettingError(f"{where}: key '{key}' is missing; a {kind} needs it")
    known = {"name", "type", "processes", *required, *optional}
    for key in entry:
        if key not in known:
            raise SettingError(f"{where}: a {kind} has no '{key}'; remove it")
    chosen = list(dict.fromkeys(entry.get("processes", processes)))
    for name in chosen:
        if name not in processes:
            raise SettingError(
                f"{where}: processes: '{name}' is no process; choose from {', '.join(processes)}"
            )
    own = _pdf(where, entry, folder) if kind == "pdf" else _OWN[kind](where, entry)
    names = parameters(entry["name"], Form(own["form"]), own["columns"], own.get("components", 0))
    kept = {key: entry[key] for key in ("name", "type", *required) if key != "value"}
    return kept | {"processes": chosen, "parameters": names} | own


def _norm(where: str, entry: Entry) -> dict[str, Any]:
    value = _number(
        where, entry["value"], "a relative uncertainty above 0, at most 10, for instance 0.05"
    )
    return {"value": value, "form": Form.ONE_SIDED.value, "columns": 1}


def _detector(where: str, entry: Entry) -> dict[str, Any]:
    value = _number(where, entry["value"], "a relative shift between 0 and 1, for instance 0.03")
    if value >= 1:
        raise SettingError(f"{where}: value: {value:g} leaves nothing; give a number below 1")
    return {"value": value, "form": Form.SHIFTED.value, "columns": 0}


def _factors(where: str, entry: Entry) -> dict[str, Any]:
    """Read MadMiner's '0.5,1,2': nu = +1 at the last factor, -1 at the first."""
    wanted = "two positive factors, from 0.01 to 100, such as '0.5,2', or one"
    given = entry["value"]
    try:
        parts = given.split(",") if isinstance(given, str) else given
        numbers = [float(p) for p in (parts if isinstance(parts, list) else [parts])]
    except (TypeError, ValueError):
        numbers = []
    factors = [number for number in numbers if number != 1.0]
    usual = all(_LEAST_FACTOR <= factor <= 1 / _LEAST_FACTOR for factor in factors)
    if not 1 <= len(factors) <= 2 or not usual or len(set(factors)) < len(factors):
        raise SettingError(f"{where}: value: {given!r}; give {wanted}")
    form = Form.PAIRS if len(factors) == 2 else Form.ONE_SIDED
    return {"value": factors[::-1], "form": form.value, "columns": len(factors)}


def _pdf(where: str, entry: Entry, folder: Path) -> dict[str, Any]:
    """Look sets up: one with members for its errors, or alternatives of one member each."""
    given = entry["value"]
    names = given if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise SettingError(f"{where}: value: {given!r}; give the name of a set, or a list of names")
    sets = [_find_set(where, str(folder / name) if "/" in name else name) for name in names]
    with_errors = [found for found in sets if found.error_type]
    if with_errors and len(sets) > 1:
        raise SettingError(
            f"{where}: value: {with_errors[0].name} has members for its errors; make it an entry "
            "of its own, or name its first file"
        )
    own: dict[str, Any] = {"value": [found.name for found in sets]}
    if not with_errors:
        return own | {"form": Form.ONE_SIDED.value, "columns": len(sets)}
    members = len(sets[0].files) - 1
    if sets[0].error_type != "replicas":
        form = Form.PAIRS if sets[0].error_type == "hessian" else Form.ONE_SIDED
        return own | {"form": form.value, "columns": members}
    components = min(entry.get("components", _COMPONENTS), members - 1)
    return own | {"form": Form.REPLICAS.value, "columns": members, "components": components}


def _find_set(where: str, name: str) -> partons.PdfSet:
    try:
        return partons.find_set(name)
    except ValueError as error:
        raise SettingError(f"{where}: value: {error}; check name and path") from None


def _number(where: str, given: Any, wanted: str) -> float:
    if (
        isinstance(given, bool)
        or not isinstance(given, int | float)
        or not 0 < given <= _MOST_RELATIVE
    ):
        raise SettingError(f"{where}: value: {given!r}; give {wanted}")
    return float(given)


_OWN = {"norm": _norm, "detector": _detector, "scale": _factors, "shower": _factors}
