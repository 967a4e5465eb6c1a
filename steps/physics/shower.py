"""Parton shower, hadronisation and decays with Pythia 8, and hard processes of its own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from steps.arrays import Array
from steps.events.particles import Particles
from steps.physics import hard, veto
from steps.physics.passing import Wanted, passing
from steps.physics.reweighting import log_ratio

_BATCH = 500
_FEW = 10
_MAX_SEED = 900_000_000
_PB_PER_MB = 1e9
# Events for one that passes a filter, beyond which it is taken for impossible.
_TRIES = 100_000


class CardError(ValueError):
    """Pythia does not understand a setting, or cannot start with the settings given."""


class RareError(ValueError):
    """Hardly any event passes a filter."""


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
        CardError: A setting is not known to Pythia, or it completes no event.
    """
    pythia = _pythia(
        [
            *settings,
            *variation_settings(variations),
            "Beams:frameType = 4",
            "Random:setSeed = on",
            f"Random:seed = {rng.integers(1, _MAX_SEED)}",
        ],
        event_file,
    )
    columns: list[ak.Array] = []
    kept: list[Array] = []
    weights: list[Array] = []
    for start in range(0, n_events, _BATCH):
        batch = pythia.nextBatch(min(_BATCH, n_events - start), "none")
        complete = ~ak.to_numpy(ak.is_none(batch))
        # A batch without any event has no columns either.
        if complete.any():
            kept.append(start + np.flatnonzero(complete))
            weights.append(ak.to_numpy(batch.info.weights[complete]))
            columns.append(_stable(batch.prt[complete]))
        progress(min(start + _BATCH, n_events))
    if not columns:
        raise CardError("Pythia 8 gives up on every event; may its particles decay?")
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


@dataclass(frozen=True)
class Variations:
    """What is to vary in events of a process that Pythia 8 generates itself.

    Attributes:
        shower: Entries of ``systematics`` of type ``shower``; see :func:`shower`.
        hard: Entries of types ``scale`` and ``pdf``, complete.
        alpha_s_power: Power of alpha_s in hard processes that
            :func:`steps.physics.reweighting.alpha_s_powers` does not know; None: there is none.
    """

    shower: Sequence[Mapping[str, Any]] = ()
    hard: Sequence[Mapping[str, Any]] = ()
    alpha_s_power: int | None = None


@dataclass(frozen=True)
class Produced:
    """Events of a process that Pythia 8 generates itself.

    Attributes:
        particles: Stable particles of the ``n`` events that pass.
        weights: Their weights in pb; those of all events, passing or not, sum to the cross
            section, ``(n,)``.
        events: Their numbers among all events, ``(n,)``.
        n_events: Number of all events, also of those that Pythia gives up early in the shower.
        cross_section: Pythia's estimate from all that it tried, in pb, and its error.
        log_responses: Log responses to variations ``(n, m)`` by the entry's name.
    """

    particles: Particles
    weights: Array
    events: Array
    n_events: int
    cross_section: tuple[float, float]
    log_responses: Mapping[str, Array]


def produce(
    settings: Sequence[str],
    n_events: int,
    wanted: Wanted,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda n: None,
    variations: Variations = Variations(),
) -> Produced:
    """Generate events of a process until some number passes a filter.

    That number is fixed, so that of all events is random, and n / N is a biased estimate of the
    share that passes; n / (N' - 1) is not, with N' events up to the one that is number n + 1 of
    those that pass (Haldane, Biometrika 33 (1945) 222). So one more is generated and left out.

    Args:
        settings: Lines of Pythia 8 command cards: shower, process and beams.
        n_events: Number of events that pass.
        wanted: The filter.
        rng: Source of Pythia's own seed.
        progress: Called with the number of events so far.
        variations: What is to vary.

    Raises:
        CardError: Pythia does not know a setting or cannot start.
        RareError: Hardly any event passes.
    """
    pythia = _configured(
        [
            *settings,
            *variation_settings(variations.shower),
            "Random:setSeed = on",
            f"Random:seed = {rng.integers(1, _MAX_SEED)}",
        ]
    )
    hook = veto.hook(pythia, wanted) if "jets" in wanted else None
    if hook:
        pythia.addUserHooksPtr(hook)
    watch = hard.Watch(pythia) if variations.hard else None
    _start(pythia)
    columns: list[ak.Array] = []
    numbers: list[Array] = []
    weights: list[Array] = []
    tries = done = passed = 0
    while passed <= n_events:
        if tries >= _TRIES * (passed + 1):
            raise RareError(f"{passed} of {tries} events pass the filter")
        # The last batch is as long as it takes, by the share that has passed so far.
        missing = math.ceil((n_events + 1 - passed) * (done + 1) / (passed + 1))
        size = min(_BATCH, missing)
        tries += size
        if hook:
            hook.left = before = _TRIES * (passed + 1)
        batch = pythia.nextBatch(size, "none")
        batch = batch[~ak.is_none(batch)]
        if not len(batch):
            continue
        particles = _stable(batch.prt)
        found = np.flatnonzero(passing(_flatten(particles), wanted))
        # Packed: else what does not pass is kept in memory with the rest.
        columns.append(ak.to_packed(particles[found]))
        numbers.append(done + found)
        weights.append(np.asarray(ak.to_numpy(batch.info.weights), dtype=float))
        if hook:
            tries += before - hook.left
        if watch:
            watch.add(batch.info, found)
        done, passed = done + len(batch), passed + len(found)
        progress(min(passed, n_events))
    number = np.concatenate(numbers)
    n_done, number = int(number[n_events]), number[:n_events]
    weight = np.concatenate(weights)
    # All events over those not given up, of which Pythia's cross section is.
    whole = 1 + hook.given_up / weight[:, 0].sum() if hook else 1.0
    about, weight = pythia.infoPython(), weight[:n_done]
    cross_section, error = (
        _PB_PER_MB * each * about.nSelected() / about.nAccepted()
        for each in (about.sigmaGen(), about.sigmaErr())
    )
    logs = log_responses(list(about.weightNameVector()), weight[number], variations.shower)
    if watch:
        logs |= watch.log_responses(n_events, variations.hard, variations.alpha_s_power)
    return Produced(
        particles=_flatten(ak.concatenate(columns)[:n_events]),
        weights=cross_section * weight[number, 0] / (whole * weight[:, 0].sum()),
        events=number,
        n_events=round(whole * n_done),
        cross_section=(cross_section, error),
        log_responses=logs,
    )


def check_start(settings: Sequence[str]) -> None:
    """Check that Pythia 8 starts with the lines of command cards.

    Raises:
        CardError: It does not understand one, or cannot start.
    """
    _pythia(settings)


def hard_codes(settings: Sequence[str]) -> dict[int, str]:
    """Return codes and names of the hard processes that the lines of command cards switch on.

    Raises:
        CardError: Pythia does not understand one, or cannot start.
        HardProcessError: Weights of these processes do not follow from ratios of densities.
    """
    pythia = _configured([*settings, "PartonLevel:all = off"])
    watch = hard.Watch(pythia)
    _start(pythia)
    batch = pythia.nextBatch(_FEW, "none")
    batch = batch[~ak.is_none(batch)]
    codes = hard.codes(pythia)
    watch.add(batch.info, np.arange(len(batch)))
    watch.check()
    return codes


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


def _pythia(settings: Sequence[str], event_file: Path | None = None) -> Any:
    pythia = _configured(settings)
    if event_file:
        # A line of text would end at the path's first space.
        pythia.settings.word("Beams:LHEF", str(event_file))
    _start(pythia)
    return pythia


def _start(pythia: Any) -> None:
    if not pythia.init():
        raise CardError("Pythia 8 cannot start with these settings")


def _stable(particles: ak.Array) -> ak.Array:
    """Return of events' stable particles what is kept of them."""
    particles = particles[particles.status > 0]
    return ak.zip({"id": particles.id} | {c: particles.p[c] for c in ("e", "px", "py", "pz")})


def _flatten(particles: ak.Array) -> Particles:
    momenta = [ak.to_numpy(ak.flatten(particles[c])) for c in ("e", "px", "py", "pz")]
    return Particles(
        counts=ak.to_numpy(ak.num(particles)).astype(np.int32),
        pdg_id=ak.to_numpy(ak.flatten(particles.id)).astype(np.int32),
        momenta=np.stack(momenta, -1).astype(np.float32),
    )
