"""Where finished steps are kept: their files, hard-linked, and what they depended on.

::

    <store>/steps/<key>/<part>/record.json   what the step was, see ``Record``
    <store>/steps/<key>/<part>/files/        its folder
    <store>/latest/<label>                   the step that ran last under a name
    <store>/scratch/                         what is being made or deleted

``key`` is the hash of all that the step depends on but its settings, ``part`` that of those
settings that it read. What is in ``steps`` is complete: it is renamed into place.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.engine.resume import contents, keys
from steps.stage.reads import NAME as NAME_OF_READS

NAME = ".yadage-steps"
"""Name of the store, beside the work directories that share it."""

SCRATCH = "scratch"
"""Folder in it of what is being made or deleted."""


@dataclass(frozen=True)
class Record:
    """A finished step.

    Attributes:
        label: Its place in the run: ``workflow_ph/pythia_3``.
        key: What it depended on.
        reads: Which parts of the settings it read, as pointers; None for all.
        result: What it published, with its own folder as ``{workdir}``.
        files: Its files, see :func:`scripts.engine.resume.contents.of_tree`.
        finished: When, in seconds since 1970.
        seconds: How long it took.
    """

    label: str
    key: keys.Key
    reads: list[str] | None
    result: Any
    files: Mapping[str, str]
    finished: float
    seconds: float

    @property
    def part(self) -> str:
        """The hash of the settings that it read."""
        return contents.of_value(self.used(self.key.settings))

    def used(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what it would read of settings, by pointer."""
        if self.reads is None:
            return settings
        return {pointer: keys.part(settings, pointer) for pointer in self.reads}

    @property
    def place(self) -> str:
        """Its folder below ``steps``."""
        return f"{self.key.digest}/{self.part}"

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> "Record":
        """Return the record that ``asdict`` made plain."""
        return cls(**{**found, "key": keys.Key(**found["key"])})


@dataclass(frozen=True)
class Store:
    """Finished steps below a folder."""

    folder: Path

    def find(self, key: keys.Key) -> Record | None:
        """Return a step that depended on the same, if there is one."""
        for record in self._records(self.steps / key.digest):
            if record.used(key.settings) == record.used(record.key.settings):
                return record
        return None

    def latest(self, label: str) -> Record | None:
        """Return the step that ran last under a name."""
        try:
            place = (self.labels / _plain(label)).read_text()
        except OSError:
            return None
        return next(self._records(self.steps / place, depth=0), None)

    def files(self, record: Record) -> Path:
        """Return the folder of a step as it is kept."""
        return self.steps / record.place / "files"

    def is_sound(self, record: Record) -> bool:
        """Return whether the files of a step are as they were; a step that is not is forgotten."""
        with contextlib.suppress(OSError):
            if contents.of_tree(self.files(record)) == record.files:
                return True
        self.forget(record.place)
        return False

    def restore(self, record: Record, folder: Path) -> None:
        """Give a folder that does not exist or is empty the files of a step."""
        shutil.rmtree(folder, ignore_errors=True)
        _copy(self.files(record), folder)
        self._note(record)

    def keep(self, record: Record, folder: Path) -> None:
        """Keep a step whose files are in a folder; an older one of the same content goes."""
        scratch = self._scratch()
        scratch.mkdir(parents=True)
        _copy(folder, scratch / "files")
        (scratch / "record.json").write_text(json.dumps(asdict(record)))
        place = self.steps / record.place
        place.parent.mkdir(parents=True, exist_ok=True)
        self.forget(record.place)
        with contextlib.suppress(FileExistsError):
            # Another run may have been faster.
            scratch.rename(place)
        shutil.rmtree(scratch, ignore_errors=True)
        self._note(record)

    def forget(self, place: str) -> None:
        """Delete a step; no half of one is ever met."""
        scratch = self._scratch()
        with contextlib.suppress(FileNotFoundError):
            scratch.parent.mkdir(parents=True, exist_ok=True)
            (self.steps / place).rename(scratch)
        shutil.rmtree(scratch, ignore_errors=True)

    def places(self) -> list[str]:
        """Return the places of all steps."""
        return sorted(f"{p.parent.name}/{p.name}" for p in self.steps.glob("*/*"))

    def clean(self) -> None:
        """Delete what runs that were killed left behind."""
        shutil.rmtree(self.folder / SCRATCH, ignore_errors=True)

    @property
    def steps(self) -> Path:
        """Folder of the steps, each at its place."""
        return self.folder / "steps"

    @property
    def labels(self) -> Path:
        """Folder of what points to the steps that ran last, by label."""
        return self.folder / "latest"

    def _scratch(self) -> Path:
        return self.folder / SCRATCH / uuid.uuid4().hex

    def _records(self, folder: Path, depth: int = 1) -> Iterator[Record]:
        for path in sorted(folder.glob("/".join(["*"] * depth + ["record.json"]))):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                yield Record.of_json(json.loads(path.read_text()))

    def _note(self, record: Record) -> None:
        path = self.labels / _plain(record.label)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        scratch.write_text(record.place)
        scratch.rename(path)


def reads(folder: Path) -> list[str] | None:
    """Return which parts of its settings a step says that it read; None where it says nothing."""
    try:
        found = yaml.safe_load((folder / NAME_OF_READS).read_text())
    except FileNotFoundError:
        return None
    return list(found)


def _plain(label: str) -> str:
    return label.replace("/", ".")


def _copy(source: Path, target: Path) -> None:
    """Copy a folder by hard links, or where the file system has none, by content."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except PermissionError:
        # Others' files may not be linked.
        shutil.copy2(source, target)
