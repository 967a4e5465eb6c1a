"""Parton shower, hadronisation and decays with Pythia 8."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from steps.arrays import Array
from steps.events.particles import Particles

_BATCH = 500
_MAX_SEED = 900_000_000


class CardError(ValueError):
    """Pythia does not understand a setting, or cannot start with the settings given."""


def shower(
    event_file: Path,
    settings: Sequence[str],
    n_events: int,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda n: None,
) -> tuple[Particles, Array]:
    """Shower the events of a Les Houches Event File.

    Args:
        event_file: Parton-level events.
        settings: Lines of a Pythia 8 command card.
        n_events: Number of events in the file.
        rng: Source of Pythia's own seed.
        progress: Called with the number of events so far.

    Returns:
        Stable particles, and the indices in the file of the events they belong to: events that
        Pythia gives up on (a few in a million) are missing.

    Raises:
        CardError: A setting is not known to Pythia.
    """
    pythia = _pythia(
        [
            *settings,
            "Beams:frameType = 4",
            f"Beams:LHEF = {event_file}",
            "Random:setSeed = on",
            f"Random:seed = {rng.integers(1, _MAX_SEED)}",
        ]
    )
    columns: list[ak.Array] = []
    kept: list[Array] = []
    for start in range(0, n_events, _BATCH):
        batch = pythia.nextBatch(min(_BATCH, n_events - start), "none")
        complete = ~ak.to_numpy(ak.is_none(batch))
        kept.append(start + np.flatnonzero(complete))
        particles = batch.prt[complete]
        particles = particles[particles.status > 0]
        columns.append(
            ak.zip({"id": particles.id} | {c: particles.p[c] for c in ("e", "px", "py", "pz")})
        )
        progress(min(start + _BATCH, n_events))
    return _flatten(ak.concatenate(columns)), np.concatenate(kept)


def check_settings(settings: Sequence[str]) -> None:
    """Check that Pythia 8 understands the lines of a command card.

    Raises:
        CardError: It does not understand one.
    """
    _configured(settings)


def _configured(settings: Sequence[str]) -> Any:
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    pythia.readString("Print:quiet = on")
    for line in settings:
        if not pythia.readString(line, False):
            raise CardError(f"Pythia 8 does not understand the setting '{line.strip()}'")
    return pythia


def _pythia(settings: Sequence[str]) -> Any:
    pythia = _configured(settings)
    if not pythia.init():
        raise CardError("Pythia 8 cannot start with these settings")
    return pythia


def _flatten(particles: ak.Array) -> Particles:
    momenta = [ak.to_numpy(ak.flatten(particles[c])) for c in ("e", "px", "py", "pz")]
    return Particles(
        counts=ak.to_numpy(ak.num(particles)).astype(np.int32),
        pdg_id=ak.to_numpy(ak.flatten(particles.id)).astype(np.int32),
        momenta=np.stack(momenta, -1).astype(np.float32),
    )
