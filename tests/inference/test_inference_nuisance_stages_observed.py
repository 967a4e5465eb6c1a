"""The machine-learning half on a file with systematic uncertainties, given observed events."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from inference.chains import call
from inference.toys import Toy, made
from steps.events import madminer_file, tables
from steps.events.madminer_file import Processes, Shifted
from steps.stage import results

SYSTEMATICS = [
    {"name": "luminosity", "systematic": "luminosity", "type": "norm", "value": 0.05},
    {"name": "scale", "systematic": "scale", "type": "scale", "form": "pairs"},
    {"name": "energy", "systematic": "energy", "type": "detector", "form": "shifted"},
]


def with_systematics(toy: Toy, folder: Path, without: str = "") -> Toy:
    """Return a toy whose weights and observable respond to nuisance parameters, but for one."""
    path = Path(shutil.copy(toy.path, folder / f"without_{without}.h5"))
    with h5py.File(path) as file:
        x, weights = (file[f"samples/{name}"][()] for name in ("observations", "weights"))
    n = len(x)
    madminer_file.write_processes(path, Processes(["signal"], np.zeros(n, int), np.arange(n)))
    logs = np.zeros((n, 3, 2))
    logs[:, 0] = np.log(1.05) * np.array([1, -1])
    logs[:, 1] = 0.1 * np.tanh(x[:, [0]]) * [1, -1]
    kept = [k for k, entry in enumerate(SYSTEMATICS) if entry["name"] != without]
    entries = [{"form": "pairs", "processes": ["signal"], **SYSTEMATICS[k]} for k in kept]
    madminer_file.write_systematics(path, entries, logs[:, kept])
    if without != "energy":
        numbers = np.arange(n)
        both = [Shifted(x * (1 + shift), weights, numbers, 0 * numbers) for shift in (0.03, -0.03)]
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
        ["alices", "sally"],
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


@pytest.mark.parametrize(
    "label",
    [
        "rate",
        "histogram of x0",
        "reference (x0) (kinematics)",
        "SALLY",
        "ALICES",
        "ALICES (kinematics)",
    ],
)
def test_limits_with_systematics_stand_beside_those_of_statistics(limits, label):
    expected = limits[0]["limits"][label]
    for found in (expected["with_systematics"], expected["observed"]["with_systematics"]):
        assert set(found["intervals"]) == {"t0"}
        assert set(found["pulls"]) == {"luminosity", "scale", "energy"}
        assert ("why" in found) == (found["reliable"] is False)
        errors = found["errors_by_source"]["t0"]
        assert set(errors) == {"all", "statistics", "luminosity", "scale", "energy"}
    truth = expected["observed"]["with_systematics"]["true_point"]
    assert 0 < truth["p_by_chi-squared"] <= 1


@pytest.mark.parametrize("label", ["ALICES", "ALICES (kinematics)"])
def test_networks_have_pseudo_experiments_with_systematics(limits, label):
    expected = limits[0]["limits"][label]
    assert "coverage" in expected["with_systematics"]
    seen = expected["observed"]["with_systematics"]
    assert 0 < seen["true_point"]["p_by_pseudo-experiments"] <= 1
    assert seen["goodness_of_fit"]["pseudo-experiments"] == 15
    assert set(seen["goodness_of_fit"]["of_each"]) == {"x0", "network"}


@pytest.mark.parametrize("label", ["rate", "histogram of x0", "ALICES"])
def test_limits_below_cuts_have_systematics(limits, label):
    table, _ = limits
    below, whole = table["clipping"][label]
    for each in (below, whole):
        assert set(each["with_systematics"]["intervals"]) == {"t0"}
    ends = whole["with_systematics"]["intervals"]["t0"]["68 % CL"]
    others = table["limits"][label]["with_systematics"]["intervals"]["t0"]["others profiled"]
    for mine, theirs in zip(ends, others["68 % CL"], strict=True):
        assert mine["low"] == pytest.approx(theirs["low"], abs=2e-3)


def test_pulls_of_observed_events_are_drawn(limits):
    _, folder = limits
    names = {path.stem for path in folder.glob("*.png")}
    assert {"impacts_ALICES", "impacts_ALICES_kinematics", "clipping", "coverage"} <= names


# ------------------------------------------------------------------ one switched off
@pytest.fixture(scope="module")
def reference(tmp_path_factory, chain):
    """Return a function from a systematic that is switched off to what stage reference writes."""
    toy = made(tmp_path_factory, 1, 4_000)

    def of(without):
        run = chain(with_systematics(toy, tmp_path_factory.mktemp("toy"), without))
        run.write_input(["alices"], include_xsec=[True], evaluating={"luminosity": 50.0})
        call(run.stages()[0])
        return results.read(run.reference)

    return of


@pytest.fixture(scope="module")
def with_all(reference):
    return reference("")


@pytest.mark.parametrize("name", [entry["name"] for entry in SYSTEMATICS])
def test_one_switched_off_takes_its_part_of_the_error_alone(reference, with_all, name):
    """Limits of statistics stay to the last bit, others' parts but for correlations."""
    found = reference(name)
    for key, values in with_all.items():
        added = ("nuisance/", "responses/", "spline_error/")
        if not key.startswith(added) and "systematics/" not in key:
            np.testing.assert_array_equal(found[key], values)
    errors = "nuisance/reference/with_rate/errors"
    total, part = with_all[f"{errors}/total"], with_all[f"{errors}/groups/{name}"]
    rest = np.sqrt(total**2 - part**2)
    np.testing.assert_allclose(found[f"{errors}/total"], rest, rtol=0.02)
    others = {k for k in with_all if k.startswith(f"{errors}/groups/")} - {
        f"{errors}/groups/{name}"
    }
    assert {k for k in found if k.startswith(f"{errors}/groups/")} == others
