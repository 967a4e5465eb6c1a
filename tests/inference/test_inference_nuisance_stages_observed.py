"""The machine-learning half on a file with systematic uncertainties, given observed events."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from inference.toys import Toy, made
from steps.events import madminer_file, tables
from steps.events.madminer_file import Processes, Shifted

SYSTEMATICS = [
    {"name": "luminosity", "systematic": "luminosity", "type": "norm", "value": 0.05},
    {"name": "scale", "systematic": "scale", "type": "scale", "form": "pairs"},
    {"name": "energy", "systematic": "energy", "type": "detector", "form": "shifted"},
]


def with_systematics(toy: Toy, folder: Path) -> Toy:
    """Return a toy whose weights and observable respond to nuisance parameters."""
    path = Path(shutil.copy(toy.path, folder / "systematics.h5"))
    with h5py.File(path) as file:
        x, weights = (file[f"samples/{name}"][()] for name in ("observations", "weights"))
    n = len(x)
    madminer_file.write_processes(path, Processes(["signal"], np.zeros(n, int), np.arange(n)))
    logs = np.zeros((n, 3, 2))
    logs[:, 0] = np.log(1.05) * np.array([1, -1])
    logs[:, 1] = 0.1 * np.tanh(x[:, [0]]) * [1, -1]
    entries = [{"form": "pairs", "processes": ["signal"], **entry} for entry in SYSTEMATICS]
    madminer_file.write_systematics(path, entries, logs)
    both = [
        Shifted(x * (1 + shift), weights, np.arange(n), np.zeros(n, int)) for shift in (0.03, -0.03)
    ]
    madminer_file.write_shifted(path, "energy", *both)
    return replace(toy, path=str(path))


@pytest.fixture(scope="module")
def limits(tmp_path_factory, chain):
    """What the stages write of it, with sixty observed events and a cut."""
    folder = tmp_path_factory.mktemp("systematics")
    toy = with_systematics(made(tmp_path_factory, 1, 4_000), folder)
    with h5py.File(toy.path) as file:
        seen = file["samples/observations"][:60, 0]
    tables.write(folder / "data.csv", {"x0": seen}, {})
    run = replace(chain(toy), observed=str(folder / "data.csv"))
    region = {"theta_0": {"min": -1.0, "max": 1.0}}
    run.write_input(
        ["alices"],
        evaluating={"n_toys": 15, "luminosity": 50.0},
        asymptotic_limits={
            "region": region,
            "resolutions": [7],
            "theta_true": [0.0],
            "clip": {"observable": "x0", "values": [1.0]},
        },
    )
    run.run()
    folder = run.folder / "plotting" / "plots"
    return yaml.safe_load((folder / "limits.yml").read_text()), folder


@pytest.mark.parametrize("label", ["ALICES", "ALICES (kinematics)"])
def test_limits_with_systematics_stand_beside_those_of_statistics(limits, label):
    table, _ = limits
    expected = table["limits"][label]
    for found in (expected["with_systematics"], expected["observed"]["with_systematics"]):
        assert set(found["intervals"]) == {"t0"}
        assert set(found["pulls"]) == {"luminosity", "scale", "energy"}
        assert ("why" in found) == (found["reliable"] is False)
        errors = found["errors_by_source"]["t0"]
        assert set(errors) == {"all", "statistics", "luminosity", "scale", "energy"}
    assert "coverage" in expected["with_systematics"]
    seen = expected["observed"]["with_systematics"]
    assert 0 < seen["true_point"]["p_by_pseudo-experiments"] <= 1
    assert seen["goodness_of_fit"]["pseudo-experiments"] == 15
    assert set(seen["goodness_of_fit"]["of_each"]) == {"x0", "network"}
    below, whole = table["clipping"][label]
    for each in (below, whole):
        assert set(each["with_systematics"]["intervals"]) == {"t0"}
    (mine,) = whole["with_systematics"]["intervals"]["t0"]["68 % CL"]
    (theirs,) = expected["with_systematics"]["intervals"]["t0"]["others profiled"]["68 % CL"]
    assert mine["low"] == pytest.approx(theirs["low"], abs=2e-3)


def test_pulls_of_observed_events_are_drawn(limits):
    _, folder = limits
    names = {path.stem for path in folder.glob("*.png")}
    assert {"impacts_ALICES", "impacts_ALICES_kinematics", "clipping", "coverage"} <= names
