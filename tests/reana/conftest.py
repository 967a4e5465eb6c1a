"""The stand-in cluster, and a whole run on it by make."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reana_user import ROOT, SMALL, TOKEN, cluster, jobs_user, log, make, wait

from scripts.engine import environments


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cluster; it sees the steps' code as the images do, apart from the repository."""
    base = tmp_path_factory.mktemp("reana")
    code = base / "code"
    code.mkdir()
    subprocess.run(["cp", "-r", ROOT / "steps", code / "steps"], check=True)
    for folder in (base, *base.parents[:2]):
        folder.chmod(0o755)
    options = ["--runner", "process", "--python", sys.executable, "--code", str(code)]
    recast = environments.of_image("madminer-workflow-recast")
    assert recast is not None
    options += ["--tools", "madminer-workflow-recast", str(recast.tools)]
    with cluster(base / "cluster", *options, *jobs_user()) as folder:
        yield folder


@pytest.fixture(scope="session")
def whole(place: Path) -> Path:
    """The folder of a whole run."""
    started = make(place, "reana-run", f"ARGS={' '.join(SMALL)}")
    assert started.returncode == 0, started.stdout + started.stderr
    assert TOKEN not in started.stdout + started.stderr
    assert wait(place, "madminer-workflow") == "finished", log(place)
    return place / "madminer-workflow.1"
