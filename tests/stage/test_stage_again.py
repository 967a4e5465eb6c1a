"""A step that runs again where it ran before leaves nothing of the first time."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def step(name: str, *arguments: object) -> None:
    command = [sys.executable, "-m", f"steps.{name}", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@pytest.fixture
def config(tmp_path: Path) -> tuple[str, Path, str, Path]:
    spec = ROOT / "inputs/ph/input.yml"
    step("ph.configure", "--input-file", spec, "--output-dir", tmp_path / "c", "--seed", 1)
    return "--input-file", spec, "--config-file", tmp_path / "c/data/madminer_config.h5"


def test_jobs_of_an_earlier_attempt_are_gone(config: tuple, tmp_path: Path) -> None:
    for jobs in (2, 1):
        sizes = ("--num-procs-per-job", jobs, "--num-events", 10, "--seed", 1)
        step("ph.generate", *config, *sizes, "--output-dir", tmp_path)
    found = [path.name for path in (tmp_path / "jobs").iterdir()]
    assert found
    assert all(name.endswith("_0") for name in found)
