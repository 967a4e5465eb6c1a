"""What ``yadage-run`` is told so that steps that are done are taken from where they are kept."""

import json
from pathlib import Path

from scripts.engine.launch import TRACKER, Extension
from scripts.engine.resume import journal, status

_PLUGIN = "scripts.engine.resume.plugin"


def of_run(store: Path, workdir: Path, runtime: str, *, fresh: bool) -> Extension:
    """Return what makes a run take what is done.

    Args:
        store: Folder of finished steps.
        workdir: Work directory of the run, where its journal will be.
        runtime: ``native``, or the container engine.
        fresh: Whether steps run again though they are done.
    """
    return Extension([_PLUGIN], _cache(store, workdir, runtime, fresh=fresh))


def of_look(store: Path, workdir: Path, runtime: str) -> Extension:
    """Return what makes a run only tell what is done, and run the checks of the input alone."""
    tracker = f"{status.__name__}:{status.Look.__name__}"
    environment = {TRACKER: tracker, status.FILE: str(workdir / status.STAGES)}
    return Extension([_PLUGIN], _cache(store, workdir, runtime, look=True), environment)


def _cache(store: Path, workdir: Path, runtime: str, **more: bool) -> list[str]:
    asked = {"store": str(store), "journal": str(workdir / journal.NAME), "runtime": runtime}
    return ["--cache", f"content:{json.dumps(asked | more)}"]
