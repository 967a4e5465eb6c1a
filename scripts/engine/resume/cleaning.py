"""Which finished steps no results mention any more, and deleting them."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.engine import workdir
from scripts.engine.errors import UsageError
from scripts.engine.resume import journal
from scripts.engine.resume.store import NAME, SCRATCH, Store

# What stands beside a work directory; see scripts.engine.workdir.
_COMPANIONS = (".failed", ".previous", ".discard", ".lock")


class Cleaned(NamedTuple):
    """What was done.

    Attributes:
        deleted: Number of steps.
        freed: Bytes on the disk; files that results share with the store are not among them.
        left: Number of steps that stay.
        size: Their bytes, also those that they share with results.
        users: Names of the folders that mention them.
    """

    deleted: int
    freed: int
    left: int
    size: int
    users: list[str]


def clean(folder: Path) -> Cleaned:
    """Delete the finished steps that no journal of a run beside the store mentions.

    Args:
        folder: Folder of the work directories and their store.

    Raises:
        UsageError: A run is going on, or a journal cannot be read; nothing was deleted.
    """
    with _no_runs(folder):
        store = Store(folder / NAME)
        users = {path.parent: _mentioned(path) for path in sorted(folder.glob(f"*/{journal.NAME}"))}
        mentioned = {place for places in users.values() for place in places}
        places = store.places()
        unused = [place for place in places if place not in mentioned]
        freed = _freed([*(store.steps / place for place in unused), store.folder / SCRATCH])
        for place in unused:
            store.forget(place)
            with contextlib.suppress(OSError):
                (store.steps / place).parent.rmdir()
        store.clean()
        for pointer in store.labels.glob("*"):
            if pointer.read_text() not in mentioned:
                pointer.unlink()
        kept = [place for place in places if place in mentioned]
        return Cleaned(
            deleted=len(unused),
            freed=freed,
            left=len(kept),
            size=sum(file.stat().st_size for file in _files(store.steps / p for p in kept)),
            users=[user.name for user, its in users.items() if its & {*kept}],
        )


def _mentioned(path: Path) -> set[str]:
    try:
        return {line.place for line in journal.read(path.parent)}
    except (OSError, ValueError, TypeError):
        raise UsageError(
            f"{path}: cannot be read; delete its folder if its results are of no use"
        ) from None


@contextlib.contextmanager
def _no_runs(folder: Path) -> Iterator[None]:
    """Keep runs out of the work directories of a folder."""
    entries = [path for path in folder.glob("*") if path.suffix == ".lock" or _is_run(path)]
    names = {path.stem if path.suffix in _COMPANIONS else path.name for path in entries}
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            try:
                stack.enter_context(workdir.locked(folder / name))
            except UsageError:
                raise UsageError(
                    f"{folder / name}: a run is using it; try again when it has ended"
                ) from None
        yield


def _is_run(path: Path) -> bool:
    return (path / journal.NAME).exists()


def _freed(folders: Iterable[Path]) -> int:
    """Return the bytes of files that have no further name elsewhere."""
    names: Counter[tuple[int, int]] = Counter()
    size = 0
    for file in _files(folders):
        state = file.stat()
        names[state.st_dev, state.st_ino] += 1
        if names[state.st_dev, state.st_ino] == state.st_nlink:
            size += state.st_size
    return size


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path
