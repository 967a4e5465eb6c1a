"""Images, by their Dockerfiles: each holds all modules and packages that its steps import."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# Rooms and modules that are started in an image besides those of the specification: chosen by name
# in an input file, or entry points of MLproject.
RUNS = {
    "madminer": ["steps/madminer"],
    "ph": ["steps/backends", "steps/ph"],
    "ml": [],
    "workflow": ["steps", "scripts/run.py", "scripts/engine/native.py"],
}
# What Docker gets to see.
CONTEXT = re.findall(r"^!(.+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
# Imported where the user asks for it alone, which no image can; or what the image of the
# reinterpretation alone can run.
LEFT_OUT = (
    *("scripts/engine/celery", "steps/recast/"),
    *("steps/recasting/fitting", "steps/recasting/hepdata", "steps/recasting/limits"),
)


def of_image(name: str) -> list[str]:
    """Instructions of an image and of those that it stands on, from below."""
    text = (ROOT / f"docker/{name}/Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    base = re.search(r"^ARG BASE_IMAGE=madminertool/([\w-]+):", text, re.MULTILINE)
    below = of_image(base[1].removeprefix("madminer-workflow-")) if base else []
    return below + lines


def copied(name: str) -> set[Path]:
    """Python files of the repository that an image holds, relative to it."""
    found: set[Path] = set()
    for line in of_image(name):
        match = re.match(r"COPY (?!--)(.*) /madminer/(\S*)$", line)
        for source in map(Path, match[1].split() if match else []):
            target = Path(match[2])
            assert target == source or (match[2].endswith("/") and target == source.parent), line
            assert any(source.is_relative_to(place) for place in CONTEXT), line
            place = ROOT / source
            files = [place] if place.is_file() else place.rglob("*")
            found |= {file.relative_to(ROOT) for file in files if file.is_file()}
    return found


def packages(name: str) -> set[str]:
    """Distributions of an image: its requirements, and what these require."""
    files = re.findall(r"--requirement /requirements/(\S+\.in)", "\n".join(of_image(name)))
    lines = [
        line for file in files for line in (ROOT / "requirements" / file).read_text().split("\n")
    ]
    waiting = {Requirement(line) for line in lines if line and not line.startswith("#")}
    found: set[str] = set()
    while waiting:
        name = waiting.pop().name
        found.add(normal(name))
        needed = map(Requirement, metadata.requires(name) or [])
        here = {r for r in needed if not r.marker or r.marker.evaluate({"extra": ""})}
        waiting |= {r for r in here if normal(r.name) not in found}
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def imports(file: Path) -> frozenset[str]:
    """What a file imports, wherever in it: ``package.module`` or ``package.module.name``."""
    return frozenset(_imports(ast.parse((ROOT / file).read_text())))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(name: str) -> set[Path]:
    """Files of a name that is imported, with the packages around it; none of a foreign one."""
    parts = name.split(".")
    if parts[0] not in ("steps", "scripts"):
        return set()
    files = {Path(*parts[:end], "__init__.py") for end in range(1, len(parts) + 1)}
    files |= {Path(*parts[:-1]).with_suffix(".py"), Path(*parts).with_suffix(".py")}
    return {file for file in files if (ROOT / file).is_file()}


def _is_run(image: str, file: Path) -> bool:
    return image == "recast" or not any(part in str(file) for part in LEFT_OUT)


def started(image: str) -> set[Path]:
    """Files that are started in an image."""
    rooms = list(map(ROOT.joinpath, RUNS.get(image, ())))
    for file in ROOT.glob("workflow/**/steps.yml"):
        content = yaml.safe_load(file.read_text())
        if content["environment"]["image"].endswith(f"-{image}"):
            for module in re.findall(r"python3 -m ([\w.]+)", str(content)):
                rooms.append(ROOT.joinpath(*module.split(".")).with_suffix(".py"))
    files = {file for room in rooms for file in ([room] if room.is_file() else room.rglob("*.py"))}
    assert files
    return {file for file in (file.relative_to(ROOT) for file in files) if _is_run(image, file)}


def reached(image: str) -> set[Path]:
    """Files that what runs in an image imports, directly or not."""
    waiting = started(image)
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        found.add(file)
        named = {module for name in imports(file) for module in modules(name)}
        waiting |= {module for module in named if _is_run(image, module)} - found
    return found


# Packages of the last are in an environment of its own.
@pytest.mark.parametrize("image", [*RUNS, "recast"])
def test_every_module_is_in_the_image(image: str) -> None:
    missing = reached(image) - copied(image)
    assert sorted(map(str, missing)) == []


@pytest.mark.parametrize("image", RUNS)
def test_every_package_is_in_the_image(image: str) -> None:
    distributions = metadata.packages_distributions()
    used = {name.split(".")[0] for file in reached(image) for name in imports(file)}
    foreign = used - set(sys.stdlib_module_names) - {"steps", "scripts", "__future__"}
    there = packages(image)
    missing = {
        name for name in foreign if not {normal(d) for d in distributions.get(name, [])} & there
    }
    assert not missing
