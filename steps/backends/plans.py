"""What stage generate hands to stage pythia: one folder per process, benchmark and job."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from steps.stage.errors import reading


@dataclass(frozen=True)
class Plan:
    """What one job generates.

    Attributes:
        process: Name of the process; empty for a generator's only one.
        benchmark: Name of the benchmark to sample at; empty for backgrounds.
        job: Number of the job, from zero.
        n_events: Events of this job.
        seed: Seed of the job.
        backend: ``pythia`` where Pythia 8 generates the process itself, see :mod:`.processes`;
            empty where the generator of the input file does.
    """

    process: str
    benchmark: str
    job: int
    n_events: int
    seed: int
    backend: str = ""

    @property
    def label(self) -> str:
        """Name of the job's folder."""
        return "_".join(part for part in (self.process, self.benchmark, str(self.job)) if part)


FanOut = Callable[[str, str, Callable[[Path], None]], None]
"""Writes the folders of all jobs of a process and benchmark; the function adds what they share."""


def write(folder: Path, plan: Plan) -> None:
    """Write a plan, readable, into a new folder."""
    folder.mkdir()
    (folder / "plan.yml").write_text(yaml.safe_dump(asdict(plan), sort_keys=False))


def read(folder: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: The folder is none that :func:`write` made.
    """
    path = folder / "plan.yml"
    with reading(path, "the plan of a job", "run stage generate again"):
        text = path.read_text()
        content = yaml.safe_load(text)
        if not text.endswith("\n") or set(content) != {field.name for field in fields(Plan)}:
            raise ValueError("it is not whole")
        return Plan(**content)
