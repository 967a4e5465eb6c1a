"""Environments of Python beside that of ``yadage-run``: images whose packages exclude its own."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

VARIABLE = "VENV_RECAST"
"""Environment variable: the folder of the environment; beside that of ``yadage-run`` by default."""

_RECAST = "madminer-workflow-recast"


class Environment(NamedTuple):
    """An environment of steps that run as plain processes."""

    prefix: Path
    """Its folder."""
    make: str
    """What makes it."""

    @property
    def tools(self) -> Path:
        """Folder of its programs."""
        return self.prefix / "bin"


def of_image(image: str) -> Environment | None:
    """Return the environment of an image's steps; None for that of ``yadage-run``."""
    if image.rpartition("/")[2] != _RECAST:
        return None
    prefix = os.environ.get(VARIABLE) or f"{sys.prefix}-recast"
    return Environment(Path(prefix), "make run-recast")
