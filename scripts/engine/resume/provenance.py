"""What a run was: ``provenance.json`` in its work directory; see docs/provenance.md."""

import contextlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from yadage import workflow_loader

from scripts.engine import environments, steplog
from scripts.engine.launch import ROOT, Specification
from scripts.engine.resume import contents, crate, fingerprint, journal, keys
from scripts.engine.resume.journal import Line
from steps import __version__
from steps.stage.files import atomic
from steps.tracking.addresses import without_credentials

NAME = "provenance.json"
"""The provenance in the work directory; it comes last, so a folder that has it is complete."""

SPECIFICATION = "specification.yml"
"""The workflow in the work directory, all in one file."""

_SNAPSHOT = "_yadage/yadage_snapshot_workflow.json"
_REPOSITORY, _HOME = "{repository}", "~"
_SERVER, _USER = "mlflow_server", "mlflow_username"


@dataclass(frozen=True)
class Run:
    """A run that has succeeded.

    Attributes:
        workdir: Its work directory, absolute and without symbolic links.
        specification: Its workflow.
        runtime: ``native``, or the container engine.
        started: When, in seconds since 1970.
    """

    workdir: Path
    specification: Specification
    runtime: str
    started: float


def write(run: Run) -> None:
    """Write what a run was into its work directory, as JSON and as an RO-Crate."""
    spec = workflow_loader.workflow(run.specification.file, str(run.specification.toplevel))
    _write(run.workdir / SPECIFICATION, yaml.safe_dump(spec, sort_keys=False))
    facts = _facts(run)
    crate.write(run.workdir, facts)
    facts["files"] |= _files(run.workdir, [crate.NAME])
    _write(run.workdir / NAME, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def found(text: str, workdir: Path) -> Path:
    """Return where a place of the provenance is on this machine."""
    path = text.replace(keys.WORKDIR, str(workdir)).replace(_REPOSITORY, str(ROOT))
    return Path(path).expanduser()


def _beside(workdir: Path, labels: Sequence[str]) -> Iterator[str]:
    """Yield the files of a work directory that are in no step's folder."""
    for folder, folders, files in os.walk(workdir):
        here = Path(folder).relative_to(workdir)
        folders[:] = sorted(name for name in folders if str(here / name) not in labels)
        yield from (str(here / name) for name in sorted(files))


@dataclass(frozen=True)
class _Node:
    """What Yadage knows of a step.

    Attributes:
        stage: Its stage with the workflows around: ``workflow_ph/pythia``.
        parameters: Its parameters, files as absolute paths.
        process: Its command, before parameters are filled in.
        image: Its container image.
    """

    stage: str
    parameters: Any
    process: Mapping[str, Any]
    image: str


def _facts(run: Run) -> dict[str, Any]:
    nodes = _nodes(run.workdir)
    lines = [line for line in journal.read(run.workdir) if line.label in nodes]
    labels = [line.label for line in lines]
    steps = [_step(line, nodes[line.label], run.workdir) for line in lines]
    for step in steps:
        step["after"] = _writers(step["reads"], labels)
    settings = {}
    for node in (nodes[line.label] for line in lines):
        if node.stage not in settings and (file := _settings_file(node)):
            settings[node.stage] = yaml.safe_load(Path(file).read_text())
    parameters = yaml.safe_load((run.workdir / "parameters.yml").read_text())
    return {
        "started": _time(run.started),
        "ended": _time(time.time()),
        "workflow": _shown(str(run.specification.path), run.workdir),
        "runtime": run.runtime,
        "host": {
            "name": platform.node(),
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
        "code": _shown(_code(lines), run.workdir),
        "python": platform.python_version(),
        "packages": _packages(metadata.distributions()),
        "environments": _environments(nodes.values()) if run.runtime == "native" else {},
        "seeds": _seeds({"run": parameters, **settings}),
        "parameters": _shown(_public(parameters), run.workdir),
        "inputs": _inputs(steps, _shown(list(_paths(settings)), run.workdir), run.workdir),
        "settings": _shown(settings, run.workdir),
        "steps": steps,
        "files": _files(run.workdir, _beside(run.workdir, labels)),
    }


def _nodes(workdir: Path) -> dict[str, _Node]:
    """Return what Yadage wrote of the steps at the end of a run, by their labels."""
    nodes = {}
    for node in json.loads((workdir / _SNAPSHOT).read_text())["dag"]["nodes"]:
        task = node["task"]
        if task["metadata"]["wflow_hints"]["is_purepub"]:
            continue
        label = Path(task["state"]["readwrite"][0]["path"]).relative_to(workdir)
        environment = task["spec"]["environment"]
        nodes[str(label)] = _Node(
            stage=str(label.with_name(task["metadata"]["wflow_stage"])),
            parameters=task["parameters"],
            process=task["spec"]["process"],
            image=f"{environment.get('image')}:{environment.get('imagetag', 'latest')}",
        )
    return nodes


def _step(line: Line, node: _Node, workdir: Path) -> dict[str, Any]:
    of = line.of
    reads = {name: _read(name, sign, node) for name, sign in of["key"]["inputs"].items()}
    if file := _settings_file(node):
        reads[keys.SETTINGS] = {"path": file, "sha256": contents.of_file(Path(file))}
    reads = _shown(reads, workdir)
    # An image has its packages in it, so none are part of the key.
    image = {} if of["key"]["packages"] else {"image": _image(node.image, of["key"]["code"])}
    return {
        "label": line.label,
        "stage": node.stage,
        "key": line.place,
        "kept": line.kept,
        "why": line.why,
        "started": _time(_started(line, workdir)),
        "ended": _time(of["finished"]),
        "command": _shown(_command(node, str(workdir / line.label)), workdir),
        **image,
        "reads": reads,
        "publishes": _shown(_in_workdir(of["result"], line.label), workdir),
        "files": of["files"],
    }


def _started(line: Line, workdir: Path) -> float:
    """Return when a step started; its record has when it was handed over, maybe to a queue."""
    submitted = line.of["finished"] - line.of["seconds"]
    for log in (workdir / line.label).glob(f"_packtivity/*.{steplog.TOPIC}.log"):
        with contextlib.suppress(ValueError):
            # In the time of the machine that it ran on: 2026-01-31 12:00:00,000
            first = datetime.fromisoformat(log.read_text(errors="replace")[:23]).timestamp()
            if submitted - 1 < first < line.of["finished"]:
                return first
    return float(submitted)


def _read(name: str, sign: str, node: _Node) -> dict[str, str]:
    return {"path": dict(keys.leaves(node.parameters))[name], "sha256": sign.rpartition(" ")[2]}


def _writers(reads: Mapping[str, Mapping[str, str]], labels: Sequence[str]) -> list[str]:
    """Return the steps that wrote what is read."""
    places = [Path(it["path"]) for it in reads.values()]
    folders = {label: Path(keys.WORKDIR, label) for label in labels}
    return [
        label for label, folder in folders.items() if any(p.is_relative_to(folder) for p in places)
    ]


def _settings_file(node: _Node) -> str:
    known = isinstance(node.parameters, dict) and node.parameters.get(keys.SETTINGS)
    return str(known) if known and Path(str(known)).is_file() else ""


def _image(name: str, code: Mapping[str, str]) -> dict[str, str]:
    # An engine that could not say has left the name.
    digest = code.get(name, "")
    return {"name": name, "digest": "" if digest == name else digest}


def _command(node: _Node, folder: str) -> str:
    """Return a step's command with its parameters as Packtivity fills them in.

    Args:
        node: What Yadage knows of it.
        folder: Its folder.
    """
    text = node.process.get("cmd") or node.process.get("script") or ""
    if not isinstance(node.parameters, dict):
        return text
    # A name in braces stays what it is.
    values = {_USER: f"{{{_USER}}}"} | _public(node.parameters)
    words = {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in values.items()}
    # What the specification calls so is the step's own folder.
    own = {k: v.replace(keys.WORKDIR, folder) for k, v in words.items() if isinstance(v, str)}
    return text.format(**words | own)


def _public(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without the user's name at the tracking server, and its credentials."""
    shown = {name: value for name, value in parameters.items() if name != _USER}
    if _SERVER in shown:
        shown[_SERVER] = without_credentials(str(shown[_SERVER]))
    return shown


def _shown(value: Any, workdir: Path) -> Any:
    """Return a value with names in place of folders, which hold the names of users."""
    match value:
        case str():
            home = Path.home()
            places = {str(workdir): keys.WORKDIR, str(ROOT): _REPOSITORY}
            # Without a home of its own, a container gives the root.
            places |= {str(home): _HOME} if len(home.parts) > 1 else {}
            for place, name in places.items():
                value = re.sub(rf"(?<![\w.-]){re.escape(place)}(?![\w.-])", name, value)
            return value
        case dict():
            return {name: _shown(each, workdir) for name, each in value.items()}
        case list():
            return [_shown(each, workdir) for each in value]
        case _:
            return value


def _in_workdir(result: Any, label: str) -> Any:
    """Return what a step published, with its folder below the work directory."""
    text = json.dumps(result).replace(keys.WORKDIR, f"{keys.WORKDIR}/{label}")
    return json.loads(text)


def _code(lines: Sequence[Line]) -> dict[str, Any]:
    signs = {
        name: sign
        for line in lines
        if line.of["key"]["packages"]
        for name, sign in line.of["key"]["code"].items()
    }
    commit, modified = _commit()
    return {
        "version": __version__,
        "commit": commit,
        "modified": modified,
        # Programs are named by variables: MADGRAPH_DIR.
        "programs": {name: sign for name, sign in signs.items() if name.isupper()},
        "files": {name: sign for name, sign in sorted(signs.items()) if not name.isupper()},
    }


def _commit() -> tuple[str, bool | None]:
    """Return the commit of the code, and whether files differ from it; nothing where unknown."""
    text = os.environ.get("MADMINER_WORKFLOW_COMMIT", "")
    if not text and (ROOT / ".git").exists():
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
            text = answer.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            text = ""
    return text.removesuffix("-dirty"), text.endswith("-dirty") if text else None


def _environments(nodes: Iterable[_Node]) -> dict[str, dict[str, str]]:
    """Return the packages of images whose steps ran in an environment of their own."""
    names = {node.image.rpartition(":")[0] for node in nodes}
    own = {name: environments.of_image(name) for name in sorted(names)}
    return {
        name: _packages(fingerprint.distributions(environment.prefix))
        for name, environment in own.items()
        if environment
    }


def _packages(found: Iterable[metadata.Distribution]) -> dict[str, str]:
    versions = {one.name: one.version for one in found}
    return dict(sorted(versions.items(), key=lambda item: item[0].lower()))


def _seeds(where: Mapping[str, Any]) -> dict[str, Any]:
    return {name: it["seed"] for name, it in where.items() if isinstance(it, dict) and "seed" in it}


def _inputs(
    steps: Sequence[Mapping[str, Any]], named: Sequence[str], workdir: Path
) -> dict[str, str]:
    """Return the hash of each file that was read, or is named by settings, and no step wrote."""
    signs = {path: contents.of_file(found(path, workdir)) for path in named}
    signs |= {it["path"]: it["sha256"] for step in steps for it in step["reads"].values()}
    return {path: sign for path, sign in signs.items() if not path.startswith(keys.WORKDIR)}


def _paths(value: Any) -> Iterator[str]:
    """Yield the files that settings name."""
    match value:
        case str() if value.startswith("/") and "\n" not in value and Path(value).is_file():
            yield value
        case dict():
            for each in value.values():
                yield from _paths(each)
        case list():
            for each in value:
                yield from _paths(each)


def _files(workdir: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: contents.of_file(workdir / name) for name in names}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _write(path: Path, text: str) -> None:
    with atomic(path) as new:
        new.write_text(text)
