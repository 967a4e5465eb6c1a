"""Output files that appear whole or not at all, and archives that stay in their folder."""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends without an exception.

    The block may create a file or a folder; an existing file or folder is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new = scratch / path.name
    try:
        yield new
        if path.is_dir() and new.exists():
            # A folder cannot be replaced in one go: move the old one aside first.
            os.replace(path, scratch / f"{path.name}.old")
        os.replace(new, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def discard(folder: Path, pattern: str) -> None:
    """Remove what an earlier attempt left: a step may run again in its work directory."""
    for place in list(folder.glob(pattern)):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder into a compressed tar archive whose bytes tell names and contents alone."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    # tarfile itself adds the files of a folder in the order of their names.
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as content,
    ):
        content.add(folder, arcname=folder.name, filter=plain)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of a tar archive below a folder.

    Python's own filter against names that lead elsewhere came with 3.11.4, after Debian's 3.11.

    Raises:
        ValueError: A member is neither file nor folder, or lies outside.
    """
    folder = folder.resolve()
    with tarfile.open(archive) as content:
        for member in content:
            target = (folder / member.name).resolve()
            if not target.is_relative_to(folder) or not (member.isfile() or member.isdir()):
                raise ValueError(f"{archive}: will not unpack {member.name}")
            source = content.extractfile(member)
            if source is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
