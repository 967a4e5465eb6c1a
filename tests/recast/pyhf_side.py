"""What tests run where pyhf is: the environment of the reinterpretation's image."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from scripts.engine import environments

ROOT = Path(__file__).parents[2]
IMAGE = "madminertool/madminer-workflow-recast"


def tools() -> Path:
    """Folder of the environment's programs."""
    environment = environments.of_image(IMAGE)
    assert environment is not None
    return environment.tools


def python(*arguments: str | Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python there."""
    return subprocess.run(
        [tools() / "python", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input=said,
        capture_output=True,
        text=True,
        check=False,
    )


def stage(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a stage."""
    return python("-m", f"steps.recast.{name}", *arguments)


_TESTED = """
import json, sys
from steps.recasting.limits import Model
print(json.dumps([Model(each).tested().all.tolist() for each in json.load(sys.stdin)]))
"""


def tested(workspaces: list[dict[str, Any]]) -> list[list[float]]:
    """Return CLs of strength one of each workspace: observed, then expected at -2, ..., 2 sigma."""
    done = python("-c", _TESTED, said=json.dumps(workspaces))
    assert done.returncode == 0, done.stderr
    found: list[list[float]] = json.loads(done.stdout)
    return found
