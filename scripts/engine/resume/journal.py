"""The journal of a run: a line for each step, in the order in which they ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "steps.jsonl"
"""The journal in the work directory."""


@dataclass(frozen=True)
class Line:
    """A step.

    Attributes:
        label: Its folder below the work directory: ``workflow_ph/pythia_3``.
        kept: Whether it was done already.
        why: Why it was not.
        place: Where it is in the store; empty for one that only has been looked at.
        of: What it was, see :class:`scripts.engine.resume.store.Record`.
    """

    label: str
    kept: bool
    why: list[str] = field(default_factory=list)
    place: str = ""
    of: Mapping[str, Any] = field(default_factory=dict)

    def append(self, journal: Path) -> None:
        """Write it at the end of a journal."""
        with journal.open("a") as file:
            file.write(json.dumps(vars(self)) + "\n")


def read(workdir: Path) -> list[Line]:
    """Return the lines of a run's journal; none where there is no journal."""
    path = workdir / NAME
    # A run that was killed may have left half a line.
    texts = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Line(**json.loads(text)) for text in texts if text.endswith("\n")]
