"""Tables of events, one column for each observable, in the formats that analyses keep them in.

HDF5 has a dataset for each column, or is a file of MadMiner; CSV has names in its first line;
Parquet is read by Arrow's Rust library; of a ROOT file its tree, ``file.root:tree`` where there are
several. A text beside the table says what it is (an attribute, a comment line, the schema's
metadata, a ``TObjString``), where the file was written here.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from steps.arrays import Array
from steps.events import hdf5

ABOUT = "madminer_workflow"
"""Name of the text beside a table."""

_TREE = "events"


class TableError(Exception):
    """A file is no table that can be read or written; one line: what is wrong, what to do."""


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        columns: Those that were asked for and are there, ``(n,)`` each.
        others: Names of further columns.
        size: Number of events.
        about: What the text beside it says; empty where there is none.
        notes: What else a reader should know, one line each.
    """

    columns: Mapping[str, Array]
    others: Sequence[str]
    size: int
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def split(text: str) -> tuple[Path, str]:
    """Return the path and the tree of ``file.root:tree``; no tree of anything else."""
    path, colon, tree = text.rpartition(":")
    return (Path(path), tree) if colon and path.endswith(".root") else (Path(text), "")


def read(text: str, names: Sequence[str]) -> Table:
    """Read columns of a file, whose name tells the format.

    Args:
        text: Path of the file, or ``file.root:tree``.
        names: Columns to read; those that are absent are left out.

    Raises:
        TableError: The file cannot be read, or a column is not one number for each event.
    """
    path, tree = split(text)
    reader = _format(path).reader
    if not path.is_file():
        raise TableError("there is no such file; check the path")
    try:
        found = reader(path, names, tree)
    except TableError:
        raise
    except BaseException as error:
        # What the libraries raise on broken files is of many kinds; Rust's panic is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:120]
        raise TableError(
            f"cannot be read as {_format(path).name} ({reason}); check the file"
        ) from None
    numbers = {name: _numbers(name, column) for name, column in found.columns.items()}
    lengths = {name: len(column) for name, column in numbers.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise TableError(f"columns differ in length ({told}); give every event all of them")
    return replace(found, columns=numbers)


def write(path: Path, columns: Mapping[str, Array], about: Mapping[str, Any]) -> None:
    """Write columns to a file, whose name tells the format.

    Args:
        path: File to write.
        columns: Columns by name, ``(n,)`` each.
        about: What the text beside them shall say, as JSON can.

    Raises:
        TableError: The format is not known.
    """
    _format(path).writer(path, columns, json.dumps(about))


def _numbers(name: str, column: Array) -> Array:
    column = np.asarray(column)
    if column.ndim != 1 or column.dtype.kind not in "fiub":
        raise TableError(f"column {name} is not one number for each event; flatten or convert it")
    return column.astype(float)


def _others(present: Iterable[str], names: Sequence[str]) -> list[str]:
    return [name for name in present if name not in names]


def _said(text: str | bytes | None) -> dict[str, Any]:
    return dict(json.loads(text)) if text else {}


# --------------------------------------------------------------------------------------- HDF5


def _read_hdf5(path: Path, names: Sequence[str], _: str) -> Table:
    with h5py.File(path) as file:
        found = hdf5.datasets(file)
        if "samples/observations" in found and "observables/names" in found:
            return _read_madminer(found, names)
        present = [name for name in found if "/" not in name]
        columns = {name: hdf5.read(name, found[name]) for name in names if name in present}
        size = max((found[name].shape[0] for name in present if found[name].shape), default=0)
        return Table(columns, _others(present, names), size, _said(file.attrs.get(ABOUT)))


def _read_madminer(found: Mapping[str, h5py.Dataset], names: Sequence[str]) -> Table:
    listed, x = (hdf5.read(n, found[n]) for n in ("observables/names", "samples/observations"))
    present = [name.decode() for name in listed.tolist()]
    columns = {name: x[:, present.index(name)] for name in names if name in present}
    note = "a file of MadMiner: its weights are ignored, every event counts once"
    return Table(columns, _others(present, names), len(x), {}, [note])


def _write_hdf5(path: Path, columns: Mapping[str, Array], about: str) -> None:
    with h5py.File(path, "w") as file:
        file.attrs[ABOUT] = about
        for name, column in columns.items():
            file[name] = column


# ---------------------------------------------------------------------------------------- CSV


def _read_csv(path: Path, names: Sequence[str], _: str) -> Table:
    with path.open(newline="") as file:
        text, lines = "", file.readlines()
    while lines and lines[0].startswith("#"):
        comment = lines.pop(0)[1:].strip()
        if comment.startswith(f"{ABOUT}:"):
            text = comment.removeprefix(f"{ABOUT}:")
    rows = csv.reader(lines, skipinitialspace=True)
    present = [name.strip() for name in next(rows, [])]
    wanted = {name: present.index(name) for name in names if name in present}
    found = list(_cells(rows, wanted, len(present)))
    values = np.array(found, dtype=float).reshape(len(found), len(wanted))
    columns = dict(zip(wanted, values.T, strict=True))
    return Table(columns, _others(present, names), len(found), _said(text))


def _cells(
    rows: Iterator[Sequence[str]], wanted: Mapping[str, int], width: int
) -> Iterator[list[float]]:
    for number, row in enumerate((row for row in rows if row), start=1):
        if len(row) != width:
            raise TableError(
                f"event {number} has {len(row)} cells, the first line names {width} columns; "
                "separate columns by commas"
            )
        # An empty cell is no number: said with their count when events are checked.
        cells = {name: row[place].strip() or "nan" for name, place in wanted.items()}
        try:
            yield [float(cell) for cell in cells.values()]
        except ValueError:
            name = next(name for name, cell in cells.items() if not _is_number(cell))
            raise TableError(
                f"{name} of event {number} is '{cells[name]}', not a number; mend that line"
            ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write_csv(path: Path, columns: Mapping[str, Array], about: str) -> None:
    with path.open("w", newline="") as file:
        file.write(f"# {ABOUT}: {about}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


# ------------------------------------------------------------------------------------ Parquet


def _read_parquet(path: Path, names: Sequence[str], _: str) -> Table:
    # Loaded where it is needed alone, as uproot is below: they take half a second.
    from arro3.io import read_parquet

    stream = read_parquet(path)
    metadata, present = stream.schema.metadata, list(stream.schema.names)
    table, columns = stream.read_all(), {}
    for name in names:
        if name not in present:
            continue
        column = table.column(name)
        if column.null_count:
            raise TableError(f"column {name} has {column.null_count} empty cells; drop the events")
        try:
            columns[name] = column.to_numpy()
        except NotImplementedError:
            columns[name] = np.empty(0, dtype=object)
    about = _said(metadata.get(ABOUT.encode()))
    return Table(columns, _others(present, names), table.num_rows, about)


def _write_parquet(path: Path, columns: Mapping[str, Array], about: str) -> None:
    from arro3.core import Array as ArrowArray
    from arro3.core import Table as ArrowTable
    from arro3.io import write_parquet

    arrays: dict[str, Any] = {
        name: ArrowArray.from_numpy(np.ascontiguousarray(column))
        for name, column in columns.items()
    }
    write_parquet(ArrowTable.from_pydict(arrays, metadata={ABOUT: about}), path)


# --------------------------------------------------------------------------------------- ROOT


def _read_root(path: Path, names: Sequence[str], tree: str) -> Table:
    import uproot

    with uproot.open(path) as file:
        kinds = file.classnames(cycle=False)
        trees = [name for name, kind in kinds.items() if kind in ("TTree", "ROOT::RNTuple")]
        if not tree and len(trees) != 1:
            told = f"trees {', '.join(trees)}; name one" if trees else "no tree; give another file"
            raise TableError(f"has {told}" + (f", as in {path.name}:{trees[0]}" if trees else ""))
        if tree and tree not in trees:
            raise TableError(f"has no tree '{tree}'; choose from {', '.join(trees) or 'none'}")
        events = file[tree or trees[0]]
        present = list(events.keys())
        columns = {name: events[name].array(library="np") for name in names if name in present}
        text = str(file[ABOUT]) if ABOUT in kinds else ""
        return Table(columns, _others(present, names), events.num_entries, _said(text))


def _write_root(path: Path, columns: Mapping[str, Array], about: str) -> None:
    import uproot

    with uproot.recreate(path) as file:
        file[ABOUT] = about
        file[_TREE] = dict(columns)


@dataclass(frozen=True)
class _Format:
    name: str
    reader: Callable[[Path, Sequence[str], str], Table]
    writer: Callable[[Path, Mapping[str, Array], str], None]


_HDF5 = _Format("HDF5", _read_hdf5, _write_hdf5)
_PARQUET = _Format("Parquet", _read_parquet, _write_parquet)
_FORMATS = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), _HDF5),
    ".csv": _Format("CSV", _read_csv, _write_csv),
    **dict.fromkeys((".parquet", ".pq"), _PARQUET),
    ".root": _Format("ROOT", _read_root, _write_root),
}


def _format(path: Path) -> _Format:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise TableError(
            f"its name does not tell a format; end it with one of {', '.join(_FORMATS)}"
        ) from None
