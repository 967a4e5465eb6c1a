"""A small workflow, run by the real ``yadage-run`` through ``scripts.run``."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

# The real command line, with another workflow behind the name "all".
DRIVER = """
import sys
from pathlib import Path
from scripts import run
target = run.Target(run.Specification(Path("spec").resolve(), "workflow.yml"), ".yadage", {},
                    {"result": "many_0"})
run.TARGETS["all"] = target
run._check_inputs = lambda name, values, runtime: None
sys.exit(run.main(["all", "--profile", "profile.yml", *sys.argv[1:]]))
"""


def step(command: str) -> dict:
    return {
        "process": {"process_type": "string-interpolated-cmd", "cmd": command},
        "environment": {"environment_type": "docker-encapsulated", "image": "toy"},
        "publisher": {"publisher_type": "frompar-pub", "outputmap": {}},
    }


def stage(name: str, after: list[str], command: str, /, **parameters) -> dict:
    return {
        "name": name,
        "dependencies": after,
        "scheduler": {
            "scheduler_type": "singlestep-stage",
            "parameters": parameters,
            "step": step(command),
        },
    }


def from_init(name: str) -> dict:
    return {"step": "init", "output": name}


def toy_stages() -> list[dict]:
    """A stage that writes down its parameters, then four times a command of the test's choice."""
    first = stage(
        "first",
        ["init"],
        "cat > values <<'END'\n{empty!a}\n{text!a}\nEND\npwd > pwd; env > env; "
        "command -v python3 > python; cat '{input_file}' > content",
        empty=from_init("empty"),
        text=from_init("text"),
        input_file=from_init("input_file"),
    )
    many = stage("many", ["first"], "N={n}; {command}", command=from_init("command"))
    many["scheduler"]["scheduler_type"] = "multistep-stage"
    many["scheduler"]["parameters"]["n"] = [0, 1, 2, 3]
    many["scheduler"]["scatter"] = {"method": "zip", "parameters": ["n"]}
    return [first, many]


HOSTILE = 'it\'s "x"; $(touch stolen) `touch stolen` *\nEND\ntouch stolen\n'
"""A text that creates a file where a shell reads it."""


def got(folder: Path) -> list[str]:
    """The parameters ``empty`` and ``text`` as the first step got them; nothing was stolen."""
    assert not list(folder.rglob("stolen"))
    return [ast.literal_eval(line) for line in (folder / "values").read_text().splitlines()]


class Toy:
    """A folder with a workflow, a profile and what runs of it leave there."""

    def __init__(self, folder: Path, stages: list[dict], files: dict | None = None) -> None:
        self.folder = folder
        self.workdir = folder / ".yadage"
        self.failed = folder / ".yadage.failed"
        (folder / "spec").mkdir()
        for name, content in {"workflow.yml": {"stages": stages}, **(files or {})}.items():
            (folder / "spec" / name).write_text(yaml.safe_dump(content))
        (folder / "some.txt").write_text("some content\n")
        profile = {"empty": "", "text": "two words", "command": "true", "input_file": ""}
        (folder / "profile.yml").write_text(yaml.safe_dump(profile))

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", DRIVER, "--cores", "2", "-p", "input_file=some.txt"]
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=50)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def earlier_results(self) -> None:
        """Something that looks like the work directory of a run."""
        (self.workdir / "_yadage").mkdir(parents=True)
        (self.workdir / "result").write_text("earlier")

    def left(self) -> set[str]:
        """What is beside the inputs, but for the steps that are kept."""
        found = {path.name for path in self.folder.iterdir() if path.name.startswith(".yadage")}
        return found - {".yadage-steps"}
