"""What was changed by hand since a run left its results."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.engine.errors import UsageError
from scripts.engine.resume import contents, journal, provenance

# An empty folder, as contents says it.
_FOLDER = "folder"


def read(workdir: Path) -> dict[str, Any]:
    """Return the provenance in a work directory.

    Raises:
        UsageError: There is none, or it is no longer what a run wrote.
    """
    path = workdir / provenance.NAME
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        _ = recorded(facts), facts["inputs"].items(), facts["ended"]
        return facts
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; every run that succeeds writes one, see 'make run'"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{path}: changed by hand, cannot be read") from None


def differences(workdir: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file that is not as it was.

    Args:
        workdir: Work directory; it may have been moved since.
        facts: Its provenance.
    """
    expected = recorded(facts)
    # A journal that cannot be read is told below, as a file that was changed.
    with contextlib.suppress(ValueError, TypeError, KeyError):
        for line in journal.read(workdir):
            of_step = {f"{line.label}/{name}": sign for name, sign in line.of["files"].items()}
            if of_step.items() - expected.items():
                yield f"changed: {provenance.NAME} or {journal.NAME}, which differ on {line.label}"
    there = contents.of_tree(workdir)
    there.pop(provenance.NAME, None)
    for path in sorted({*expected, *there}):
        if what := _difference(expected.get(path), there.get(path)):
            yield f"{what}: {path}"
    for path, sign in facts["inputs"].items():
        place = provenance.found(path, workdir)
        if what := _difference(sign, contents.of(place) if place.exists() else None):
            yield f"{what}: input file {place}"


def recorded(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of each file of a work directory as its run left it."""
    signs = dict(facts["files"])
    for step in facts["steps"]:
        signs |= {f"{step['label']}/{name}": sign for name, sign in step["files"].items()}
    return signs


def _difference(before: str | None, now: str | None) -> str:
    if before == now or (before is None and now == _FOLDER):
        return ""
    if before is None:
        return "added"
    return "changed" if now else "missing"
