"""Processes that Pythia 8 generates itself, beside those of a generator: always backgrounds.

They need no file of parton-level events: a job's folder says all, and its events come showered.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from steps.backends.cards import ReadCard
from steps.backends.plans import Plan
from steps.physics.shower import (
    CardError,
    Produced,
    RareError,
    check_settings,
    check_start,
    produce,
)
from steps.stage.errors import SettingError

BACKEND = "pythia"
_FILE = "process.yml"
# What the workflow sets, in small letters as Pythia compares them.
_OURS = ("beams:", "random:")

Process = Mapping[str, Any]
"""``name``, ``card`` (``name`` and ``text``), ``filter``, ``energy`` in GeV and ``num_events``."""


def split(section: Mapping[str, Any]) -> tuple[dict[str, Any], list[Process]]:
    """Return a section ``generator`` without Pythia's processes, and these."""
    processes = section.get("processes", [])
    pythia_s = [process for process in processes if process["backend"] == BACKEND]
    rest = [
        {key: value for key, value in process.items() if key != "backend"}
        for process in processes
        if process["backend"] != BACKEND
    ]
    others = {key: value for key, value in section.items() if key != "processes"}
    return others | ({"processes": rest} if rest else {}), pythia_s


def complete(process: Process, read_card: ReadCard, energy: float) -> Process:
    """Return a process of the input file with its card's text and the energy of the protons."""
    card = read_card(f"{_where(process)}: card", process["card"], "")
    kept = {key: process.get(key) for key in ("name", "num_events")}
    return {**kept, "card": card, "filter": process.get("filter", {}), "energy": energy}


def check(process: Process) -> None:
    """Check what can be without starting Pythia.

    Raises:
        SettingError: Pythia does not know a setting of the card, or it is not the card's to make,
            or nothing passes the filter.
    """
    where, card = _where(process), process["card"]
    for line in card["text"].splitlines():
        if line.strip().lower().startswith(_OURS):
            raise SettingError(
                f"{where}: {card['name']}: beams and seed are set by the workflow; "
                f"remove '{line.strip()}'"
            )
    try:
        check_settings(card["text"].splitlines())
    except CardError as error:
        raise SettingError(f"{where}: {card['name']}: {error}; mend it") from None
    for kind, wanted in process["filter"].items():
        masses = wanted.get("mass_min", 0.0), wanted.get("mass_max", math.inf)
        if masses[0] >= masses[1]:
            raise SettingError(
                f"{where}: filter: {kind}: mass_min is not below mass_max; swap them"
            )


def prepare(process: Process) -> Callable[[Path], None]:
    """Check that Pythia starts, and return what fills the folder of a job.

    Raises:
        SettingError: It does not.
    """
    try:
        check_start(_settings(process))
    except CardError as error:
        raise SettingError(
            f"{_where(process)}: {process['card']['name']}: {error}; does it switch a process on?"
        ) from None
    # Neither the number of events nor other processes: a job does not change with them.
    job = {key: process[key] for key in ("name", "card", "filter", "energy")}
    text = yaml.safe_dump(job, sort_keys=False)

    def fill(folder: Path) -> None:
        (folder / _FILE).write_text(text)

    return fill


@dataclass(frozen=True)
class Shower:
    """How events are showered.

    Attributes:
        card: ``name`` and ``text`` of the shower card.
        variations: Entries of ``systematics`` of type ``shower``.
    """

    card: Mapping[str, str]
    variations: Sequence[Mapping[str, Any]] = ()


def generate(
    plan: Plan,
    job_dir: Path,
    shower: Shower,
    rng: np.random.Generator,
    progress: Callable[[int], None],
) -> Produced:
    """Generate and shower the events of a job.

    Raises:
        SettingError: Pythia cannot start, or hardly an event passes the filter.
    """
    process = yaml.safe_load((job_dir / _FILE).read_text())

    where = _where(process)
    try:
        settings = [*shower.card["text"].splitlines(), *_settings(process)]
        return produce(settings, plan.n_events, process["filter"], rng, progress, shower.variations)
    except CardError as error:
        raise SettingError(f"{where}: {process['card']['name']}: {error}; mend it") from None
    except RareError as error:
        raise SettingError(f"{where}: filter: {error}; loosen it, or cut in the card") from None


def check_variations(process: Process, systematics: Sequence[Mapping[str, Any]]) -> None:
    """Check that responses of a process can be told.

    Args:
        process: The process.
        systematics: Entries of ``systematics``, complete.

    Raises:
        SettingError: They cannot.
    """
    for entry in systematics:
        if entry["type"] in ("scale", "pdf") and process["name"] in entry["processes"]:
            raise SettingError(
                f"systematics: {entry['name']}: processes: a {entry['type']} of {process['name']}, "
                "which Pythia generates, is not known; name the other processes, and give it a norm"
            )


def _settings(process: Process) -> Sequence[str]:
    """Return Pythia's settings, which count over those before: the shower card's."""
    return [
        *process["card"]["text"].splitlines(),
        "Beams:frameType = 1",
        f"Beams:eCM = {process['energy']}",
    ]


def _where(process: Process) -> str:
    return f"generator: processes: {process['name']}"
