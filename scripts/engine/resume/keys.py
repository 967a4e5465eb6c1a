"""What makes two steps the same: the content of what they read, and the code that reads it.

Neither paths nor times are part of it, so that a step of another run or another work directory is
the same where it would write the same.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.engine import containers, environments, parameters
from scripts.engine.resume import contents, fingerprint

ROOT = Path(__file__).resolve().parents[3]

SETTINGS = "settings"
"""Parameter that names the settings file of a stage, of which a step may read a part."""

WORKDIR = "{workdir}"
"""What stands for the step's own folder in what is kept."""

# Programs beside the packages that steps use, named by these.
_PROGRAMS = ("MADGRAPH_DIR", "DELPHES_DIR", "MADGRAPH_PYTHON")
_MODULE = re.compile(r"-m\s+(steps(?:\.\w+)+)")


@dataclass(frozen=True)
class Key:
    """What a step depends on.

    Attributes:
        command: Its command, what it publishes, and the values of plain parameters, as text.
        code: SHA-256 of each file of its code, or what its image is.
        packages: Hash of the installed packages; empty where an image has them.
        inputs: Hash of each file or folder that it reads, by parameter; several by their places.
        settings: What its settings file says.
    """

    command: str
    code: Mapping[str, str]
    packages: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The hash of all but the settings, of which a step may read a part."""
        return contents.of_value([self.command, self.code, self.packages, self.inputs])


def of_task(task: Any, runtime: str) -> Key:
    """Return what a task of Yadage depends on.

    Args:
        task: The task.
        runtime: ``native``, or the container engine that runs its image.
    """
    own, values = task.state.readwrite[0], task.parameters.json()
    inputs, plain = {}, {}
    settings: Mapping[str, Any] = {}
    for name, value in leaves(values):
        text, tree = parameters.split(value) if isinstance(value, str) else ("", "")
        path = Path(text) if text.startswith("/") else None
        if path is None or str(path) == own or not path.exists():
            plain[name] = str(value).replace(own, WORKDIR)
        elif name == SETTINGS:
            settings = yaml.safe_load(path.read_text()) or {}
        else:
            inputs[name] = f"{path.name}{tree} {contents.of(path)}"
    spec = task.spec
    command = contents.of_value([spec["process"], spec["publisher"], plain])
    native = runtime == "native"
    return Key(
        command=command,
        code=_code(spec) if native else _image(runtime, spec["environment"]),
        packages=_packages(spec["environment"]) if native else "",
        inputs=inputs,
        settings=settings,
    )


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the single values of a task's parameters, with their names: ``data_files/0``."""
    match value:
        case dict():
            for key, item in value.items():
                yield from leaves(item, f"{name}/{key}".strip("/"))
        case [alone]:
            # A list of one makes the same command as its item.
            yield from leaves(alone, name)
        case list():
            for number, item in enumerate(value):
                yield from leaves(item, f"{name}/{number}")
        case _:
            yield name, value


def part(settings: Mapping[str, Any], pointer: str) -> Any:
    """Return a part of settings; None where there is none.

    Args:
        settings: The settings.
        pointer: Keys from the outside to the inside, ``morphing/alpha``.
    """
    found: Any = settings
    for name in pointer.split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _code(spec: Mapping[str, Any]) -> Mapping[str, str]:
    process = spec["process"]
    text = process.get("cmd") or process.get("script") or ""
    modules = _MODULE.findall(text)
    # A command of somebody's own may use all there is.
    found = [fingerprint.code(ROOT, module) for module in modules or _all_modules()]
    code = {path: sign for each in found for path, sign in each.items()}
    if any(path.startswith("steps/programs/") for path in code):
        code |= {name: _program(os.environ[name]) for name in _PROGRAMS if os.environ.get(name)}
    return code


def _packages(environment: Mapping[str, Any]) -> str:
    own = environments.of_image(str(environment.get("image", "")))
    return fingerprint.packages(own.prefix if own else None)


def _all_modules() -> list[str]:
    files = (ROOT / "steps").rglob("*.py")
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]


def _program(place: str) -> str:
    version = Path(place) / "VERSION"
    return f"{place} {contents.of_file(version) if version.is_file() else ''}"


@cache
def _digest(engine: str, image: str) -> str:
    # Where the engine cannot say, the name must do.
    return containers.digest(engine, image) or image


def _image(engine: str, environment: Mapping[str, Any]) -> Mapping[str, str]:
    image = f"{environment.get('image')}:{environment.get('imagetag', 'latest')}"
    return {image: _digest(engine, image)}
