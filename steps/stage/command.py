"""What the stages' command lines share: arguments, one-line errors, progress."""

import argparse
import ast
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from steps.stage.errors import InputError, SettingError
from steps.stage.texts import EMPTY

FROM_INPUT = "-"
"""Last argument of a command line that goes on in standard input, see :func:`parser`."""


class _Parser(argparse.ArgumentParser):
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = list(sys.argv[1:] if args is None else args)
        if words[-1:] == [FROM_INPUT]:
            words[-1:] = map(_option, sys.stdin)
        return super().parse_known_args(words, namespace)


def _option(line: str) -> str:
    """Return the option of a line ``--name='value'``."""
    name, _, literal = line.strip().partition("=")
    value = str(ast.literal_eval(literal))
    if "\0" in value:
        raise InputError(f"{name}: has a zero byte; leave it out")
    return f"{name}={'' if value in EMPTY else value}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser with the option that nearly every stage has; see :func:`plain`."""
    result = plain(description)
    result.add_argument("--output-dir", type=Path, required=True, help="folder of the results")
    return result


def plain(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser without options.

    Where the last argument is ``-``, standard input has further options, a line ``--name=value``
    for each with the value as a literal of Python. A workflow passes parameters so: its engine
    puts them into the text of a command, where a shell would read quotes, ``;`` and ``$()``.
    """
    return _Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)


class Files(argparse.Action):
    """Files, also absolute paths that an engine joined by spaces to one text."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Set the option to a list of paths."""
        texts = [text for value in values for text in re.split(" (?=/)", value)]
        setattr(namespace, self.dest, [Path(text) for text in texts])


def optional_path(text: str) -> Path | None:
    """Return a path, or None for the empty text of a parameter that is not given."""
    return Path(text) if text else None


def run(main: Callable[[], None], half: str = "") -> None:
    """Run a stage; end with status 1 and one line where the user's input is at fault.

    Args:
        main: The stage.
        half: ``physics`` or ``machine-learning``, whose input file its settings come from; empty
            where they are arguments.
    """
    try:
        main()
    except SettingError as error:
        _fail(f"{half} input file: {error}" if half else str(error))
    except InputError as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    print(f"error: {' '.join(reason.splitlines())}", file=sys.stderr)
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
