"""Look after the results of runs: ``python -m scripts.results --help``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.errors import UsageError
from scripts.engine.resume import cleaning, store, verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; the exit status is 0, 1 (differences) or 2 (refused)."""
    options = _parser().parse_args(arguments)
    place = Path(options.workdir or ".yadage").resolve()
    try:
        return _verify(place) if options.task == "verify" else _clean(place.parent)
    except (UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.results", description="Look after the results of runs."
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    for name, what, where in (
        ("verify", "tell what was changed by hand since the run", "work directory"),
        ("gc", "delete kept steps that no results use", "a work directory beside these steps"),
    ):
        task = tasks.add_parser(name, help=what, description=f"{what.capitalize()}.")
        task.add_argument("--workdir", help=f"{where} (default: .yadage)")
    return parser


def _verify(place: Path) -> int:
    facts = verify.read(place)
    lines = list(verify.differences(place, facts))
    for line in lines:
        print(line)
    if not lines:
        files, inputs = len(verify.recorded(facts)), len(facts["inputs"])
        print(f"{files} files and {inputs} input files are as the run of {facts['ended']} had them")
    return 1 if lines else 0


def _clean(folder: Path) -> int:
    done = cleaning.clean(folder)
    users = f", used by {', '.join(done.users)}" if done.users else ""
    print(
        f"{folder / store.NAME}: {done.deleted} steps deleted, {_mb(done.freed)} MB freed; "
        f"{done.left} steps ({_mb(done.size)} MB) stay{users}"
    )
    return 0


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"


if __name__ == "__main__":
    sys.exit(main())
