"""The entry point 'physics': one stage at a time for all jobs, on what earlier ones left."""

import io
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = ("configure", "generate", "pythia", "delphes", "combine")
SIZE = ("--num-events", "6e1", "--num-procs-per-job", "2", "--seed", "3")
DATA = "combine/data/combined_delphes.h5"


@pytest.fixture(scope="module")
def input_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped input file with one parameter, hence three benchmarks."""
    spec = yaml.safe_load((ROOT / "inputs/ph/input.yml").read_text())
    spec["parameters"] = spec["parameters"][:1]
    for benchmark in spec["benchmarks"]:
        del benchmark["parameter_name_2"], benchmark["value_2"]
    spec["set_morphing"]["n_trials"] = 10
    spec["shower"]["card"] = str(ROOT / "inputs/ph/cards/pythia8.cmnd")
    path = tmp_path_factory.mktemp("physics") / "input.yml"
    path.write_text(yaml.safe_dump(spec))
    return path


def call(name: str, input_file: Path, place: Path, *size: str) -> tuple[int, list[str]]:
    """Run a stage in this process; return its exit status and lines of standard error."""
    options = ["--input-file", str(input_file), "--workdir", str(place), *(size or SIZE)]
    said, status = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setattr(sys, "argv", ["steps.ph", name, *options])
        try:
            runpy.run_module("steps.ph", run_name="__main__")
        except SystemExit as stop:
            status = stop.code
    return status, said.getvalue().splitlines()


def stage(name: str, input_file: Path, place: Path) -> list[str]:
    status, said = call(name, input_file, place)
    assert status == 0, said
    return said


def refused(name: str, input_file: Path, place: Path, *size: str) -> str:
    status, (line,) = call(name, input_file, place, *size)
    assert status == 1
    return line


@pytest.fixture(scope="module")
def place(input_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with all stages done."""
    folder = tmp_path_factory.mktemp("place") / "run"
    for name in STAGES:
        said = stage(name, input_file, folder)
        if name in ("pythia", "delphes"):
            assert [line for line in said if line.endswith(" jobs")] == [
                f"progress: {done}/6 jobs" for done in range(1, 7)
            ]
    return folder


def test_files_lie_as_in_a_run_of_the_workflow(place: Path) -> None:
    folders = {folder.name for folder in place.iterdir()}
    jobs = {f"{name}_{number}" for name in ("pythia", "delphes") for number in range(6)}
    assert folders == {"check", "configure", "generate", "combine", *jobs}
    benchmarks = ("morphing_basis_vector_2", "sm", "w")
    planned = [f"{benchmark}_{job}" for benchmark in benchmarks for job in range(2)]
    assert {folder.name for folder in (place / "generate/jobs").iterdir()} == set(planned)
    files = [next(place.glob(f"delphes_{k}/data/*.h5")).stem for k in range(6)]
    assert files == [f"madminer_delphes_data_{label}" for label in planned]


@pytest.mark.slow
@pytest.mark.workflow
def test_events_are_those_of_yadage(place: Path, input_file: Path, tmp_path: Path) -> None:
    options = ["-p", "num_events=60", "-p", "num_procs_per_job=2", "-p", "seed=3"]
    files = ["--input-file-ph", input_file, "--workdir", tmp_path / "run"]
    command = [sys.executable, "-m", "scripts.run", "ph", "--profile", "test", *files, *options]
    subprocess.run(command, cwd=ROOT, check=True)
    with h5py.File(place / DATA) as ours, h5py.File(tmp_path / "run" / DATA) as theirs:
        assert len(ours["samples/weights"]) > 100
        names: list[str] = []
        ours.visit(names.append)
        assert names
        for name in (name for name in names if isinstance(ours[name], h5py.Dataset)):
            np.testing.assert_array_equal(ours[name][()], theirs[name][()], err_msg=name)


def test_a_stage_asks_for_the_one_before(place: Path, input_file: Path, tmp_path: Path) -> None:
    for earlier, name in (("configure", "configure"), ("generate", "generate")):
        later = STAGES[STAGES.index(name) + 1]
        expected = f"error: {tmp_path}: stage {earlier} has done nothing here; run it first"
        assert refused(later, input_file, tmp_path) == expected
        (tmp_path / name).symlink_to(place / name)
    for number in (0, 2, 3):
        (tmp_path / f"pythia_{number}").symlink_to(place / f"pythia_{number}")
    expected = f"error: {tmp_path}: stage pythia has done 3 of 6 jobs here; run it first"
    assert refused("delphes", input_file, tmp_path) == expected
    assert (place / DATA).exists()


def test_mistakes_are_one_line_and_leave_results_alone(place: Path, tmp_path: Path) -> None:
    (tmp_path / "input.yml").write_text("parameters: [")
    assert "input.yml: line 1: " in refused("generate", tmp_path / "input.yml", place)
    file = ROOT / "inputs/ph/input.yml"
    assert "error: num_events: 'many'; give" in refused(
        "generate", file, place, "--num-events", "many"
    )
    assert (place / DATA).exists()


def test_a_stage_done_again_discards_what_was_made_of_it(
    place: Path, input_file: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(place, again)
    before = (again / "configure/data/madminer_config.h5").read_bytes()
    stage("configure", input_file, again)
    assert len(before) == (again / "configure/data/madminer_config.h5").stat().st_size
    assert not list(again.glob("generate/jobs/*"))
    assert not [*again.glob("pythia_*/events"), *again.glob("delphes_*/data/*")]
    assert not (again / DATA).exists()
