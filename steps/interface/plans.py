"""What stage generate hands to stage pythia: one folder per benchmark and job."""

from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import yaml

from steps.physics.generator import Grid


@dataclass(frozen=True)
class Plan:
    """What one job generates.

    Attributes:
        benchmark: Name of the benchmark to sample at.
        job: Number of the job, from zero.
        n_events: Events of this job.
        n_events_all_jobs: Events of the benchmark in all jobs; weights refer to this number.
        seed: Seed of the job.
    """

    benchmark: str
    job: int
    n_events: int
    n_events_all_jobs: int
    seed: int


def write(folder: Path, plan: Plan, grid: Grid) -> None:
    """Write a plan, readable, and the adapted grid beside it into a new folder."""
    folder.mkdir()
    content = asdict(plan) | {"cross_section_pb": grid.cross_section}
    (folder / "plan.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    with h5py.File(folder / "grid.h5", "w") as file:
        for axis, edges in enumerate(grid.edges):
            file[f"edges/{axis}"] = edges
        for name in ("cross_section", "error", "max_weight"):
            file.attrs[name] = getattr(grid, name)


def read(folder: Path) -> tuple[Plan, Grid]:
    """Read a plan and its grid."""
    content = yaml.safe_load((folder / "plan.yml").read_text())
    del content["cross_section_pb"]
    with h5py.File(folder / "grid.h5") as file:
        edges = [file[f"edges/{axis}"][()] for axis in range(len(file["edges"]))]
        numbers = {name: float(value) for name, value in file.attrs.items()}
    return Plan(**content), Grid(edges=edges, **numbers)
