"""The rooms of the code, its folders, and the arrows between them: who imports whom."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TOP = ("steps", "scripts")


@cache
def modules() -> dict[str, Path]:
    """Return every module of the code by its name."""
    found = {}
    for top in _TOP:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> dict[str, set[str]]:
    """Return which modules of ours each module imports, also inside functions."""
    known = modules()
    return {name: set(_imported(path, known)) - {name} for name, path in known.items()}


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def room(module: str) -> str:
    """Return the room of a module: its folder, for instance ``steps/events``."""
    parts = module.split(".")
    folder = parts if modules()[module].name == "__init__.py" else parts[:-1]
    return "/".join(folder)


def arrows() -> dict[str, set[str]]:
    """Return which rooms each room imports from."""
    places = {module: room(module) for module in modules()}
    found: dict[str, set[str]] = {place: set() for place in sorted(set(places.values()))}
    for module, others in imports().items():
        found[places[module]] |= {places[other] for other in others} - {places[module]}
    return found


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return a cycle of a graph, its first node also last; empty where there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := visit(other, [*path, node]):
                return found
        done.add(node)
        return []

    for node in sorted(graph):
        if found := visit(node, []):
            return found
    return []


def mermaid() -> str:
    """Return the rooms of the steps and their arrows as a Mermaid graph, without detours."""
    graph = {
        place: {other for other in others if other.startswith("steps/")}
        for place, others in arrows().items()
        if place.startswith("steps/")
    }
    lines = ["```mermaid", "graph TD"]
    for place, others in graph.items():
        # Leaves that all rooms may use would hide the others' arrows.
        shown = sorted(others - {"steps/stage"})
        name = place.removeprefix("steps/")
        lines += [f"  {name} --> {other.removeprefix('steps/')}" for other in shown]
    return "\n".join([*lines, "```", ""])
