"""Tables of numbers as a submission to HEPData."""

import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hepdata_lib
import numpy as np

from steps.arrays import Array
from steps.stage.files import atomic


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: What it is.
        values: Numbers ``(n,)``, or edges of bins ``(n, 2)``; infinite where there are none.
        units: Their unit; empty for none.
        is_axis: Whether the others are told as functions of it.
        errors: Symmetric errors by what they are of, ``(n,)`` each.
    """

    name: str
    values: Array
    units: str = ""
    is_axis: bool = False
    errors: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Its name.
        description: What it shows.
        columns: Its columns, of as many numbers each.
    """

    name: str
    description: str
    columns: Sequence[Column]


def write(folder: Path, tables: Sequence[Table], comment: str) -> None:
    """Write a submission, ``submission.yaml`` and a file for each table.

    Args:
        folder: Where to; what is there is replaced.
        tables: The tables.
        comment: What they are of.

    Raises:
        AssertionError: HEPData's validator refuses it.
    """
    submission = hepdata_lib.Submission()
    submission.comment = comment
    for table in tables:
        submission.add_table(_table(table))
    with tempfile.TemporaryDirectory() as scratch:
        # The library leaves an archive wherever it runs.
        with contextlib.chdir(scratch):
            submission.create_files("tables")
        with atomic(folder) as new:
            shutil.copytree(Path(scratch, "tables"), new)


def _table(table: Table) -> hepdata_lib.Table:
    made = hepdata_lib.Table(table.name)
    made.description = table.description
    for column in table.columns:
        binned = np.ndim(column.values) == 2
        variable = hepdata_lib.Variable(
            column.name, is_independent=column.is_axis, is_binned=binned, units=column.units
        )
        variable.values = [
            tuple(value) if binned else _number(value) for value in column.values.tolist()
        ]
        for what, errors in column.errors.items():
            uncertainty = hepdata_lib.Uncertainty(what)
            uncertainty.values = errors.tolist()
            variable.add_uncertainty(uncertainty)
        made.add_variable(variable)
    return made


def _number(value: float) -> float | str:
    # HEPData's word for no value.
    return value if np.isfinite(value) else "-"
