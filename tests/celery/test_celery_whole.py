"""The whole analysis on two workers, one of which is killed: the same limits as without workers."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from machines import ROOT, Broker, Machine, wait_for

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SMALL = (
    *("--profile", "test", "-p", "num_events=300", "-p", "num_procs_per_job=1"),
    *("-p", "mlflow_args_s=n_samples_train=2000", "-p", "mlflow_args_t=num_epochs=2"),
)


def start(place: Path, *arguments: str | Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.run", "all", "--workdir", place, *SMALL, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def runs_pythia(machine: Machine) -> bool:
    commands = []
    for child in psutil.Process(machine.worker.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may end meanwhile
            commands.append(child.cmdline())
    return any("steps.ph.pythia" in command for command in commands)


def test_limits_are_those_of_one_machine(
    tmp_path: Path, broker: Broker, machines: dict[str, Machine]
) -> None:
    spec = yaml.safe_load((ROOT / "inputs/ml/input.yml").read_text())
    spec["methods"] = ["alices"]
    spec["plotting"] = {"all_methods_separate": False}
    file = tmp_path / "one_method.yml"
    file.write_text(yaml.safe_dump(spec))
    own = start(tmp_path / "own", "--input-file-ml", file)
    shared = start(
        *(tmp_path / "shared", "--input-file-ml", file, "--backend", "celery"),
        CELERY_BROKER=broker.url(),
    )
    try:
        wait_for(lambda: runs_pythia(machines["a"]), 120)
        machines["a"].kill()
        for run in (own, shared):
            _, text = run.communicate(timeout=300)
            assert run.returncode == 0, text
    finally:
        for run in (own, shared):
            run.terminate()
    assert "its worker was lost; another one does it again" in text
    tables = [
        (tmp_path / name / "workflow_ml/plotting/plots/limits.yml").read_text()
        for name in ("own", "shared")
    ]
    assert tables[0] == tables[1]
