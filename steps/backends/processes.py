"""Processes that Pythia 8 generates itself, beside those of a generator: always backgrounds.

They need no file of parton-level events: a job's folder says all, and its events come showered.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from steps.backends.cards import ReadCard
from steps.backends.plans import Plan
from steps.physics.hard import HardProcessError
from steps.physics.reweighting import alpha_s_powers, varies_coupling
from steps.physics.shower import (
    CardError,
    Produced,
    RareError,
    Variations,
    check_settings,
    check_start,
    hard_codes,
    produce,
)
from steps.stage.errors import SettingError, reading

BACKEND = "pythia"
_FILE = "process.yml"
_OF_JOB = ("name", "card", "filter", "energy", "alpha_s_power")
# What the workflow sets, in small letters as Pythia compares them.
_OURS = ("beams:", "random:")

Process = Mapping[str, Any]
"""``name``, ``card`` (``name`` and ``text``), ``filter``, ``energy`` in GeV, ``num_events`` and
``events_per_job``; and ``alpha_s_power`` where the input file has it."""

Systematics = Sequence[Mapping[str, Any]]
"""Entries of ``systematics``, complete."""


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
    kept = {key: process.get(key) for key in ("name", "num_events", "events_per_job")}
    kept |= {key: process[key] for key in ("alpha_s_power",) if key in process}
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
        raise _no_start(process, error) from None
    # Neither the number of events nor other processes: a job does not change with them.
    job = {key: value for key, value in process.items() if key in _OF_JOB}
    text = yaml.safe_dump(job, sort_keys=False)

    def fill(folder: Path) -> None:
        (folder / _FILE).write_text(text)

    return fill


def generate(
    plan: Plan,
    job_dir: Path,
    shower_card: Mapping[str, str],
    systematics: Systematics,
    rng: np.random.Generator,
    progress: Callable[[int], None],
) -> Produced:
    """Generate and shower the events of a job.

    Args:
        plan: What to generate.
        job_dir: Folder that :func:`prepare` filled.
        shower_card: ``name`` and ``text``.
        systematics: Those of types ``shower``, ``scale`` and ``pdf`` that affect the process.
        rng: Source of Pythia's own seed.
        progress: Called with the number of events so far.

    Raises:
        SettingError: Pythia cannot start, or hardly an event passes the filter.
    """
    path = job_dir / _FILE
    with reading(path, "the process of a job", "run stage generate again"):
        process = dict(yaml.safe_load(path.read_text()))

    where = _where(process)
    of_shower = [entry for entry in systematics if entry["type"] == "shower"]
    others = [entry for entry in systematics if entry["type"] != "shower"]
    variations = Variations(of_shower, others, process.get("alpha_s_power"))
    try:
        settings = [*shower_card["text"].splitlines(), *_settings(process)]
        return produce(settings, plan.n_events, process["filter"], rng, progress, variations)
    except CardError as error:
        raise SettingError(f"{where}: {process['card']['name']}: {error}; mend it") from None
    except RareError as error:
        raise SettingError(f"{where}: filter: {error}; loosen it, or cut in the card") from None


def check_variations(
    process: Process, shower_card: Mapping[str, str], systematics: Systematics
) -> None:
    """Check that responses of a process can be told; starts Pythia where it is to tell some.

    Args:
        process: The process.
        shower_card: ``name`` and ``text``.
        systematics: All of them.

    Raises:
        SettingError: They cannot.
    """
    name = process["name"]
    wanted = [e for e in systematics if e["type"] in ("scale", "pdf") and name in e["processes"]]
    if not wanted:
        return
    try:
        codes = hard_codes([*shower_card["text"].splitlines(), *_settings(process)])
    except CardError as error:
        raise _no_start(process, error) from None
    except HardProcessError as error:
        raise SettingError(
            f"systematics: {wanted[0]['name']}: processes: a {wanted[0]['type']} of {name} is not "
            f"known: {error}; name the other processes, and give it a norm"
        ) from None
    for entry in wanted:
        if varies_coupling(entry):
            _check_powers(process, entry, codes)


def _check_powers(process: Process, entry: Mapping[str, Any], codes: Mapping[int, str]) -> None:
    try:
        powers = alpha_s_powers(codes, process.get("alpha_s_power"))
    except KeyError as error:
        (code,) = error.args
        raise SettingError(
            f"{_where(process)}: alpha_s_power is missing: '{entry['name']}' in systematics varies "
            f"the strong coupling, whose power in Pythia's {codes[code]} ({code}) is not known "
            "here; give it"
        ) from None
    if entry["scale"] == "mur" and entry["processes"] == [process["name"]] and not powers.any():
        raise SettingError(
            f"systematics: {entry['name']}: {process['name']} has no strong coupling at leading "
            "order, so mur changes nothing; choose muf, or remove the entry"
        )


def _settings(process: Process) -> Sequence[str]:
    """Return Pythia's settings, which count over those before: the shower card's."""
    return [
        *process["card"]["text"].splitlines(),
        "Beams:frameType = 1",
        f"Beams:eCM = {process['energy']}",
    ]


def _no_start(process: Process, error: CardError) -> SettingError:
    where = f"{_where(process)}: {process['card']['name']}"
    return SettingError(f"{where}: {error}; does it switch a process on?")


def _where(process: Process) -> str:
    return f"generator: processes: {process['name']}"
