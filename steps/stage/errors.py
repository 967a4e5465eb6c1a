"""The errors of everything that a user can put right."""

# Of an error; what is cut out of a longer one lies between file and key, and the remedy.
_LONGEST, _REMEDY = 600, 200


class InputError(Exception):
    """One line: what is wrong, where (file, key) and what to do."""

    def __init__(self, text: str) -> None:
        """Take what to say; names that the user gave may hold anything, which is made readable."""
        super().__init__(_line(text))


class SettingError(InputError):
    """The same of a setting, by who does not know the file that it comes from: key first."""


def _line(text: str) -> str:
    words = " ".join(text.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - _REMEDY]} ... {line[-_REMEDY:]}"
