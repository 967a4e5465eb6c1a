"""Parton shower, hadronisation and decays with Pythia 8."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from steps.arrays import Array
from steps.events.particles import Particles
from steps.physics.reweighting import log_ratio

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
    variations: Sequence[Mapping[str, Any]] = (),
) -> tuple[Particles, Array, dict[str, Array]]:
    """Shower the events of a Les Houches Event File.

    With variations Pythia takes other random numbers than without (it decides on emissions in
    another order), but the same whatever and how many they are.

    Args:
        event_file: Parton-level events.
        settings: Lines of a Pythia 8 command card.
        n_events: Number of events in the file.
        rng: Source of Pythia's own seed.
        progress: Called with the number of events so far.
        variations: Entries of type ``shower``, complete: ``name``, ``variation`` (``isr``,
            ``fsr``) and ``value``, factors on the renormalisation scale of that shower.

    Returns:
        Stable particles; the indices in the file of the events they belong to (events that Pythia
        gives up on, a few in a million, are missing); and log responses to each factor ``(n, m)``
        by the entry's name.

    Raises:
        CardError: A setting is not known to Pythia.
    """
    pythia = _pythia(
        [
            *settings,
            *variation_settings(variations),
            "Beams:frameType = 4",
            f"Beams:LHEF = {event_file}",
            "Random:setSeed = on",
            f"Random:seed = {rng.integers(1, _MAX_SEED)}",
        ]
    )
    columns: list[ak.Array] = []
    kept: list[Array] = []
    weights: list[Array] = []
    for start in range(0, n_events, _BATCH):
        batch = pythia.nextBatch(min(_BATCH, n_events - start), "none")
        complete = ~ak.to_numpy(ak.is_none(batch))
        kept.append(start + np.flatnonzero(complete))
        weights.append(ak.to_numpy(batch.info.weights[complete]))
        particles = batch.prt[complete]
        particles = particles[particles.status > 0]
        columns.append(
            ak.zip({"id": particles.id} | {c: particles.p[c] for c in ("e", "px", "py", "pz")})
        )
        progress(min(start + _BATCH, n_events))
    names = list(pythia.infoPython().weightNameVector())
    logs = log_responses(names, np.concatenate(weights), variations)
    return _flatten(ak.concatenate(columns)), np.concatenate(kept), logs


def variation_settings(variations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings that let Pythia compute weights of variations (arXiv:1605.08352).

    Args:
        variations: See :func:`shower`.
    """
    if not variations:
        return []
    listed = [
        f"{name} {entry['variation']}:muRfac={factor}"
        for entry in variations
        for name, factor in zip(_weight_names(entry), entry["value"], strict=True)
    ]
    # Pythia takes other random numbers in a shower that varies: let both, whichever is asked for.
    listed += [f"shower.{kind} {kind}:muRfac=2.0" for kind in ("isr", "fsr")]
    return [
        "UncertaintyBands:doVariations = on",
        f"UncertaintyBands:List = {{{', '.join(listed)}}}",
    ]


def log_responses(
    names: Sequence[str], weights: Array, variations: Sequence[Mapping[str, Any]]
) -> dict[str, Array]:
    """Return log responses to variations, from Pythia's weights.

    Args:
        names: Names of the weights, as Pythia's ``weightNameVector`` gives them.
        weights: Weights ``(n, n_weights)``, the nominal one first.
        variations: See :func:`shower`.

    Returns:
        Log responses ``(n, m)`` by the entry's name.
    """
    return {
        entry["name"]: np.stack(
            [
                log_ratio(weights[:, names.index(name)], weights[:, 0])
                for name in _weight_names(entry)
            ],
            axis=-1,
        )
        for entry in variations
    }


def _weight_names(entry: Mapping[str, Any]) -> list[str]:
    """Pythia takes names of variations in small letters; nothing else in the file has these."""
    return [f"shower.{entry['name'].lower()}.{k}" for k in range(len(entry["value"]))]


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
