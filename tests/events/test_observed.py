"""Observed events: every check has one line with file, number of events and remedy."""

import re

import numpy as np
import pytest

from steps.events import observed, tables
from steps.events.observed import Expected, ObservedError

NAMES = ["pt", "phi"]


@pytest.fixture(scope="module")
def simulated():
    rng = np.random.default_rng(1)
    return np.column_stack([30 + rng.exponential(60, 20_000), rng.uniform(-np.pi, np.pi, 20_000)])


@pytest.fixture
def file(tmp_path):
    def make(**columns):
        path = tmp_path / "data.csv"
        tables.write(path, {k: np.asarray(v, dtype=float) for k, v in columns.items()}, {})
        return str(path)

    return make


def events(simulated, n=50):
    return {"pt": simulated[:n, 0].copy(), "phi": simulated[:n, 1].copy()}


def compared(path, simulated, counts=(40.0, 80.0)):
    return observed.compare(
        observed.read(path, NAMES), path, Expected(NAMES, simulated, 1e4, counts)
    )


def test_good_events_pass_without_a_word(file, simulated):
    found = compared(file(**events(simulated)), simulated)
    assert list(found.warnings) == []
    assert found.x.shape == (50, 2)
    assert found.source == "data.csv"


def missing(columns):
    del columns["phi"]


def no_number(columns):
    columns["pt"][3], columns["phi"][4] = np.nan, np.inf


def none(columns):
    columns["pt"], columns["phi"] = columns["pt"][:0], columns["phi"][:0]


def in_mev(columns):
    columns["pt"] *= 1e3


def in_tev(columns):
    columns["pt"] /= 1e3


def loose(columns):
    columns["pt"][:5] = 25.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (missing, r"50 events without phi \(it has extra\); name the columns"),
        (no_number, r"2 of 50 events have NaN or infinity \(1 in pt, 1 in phi\); drop them"),
        (none, "0 events; give a file"),
        (in_mev, r"50 events: pt: its size is .* \(1.1e\+03 times\): another unit; convert it"),
        (in_tev, r"50 events: pt: .* \(0.00\d+ times\): another unit; convert it"),
        (loose, r"50 events: 5 of 50 have pt below 30, .* outside the cuts; select them"),
    ],
)
def test_what_cannot_be_meant_is_refused(file, simulated, change, message):
    columns = events(simulated) | {"extra": np.ones(50)}
    change(columns)
    if not len(columns["pt"]):
        columns["extra"] = np.ones(0)
    path = file(**columns)
    with pytest.raises(ObservedError, match=message) as error:
        compared(path, simulated)
    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)


def far(columns):
    columns["pt"][0] = 4e3


def below(columns):
    columns["pt"][0] = 20.0


def more(columns):
    columns["weight"] = np.ones(50)


@pytest.mark.parametrize(
    ("change", "counts", "message"),
    [
        (
            far,
            (40, 80),
            "1 of 50 have pt above .*, the greatest in the simulation: outside the tra",
        ),
        (
            below,
            (40, 80),
            "1 of 50 have pt below 30, the least in the simulation: outside the cuts",
        ),
        (more, (40, 80), "50 events: columns weight are no observables and ignored"),
        (lambda c: None, (200, 300), r"11 standard deviations .* \(200 to 300\); check luminosity"),
        (lambda c: None, (2, 10), r"13 standard deviations from what any point of the region"),
    ],
)
def test_what_is_unlikely_is_a_warning(file, simulated, change, counts, message):
    columns = events(simulated)
    change(columns)
    path = file(**columns)
    (line,) = compared(path, simulated, counts).warnings
    assert line.startswith(f"{path}: 50 events: ")
    assert "\n" not in line
    assert re.search(message, line)


def test_later_stages_read_what_was_checked(file, simulated, tmp_path):
    columns = events(simulated)
    far(columns)
    found = compared(file(**columns), simulated)
    observed.save(tmp_path / "observed.h5", found, NAMES)
    again = observed.read(str(tmp_path / "observed.h5"), NAMES)
    np.testing.assert_array_equal(again.x, found.x)
    assert again.about == found.about
    observed.save(tmp_path / "none.h5", None, NAMES)
    assert observed.read(str(tmp_path / "none.h5"), NAMES) is None


def test_pseudo_data_say_so(tmp_path, simulated):
    pseudo = {"theta": {"a": 0.3}, "seed": 1, "luminosity": 3e5, "warning": "few events"}
    tables.write(tmp_path / "x.h5", events(simulated), {"pseudo": pseudo})
    found = compared(str(tmp_path / "x.h5"), simulated)
    assert found.pseudo == {"theta": {"a": 0.3}, "seed": 1, "luminosity": 3e5}
    assert "pseudo-data: few events" in found.warnings[0]
    assert "pseudo-data of 300/fb, analysed as 10/fb" in found.warnings[1]
