"""Events after the shower: stable particles and benchmark weights as compressed columns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py

from steps.arrays import Array
from steps.events.origin import Origin
from steps.events.particles import Particles
from steps.stage.errors import reading


@dataclass(frozen=True)
class Sample:
    """Showered events of one job.

    Attributes:
        particles: Stable particles of ``n`` events.
        weights: Weights ``(n, n_benchmarks)`` in pb; those of all events that the job drew sum to
            the cross sections.
        events: Numbers of the events among all that the job drew, ``(n,)``.
        origin: Where the events were drawn.
        job: Number of the job of this benchmark, from zero.
        seed: Seed of the job, for the stages that follow.
        log_responses: By the name of a systematic uncertainty, log responses of the weights
            ``(n, m)``; see :mod:`steps.events.responses`.
    """

    particles: Particles
    weights: Array
    events: Array
    origin: Origin
    job: int
    seed: int
    log_responses: Mapping[str, Array] = field(default_factory=dict)


_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def write(path: Path, sample: Sample) -> None:
    """Write the events of one job."""
    with h5py.File(path, "w") as file:
        for name, column in vars(sample.particles).items():
            file.create_dataset(f"particles/{name}", data=column, **_COMPRESSION)
        for name in ("weights", "events"):
            file.create_dataset(name, data=getattr(sample, name), **_COMPRESSION)
        for name, logs in sample.log_responses.items():
            file.create_dataset(f"log_responses/{name}", data=logs, **_COMPRESSION)
        file.attrs.update(asdict(sample.origin))
        file.attrs["job"] = sample.job
        file.attrs["seed"] = sample.seed


def read(path: Path) -> Sample:
    """Read the events of one job.

    Raises:
        InputError: The file is not what :func:`write` wrote.
    """
    with (
        reading(path, "events of a job", "run the step that made it again"),
        h5py.File(path) as file,
    ):
        columns = {name: column[()] for name, column in file["particles"].items()}
        return Sample(
            Particles(**columns),
            file["weights"][()],
            file["events"][()],
            Origin(
                str(file.attrs["process"]),
                str(file.attrs["benchmark"]),
                float(file.attrs["cross_section"]),
                int(file.attrs["n_events"]),
            ),
            int(file.attrs["job"]),
            int(file.attrs["seed"]),
            {name: logs[()] for name, logs in file.get("log_responses", {}).items()},
        )
