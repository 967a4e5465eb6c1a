"""Parameters of a workflow that are not in the input files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steps.settings.overrides import SECTIONS
from steps.stage.errors import InputError


@dataclass(frozen=True)
class Parameters:
    """Parameters of a workflow.

    Attributes:
        seed: Seed of the run.
        num_events: Events per benchmark; 0: as in the input file.
        num_procs_per_job: Jobs per benchmark; 0: of the size in the input file.
        overrides: Texts ``key=value key=value`` by workflow parameter, ``mlflow_args_s``, ….
    """

    seed: int
    num_events: int
    num_procs_per_job: int
    overrides: Mapping[str, str]


# Default and largest value; the least is zero.
_LIMITS = {"seed": (1, 2**63 - 1), "num_events": (0, 10**9), "num_procs_per_job": (0, 10**9)}


def read(values: Mapping[str, Any]) -> Parameters:
    """Read parameters by name; those that are missing or None have their defaults.

    Raises:
        InputError: One is not a whole number, too small or too large.
    """
    counts = {}
    for name, (default, high) in _LIMITS.items():
        given = default if values.get(name) is None else values[name]
        try:
            counts[name] = _whole(str(given))
        except ValueError:
            counts[name] = -1
        if not 0 <= counts[name] <= high:
            raise InputError(f"{name}: {given!r}; give a whole number from 0 to {high}")
    overrides = {name: str(values.get(name) or "") for name in SECTIONS}
    return Parameters(**counts, overrides=overrides)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    # 'mlflow run' writes whole numbers as 1e4.
    if not number.is_integer():
        raise ValueError(text)
    return int(number)
