"""Which parts of its settings a step read, so that others may change without its running again."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from steps.stage.files import atomic

NAME = "reads.yml"
"""Name of the file in the step's output folder; without it, a step counts as having read all."""


def note(folder: Path, pointers: Iterable[str]) -> None:
    """Write down what was read.

    Args:
        folder: The step's output folder.
        pointers: Keys of the settings file from the outside to the inside: ``morphing/alpha``.
    """
    with atomic(folder / NAME) as path:
        path.write_text(yaml.safe_dump(sorted(pointers)))
