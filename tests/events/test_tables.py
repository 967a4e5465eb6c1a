"""Tables of events in each format, written here and by other programs."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import uproot
from broken import BROKEN

from steps.events import observed, tables

COLUMNS = {"pt": np.array([31.25, 40.5, 77.0]), "m": np.array([1.0, -2.0, 1e6])}
ABOUT = {"pseudo": {"theta": {"a": 0.3}, "seed": 1}}
ENDINGS = ["h5", "hdf5", "csv", "parquet", "pq", "root"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(tmp_path, ending):
    path = tmp_path / f"events.{ending}"
    tables.write(path, COLUMNS, ABOUT)
    found = tables.read(str(path), ["m", "pt"])
    for name, column in COLUMNS.items():
        np.testing.assert_array_equal(found.columns[name], column)
    assert (found.about, list(found.others)) == (ABOUT, [])
    # Only what is asked for is read, the rest is named.
    found = tables.read(str(path), ["pt", "eta"])
    assert (list(found.columns), list(found.others)) == (["pt"], ["m"])
    # Also where none of what is asked for is there.
    found = tables.read(str(path), ["eta"])
    assert (dict(found.columns), found.size) == ({}, 3)


def others(folder):
    """Return files of other programs."""
    with h5py.File(folder / "plain.h5", "w") as file:
        file["pt"], file["m"] = COLUMNS["pt"].astype("f4"), COLUMNS["m"]
        file.create_group("more")["x"] = 1.0
    (folder / "plain.csv").write_text("pt, m\n31.25, 1\n40.5, -2\n77, 1e6\n")
    pyarrow.parquet.write_table(pyarrow.table(COLUMNS), folder / "plain.parquet")
    with uproot.recreate(folder / "plain.root") as file:
        file["one"] = COLUMNS
    return [folder / f"plain.{ending}" for ending in ("h5", "csv", "parquet", "root")]


def test_files_of_other_programs(tmp_path):
    for path in others(tmp_path):
        found = tables.read(str(path), ["pt", "m"])
        for name, column in COLUMNS.items():
            np.testing.assert_array_equal(found.columns[name], column, err_msg=str(path))
        assert found.about == {}


def test_integers_are_numbers(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2, 3]}), tmp_path / "x.parquet")
    assert tables.read(str(tmp_path / "x.parquet"), ["n"]).columns["n"].dtype == float


def test_a_file_of_madminer(tmp_path):
    with h5py.File(tmp_path / "events.h5", "w") as file:
        file["observables/names"] = np.array([b"pt", b"m"])
        file["samples/observations"] = np.column_stack(list(COLUMNS.values()))
    found = tables.read(str(tmp_path / "events.h5"), ["m"])
    np.testing.assert_array_equal(found.columns["m"], COLUMNS["m"])
    assert list(found.others) == ["pt"]
    assert "weights are ignored" in found.notes[0]


def test_one_of_several_trees(tmp_path):
    path = tmp_path / "two.root"
    with uproot.recreate(path) as file:
        file["one"], file["two"] = COLUMNS, {"pt": np.arange(5.0)}
    assert len(tables.read(f"{path}:two", ["pt"]).columns["pt"]) == 5
    with pytest.raises(
        tables.TableError, match=r"has trees one, two; name one, as in two.root:one"
    ):
        tables.read(str(path), ["pt"])
    with pytest.raises(tables.TableError, match="has no tree 'three'; choose from one, two"):
        tables.read(f"{path}:three", ["pt"])


def jagged(folder):
    with uproot.recreate(folder / "jagged.root") as file:
        file.mktree("t", {"pt": "var * float64"})
        file["t"].extend({"pt": [[1.0], [2.0, 3.0]]})
    return folder / "jagged.root"


def nested(folder):
    pyarrow.parquet.write_table(pyarrow.table({"pt": [[1.0], [2.0]]}), folder / "nested.parquet")
    return folder / "nested.parquet"


def empty_cells(folder):
    pyarrow.parquet.write_table(pyarrow.table({"pt": [1.0, None]}), folder / "empty.parquet")
    return folder / "empty.parquet"


def uneven(folder):
    with h5py.File(folder / "uneven.h5", "w") as file:
        file["pt"], file["m"] = np.ones(3), np.ones(2)
    return folder / "uneven.h5"


def text(name, content):
    def make(folder):
        (folder / name).write_text(content)
        return folder / name

    return make


def no_tree(folder):
    with uproot.recreate(folder / "none.root") as file:
        file["x"] = "text"
    return folder / "none.root"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (jagged, "column pt is not one number for each event"),
        (nested, "column pt is not one number for each event"),
        (empty_cells, "column pt has 1 empty cells"),
        (uneven, r"columns differ in length \(pt 3, m 2\)"),
        (no_tree, "has no tree"),
        (text("x.csv", "pt,m\n1,2\n1,abc\n"), "m of event 2 is 'abc', not a number"),
        (text("x.csv", "pt,m\n1;2\n"), "event 1 has 1 cells, the first line names 2 columns"),
        (text("x.h5", "text"), "cannot be read as HDF5"),
        (text("x.parquet", "text"), "cannot be read as Parquet"),
        (text("x.parquet", "PAR1" + 20 * "x" + "PAR1"), "cannot be read as Parquet"),
        (text("x.root", "text"), "cannot be read as ROOT"),
        (text("x.txt", "text"), "its name does not tell a format; end it with one of .h5"),
        (lambda folder: folder / "absent.csv", "there is no such file"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(tables.TableError, match=message) as error:
        tables.read(str(path), ["pt", "m"])
    assert "\n" not in str(error.value)


def test_empty_cells_of_csv_are_counted_later(tmp_path):
    path = text("x.csv", "pt,m\n1,\n")(tmp_path)
    assert np.isnan(tables.read(str(path), ["m"]).columns["m"]).all()


# ------------------------------------------------------------------ broken files
FORMATS = [".h5", ".csv", ".parquet", ".root"]
NAMES = ["pt", "m"]


def written(folder, ending):
    values = np.random.default_rng(1).normal(size=(2, 200))
    tables.write(folder / f"x{ending}", dict(zip(NAMES, values, strict=True)), {})
    return folder / f"x{ending}"


@pytest.mark.parametrize("way", BROKEN)
@pytest.mark.parametrize("ending", FORMATS)
def test_broken_files_are_one_line(tmp_path, ending, way):
    """But a truncated table of text, which may end between two events."""
    if ending == ".csv" and way.startswith("truncated"):
        return
    path = written(tmp_path, ending)
    BROKEN[way](path)
    with pytest.raises(observed.ObservedError) as error:
        observed.read(str(path), NAMES)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_line_of_text_that_ends_too_early_is_refused(tmp_path):
    path = written(tmp_path, ".csv")
    path.write_text(path.read_text().rpartition(",")[0])
    with pytest.raises(observed.ObservedError, match="event 200 has 1 cells"):
        observed.read(str(path), NAMES)


def test_data_of_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(80))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["m"] = np.ones(10)
        segments = [(str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("pt", (10,), "f8", external=segments)
    with pytest.raises(observed.ObservedError, match="pt: is kept in other files"):
        observed.read(str(tmp_path / "x.h5"), NAMES)


FUZZ = """
import random, resource, sys
from steps.events import observed

resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
path, n = sys.argv[1], int(sys.argv[2])
good, rng = open(path, "rb").read(), random.Random(1)
for number in range(n):
    content = bytearray(good)
    for _ in range(rng.choice([1, 2, 5, 20])):
        place = rng.choice([rng.randrange(len(content)), rng.randrange(min(600, len(content)))])
        size = rng.choice([1, 1, 2, 4, 8, 64])
        content[place : place + size] = rng.choice([rng.randbytes(size), b"\\xff" * size])
    open(path, "wb").write(bytes(content))
    print(number, end=" ", flush=True)
    try:
        observed.read(path, ["pt", "m"])
    except observed.ObservedError as error:
        assert len(str(error).splitlines()) == 1
"""


@pytest.mark.parametrize("ending", FORMATS)
def test_random_bytes_end_in_one_line_or_are_read(tmp_path, ending):
    """In a process of its own: libraries may crash on some."""
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, written(tmp_path, ending), "100"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
