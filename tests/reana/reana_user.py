"""A stand-in cluster, and a user of it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOKEN = "t0ken-of-emmy"
REANA = Path(os.environ.get("VENV_REANA", ROOT / ".venv-reana")).absolute()
SMALL = (
    *("-p", "num_events=300", "-p", "num_procs_per_job=1"),
    *("-p", "'mlflow_args_s=n_samples_train=2000'"),
    *("-p", "'mlflow_args_t=num_epochs=2 batch_size=500'"),
)

Make = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def cluster(folder: Path, *options: str | Path) -> Iterator[Path]:
    """Run the stand-in on an empty folder."""
    folder.mkdir(parents=True)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [REANA / "bin/python", ROOT / "tests/reana/cluster.py", folder, *options],
            env=os.environ | {"REANA_ACCESS_TOKEN": TOKEN, "PYTHONWARNINGS": "ignore"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(240):
            if (folder / "address").exists():
                break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.25)
        yield folder
    finally:
        process.terminate()
        process.wait(30)


def make(place: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call make as a user of the cluster does."""
    return subprocess.run(
        ["make", "--no-print-directory", f"VENV_REANA={REANA}", *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        | {"REANA_SERVER_URL": (place / "address").read_text(), "REANA_ACCESS_TOKEN": TOKEN}
        | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def wait(place: Path, name: str, seconds: float = 900) -> str:
    """Wait until a workflow has ended; return its status, of which the user is told the same."""
    state = place / f"{name}.1/state.json"
    for _ in range(int(seconds)):
        status = json.loads(state.read_text())["status"]
        if status in ("finished", "failed"):
            shown = make(place, "reana-status", f"REANA_WORKON={name}")
            assert shown.returncode == 0, shown.stdout + shown.stderr
            assert status in shown.stdout
            return status
        time.sleep(1)
    raise AssertionError(f"{name} has not ended")


def log(place: Path) -> str:
    return (place / "log").read_text()[-3000:]


def jobs_user() -> list[str]:
    """Option that runs jobs as user 1000, as REANA does, where that user can run our Python."""
    if os.getuid():
        return []
    command = [sys.executable, "-c", "import numpy"]
    try:
        trial = subprocess.run(command, user=1000, group=0, env={}, cwd="/", check=False)
    except PermissionError:  # our Python is in a home that is closed to others
        return []
    return ["--user", "1000"] if trial.returncode == 0 else []
