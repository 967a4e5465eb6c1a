"""What the first stage says of a mutant: accepted, refused in one line as it should be, or else."""

import io
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from scripts import run as runner
from scripts.engine.errors import UsageError
from steps.backends import processes
from steps.physics import shower
from steps.settings import physics, stages
from steps.settings.schema import KINDS, schema
from steps.stage import command
from tests.fuzz.mutants import INPUTS, Mutant

ACCEPTED, REFUSED, FINDING = "accepted", "refused", "finding"

_LONGEST = 700
# What only Python's own messages and representations have.
_PYTHON = re.compile(
    r"Traceback|<class|NoneType|object at 0x|[a-z]Error\b|\bdict_|datetime\.|OrderedDict|Ellipsis"
)
_KEYS = {key for kind in KINDS for key in schema(kind)["properties"]} | {"settings"}
_PARAMETERS = ("seed", "num_", "mlflow_", "observed_file", "input_file_")
# Most jobs that stage generate may be asked for.
_MOST_JOBS = 100_000


class Verdict(NamedTuple):
    """What came of a mutant.

    Attributes:
        kind: ``ACCEPTED``, ``REFUSED`` or ``FINDING``.
        text: The line that refuses it, or what is wrong with how that was done.
    """

    kind: str
    text: str = ""


class Ended(NamedTuple):
    """How a command ended: its exit status, the lines it said, and a traceback if there was one."""

    status: int
    lines: Sequence[str]
    traceback: str


def remember_cards() -> None:
    """Let cards pass that did before: Pythia takes a tenth of a second to look at one."""

    @cache
    def look(lines: tuple[str, ...]) -> None:
        shower.check_settings(lines)

    for module in (physics, processes):
        module.check_settings = lambda lines: look(tuple(lines))  # type: ignore[attr-defined]


def place(mutant: Mutant, folder: Path) -> dict[str, Path]:
    """Lay out inputs with the mutant among them; return those of both halves, ``ph`` and ``ml``.

    Args:
        mutant: The mutant.
        folder: Folder to write to; an earlier mutant's file there is put right.
    """
    shutil.copytree(INPUTS, folder, dirs_exist_ok=True)
    if mutant.base != "parameters":
        (folder / mutant.base).write_bytes(mutant.content())
    second = "jets_photons" in mutant.base or mutant.base.endswith(("diphoton.cmnd", "fusion.cmnd"))
    ph = ml = "jets_photons.yml" if second else "input.yml"
    if mutant.base == "ph/madgraph.yml" or mutant.base.endswith(".dat"):
        ph = "madgraph.yml"
    return {"ph": folder / "ph" / ph, "ml": folder / "ml" / ml}


def judge(mutant: Mutant, folder: Path, data_file: Path | None = None) -> Verdict:
    """Let the first stages check a mutant, as runs do.

    Args:
        mutant: The mutant.
        folder: Scratch folder.
        data_file: Events for the check of the machine-learning half; without it that half is
            checked against the physics input alone.
    """
    files = place(mutant, folder / "inputs")
    half = mutant.base.split("/")[0]
    if half == "profiles":
        # What a user starts; the runner's check comes before anything else.
        profile = folder / "inputs" / mutant.base
        return _verdict(call(_profile, profile), [profile, *files.values()], folder)
    given = [f"--{k.replace('_', '-')}={v}" for k, v in mutant.parameters().items()]
    of_ph = [word for word in given if not word.startswith("--mlflow")]
    of_ml = [word for word in given if not word.startswith("--num")]
    commands = {
        "whole": ["--input-file-ph", files["ph"], "--input-file-ml", files["ml"], *given],
        "ph": ["--input-file", files["ph"], *of_ph],
        "ml": ["--input-file", files["ml"], "--data-file", data_file, *of_ml],
    }
    if half == "sweeps":
        commands["ml"] += ["--sweep-file", folder / "inputs" / mutant.base]
    # MadGraph need not be here: the whole's check does not look for it.
    whole = files["ph"].name == "madgraph.yml" or half == "parameters" or data_file is None
    if whole or (half != "sweeps" and mutant.changes[0].seed % 8 == 0):
        chosen = ["whole"]
    else:
        chosen = ["ph" if half == "ph" else "ml"]
    for name in chosen:
        main = import_module(f"steps.{name}.check").main
        ended = call(command.run, main, argv=[*commands[name], "--output-dir", folder / "out"])
        at_fault = [folder / "inputs" / mutant.base, *files.values()]
        verdict = _verdict(ended, at_fault, folder)
        if verdict.kind == ACCEPTED and name != "whole":
            verdict = _readable(folder / "out" / "settings")
        if verdict.kind != ACCEPTED:
            return verdict
    return Verdict(ACCEPTED)


def call(function: Callable[..., Any], *arguments: Any, argv: Sequence[Any] = ()) -> Ended:
    """Call a command in this process."""
    said, status, trace = io.StringIO(), 0, ""
    with _argv(argv), redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            function(*arguments)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except Exception:
            status, trace = 1, traceback.format_exc()
    return Ended(status, said.getvalue().splitlines(), trace)


@contextmanager
def _argv(words: Sequence[Any]) -> Iterator[None]:
    before, sys.argv = sys.argv, ["command", *map(str, words)]
    try:
        yield
    finally:
        sys.argv = before


def _profile(path: Path) -> None:
    """Do what the runner does before it starts anything."""
    options = runner._parser().parse_args(["all", "--profile", str(path)])
    try:
        values = runner._values(options, runner.TARGETS["all"], path.parents[1])
        runner._check_inputs("all", values, "native")
    except UsageError as error:
        sys.exit(runner._report(error, 2))


def _verdict(ended: Ended, files: Sequence[Path], folder: Path) -> Verdict:
    if ended.traceback:
        return Verdict(FINDING, ended.traceback)
    errors = [x for x in ended.lines if not x.startswith(("warning: ", "progress: "))]
    if ended.status == 0:
        return Verdict(FINDING, f"says {errors}") if errors else Verdict(ACCEPTED)
    if len(errors) != 1 or not errors[0].startswith("error: "):
        return Verdict(FINDING, f"status {ended.status}, says {errors}")
    line = errors[0].removeprefix("error: ")
    if wrong := faults(line, files):
        return Verdict(FINDING, f"{wrong}: {line!r}")
    return Verdict(REFUSED, line.replace(f"{folder}{os.sep}", ""))


def faults(line: str, files: Sequence[Path]) -> str:
    """Return what a line lacks that is to tell a user what is wrong; empty if nothing.

    Args:
        line: The line, without ``error: ``.
        files: Files of which it may name one, at its beginning.
    """
    named = next((str(path) for path in files if line.startswith(f"{path}: ")), "")
    rest = line.removeprefix(f"{named}: ")
    if not named and not line.startswith(_PARAMETERS):
        return "names neither file nor parameter"
    return unclear(rest) or ("" if not named or _has_key(rest, Path(named)) else "names no key")


def unclear(text: str) -> str:
    """Return what is wrong with how a line is written; empty if nothing."""
    if not text.isprintable():
        return "has characters that are not printable"
    if len(text) > _LONGEST:
        return f"is {len(text)} characters long"
    if found := _PYTHON.search(text):
        return f"has Python's {found[0]!r}"
    return "" if "; " in text else "has no remedy"


def _has_key(rest: str, path: Path) -> bool:
    """Return whether a line names a key, a line, or what is wrong with the file as a whole."""
    if rest.startswith(("key ", "line ", "cannot ", "is ", "its ", "holds ", *_PARAMETERS)):
        return True
    key = re.split("[:,]", rest)[0]
    return key in _KEYS or (path.is_file() and key in path.read_text(errors="replace"))


def _readable(folder: Path) -> Verdict:
    """Check that every stage can read its settings, and that generate can write its plans."""
    made = {stages.name(kind): kind for kind in stages.Settings.__subclasses__()}
    made |= {stages.name(kind): kind for kind in stages.Expectation.__subclasses__()}
    try:
        for path in folder.iterdir():
            read = stages.read(path, made[path.stem.split("_")[0]])
            if isinstance(read, stages.Generate):
                parts: list[Mapping[str, Any]] = [vars(read), *read.pythia_processes]
                jobs = sum(-(-part["num_events"] // part["events_per_job"]) for part in parts)
                if jobs > _MOST_JOBS:
                    return Verdict(FINDING, f"generate would write {jobs} jobs for a benchmark")
    except Exception:
        return Verdict(FINDING, traceback.format_exc())
    return Verdict(ACCEPTED)
