"""The entry ``recast.yml``, by the real command ``recast`` of recast-atlas."""

import os
import subprocess
import sys
from pathlib import Path

import pyhf_side
import pytest
import recast_events
import yaml

ROOT = Path(__file__).parents[2]
ATLAS = Path(os.environ.get("VENV_ATLAS", f"{sys.prefix}-atlas")).absolute()
NAME = "madminer/reinterpretation"
ENTRY = yaml.safe_load((ROOT / "recast.yml").read_text())
DEFAULT = ENTRY["example_inputs"]["default"]["initdata"]


def test_example_is_the_profile() -> None:
    profile = yaml.safe_load((ROOT / "inputs/profiles/recast.yml").read_text())
    physics = {"input_file_ph", "num_events", "num_procs_per_job"}
    own = {name: value for name, value in profile.items() if name not in physics}
    assert {name: value for name, value in DEFAULT.items() if name != "data_file"} == own


def test_the_example_says_all_that_the_workflow_asks_for() -> None:
    stages = yaml.safe_load((ROOT / "workflow/recast/workflow.yml").read_text())["stages"]
    asked = {
        value["output"]
        for stage in stages
        for value in stage["scheduler"]["parameters"].values()
        if isinstance(value, dict) and value["step"] == "init"
    }
    assert asked == set(DEFAULT)


def recast(place: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder that sees the repository's specifications."""
    environment = os.environ | {
        "RECAST_ATLAS_CATALOGUE": str(ROOT),
        "RECAST_LOCAL_BACKENDSTRING": "py:scripts.engine.atlas:Native",
        "PYTHONPATH": str(ROOT),
        "VENV_RECAST": str(pyhf_side.tools().parent),
    }
    return subprocess.run(
        [ATLAS / "bin/recast", *map(str, words)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_real_command_lists_checks_and_runs_it(tmp_path: Path) -> None:
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    assert NAME in recast(tmp_path, "catalogue", "ls").stdout
    assert "Everything looks good" in recast(tmp_path, "catalogue", "check", NAME).stdout

    recast_events.write(tmp_path / "events.h5")
    values = {"data_file": str(tmp_path / "events.h5"), "theta": "1", "observable": "x"}
    values |= {"bins": "-3,-1,0,1,3", "luminosity": 0.5, "scan": "-1,1,5"}
    inputs = tmp_path / "inputs.yml"
    inputs.write_text(yaml.safe_dump({"initdata": DEFAULT | values}))

    done = recast(tmp_path, "run", NAME, inputs, "--backend", "local", "--tag", "toy")
    assert done.returncode == 0, done.stderr[-3000:]
    results = tmp_path / "recast-toy/interpretation"
    assert (results / "limits.png").read_bytes().startswith(b"\x89PNG")
    limits = yaml.safe_load((results / "limits.yml").read_text())
    (shown,) = yaml.safe_load(done.stdout.partition("--------------\n")[2])
    assert shown == {"name": "limits", "value": limits}

    inputs.write_text(yaml.safe_dump({"initdata": DEFAULT | values | {"observable": "none"}}))
    done = recast(tmp_path, "run", NAME, inputs, "--backend", "local", "--tag", "wrong")
    assert done.returncode == 1
    assert "selection: observable: the data file has no 'none'" in done.stderr
