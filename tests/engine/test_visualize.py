"""``yadage-run --visualize``: pictures where graphviz is, and no run lost where it is not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydot
import pytest
import yaml
from PIL import Image
from toys import ROOT, from_init, stage

TEXT = "_yadage/yadage_workflow_instance.dot"
PNG, PDF = TEXT.replace(".dot", ".png"), TEXT.replace(".dot", ".pdf")
GIF = "_yadage/adage/workflow.gif"

# Draws a file by copying it; what comes on standard input is drawn the same whatever it is.
STAND_IN = """#!/bin/sh
for last; do :; done
case $last in -*) cat >/dev/null; exec cat "$FRAME" ;; *) exec cat "$last" ;; esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stages, one after the other; their commands need a shell alone."""
    first = stage("first", ["init"], "{command}; echo 1 > one", command=from_init("command"))
    many = stage("many", ["first"], "echo {n} > number", n=[1, 2, 3])
    many["scheduler"]["scheduler_type"] = "multistep-stage"
    many["scheduler"]["scatter"] = {"method": "zip", "parameters": ["n"]}
    (tmp_path / "workflow.yml").write_text(yaml.safe_dump({"stages": [first, many]}))
    (tmp_path / "bin").mkdir()
    # Not /bin or /usr/bin, where graphviz and ImageMagick may be.
    for name in ("sh", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "frame.png")
    return tmp_path


def install(folder: Path, script: str) -> None:
    (folder / "bin/dot").write_text(script)
    (folder / "bin/dot").chmod(0o755)


def run(
    folder: Path, *, out: str = "out", command: str = "true", **environment: str
) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("yadage-run"))
    options = ["--plugins", "scripts.engine.native", "-b", "multiproc:1", "--visualize"]
    return subprocess.run(
        [program, out, "workflow.yml", "-p", f"command={command}", *options],
        cwd=folder,
        env={
            **os.environ,
            "PATH": str(folder / "bin"),
            "PYTHONPATH": str(ROOT),
            "FRAME": str(folder / "frame.png"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def warnings(result: subprocess.CompletedProcess[str]) -> list[str]:
    lines = (result.stdout + result.stderr).splitlines()
    return [line for line in lines if line.startswith("warning: ")]


def check_steps(out: Path) -> None:
    numbers = [int((out / f"many_{k}/number").read_text()) for k in range(3)]
    assert numbers == [1, 2, 3]


def check_text(out: Path) -> None:
    """The graph has all steps."""
    (graph,) = pydot.graph_from_dot_file(out / TEXT)
    text = graph.to_string()
    assert all(name in text for name in ("first[0]", "many[0]", "many[1]", "many[2]"))


def test_without_graphviz_one_line_says_so(folder: Path) -> None:
    result = run(folder)
    assert result.returncode == 0, result.stderr
    (line,) = warnings(result)
    assert "graphviz is not installed" in line
    assert f"dot -Tpdf -O out/{TEXT}" in line
    assert "Traceback" not in result.stderr
    check_steps(folder / "out")
    check_text(folder / "out")
    assert not any((folder / "out" / name).exists() for name in (PNG, PDF, GIF))


# Yadage and adage themselves would hand both names to a shell, or split them.
@pytest.mark.parametrize("out", ["out", "two words; 'quoted'"])
def test_with_dot_there_are_pictures(folder: Path, out: str) -> None:
    install(folder, STAND_IN)
    result = run(folder, out=out)
    assert result.returncode == 0, result.stderr
    assert warnings(result) == []
    check_steps(folder / out)
    check_text(folder / out)
    for name in (PNG, PDF):
        assert (folder / out / name).read_text() == (folder / out / TEXT).read_text()
    with Image.open(folder / out / GIF) as image:
        assert image.format == "GIF"


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_graphviz_itself_draws(folder: Path) -> None:
    (folder / "bin/dot").symlink_to(shutil.which("dot") or "")
    result = run(folder)
    assert result.returncode == 0, result.stderr
    assert warnings(result) == []
    assert (folder / "out" / PNG).read_bytes().startswith(b"\x89PNG")
    assert (folder / "out" / PDF).read_bytes().startswith(b"%PDF")
    with Image.open(folder / "out" / GIF) as image:
        assert image.format == "GIF"
        assert image.n_frames > 3
    assert {path.name for path in (folder / "out/_yadage/adage").iterdir()} == {
        "adagesnap.txt",
        "workflow.gif",
    }


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/nowhere\n", "#!/bin/sh\necho x\n"])
def test_a_dot_that_fails_costs_no_run(folder: Path, script: str) -> None:
    install(folder, script)
    result = run(folder)
    assert result.returncode == 0, result.stderr
    lines = warnings(result)
    assert lines
    assert all(line.startswith("warning: --visualize: ") for line in lines)
    assert "Traceback" not in result.stderr
    check_steps(folder / "out")
    check_text(folder / "out")


@pytest.mark.parametrize("module", ["pydot", "pydotplus"])
def test_absent_packages_cost_no_run(folder: Path, module: str) -> None:
    install(folder, STAND_IN)
    (folder / "hidden").mkdir()
    error = f"raise ModuleNotFoundError({module!r})"
    (folder / f"hidden/{module}.py").write_text(error)
    result = run(folder, PYTHONPATH=f"{folder}/hidden{os.pathsep}{ROOT}")
    assert result.returncode == 0, result.stderr
    (line,) = warnings(result)
    assert line.endswith(f"not drawn: {module}")
    check_steps(folder / "out")


@pytest.mark.parametrize("script", ["", STAND_IN, "#!/bin/sh\nexit 3\n"])
def test_a_failed_step_is_what_a_run_ends_with(folder: Path, script: str) -> None:
    if script:
        install(folder, script)
    result = run(folder, command="echo some reason >&2; exit 1")
    assert result.returncode == 1
    assert "some reason" in result.stderr
    assert "Workflow failed: " in result.stderr
    assert not any(word in result.stderr for word in ("pydot", "convert", "graphviz"))
