"""Ways to break a file, for tests of what reads it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py


def _truncated(share: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(share * path.stat().st_size))


def _absent(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("- a: [1\n" * 100)


def _bytes(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 10)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1.0


BROKEN: dict[str, Callable[[Path], None]] = {
    "absent": _absent,
    "empty": _empty,
    "text": _text,
    "bytes": _bytes,
    "folder": _folder,
    "other": _other_hdf5,
    **{f"truncated {share}": _truncated(share) for share in (0.05, 0.5, 0.95)},
}
"""Ways to break a file, by name."""


def broken(path: Path, way: str, folder: Path) -> Path:
    """Return a broken copy of a file, with what is beside it, in a folder of its own."""
    place = shutil.copytree(path.parent, folder / "broken", symlinks=False)
    BROKEN[way](place / path.name)
    return place / path.name
