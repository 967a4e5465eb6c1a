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

from steps.stage.errors import InputError, reading


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


def unpack(archive: Path, folder: Path, *, links: bool = False) -> None:
    """Unpack the files of a tar archive below a folder.

    Python's own filter against names that lead elsewhere came with 3.11.4, after Debian's 3.11.

    Args:
        archive: The archive, compressed or not.
        folder: Where its files go.
        links: Whether symbolic links are allowed that stay in the folder, as programs have them;
            files then keep their modes.

    Raises:
        InputError: It is broken, has something else than files and folders, or leads outside.
    """
    folder = folder.resolve()
    most = max(_LARGE, _RATIO * archive.stat().st_size) if archive.is_file() else 0
    with (
        reading(archive, "an archive", "run the step that made it again"),
        tarfile.open(archive) as content,
    ):
        for member in content:
            target = (folder / member.name).resolve()
            most -= member.size
            if reason := _refused(member, target, folder, links):
                raise InputError(f"{archive}: will not unpack {member.name!r}, which {reason}")
            if most < 0:
                raise InputError(f"{archive}: will not unpack {member.name!r}: it is too large")
            if member.issym():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(member.linkname)
            elif (source := content.extractfile(member)) is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                with source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                if links:
                    target.chmod(member.mode & _MODES)
            else:
                target.mkdir(parents=True, exist_ok=True)
        if content.fileobj:
            # Its end has the checksum.
            content.fileobj.read(_PADDING)


# Bytes that any archive may have unpacked, and how much larger it may be than packed.
_LARGE = 2**30
_RATIO = 100
_PADDING = 2**20
_MODES = 0o755


def _refused(member: tarfile.TarInfo, target: Path, folder: Path, links: bool) -> str:
    """Return why a member is not unpacked; nothing where it is."""
    if not target.is_relative_to(folder):
        return "lies outside"
    known = member.isfile() or member.isdir() or (links and (member.issym() or member.islnk()))
    if member.issparse() or not known:
        return "is neither file nor folder"
    if not member.issym():
        return ""
    # What 'name/..' is changes with what 'name' becomes.
    plain = os.path.normpath(member.linkname) == member.linkname.rstrip("/")
    if not plain or not (target.parent / member.linkname).resolve().is_relative_to(folder):
        return "leads outside"
    return "is there already" if target.exists() else ""


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file.

    Raises:
        InputError: It cannot be read.
    """
    with reading(path, "a file", "check the path"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
