"""What is done, what would run, and why."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.engine import progress
from scripts.engine.resume.journal import Line

STAGES = "stages.json"
"""In the work directory of a look: all stages, and those that were not reached."""

FILE = "MADMINER_STAGES"
"""Environment variable: where that file is."""


class Look:
    """Tracker of Yadage that notes which stages there are, in the order of the specification."""

    def initialize(self, workflow: Any) -> None:
        """Note all stages."""
        self._all = list(progress.open_stages(workflow))

    def track(self, workflow: Any) -> None:
        """Do nothing: a step that is not done counts as failed, and others go on."""

    def finalize(self, workflow: Any) -> None:
        """Write the stages, and those that were not reached."""
        left = list(progress.open_stages(workflow))
        Path(os.environ[FILE]).write_text(json.dumps({"stages": self._all, "left": left}))


def lines(found: Sequence[Line], stages: Sequence[str], left: Sequence[str]) -> Iterator[str]:
    """Yield what to tell of each stage.

    Args:
        found: Steps that were looked at.
        stages: All stages in their order.
        left: Stages that were not reached, since others before them have to run.
    """
    width = max(map(len, stages), default=0)
    for stage in stages:
        steps = [line for line in found if _stage(line.label) == stage]
        missing = [line for line in steps if not line.kept]
        if stage in left or not steps:
            yield f"{stage:{width}}  after those before it, unless they write the same again"
        elif missing:
            reasons = list(dict.fromkeys(reason for line in missing for reason in line.why))
            of = f"{len(missing)} of {len(steps)} " if len(steps) > 1 else ""
            yield f"{stage:{width}}  {of}to run: {'; '.join(reasons)}"
        else:
            done = f"{len(steps)} steps " if len(steps) > 1 else ""
            yield f"{stage:{width}}  {done}done"


def _stage(label: str) -> str:
    """Name of a step's stage: ``workflow_ph/pythia_3`` → ``workflow_ph/pythia``."""
    head, _, number = label.rpartition("_")
    return head if number.isdigit() else label
