"""The folder tree is the architecture: arrows between rooms go one way, and only where allowed."""

import ast
from pathlib import Path

import pytest

from scripts import docs, rooms

ROOT = Path(__file__).parents[2]

# Whom each room may know. Everybody may know steps.stage.errors and the type of arrays.
STAGES = {
    *("steps/settings", "steps/stage", "steps/tracking", "steps/events", "steps/madminer"),
    *("steps/backends", "steps/physics", "steps/plots"),
    *("steps/inference", "steps/inference/morphing", "steps/inference/nuisance"),
}
MAY_KNOW = {
    "steps": set(),
    "steps/stage": set(),
    "steps/tracking": {"steps/stage"},
    "steps/madminer": set(),
    "steps/events": {"steps/stage"},
    "steps/physics": {"steps/events"},
    "steps/programs": {"steps/madminer"},
    "steps/plots": set(),
    "steps/inference/morphing": set(),
    "steps/inference": {
        *("steps/events", "steps/madminer", "steps/inference/morphing", "steps/stage"),
    },
    "steps/inference/nuisance": {"steps/inference", "steps/inference/morphing"},
    "steps/backends": {"steps/events", "steps/physics", "steps/programs", "steps/stage"},
    "steps/settings": {
        *("steps/backends", "steps/events", "steps/physics", "steps/inference", "steps/stage"),
        "steps/recasting",
    },
    "steps/recasting": {"steps/events", "steps/stage"},
    "steps/recast": {"steps/events", "steps/recasting", "steps/plots", "steps/stage"},
    "steps/ph": STAGES
    - {"steps/tracking", "steps/plots"}
    - {"steps/inference", "steps/inference/morphing", "steps/inference/nuisance"},
    "steps/ml": STAGES - {"steps/backends", "steps/physics"},
    "steps/whole": {"steps/settings", "steps/stage"},
    "scripts/engine": {"steps/stage", "steps/tracking"},
    "scripts/engine/celery": {"scripts/engine", "steps/tracking"},
    "scripts/engine/resume": {"scripts/engine", "steps/stage", "steps/tracking"},
}


def test_no_module_imports_itself_through_others() -> None:
    assert rooms.cycle(rooms.imports()) == []


def test_no_room_imports_itself_through_others() -> None:
    assert rooms.cycle(rooms.arrows()) == []


def test_a_cycle_would_be_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}
    assert rooms.cycle(graph) == ["b", "c", "b"]
    assert rooms.cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_knows_no_more_than_it_may(room: str) -> None:
    assert rooms.arrows()[room] - {"steps"} <= MAY_KNOW[room]


def test_every_room_is_listed() -> None:
    assert set(rooms.arrows()) == set(MAY_KNOW) | {"scripts"}


def test_nothing_imports_a_stage_script() -> None:
    """But the runner of a stage by its name, which is one of them."""
    for module, others in rooms.imports().items():
        scripts = ("steps/ph", "steps/ml", "steps/recast", "steps/whole")
        stages = {o for o in others if rooms.room(o) in scripts}
        assert not stages or rooms.room(module) == "steps/ph", module


def external(path: Path) -> set[str]:
    """Libraries that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("madminer", {"steps.madminer.library"}),
        ("mlflow", {"steps.tracking.record", "scripts.sweep"}),
        (
            "matplotlib",
            {
                *("steps.plots.figures", "steps.plots.catalogue", "steps.plots.clipping"),
                *("steps.plots.impacts", "steps.plots.recast", "steps.plots.saving"),
                "scripts.validate",
            },
        ),
        ("fastjet", {"steps.physics.detector"}),
        ("pythia8mc", {f"steps.physics.{name}" for name in ("hard", "partons", "shower", "veto")}),
        ("vegas", {"steps.physics.generator"}),
        ("pylhe", {"steps.events.lhe", "scripts.validate"}),
        ("pyhepmc", {"steps.events.hepmc"}),
        (
            "uproot",
            {
                *("steps.events.delphes_file", "steps.events.tables"),
                "steps.recasting.root_files",
            },
        ),
        ("fsspec", {"steps.recasting.root_files"}),
        ("pyhf", {"steps.recasting.fitting", "steps.recasting.limits"}),
        ("hepdata_lib", {"steps.recasting.hepdata"}),
        ("arro3", {"steps.events.tables"}),
        ("rocrate", {"scripts.engine.resume.crate"}),
        ("iminuit", {"steps.inference.intervals"}),
        ("onnx", {"steps.inference.morphing.exported"}),
        ("jsonschema", {"steps.settings.document", "steps.settings.overrides"}),
    ],
)
def test_a_library_stands_behind_one_wall(library: str, places: set[str]) -> None:
    users = {name for name, path in rooms.modules().items() if library in external(path)}
    assert users == places


def test_documentation_is_what_the_code_says() -> None:
    """After a change: make docs."""
    for path, text in docs.texts().items():
        assert path.exists(), path
        assert path.read_text() == text, path


def test_the_map_shows_every_room_of_the_steps() -> None:
    shown = rooms.mermaid()
    for room in MAY_KNOW:
        if room.startswith("steps/") and room not in ("steps/stage",):
            assert room.removeprefix("steps/") in shown


def test_no_function_takes_more_than_seven_things() -> None:
    for path in rooms.modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = [a.arg for a in arguments if a.arg not in ("self", "cls")]
                # Stand-ins have the parameters of what they stand in for.
                if not node.name.startswith("_check_early"):
                    assert len(names) <= 7, f"{path}: {node.name}"
