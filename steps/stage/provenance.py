"""What a stage must know of earlier ones: a few facts that travel with the data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from steps import __version__
from steps.stage.errors import InputError


def write(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts, and the version of the workflow."""
    path.write_text(yaml.safe_dump({**facts, "version": __version__}, sort_keys=False))


def read(path: Path) -> dict[str, Any]:
    """Read facts that an earlier stage wrote.

    Raises:
        InputError: It was a stage of another version, or none.
    """
    try:
        facts: dict[str, Any] = yaml.safe_load(path.read_text())
        version = facts["version"]
    except (OSError, yaml.YAMLError, TypeError, KeyError):
        raise InputError(f"{path}: not made by a stage of this workflow; check the path") from None
    if version != __version__:
        raise InputError(
            f"{path}: made by version {version} of the workflow, this is {__version__}; "
            "run the earlier stages again"
        )
    return facts
