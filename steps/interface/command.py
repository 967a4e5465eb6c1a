"""What the stages' command lines share: arguments, one-line errors, progress."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from steps.interface.errors import InputError


def parser(description: str) -> argparse.ArgumentParser:
    """Return an argument parser with the options that every stage has."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument("--input-file", type=Path, required=True, help="YAML input file")
    result.add_argument("--output-dir", type=Path, required=True, help="folder of the results")
    return result


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add the option that overrides parameters; it may be one text or several words."""

    class Join(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None) -> None:
            setattr(namespace, self.dest, " ".join(values))

    parser.add_argument(
        "--overrides",
        nargs="*",
        action=Join,
        default="",
        metavar="KEY=VALUE",
        help="parameters of the step",
    )


def run(main: Callable[[], None]) -> None:
    """Run a stage; end with status 1 and one line where the user's input is at fault."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def progress(total: int, what: str, seconds: float = 1.0) -> Callable[[int], None]:
    """Return a function that prints ``progress: done/total what``, at most once in ``seconds``."""
    last = float("-inf")

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds or done >= total:
            last = now
            print(f"progress: {done}/{total} {what}", file=sys.stderr, flush=True)

    return report
