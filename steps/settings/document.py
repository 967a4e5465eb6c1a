"""Reading a user's YAML file: one line for what is wrong with it, defaults for what it omits."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from steps.settings.schema import schema
from steps.stage.errors import InputError
from steps.stage.texts import read_yaml


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read an input file, check it against its schema and insert the schema's defaults.

    Args:
        path: The file.
        kind: ``ph`` or ``ml``.

    Raises:
        InputError: The file cannot be read or does not fit.
    """
    content = read_yaml(path)
    error = _mismatch(content, schema(kind))
    if error is not None:
        raise InputError(f"{path}: {_describe(error)}")
    _complete(content, schema(kind))
    result: dict[str, Any] = content
    return result


def _mismatch(content: Any, of: Mapping[str, Any]) -> jsonschema.ValidationError | None:
    errors = jsonschema.Draft7Validator(of).iter_errors(content)
    found: jsonschema.ValidationError | None = jsonschema.exceptions.best_match(errors)
    return found


def reject_duplicates(path: Path, section: str, key: str, names: Sequence[str]) -> None:
    """Refuse a section in which two entries have the same name.

    Raises:
        InputError: A name appears twice.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: {section}: {key} '{name}' appears twice; rename one")


_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "True or False",
    "null": "nothing",
}
_MOST_SHOWN = 60


def _describe(error: jsonschema.ValidationError) -> str:
    """Return what is wrong, where and what to do, in one line."""
    where = "".join(f"{p + 1 if isinstance(p, int) else p}: " for p in error.absolute_path)
    of = error.schema if isinstance(error.schema, dict) else {}
    remedy = of.get("description")
    value = error.instance
    shown = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}..."
    violated = str(error.validator)
    message = f"{shown} does not fit"
    if isinstance(value, int | float):
        message = error.message
    if violated == "required":
        missing = error.message.split("'")[1]
        message = f"key '{missing}' is missing"
        remedy = of.get("properties", {}).get(missing, {}).get("description", "add it")
    elif violated == "enum":
        message = f"{shown} is not known"
    elif violated == "type":
        types = [of["type"]] if isinstance(of["type"], str) else of["type"]
        message = f"{shown} is not {' or '.join(_KINDS[kind] for kind in types)}"
    elif violated == "additionalProperties":
        unknown = next(key for key in error.instance if not _is_known(key, of))
        message = f"key '{unknown}' is not known"
        named = sorted(of.get("properties", ()))
        remedy = f"known keys: {', '.join(named)}" if named else remedy
    if not where and violated == "type":
        message = f"holds {shown} instead of sections"
    return f"{where}{message}; {remedy or 'see docs/inputs.md'}"


def _is_known(key: str, of: Mapping[str, Any]) -> bool:
    patterns = of.get("patternProperties", ())
    return key in of.get("properties", ()) or any(re.search(p, key) for p in patterns)


def _complete(content: dict[str, Any], of: Mapping[str, Any]) -> None:
    """Insert the defaults of a schema, also of optional sections that are absent; see _whole."""
    for key, sub in of.get("properties", {}).items():
        if key not in content and "default" in sub:
            content[key] = json.loads(json.dumps(sub["default"]))
        if isinstance(content.get(key), dict):
            _complete(content[key], sub)
        elif isinstance(content.get(key), list):
            items = sub.get("items", {})
            content[key] = [_whole(item, items) for item in content[key]]
            for item in content[key]:
                if isinstance(item, dict):
                    _complete(item, items)
        elif key in content:
            content[key] = _whole(content[key], sub)


def _whole(value: Any, of: Mapping[str, Any]) -> Any:
    """Return a number as an integer where it is one: to a schema 1.0e+4 is a whole number too."""
    return int(value) if of.get("type") == "integer" and isinstance(value, float) else value
