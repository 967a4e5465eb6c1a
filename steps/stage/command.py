"""What the stages' command lines share: arguments, one-line errors, progress."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from steps.stage.errors import InputError, SettingError


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser with the option that every stage has."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument("--output-dir", type=Path, required=True, help="folder of the results")
    return result


def optional_path(text: str) -> Path | None:
    """Return a path, or None for the empty text of a parameter that is not given."""
    return Path(text) if text else None


def run(main: Callable[[], None], half: str = "") -> None:
    """Run a stage; end with status 1 and one line where the user's input is at fault.

    Args:
        main: The stage.
        half: ``physics`` or ``machine-learning``, whose input file its settings come from.
    """
    try:
        main()
    except SettingError as error:
        _fail(f"{half} input file: {error}")
    except InputError as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    print(f"error: {reason}", file=sys.stderr)
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
