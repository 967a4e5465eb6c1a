"""Parameters of a workflow reach its steps as data, whatever is in them and whoever runs these."""

import base64
import io
import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from packtivity import datamodel
from packtivity.handlers.execution_handlers import docker_execution_cmdline
from packtivity.syncbackends import build_job, packconfig

from scripts import reana
from scripts.engine import parameters
from scripts.engine.errors import UsageError
from steps.stage import command
from steps.stage.errors import InputError
from steps.stage.texts import EMPTY

ROOT = Path(__file__).resolve().parents[2]
TOUCH = "touch stolen"
HOSTILE = [
    "it's",
    f"'; {TOUCH}; '",
    f'"; {TOUCH}; "',
    f"$({TOUCH})",
    f"`{TOUCH}`",
    f"'$({TOUCH})'\"$({TOUCH})\"",
    f"x\nEND\n{TOUCH}\n",
    f"x\r\n; {TOUCH} & {TOUCH} | {TOUCH} > stolen",
    "* ? [a-z] ~ $HOME \\ \\n \\' %s #",
    "--output-dir=/elsewhere",
    "-",
    "",
    "  two  words ",
    "Straße \u2028 \u202e \x1b[2J é 漢 🜂",
    "a=1 b='2'",
    7,
    0.5,
]
# What stands in for python3 in the steps' commands: it writes down what it was called with.
RECORDER = f"""#!{sys.executable}
import json, sys
with open("called", "w") as file:
    json.dump([sys.argv[1:], sys.stdin.read()], file)
"""


def steps() -> dict[str, str]:
    """The command of every step by its place."""
    return {
        f"{file.parent.name}/{name}": step["process"]["cmd"]
        for file in sorted((ROOT / "workflow").rglob("steps.yml"))
        for name, step in yaml.safe_load(file.read_text()).items()
        if isinstance(step, dict) and "process" in step
    }


def names(text: str) -> list[str]:
    return [part.partition("!")[0] for part in text.replace("}", "{").split("{")[1::2]]


def filled(text: str, values: dict) -> str:
    """The command as Packtivity makes it."""
    spec = {"process_type": "string-interpolated-cmd", "cmd": text}
    return build_job(spec, datamodel.create(values), None, packconfig())["command"]


def plainly(text: str, folder: Path) -> list[str]:
    """As our plug-in does it, REANA's Kubernetes, and workers of Celery."""
    return ["sh", "-c", text]


def encoded(text: str, folder: Path) -> list[str]:
    """As REANA does it on Slurm and HTCondor."""
    return ["bash", "-c", f"echo {base64.b64encode(text.encode()).decode()}|base64 -d|bash"]


def in_container(text: str, folder: Path) -> list[str]:
    """As Packtivity calls an engine; what follows the image runs inside."""
    container = SimpleNamespace(container_runtime_modifier=lambda: "")
    race = {
        "mounts": [],
        "image": "image:1",
        "workdir": None,
        "env": [],
        "argv": ["sh", "-c", text],
        "stdin": None,
        "tty": False,
    }
    line = docker_execution_cmdline(
        SimpleNamespace(container_config=container),
        SimpleNamespace(metadir=str(folder)),
        None,
        {"name": "step"},
        race,
    )
    words = shlex.split(line)
    return words[words.index("image:1") + 1 :]


def received(words: list[str], folder: Path) -> list[str]:
    """The options that a step gets."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "python3").write_text(RECORDER)
    (tools / "python3").chmod(0o755)
    environment = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C"}
    subprocess.run(words, cwd=folder, check=True, env=environment, stdin=subprocess.DEVNULL)
    assert {path.name for path in folder.iterdir()} == {"tools", "called"}
    argv, stdin = json.loads((folder / "called").read_text())
    assert argv[:1] == ["-m"]
    assert argv[2:] == [command.FROM_INPUT]
    return [command._option(line) for line in stdin.splitlines()]


@pytest.mark.parametrize("engine", [plainly, encoded, in_container])
@pytest.mark.parametrize("value", HOSTILE)
def test_a_step_gets_what_was_given(tmp_path: Path, engine, value) -> None:
    text = steps()["ml/check"]
    made = filled(text, dict.fromkeys(names(text), value))
    options = received(engine(made, tmp_path), tmp_path)
    assert len(options) == len(names(text))
    assert {option.partition("=")[2] for option in options} == {str(value)}


@pytest.mark.parametrize("step", steps())
def test_no_step_lets_a_shell_read_values(tmp_path: Path, step: str) -> None:
    text = steps()[step]
    value = f"'; {TOUCH}; $({TOUCH})\nEND\n{TOUCH}"
    made = filled(text, dict.fromkeys(names(text), value))
    options = received(plainly(made, tmp_path), tmp_path)
    assert [option.partition("=")[2] for option in options] == [value] * len(names(text))


@pytest.mark.parametrize(
    "file", ["reana.yaml", "reana-ph.yaml", "reana-ml.yaml", "reana-recast.yaml"]
)
def test_no_text_of_a_specification_is_no_text_in_a_step(file: str) -> None:
    given = yaml.safe_load((ROOT / file).read_text())["inputs"]["parameters"]
    empty = {name: value for name, value in given.items() if value in EMPTY}
    assert empty or file == "reana-ph.yaml"
    for name, value in empty.items():
        line = filled(f"--{name}={{{name}!a}}", {name: value})
        assert command._option(line) == f"--{name}="


@given(value=st.text().filter(lambda text: text not in EMPTY))
@settings(max_examples=300, deadline=None)
def test_any_text_survives_its_line(value: str) -> None:
    (line,) = filled("--name={value!a}", {"value": value}).splitlines()
    assert line.isascii()
    if "\0" in value:
        with pytest.raises(InputError, match="--name: has a zero byte"):
            command._option(line)
    else:
        assert command._option(line) == f"--name={value}"


def test_files_may_have_spaces(monkeypatch) -> None:
    parser = command.parser("")
    parser.add_argument("--files", nargs="+", action=command.Files)
    line = filled("--files={files!a}", {"files": ["/my runs/a.h5", "/my runs/it's;.h5"]})
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{line}\n--output-dir='/my runs'\n"))
    args = parser.parse_args(["-"])
    assert args.files == [Path("/my runs/a.h5"), Path("/my runs/it's;.h5")]
    assert args.output_dir == Path("/my runs")
    args = parser.parse_args(["--output-dir", "x", "--files", "a b", "c"])
    assert args.files == [Path("a b"), Path("c")]


@pytest.mark.parametrize("value", ["{workdir}", "a}b", "zero\0"])
def test_what_yadage_would_change_is_refused(value: str) -> None:
    given = {"text": parameters.Setting(value, "-p text", ())}
    with pytest.raises(UsageError, match=r"^-p text: .* leave them out$"):
        parameters.merge(["text"], {}, given, {})


def test_errors_stay_one_line(capsys) -> None:
    def main() -> None:
        raise InputError("seed: '1\n2'\r is no number")

    with pytest.raises(SystemExit):
        command.run(main)
    assert capsys.readouterr().err.count("\n") == 1


def test_hostile_downloads_stay_in_their_folder(tmp_path: Path) -> None:
    """Of a cluster, which sends folders as archives."""
    part, place = tmp_path / "part", tmp_path / "place"
    part.mkdir()
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(part / "download_x.zip", "w") as archive:
        archive.writestr("../stolen", "x")
        archive.writestr("/stolen", "x")
        archive.writestr("a/../../stolen", "x")
        archive.writestr(link, "..")
        archive.writestr("link2", "x")
    reana._collect(part, place)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert not any(path.is_symlink() for path in place.rglob("*"))
