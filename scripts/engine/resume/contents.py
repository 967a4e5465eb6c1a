"""Hashes of files and folders."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_known: dict[tuple[int, ...], str] = {}


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file; one that has not been touched is read once."""
    state = path.stat()
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if key not in _known:
        with path.open("rb") as file:
            _known[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _known[key]


def of_tree(folder: Path) -> dict[str, str]:
    """Return what is below a folder, but for notes.

    Returns:
        SHA-256 of each file by its path relative to the folder, sorted; ``link: <target>`` of a
        symbolic link and ``folder`` of an empty folder.
    """
    signs = {str(path.relative_to(folder)): path for path in _walk(folder)}
    return {name: _sign(path) for name, path in sorted(signs.items()) if not is_note(name)}


def is_note(name: str) -> bool:
    """Return whether a file is Packtivity's own log of a step, beside what the step printed.

    Packtivity writes to it also when a later step of the same name runs in the same process.
    """
    return name.endswith(".step.log") and Path(name).parent.name == "_packtivity"


def of(path: Path) -> str:
    """Return the hash of a file, or of all that is below a folder."""
    return of_value(of_tree(path)) if path.is_dir() else of_file(path)


def of_value(value: Any) -> str:
    """Return the hash of text, or of a mapping of plain values."""
    text = value if isinstance(value, str) else _canonical(value)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _sign(path: Path) -> str:
    if path.is_symlink():
        return f"link: {os.readlink(path)}"
    return "folder" if path.is_dir() else of_file(path)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files, links and empty folders below a folder."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            inside = list(_walk(path))
            yield from inside or [path]
        else:
            yield path
