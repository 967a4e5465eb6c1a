"""Draw the workflow and its parts from their specifications: ``python -m scripts.graph --help``.

A picture shows stages as boxes, those that run many times with a double border, and what they
publish for one another as arrows; values of the initialisation are left out.
"""

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {
    "workflow": (ROOT, "workflow/workflow.yml"),
    "workflow_ph": (ROOT / "workflow/ph", "workflow.yml"),
    "workflow_ml": (ROOT / "workflow/ml", "workflow.yml"),
    "workflow_recast": (ROOT / "workflow/recast", "workflow.yml"),
}
"""Name of each picture: the folder that its references are relative to, and its specification."""
_PROGRAM = "dot"
FORMATS = ("svg", "png", "dot")

# Its outputs are the settings of other stages: thin lines, or one would see nothing else.
_SETTINGS = "check"
_INK, _GREY = "#1f2328", "#8c959f"
_TEXT = {"fontname": "Helvetica,Arial,sans-serif", "fontsize": "12", "fontcolor": _INK}
# Boxes, their borders, the ground: of stages outside of groups, then of one group after the other.
_COLOURS = (
    ("#eceef1", "#57606a", "#ffffff"),
    ("#d5e6fb", "#1f5fa8", "#f3f8fe"),
    ("#fbe0c2", "#9a4f0b", "#fef8f1"),
    ("#d4eed8", "#1d7136", "#f4fbf5"),
)
# Sharp on screens that show two dots per pixel.
_DOTS_PER_INCH = 192


class Stage(NamedTuple):
    """A stage of a workflow."""

    path: str
    """Its name, after those of the stages it is within: ``workflow_ph/pythia``."""
    once_per: tuple[str, ...]
    """Parameters that it runs once per value of; none where it runs once."""
    inner: tuple["Stage", ...]
    """Stages of the workflow that it runs, if it runs one."""

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.rpartition("/")[2]


class Arrow(NamedTuple):
    """One stage comes before another; both are named by their paths."""

    source: str
    target: str
    outputs: tuple[str, ...]
    """Published outputs that the target takes; none where it merely waits."""


class Workflow(NamedTuple):
    """What a specification says, with all workflows within it."""

    stages: tuple[Stage, ...]
    arrows: tuple[Arrow, ...]


def read(toplevel: Path, file: str) -> Workflow:
    """Read a specification.

    Args:
        toplevel: Folder that the file, and the references in it, are relative to.
        file: Specification; those it refers to have references relative to themselves.
    """
    return _read(toplevel / file, toplevel, "")


def _read(file: Path, folder: Path, within: str) -> Workflow:
    stages, arrows = [], []
    for entry in yaml.safe_load(file.read_text())["stages"]:
        scheduler, path = entry["scheduler"], within + entry["name"]
        inner = Workflow((), ())
        if "workflow" in scheduler:
            reference = folder / scheduler["workflow"]["$ref"]
            inner = _read(reference, reference.parent, f"{path}/")
        once_per = tuple(scheduler.get("scatter", {}).get("parameters", ()))
        stages.append(Stage(path, once_per, inner.stages))
        arrows += [*_arrows(entry, within), *inner.arrows]
    return Workflow(tuple(stages), tuple(arrows))


def _arrows(entry: Mapping[str, Any], within: str) -> list[Arrow]:
    """What a stage takes from others, and those that it merely waits for."""
    outputs: dict[str, list[str]] = {}
    for source, output in _references(entry["scheduler"]["parameters"].values()):
        names = outputs.setdefault(source, [])
        names += [output] if output not in names else []
    for stage in map(_path, entry["dependencies"]):
        if not any(source == stage or source.startswith(f"{stage}/") for source in outputs):
            outputs[stage] = []
    target = within + entry["name"]
    return [
        Arrow(within + source, target, tuple(names))
        for source, names in outputs.items()
        if source != "init"
    ]


def _references(values: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """The stages and outputs that parameters refer to."""
    for value in values:
        if isinstance(value, dict):
            for key in ("step", "steps", "stages"):
                if key in value:
                    yield _path(value[key]), value["output"]


def _path(selection: str) -> str:
    """A stage as Yadage selects it, ``workflow_ph[*].combine``, as a path."""
    return re.sub(r"\[.*?\]", "", selection).replace(".", "/")


def dot_text(workflow: Workflow) -> str:
    """A drawing in the language of graphviz."""
    lines = [
        # Without 'compound' no arrow could end at the border of a group.
        _statement("graph", compound="true", bgcolor="white", ranksep="0.35", **_TEXT),
        _statement("node", shape="box", style="rounded,filled", margin="0.12,0.06", **_TEXT),
        _statement("edge", color=_INK, arrowsize="0.7", **_TEXT | {"fontsize": "10"}),
        *_boxes(workflow.stages, itertools.cycle(_COLOURS)),
    ]
    ends = dict(_ends(workflow.stages))
    lines += [_arrow(arrow, ends) for arrow in workflow.arrows]
    return "\n".join(["digraph {", *lines, "}"]) + "\n"


def _boxes(stages: Iterable[Stage], colours: Iterator[tuple[str, str, str]]) -> list[str]:
    """Boxes of stages, within a frame where they are the workflow of another stage."""
    box, border, ground = next(colours)
    lines = [
        _statement("graph", style="rounded,filled", fillcolor=ground, color=border),
        _statement("node", fillcolor=box, color=border),
    ]
    for stage in stages:
        if stage.inner:
            # Graphviz draws a frame only where the name starts so.
            lines.append(f"subgraph {_quoted(f'cluster {stage.path}')} {{")
            lines += [*_boxes(stage.inner, colours), _statement("graph", label=stage.name), "}"]
        elif stage.once_per:
            label = f"{stage.name}\\nonce per {' × '.join(stage.once_per)}"
            lines.append(_statement(_quoted(stage.path), label=label, peripheries="2"))
        else:
            lines.append(_statement(_quoted(stage.path), label=stage.name))
    return lines


def _ends(stages: Iterable[Stage]) -> Iterator[tuple[str, tuple[str, str]]]:
    """First and last box of each stage, which are its own unless it has a frame."""
    for stage in stages:
        inner = dict(_ends(stage.inner))
        yield from inner.items()
        boxes = [box for ends in inner.values() for box in ends] or [stage.path]
        yield stage.path, (boxes[0], boxes[-1])


def _arrow(arrow: Arrow, ends: Mapping[str, tuple[str, str]]) -> str:
    """An arrow between two boxes, cut off at the frame where it means the whole frame."""
    source, target = ends[arrow.source][1], ends[arrow.target][0]
    options = {}
    if source != arrow.source:
        options["ltail"] = f"cluster {arrow.source}"
    if target != arrow.target:
        options["lhead"] = f"cluster {arrow.target}"
    if not arrow.outputs:
        options["style"] = "dashed"
    if arrow.source.rpartition("/")[2] == _SETTINGS:
        options |= {"color": _GREY, "penwidth": "0.6", "arrowsize": "0.5", "weight": "0"}
    elif arrow.source.rpartition("/")[0] == arrow.target.rpartition("/")[0]:
        # Spaces keep it off the line, and off the frame.
        options["label"] = "\\n".join(f" {name} " for name in arrow.outputs)
    else:
        # Out of a frame, beside which the next one then is, not below it.
        options |= {"constraint": "false", "tailport": "e"}
        options |= {"labelangle": "20", "labeldistance": "4"}
        options["taillabel"] = "\\n".join(arrow.outputs)
    return _statement(f"{_quoted(source)} -> {_quoted(target)}", **options)


def _statement(what: str, **options: str) -> str:
    listed = ", ".join(f"{name}={_quoted(value)}" for name, value in options.items())
    return f"{what} [{listed}];"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def draw(text: str, file: Path) -> None:
    """Draw a picture with graphviz; the file's suffix names the format."""
    kind = file.suffix.removeprefix(".")
    options = [f"-Gdpi={_DOTS_PER_INCH}"] if kind == "png" else []
    command = [_PROGRAM, f"-T{kind}", *options, "-o", str(file)]
    subprocess.run(command, input=text, encoding="utf-8", check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the pictures; the exit status is 2 where graphviz is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.graph",
        description="Draw the workflow and its parts from their specifications.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "docs/images",
        metavar="DIR",
        help="folder of the pictures (default: docs/images of this repository)",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="svg",
        help="'dot' is text, which graphviz draws (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    kind = options.format if shutil.which(_PROGRAM) else "dot"
    options.output.mkdir(parents=True, exist_ok=True)
    for name, specification in PICTURES.items():
        text, file = dot_text(read(*specification)), options.output / f"{name}.{kind}"
        if kind == "dot":
            file.write_text(text, encoding="utf-8")
        else:
            draw(text, file)
        print(os.path.relpath(file))
    if kind != options.format:
        print(
            "error: graphviz is not installed ('apt install graphviz', 'brew install graphviz'); "
            "its program 'dot' draws the files above",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
