"""Observed events through the runner and yadage-run: machine learning alone, on a toy."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from inference.chains import Chain
from inference.toys import Toy
from workflow_runs import ROOT, run

from steps.events import tables

pytestmark = pytest.mark.workflow

SIZES = {
    "seed": 1,
    "mlflow_args_s": "n_samples_train=1000",
    "mlflow_args_t": "num_epochs=1",
    "mlflow_args_e": "n_toys=10 luminosity=30",
    "mlflow_server": "''",
    "mlflow_username": "''",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A toy, its input file, and events in a ROOT file of two trees."""
    place = tmp_path_factory.mktemp("observed")
    toy = Toy(1).write(place, 3000)
    Chain(toy, place).write_input(["alices"])
    (place / "profile.yml").write_text(yaml.safe_dump(SIZES))
    tables.write(place / "data.root", {"x0": np.linspace(-2, 2, 40)}, {})
    return place


def analyse(folder: Path, *more: str | Path):
    return run(
        *("ml", "--data-file", folder / "toy.h5", "--input-file-ml", folder / "input.yml"),
        *("--workdir", folder / "work", "--profile", folder / "profile.yml", *more),
    )


def limits(folder: Path) -> dict:
    return yaml.safe_load((folder / "work/plotting/plots/limits.yml").read_text())


@pytest.mark.slow
def test_observed_events_are_part_of_what_is_done(folder: Path) -> None:
    done = analyse(folder)
    assert done.returncode == 0, done.stderr
    assert "observed" not in limits(folder)
    # Another file is another analysis, but for what it is not read by.
    done = analyse(folder, "--observed-file", f"{folder}/data.root:events")
    assert done.returncode == 0, done.stderr
    table = limits(folder)
    assert table["observed"]["events"] == 40
    assert table["limits"]["ALICES"]["observed"]["of"] == "data"
    # The same events elsewhere are the same; the check is made each time.
    shutil.copy(folder / "data.root", folder / "work.root")
    (folder / "elsewhere").mkdir()
    (folder / "work.root").rename(folder / "elsewhere/data.root")
    done = analyse(folder, "--observed-file", f"{folder}/elsewhere/data.root:events")
    assert done.returncode == 0, done.stderr
    assert "steps:     1 ran, 5 were done already" in done.stdout


def test_what_is_wrong_is_said_before_anything_starts(folder: Path, tmp_path: Path) -> None:
    tables.write(tmp_path / "mev.csv", {"x0": np.linspace(-2e3, 2e3, 40)}, {})
    done = analyse(folder, "--observed-file", tmp_path / "mev.csv")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "mev.csv: 40 events: x0: its size is" in line


def test_yadage_alone_runs_it_too(folder: Path, tmp_path: Path) -> None:
    """As other engines do, whose users write '' for none, and files below their own folder."""
    (tmp_path / "in").mkdir()
    for name in ("toy.h5", "input.yml", "data.root"):
        shutil.copy(folder / name, tmp_path / "in" / name)
    values = {"data_file": "toy.h5", "input_file": "input.yml", "observed_file": "data.root"}
    (tmp_path / "values.yml").write_text(yaml.safe_dump(SIZES | values))
    yadage = Path(sys.executable).with_name("yadage-run")
    done = subprocess.run(
        [
            *(yadage, "out", "workflow.yml", "values.yml", "--toplevel", ROOT / "workflow/ml"),
            *("-d", f"initdir={tmp_path}/in", "--plugins", "scripts.engine.native"),
        ],
        cwd=tmp_path,
        env={"PATH": f"{yadage.parent}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "out/plotting/plots/limits.yml").read_text()
    assert yaml.safe_load(text)["observed"]["file"] == "data.root"
