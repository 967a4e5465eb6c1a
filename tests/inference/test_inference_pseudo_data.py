"""Pseudo-data are written in every format, say what they are, and are the same for a seed."""

import numpy as np
import pytest

from inference.toys import Toy
from scripts import pseudo_data
from steps.events import observed


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    return Toy(2).write(tmp_path_factory.mktemp("toy"), 4000).path


def write(data_file, *more):
    return pseudo_data.main(["--data-file", data_file, "--luminosity", "40", *map(str, more)])


@pytest.mark.parametrize("ending", ["h5", "csv", "root", "parquet"])
def test_they_say_what_they_are(data_file, tmp_path, capsys, ending):
    path = tmp_path / f"pseudo.{ending}"
    assert write(data_file, "--theta", "0.3, -0.2", "--out", path, "--seed", 4) == 0
    found = observed.read(str(path), ["x0", "x1"])
    assert found.pseudo == {"theta": {"t0": 0.3, "t1": -0.2}, "seed": 4, "luminosity": 40.0}
    said = capsys.readouterr()
    assert f"{path}: {len(found.x)} events of pseudo-data at t0 = 0.3, t1 = -0.2" in said.out
    assert list(found.warnings) == []
    assert said.err == ""


def test_a_seed_draws_the_same_events(data_file, tmp_path):
    for name, seed in (("a.csv", 1), ("b.csv", 1), ("c.csv", 2)):
        write(data_file, "--theta=-0.3,0", "--out", tmp_path / name, "--seed", seed)
    a, b, c = ((tmp_path / name).read_text() for name in ("a.csv", "b.csv", "c.csv"))
    assert a == b != c


def test_too_few_simulated_events_are_said(data_file, tmp_path, capsys):
    for luminosity, text in ((250, "drawn from all simulated"), (1500, "fluctuate less than data")):
        out = tmp_path / f"{luminosity}.h5"
        write(data_file, "--theta=0,0", "--out", out, "--luminosity", luminosity)
        assert text in capsys.readouterr().err
        assert text in observed.read(str(out), ["x0", "x1"]).warnings[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--theta", "0.3"], "THETA: '0.3' is not a value for each of t0, t1; give 2 numbers"),
        (["--theta", "a,b"], "THETA: 'a,b' is not a value"),
        (["--theta", "0,0", "--out", "x.txt"], "x.txt: its name does not tell a format"),
        (["--theta", "0,0", "--luminosity", "1e9"], "simulate more events, or take a lower"),
    ],
)
def test_mistakes_are_one_line(data_file, tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    assert write(data_file, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(tmp_path.glob("*"))


def test_they_are_drawn_where_the_theory_says(data_file, tmp_path):
    """More events at a point of a larger cross section."""
    toy, counts = Toy(2), {}
    for theta in ((0.9, 0.0), (-0.3, 0.0)):
        sizes = []
        for seed in range(10):
            out = tmp_path / "x.h5"
            write(data_file, f"--theta={theta[0]},{theta[1]}", "--out", out, "--seed", seed)
            sizes.append(len(observed.read(str(out), ["x0", "x1"]).x))
        counts[theta] = np.mean(sizes)
        expected = 40 * toy.cross_section(theta)
        assert counts[theta] == pytest.approx(expected, abs=4 * np.sqrt(expected / 10))
