"""Overrides 'key=value key=value' of the sections of an input file of machine learning."""

import math
from collections.abc import Mapping
from typing import Any

import jsonschema

from steps.settings.schema import schema
from steps.stage.errors import InputError

SECTIONS = {
    "mlflow_args_s": "sampling",
    "mlflow_args_t": "training",
    "mlflow_args_e": "evaluating",
}
"""Section of the input file that each workflow parameter overrides."""

_NOTHING = ("", "''", '""')
_OLDER_NAMES = {"ntrainsamples": "n_sampling_runs"}


def parse(argument: str, text: str) -> dict[str, Any]:
    """Return the values of a text of overrides by key; ``''`` is none.

    Args:
        argument: Workflow parameter that the text is the value of, one of ``SECTIONS``.
        text: ``key=value`` pairs, separated by spaces; lists joined by commas. ``key=`` leaves the
            key as it is.

    Raises:
        InputError: A key is not known, or a value not of its kind and range.
    """
    known = schema("ml")["properties"][SECTIONS[argument]]["properties"]
    values = {}
    for item in [] if text.strip() in _NOTHING else text.split():
        key, _, value = item.partition("=")
        key = _OLDER_NAMES.get(key, key)
        if not value and key in known and "=" in item:
            continue  # an entry point of an MLflow project whose parameter is not given
        if key not in known:
            raise InputError(
                f"{argument}: '{item}' is not key=value with a key out of "
                f"{', '.join(known)}; mend the override"
            )
        try:
            values[key] = _value(value, known[key])
            jsonschema.Draft7Validator(known[key]).validate(values[key])
        except (ValueError, jsonschema.ValidationError):
            raise InputError(
                f"{argument}: {item}: does not fit; {known[key]['description']}"
            ) from None
    return values


def _value(text: str, of: Mapping[str, Any]) -> Any:
    match of.get("type"):
        case "array":
            return [_value(item, of["items"]) for item in text.split(",")]
        case "integer" | "number":
            number = float(text)
            if not math.isfinite(number):
                raise ValueError
            # 'mlflow run' writes whole numbers as 2e3.
            return int(number) if of["type"] == "integer" and number.is_integer() else number
    return text
