"""The errors of everything that a user can put right."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of an error; what is cut out of a longer one lies between file and key, and the remedy.
_LONGEST, _REMEDY = 600, 200


class InputError(Exception):
    """One line: what is wrong, where (file, key) and what to do."""

    def __init__(self, text: str) -> None:
        """Take what to say; names that the user gave may hold anything, which is made readable."""
        super().__init__(_line(text))


class SettingError(InputError):
    """The same of a setting, by who does not know the file that it comes from: key first."""


@contextmanager
def reading(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Say in one line that a file cannot be read, whatever a library raises on broken bytes.

    Args:
        path: The file.
        what: What it should be.
        remedy: What to do.

    Raises:
        InputError: The block raised something else.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = str(error)[:120] or type(error).__name__
        raise InputError(f"{path}: cannot be read as {what} ({reason}); {remedy}") from None


def _line(text: str) -> str:
    words = " ".join(text.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - _REMEDY]} ... {line[-_REMEDY:]}"
