"""What stage generate hands to stage pythia: one folder per process, benchmark and job."""

from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import yaml

from steps.physics.generator import Grid


@dataclass(frozen=True)
class Plan:
    """What one job generates.

    Attributes:
        process: Name of the process; empty for the built-in generator's only one.
        benchmark: Name of the benchmark to sample at; empty for backgrounds.
        job: Number of the job, from zero.
        n_events: Events of this job.
        n_events_all_jobs: Events of the benchmark in all jobs; weights refer to this number.
        seed: Seed of the job.
    """

    process: str
    benchmark: str
    job: int
    n_events: int
    n_events_all_jobs: int
    seed: int


def write(folder: Path, plan: Plan) -> None:
    """Write a plan, readable, into a new folder."""
    folder.mkdir()
    (folder / "plan.yml").write_text(yaml.safe_dump(asdict(plan), sort_keys=False))


def read(folder: Path) -> Plan:
    """Read a plan."""
    return Plan(**yaml.safe_load((folder / "plan.yml").read_text()))


def write_grid(folder: Path, grid: Grid) -> None:
    """Write an adapted grid beside a plan."""
    with h5py.File(folder / "grid.h5", "w") as file:
        for axis, edges in enumerate(grid.edges):
            file[f"edges/{axis}"] = edges
        for name in ("cross_section", "error", "max_weight"):
            file.attrs[name] = getattr(grid, name)


def read_grid(folder: Path) -> Grid:
    """Read the grid beside a plan."""
    with h5py.File(folder / "grid.h5") as file:
        edges = [file[f"edges/{axis}"][()] for axis in range(len(file["edges"]))]
        numbers = {name: float(value) for name, value in file.attrs.items()}
    return Grid(edges=edges, **numbers)
