"""Disks that are full, and work directories that cannot be written."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toys import DRIVER, ROOT, Toy, from_init, stage

pytestmark = pytest.mark.workflow

MOUNTS = ["unshare", "--map-root-user", "--mount"]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    first = stage("first", ["init"], "cat '{input_file}' > out", input_file=from_init("input_file"))
    many = stage("many_0", ["first"], "{command}", command=from_init("command"))
    return Toy(tmp_path, [first, many])


def on_a_small_disk(toy: Toy, options: str, *lines: str) -> list[str]:
    """Run lines of a shell, in which ``run`` is a run in a work directory on a small disk.

    Returns:
        What they print.
    """
    (toy.folder / "driver.py").write_text(DRIVER)
    (toy.folder / "disk").mkdir()
    if shutil.which(MOUNTS[0]) is None or subprocess.call(
        [*MOUNTS, "mount", "-t", "tmpfs", "none", toy.folder / "disk"], stderr=subprocess.DEVNULL
    ):
        pytest.skip("this machine does not let its users mount")
    run = shlex.join([sys.executable, "driver.py", "--cores", "2", "-p", "input_file=some.txt"])
    script = [
        f"mount -t tmpfs -o {options} none disk || exit 9",
        f'run() {{ {run} --workdir disk/run "$@" 2>&1; echo "status $?"; }}',
        *lines,
    ]
    result = subprocess.run(
        [*MOUNTS, "sh", "-c", "\n".join(script)],
        cwd=toy.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def of_errors(lines: list[str]) -> list[str]:
    assert not any("Traceback" in line for line in lines), lines
    return [line for line in lines if line.startswith("error: ")]


def test_a_full_disk_ends_in_one_line_and_loses_nothing(toy):
    lines = on_a_small_disk(
        toy,
        "size=3m",
        "run -p command='echo earlier > result'",
        "run -p command='dd if=/dev/zero of=big bs=1M count=9'",
        "cat disk/run/many_0/result; ls -A disk",
        "rm -r disk/run.failed",
        "run -p command='echo later > result'",
        "cat disk/run/many_0/result",
    )
    (error,) = of_errors(lines)
    assert "No space left on device" in error
    assert [line for line in lines if line.startswith("status")] == [
        f"status {k}" for k in (0, 1, 0)
    ]
    assert "earlier" in lines
    assert lines[-1] == "later"
    # The first step was not done again.
    assert "steps:     1 ran, 1 were done already" in lines


@pytest.mark.parametrize("full_at", ["the start", "the end of a step"])
def test_a_disk_that_is_full_elsewhere_ends_in_one_line(toy, full_at):
    """Not a step's own file is too large, but there is no room for what the run notes."""
    fill = "dd if=/dev/zero of=$PWD/disk/fill bs=4k 2> /dev/null"
    at_end = "-p command='dd if=/dev/zero of=../../fill bs=4k 2> /dev/null; true'"
    lines = on_a_small_disk(
        toy,
        "size=3m",
        "run -p command='echo earlier > result'",
        fill if full_at == "the start" else "true",
        f"run {at_end if full_at != 'the start' else '-p command=true'}",
        "cat disk/run/many_0/result; rm disk/fill",
        "run -p command='echo later > result'",
        "cat disk/run/many_0/result",
    )
    (error,) = of_errors(lines)
    assert "No space left on device" in error
    assert "earlier" in lines
    assert lines[-1] == "later"


def test_a_work_directory_that_cannot_be_written_is_one_line(toy):
    lines = on_a_small_disk(
        toy,
        "size=3m",
        "run -p command='echo earlier > result'",
        "mount -o remount,ro disk",
        "run -p command=true",
        "cat disk/run/many_0/result",
    )
    (error,) = of_errors(lines)
    assert "Read-only file system" in error
    assert lines[-1] == "earlier"
