"""Files of settings to compare: a list of overrides of the training."""

from pathlib import Path
from typing import Any, NamedTuple

from steps.settings import overrides
from steps.stage.errors import InputError
from steps.stage.texts import read_yaml

_TRAINING = "mlflow_args_t"


class Sweep(NamedTuple):
    """Settings to compare.

    Attributes:
        metric: Metric to sort by; empty for the default one.
        settings: For each training what it overrides.
    """

    metric: str
    settings: list[dict[str, Any]]


def read(path: Path) -> Sweep:
    """Read a file of settings.

    Raises:
        InputError: The file is not what it should be.
    """
    content = read_yaml(path)
    lines = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(lines, list) or not lines or not all(isinstance(x, dict) for x in lines):
        raise InputError(f"{path}: settings: must be a list of mappings; see inputs/sweeps")
    settings = []
    for number, line in enumerate(lines, start=1):
        text = " ".join(f"{key}={_text(value)}" for key, value in line.items())
        try:
            settings.append(overrides.parse(_TRAINING, text))
        except InputError as error:
            message = str(error).removeprefix(f"{_TRAINING}: ")
            raise InputError(f"{path}: settings: line {number}: {message}") from None
    return Sweep(str(content.get("metric", "")), settings)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
