"""The stages one after the other, by the options that users type, and by yadage-run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyhf_side
import pytest
import recast_events
import uproot
import yaml

from scripts.engine import environments

BINS = "-3,-1,0,1,3"
LUMINOSITY = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Signal and background in a MadMiner file that knows its cross sections before cuts."""
    place = tmp_path_factory.mktemp("recast")
    recast_events.write(place / "events.h5")
    select(place)
    return place


def select(place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    done = pyhf_side.stage(
        *("selection", "--data-file", place / "events.h5", "--theta=1", "--observable=x"),
        *(f"--bins={BINS}", "--selection=y > -2; y < 2", "--output-dir", place, *more),
    )
    if not more:
        assert done.returncode == 0, done.stderr
    return done


def values(path: Path, name: str) -> np.ndarray:
    with uproot.open(path) as file:
        return file[name].values()


def test_scaling_is_as_tutorials_have_it(folder: Path) -> None:
    """Short options, nothing taken from the file."""
    done = pyhf_side.stage(
        *("scaling", "-i", folder / "selected.root", "-o", folder / "scaled.root"),
        *("-p", folder / "debug.pdf", "-c", "3", "-s", "2", "-k", "1.5", "-f", "0.5"),
        *("-l", "4", "-g", "h_mjj"),
    )
    assert done.returncode == 0, done.stderr
    factor = 3 * 1.5 * 0.5 * 4 * 1000 / 2
    for name in ("h_mjj", "h_mjj__sm", "h_mjj__mu__up", "h_mjj__sm__jes__down"):
        before = values(folder / "selected.root", name)
        np.testing.assert_allclose(values(folder / "scaled.root", name), factor * before)
    assert (folder / "debug.pdf").read_bytes().startswith(b"%PDF")


def test_what_the_data_file_knows_need_not_be_said(folder: Path) -> None:
    """Weights in pb, so that a cross section over its sum of weights is one."""
    done = pyhf_side.stage(
        *("scaling", "-i", folder / "selected.root", "-o", folder / "own.root"),
        *("-l", "2", "-g", "h_mjj"),
    )
    assert done.returncode == 0, done.stderr
    before = values(folder / "selected.root", "h_mjj")
    np.testing.assert_allclose(values(folder / "own.root", "h_mjj"), 2000 * before)


def test_a_file_that_does_not_know_is_one_line(folder: Path, tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "plain.root") as file:
        file["h"] = np.histogram([0.5], 3)
    done = pyhf_side.stage(
        *("scaling", "-i", tmp_path / "plain.root", "-o", tmp_path / "o.root", "-l1", "-gh", "-c1")
    )
    assert done.returncode == 1
    expected = f"error: sum_of_weights: {tmp_path}/plain.root does not say it; give "
    assert done.stderr == f"{expected}--sum-of-weights\n"


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--theta=1,2", "theta: '1,2' is not a value for each of t"),
        ("--observable=z", "observable: the data file has no 'z'; choose from x, y"),
        ("--selection=q > 1", "selection: 'q > 1'"),
        ("--bins=0", "bins: '0' are not edges"),
    ],
)
def test_mistakes_are_one_line(folder: Path, option: str, error: str) -> None:
    done = select(folder, option)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {error}")
    assert len(done.stderr.splitlines()) == 1


def test_nothing_is_known_of_the_signal_but_what_files_say(folder: Path) -> None:
    """A user's own selection: a file with a histogram, no more."""
    with uproot.recreate(folder / "mine.root") as file:
        file["mass"] = (np.array([5.0, 9.0]), np.array([0.0, 1.0, 2.0]))
        file["kept"] = (np.array([50.0, 40.0]), np.array([0.0, 1.0, 2.0]))
    mine = folder / "mine.root"
    done = pyhf_side.stage(
        *("interpretation", "--filesig", mine, "--histsig", "mass", "--filebkg", mine),
        *("--histbkg", "kept", "--filedata", mine, "--histdat", "kept"),
        *("--outputfile", folder / "own/limits.png", "--plotfile", folder / "own/results.png"),
    )
    assert done.returncode == 0, done.stderr
    table = yaml.safe_load((folder / "own/limits.yml").read_text())
    assert (table["tested_against"], table["data"]) == ("background", "data")
    assert "signal against background alone" in done.stdout


_VALID = """
import sys
from hepdata_validator.full_submission_validator import FullSubmissionValidator
print(FullSubmissionValidator().validate(directory=sys.argv[1]))
"""
_APPLIED = """
import json, sys, pyhf
from hepdata_validator.full_submission_validator import FullSubmissionValidator
background, patches = (json.load(open(name)) for name in sys.argv[1:3])
known = pyhf.PatchSet(patches)
known.verify(background)
for folder in sys.argv[3:]:
    assert FullSubmissionValidator().validate(directory=folder), folder
found = []
for patch in known.patches:
    space = pyhf.Workspace(known.apply(background, patch.name))
    model = space.model()
    values = [1.0, [1.0] * 5]
    if patch.values != (0.0,):
        data = space.data(model)
        observed, expected = pyhf.infer.hypotest(1.0, data, model, return_expected_set=True)
        values = [float(observed), [float(each) for each in expected]]
    found.append([list(patch.values), *values])
print(json.dumps(found))
"""


def test_a_scan_is_what_pyhf_says_of_each_patch(folder: Path) -> None:
    """Without our optimiser, and applied by pyhf; tables as HEPData wants them."""
    selected, kept = folder / "scanned.root", folder / "kept"
    options = ("--observable=x", f"--bins={BINS}", "--selection=y > -2; y < 2")
    for done in (
        pyhf_side.stage(
            *("scaling", "-i", folder / "selected.root", "-o", selected, "-l", "0.5", "-gh_mjj")
        ),
        pyhf_side.stage(
            *("preserved", "--data-file", folder / "events.h5", "--luminosity=0.5"),
            *(*options, "--output-dir", kept),
        ),
        pyhf_side.stage(
            *("scan", "--data-file", folder / "events.h5", "--scan=-1,1,5", *options),
            *("--filesig", selected, "--filebkg", kept / "background.root"),
            *("--histbkg=h_mjj", "--filedata", kept / "data.root", "--histdat=h_mjj"),
            *("--output-dir", folder / "scan"),
        ),
    ):
        assert done.returncode == 0, done.stderr
    place = folder / "scan"
    table = yaml.safe_load((place / "scan.yml").read_text())
    applied = pyhf_side.python(
        *("-c", _APPLIED, place / "background.json", place / "patchset.json", place / "hepdata")
    )
    assert applied.returncode == 0, applied.stderr
    found = json.loads(applied.stdout.splitlines()[-1])
    assert [point["theta"]["t"] for point in table["points"]] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    for point, (values, observed, expected) in zip(table["points"], found, strict=True):
        assert [point["theta"]["t"]] == values
        told = list(point["CLs"].values())
        np.testing.assert_allclose(told, [observed, *expected], rtol=5e-3)
        assert point["excluded"] == (observed < 0.05)
    # What an Asimov set of the Standard Model says of it.
    deviance = [point["minus_2_ln_lambda"]["expected"] for point in table["points"]]
    assert deviance[2] == 0.0
    assert min(deviance[0], deviance[1], deviance[3], deviance[4]) > 0.0
    assert (place / "exclusion.png").stat().st_size > 10_000


def test_a_file_that_is_not_scaled_has_no_scan(folder: Path) -> None:
    done = pyhf_side.stage(
        *("scan", "--data-file", folder / "events.h5", "--scan=-1,1,5", "--observable=x"),
        *(f"--bins={BINS}", "--filesig", folder / "selected.root"),
        *("--filebkg", folder / "selected.root", "--histbkg=h_mjj"),
        *("--filedata", folder / "selected.root", "--histdat=h_mjj"),
        *("--output-dir", folder / "no_scan"),
    )
    assert done.returncode == 1
    assert "selected.root: does not say luminosity of its signal; give what stage" in done.stderr


@pytest.mark.workflow
def test_the_workflow_ends_with_both_plots(folder: Path) -> None:
    """By yadage-run, steps in the environment of their image."""
    given = {
        "seed": 1,
        "observable": "x",
        "bins": BINS,
        "selection": "''",
        "histogram": "h_x",
        "luminosity": LUMINOSITY,
        **dict.fromkeys(("background_file", "measured_file", "injected"), "''"),
        **dict.fromkeys(("background_histogram", "measured_histogram"), "h_x"),
        "theta": 1,
        **dict.fromkeys(("standard_model", "signal_name", "cross_section"), "''"),
        "sum_of_weights": "''",
        "k_factor": 1,
        "filter_efficiency": 1,
        "scan": "''",
        "toys": 0,
    }
    (folder / "profile.yml").write_text(yaml.safe_dump(given))
    command = [sys.executable, "-m", "scripts.run", "recast", "--profile", folder / "profile.yml"]
    command += ["--data-file", folder / "events.h5", "--workdir", folder / "work", "--cores", "2"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in (*command, *more)]
        env = os.environ | {environments.VARIABLE: str(pyhf_side.tools().parent)}
        return subprocess.run(words, cwd=pyhf_side.ROOT, env=env, capture_output=True, text=True)

    done = run()
    assert done.returncode == 0, done.stderr
    assert "interpretation/limits.png" in done.stdout
    place = folder / "work/interpretation"
    assert {path.name for path in place.iterdir() if path.is_file()} == {
        *("limits.png", "results.png", "limits.yml", "workspace.json")
    }
    tables = place / "hepdata"
    assert pyhf_side.python("-c", _VALID, tables).stdout.strip() == "True"
    assert len(list(tables.iterdir())) == 4
    assert not [path for path in (folder / "work/scan").iterdir() if path.is_file()]
    table = yaml.safe_load((place / "limits.yml").read_text())
    assert table["tested_against"] == "Standard Model"
    assert table["pseudo"]["theta"] == {"t": 0.0}
    assert table["signal"]["theta"] == {"t": 1.0}
    assert table["signal"]["cross_section"] == pytest.approx(2.1)
    expected = 1000 * LUMINOSITY * values(folder / "work/selection/selected.root", "h_x")
    scaled = values(folder / "work/scaling/selected_scaled.root", "h_x")
    np.testing.assert_allclose(scaled, expected)

    again = run("-p", "toys=0")
    assert "0 ran, 5 were done already" in again.stdout
    # Also where theta is the Standard Model, which is no point of its own then.
    scanned = run("-p", "scan=0,1,5", "-p", "theta=0")
    assert scanned.returncode == 0, scanned.stderr
    told = yaml.safe_load((folder / "work/scan/scan.yml").read_text())
    assert told["tested_against"] == "Standard Model"
    assert told["points"][0]["CLs"]["observed"] == 1.0
    wrong = run("-p", "theta=1,2")
    assert wrong.returncode == 2
    assert "theta: '1,2' is not a value" in wrong.stderr
