"""Pictures of the workflow: whatever the specifications say is in them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydot
import pytest
import yaml
from toys import ROOT, from_init, stage

from scripts import graph

HALVES = ("ph", "ml")


def stages_of(file: str) -> dict[str, dict]:
    entries = yaml.safe_load((ROOT / file).read_text())["stages"]
    return {entry["name"]: entry for entry in entries}


def taken(entry: dict) -> Iterator[tuple[str, str]]:
    """Selections of other stages and the outputs taken from them, found in the text itself."""
    parameters = str(entry["scheduler"]["parameters"])
    for selection, output in re.findall(
        r"'(?:step|stages)': '([^']+)', 'output': '([^']+)'", parameters
    ):
        if selection != "init":
            yield selection, output


def parsed(text: str) -> pydot.Dot:
    graphs = pydot.graph_from_dot_data(text)
    assert graphs is not None
    (only,) = graphs
    return only


def boxes(drawing: pydot.Graph) -> set[str]:
    names = {node.get_name().strip('"') for node in drawing.get_nodes()}
    for frame in drawing.get_subgraphs():
        names |= boxes(frame)
    return names - {"graph", "node", "edge"}


def arrows(drawing: pydot.Dot) -> dict[tuple[str, str], dict[str, str]]:
    """What each arrow is drawn with; those at a frame have the frame's name."""
    found = {}
    for edge in drawing.get_edges():
        options = {name: value.strip('"') for name, value in edge.get_attributes().items()}
        ends = [edge.get_source().strip('"'), edge.get_destination().strip('"')]
        for place, name in enumerate(("ltail", "lhead")):
            if name in options:
                ends[place] = options[name].removeprefix("cluster ")
        assert tuple(ends) not in found
        found[ends[0], ends[1]] = options
    return found


def labels(options: dict[str, str]) -> set[str]:
    text = options.get("label", options.get("taillabel", ""))
    return set(text.replace("\\n", " ").split())


@pytest.fixture(scope="module")
def drawings() -> dict[str, pydot.Dot]:
    return {
        name: parsed(graph.dot_text(graph.read(*specification)))
        for name, specification in graph.PICTURES.items()
    }


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("whole", [False, True])
def test_all_stages_and_what_flows_between_them(
    drawings: dict[str, pydot.Dot], half: str, whole: bool
) -> None:
    entries = stages_of(f"workflow/{half}/workflow.yml")
    drawing, within = drawings[f"workflow_{half}"], ""
    if whole:
        drawing, within = drawings["workflow"], f"workflow_{half}/"
    assert {name for name in boxes(drawing) if name.startswith(within)} == {
        within + name for name in entries
    }
    found = arrows(drawing)
    expected = {
        (within + source, within + name)
        for name, entry in entries.items()
        for source, _ in taken(entry)
    } | {
        (within + source, within + name)
        for name, entry in entries.items()
        for source in entry["dependencies"]
        if source != "init"
    }
    assert {
        ends for ends in found if all(end.startswith(within) and end != within for end in ends)
    } == expected
    for name, entry in entries.items():
        for source, output in taken(entry):
            options = found[within + source, within + name]
            assert output in labels(options) or source == "check"
            assert options.get("style") != "dashed"


def test_the_whole_has_both_halves_and_what_flows_between_them(
    drawings: dict[str, pydot.Dot],
) -> None:
    drawing = drawings["workflow"]
    entries = stages_of("workflow/workflow.yml")
    frames = {frame.get_name().strip('"') for frame in drawing.get_subgraphs()}
    assert frames == {f"cluster workflow_{half}" for half in HALVES}
    found = arrows(drawing)
    for name, entry in entries.items():
        for selection, output in taken(entry):
            source = selection.replace("[*].", "/")
            assert output in labels(found[source, name]) or source == "check"
        for other in entry["dependencies"]:
            assert other == "init" or any(
                source.split("/")[0] == other and target == name for source, target in found
            )


def test_stages_that_run_many_times_are_marked(drawings: dict[str, pydot.Dot]) -> None:
    for half in HALVES:
        drawing = drawings[f"workflow_{half}"]
        for name, entry in stages_of(f"workflow/{half}/workflow.yml").items():
            (node,) = drawing.get_node(f'"{name}"') or drawing.get_node(name)
            many = entry["scheduler"]["scheduler_type"] == "multistep-stage"
            assert (node.get("peripheries") is not None) == many
            assert ("once per" in node.get("label")) == many


def write(folder: Path, name: str, stages: list[dict]) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump({"stages": stages}))


def test_a_specification_made_for_it(tmp_path: Path) -> None:
    """Settings without labels, several outputs on one arrow, waiting alone, a half in a half."""
    check = stage("check", ["init"], "true")
    one = stage("one", ["check"], "true", settings={"step": "check", "output": "one"})
    two = stage(
        *("two", ["one", "check"], "true"),
        a={"step": "one", "output": "a"},
        b={"stages": "one", "output": "b", "unwrap": True},
        c=from_init("c"),
    )
    write(tmp_path, "deep/inner.yml", [check, one, two])
    half = stage("half", ["init"], "true")
    del half["scheduler"]["step"]
    half["scheduler"]["workflow"] = {"$ref": "inner.yml"}
    write(tmp_path, "deep/outer.yml", [half])
    first = stage("first", ["init"], "true")
    whole = stage("whole", ["first"], "true")
    del whole["scheduler"]["step"]
    # The first reference is relative to the top level, the second to the file it is in.
    whole["scheduler"]["workflow"] = {"$ref": "deep/outer.yml"}
    last = stage("last", ["whole"], "true", x={"stages": "whole[*].half[*].two", "output": "x"})
    write(tmp_path, "top/workflow.yml", [first, whole, last])
    drawing = parsed(graph.dot_text(graph.read(tmp_path, "top/workflow.yml")))
    inner = "whole/half/"
    assert boxes(drawing) == {"first", "last"} | {inner + n for n in ("check", "one", "two")}
    found = arrows(drawing)
    assert set(found) == {
        ("first", "whole"),
        (f"{inner}check", f"{inner}one"),
        (f"{inner}check", f"{inner}two"),
        (f"{inner}one", f"{inner}two"),
        (f"{inner}two", "last"),
    }
    assert found["first", "whole"]["style"] == "dashed"
    assert labels(found[f"{inner}one", f"{inner}two"]) == {"a", "b"}
    assert labels(found[f"{inner}check", f"{inner}one"]) == set()
    assert labels(found[f"{inner}two", "last"]) == {"x"}


def test_names_are_quoted(tmp_path: Path) -> None:
    write(tmp_path, "workflow.yml", [stage('a "b" -> c;', ["init"], "true")])
    text = graph.dot_text(graph.read(tmp_path, "workflow.yml"))
    assert len(parsed(text).get_edges()) == 0


def draw(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.graph", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_text_needs_no_graphviz_and_stays_the_same(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        result = draw(
            *("--format", "dot", "--output", tmp_path / seed), PATH="", PYTHONHASHSEED=seed
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert len(result.stdout.splitlines()) == len(graph.PICTURES)
    for name in graph.PICTURES:
        one, two = ((tmp_path / seed / f"{name}.dot").read_bytes() for seed in ("1", "2"))
        assert one == two


def test_without_graphviz_there_is_text_and_one_line(tmp_path: Path) -> None:
    result = draw("--output", tmp_path, PATH="")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: graphviz is not installed")
    written = {(ROOT / name).resolve() for name in result.stdout.splitlines()}
    assert written == {tmp_path / f"{name}.dot" for name in graph.PICTURES}
    for path in written:
        parsed(path.read_text())


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_graphviz_draws_without_complaint(tmp_path: Path, kind: str, start: bytes) -> None:
    result = draw("--output", tmp_path, "--format", kind)
    assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.{kind}" for n in graph.PICTURES}
    assert all(path.read_bytes().startswith(start) for path in tmp_path.iterdir())
