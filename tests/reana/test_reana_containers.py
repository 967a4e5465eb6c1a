"""REANA's engine with jobs as it runs them: in containers that see the workspace, as user 1000."""

import subprocess
from pathlib import Path

import pytest
from reana_user import SMALL, cluster, log, make, wait

import steps

pytestmark = pytest.mark.images


def has_images() -> bool:
    version = steps.__version__
    names = [f"madminertool/madminer-workflow-{half}:{version}" for half in ("ph", "ml")]
    command = ["docker", "image", "inspect", *names]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif("not has_images()", reason="no engine, or no images: make test-images")
def test_whole_run_with_nothing_but_the_workspace(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with cluster(tmp_path / "cluster", "--runner", "container", "--user", "1000") as place:
        started = make(place, "reana-run", f"ARGS={' '.join(SMALL)}")
        assert started.returncode == 0, started.stdout + started.stderr
        assert wait(place, "madminer-workflow") == "finished", log(place)
        workspace = place / "madminer-workflow.1/workspace"
        limits = workspace / "workflow_ml/plotting/plots/limits.yml"
        assert "95 % CL" in limits.read_text()
        assert limits.stat().st_uid == 1000
        assert not (place / "invalid").exists()
