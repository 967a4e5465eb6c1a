"""The work directory of a run: earlier results stay until a new run has succeeded.

Yadage records absolute paths, so a run must happen in its final place. The earlier results wait
beside it meanwhile::

    <workdir>            the run
    <workdir>.previous   the results before it, or an empty folder when there were none
    <workdir>.failed     the last run that did not succeed
    <workdir>.discard    about to be deleted
    <workdir>.lock       exists while a run uses the directory

Every step between these states is one rename, so a run that was killed at any moment is recognised
by its ``.previous`` when the next one starts.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.engine.errors import UsageError

# Seconds that what is left of a killed run takes to end, at most.
_PATIENCE = 30.0

YADAGE_LOG = "yadage.log"
"""The log of ``yadage-run`` in the work directory."""


def failed(workdir: Path) -> Path:
    """Where a run that did not succeed is kept."""
    return _beside(workdir, "failed")


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[int]:
    """Keep other runs out of the work directory.

    Yields:
        A file descriptor. A process that inherits it keeps the lock, also when this one is killed.

    A run that was killed holds the lock until what is left of it has ended, for some seconds; that
    is waited for.

    Raises:
        UsageError: Another run is using the directory.
    """
    path = _beside(workdir, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path)
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path) -> int:
    end = time.monotonic() + _PATIENCE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_left_over = not _is_alive(os.read(descriptor, 32))
            os.close(descriptor)
            if is_left_over and time.monotonic() < end:
                time.sleep(0.2)
                continue
            raise UsageError(
                f"{path.with_suffix('')}: another run is using it; wait for it or use another "
                "work directory"
            ) from None
        # The run before may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                os.truncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        os.close(descriptor)


def _is_alive(number: bytes) -> bool:
    """Return whether the process of a run is there, given its number."""
    if not number:
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's.
        return True
    return True


def check(workdir: Path) -> None:
    """Refuse a directory that a run must not replace.

    Raises:
        UsageError: The path or one of its companions holds something else than a run.
    """
    if any(character in str(workdir) for character in ":{}"):
        raise UsageError(f"{workdir}: Yadage cannot work in a path with ':', '{{' or '}}'")
    for path in (workdir, _beside(workdir, "previous"), failed(workdir)):
        if path.exists() and not _holds_run(path):
            raise UsageError(
                f"{path}: not the work directory of an earlier run; remove it or use another one"
            )


def _holds_run(path: Path) -> bool:
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    return not names or "_yadage" in names or YADAGE_LOG in names


def recover(workdir: Path) -> bool:
    """Clean up after a run that was killed, if there is one.

    Returns:
        Whether an unfinished run was moved to ``<workdir>.failed``.
    """
    _discard(_beside(workdir, "discard"))
    if not _beside(workdir, "previous").exists():
        return False
    unfinished = workdir.exists()
    _restore(workdir)
    return unfinished


@contextlib.contextmanager
def replaced(workdir: Path) -> Iterator[None]:
    """Provide an empty work directory; afterwards its content or the earlier one is there.

    On an exception the new content moves to ``<workdir>.failed`` and the earlier comes back.
    """
    previous = _beside(workdir, "previous")
    if workdir.exists():
        workdir.rename(previous)
    else:
        previous.mkdir(parents=True)
    try:
        workdir.mkdir()
        yield
    except BaseException:
        _restore(workdir)
        raise
    _discard(previous)


def _restore(workdir: Path) -> None:
    previous = _beside(workdir, "previous")
    if workdir.exists():
        _discard(failed(workdir))
        workdir.rename(failed(workdir))
    if any(previous.iterdir()):
        previous.rename(workdir)
    else:
        previous.rmdir()


def _discard(path: Path) -> None:
    """Delete a directory; it leaves its name at once, so that no half of it is ever met there."""
    if not path.exists():
        return
    trash = path.with_suffix(".discard")
    if path != trash:
        path.rename(trash)
    shutil.rmtree(trash)


def _beside(workdir: Path, suffix: str) -> Path:
    return workdir.with_name(f"{workdir.name}.{suffix}")
