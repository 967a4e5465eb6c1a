"""Both input files, checked against each other before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steps.recasting import analysis
from steps.settings import learning, observed, parameters, physics, theory

REINTERPRETATION = analysis.PARAMETERS
"""Parameters of the workflow that say what is reinterpreted, and how."""


def check(
    values: Mapping[str, Any],
    *,
    ph: Path | None = None,
    ml: Path | None = None,
    data_file: Path | None = None,
    programs: bool = False,
) -> list[str]:
    """Check all that a run is given.

    Args:
        values: Parameters of the workflow by name; ``observed_file`` may be among them.
        ph: Input file of the physics half, if that runs.
        ml: Input file of the machine-learning half, if that runs.
        data_file: MadMiner file, if machine learning or the reinterpretation runs alone.
        programs: Whether the steps run on this machine, whose programs must be there then.

    Returns:
        Warnings, one line each: what is allowed but unlikely to be meant.

    Raises:
        steps.stage.errors.InputError: The first thing that is wrong, in one line.
    """
    given = parameters.read(values)
    events = physics.read(ph, given) if ph else None
    if events and programs:
        physics.find_programs(events)
    if "bins" in values and (events or data_file):
        known = events.theory if events else theory.of_file(Path(str(data_file)))
        analysis.check(values, known.parameters, known.observables)
    if not ml:
        return []
    spec = learning.read(ml, given)
    text, found = observed_file(values), None
    if events:
        learning.check_against(spec, events.theory)
        found = observed.read(text, events.theory.observables)
    elif data_file:
        learning.check_against(spec, theory.of_file(data_file))
        if text:
            found = observed.check(text, spec, data_file)
    return [*learning.warnings(spec), *(found.warnings if found else ())]


def observed_file(values: Mapping[str, Any]) -> str:
    """Return the file of observed events; empty for none, which Yadage's users write as ``''``."""
    text = str(values.get("observed_file") or "")
    return "" if text == "''" else text
