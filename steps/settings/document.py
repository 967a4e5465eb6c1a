"""Reading a user's YAML file: one line for what is wrong with it, defaults for what it omits."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from steps.settings.schema import schema
from steps.stage.errors import InputError


def read(path: Path) -> Any:
    """Read a YAML file that holds nothing but finite numbers, texts, lists and mappings.

    Raises:
        InputError: The file is absent or not YAML, or has a key that is not text.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text; give a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{path}: {line}{problem}; mend the YAML") from None
    _reject_unusable(path, content)
    return content


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read an input file, check it against its schema and insert the schema's defaults.

    Args:
        path: The file.
        kind: ``ph`` or ``ml``.

    Raises:
        InputError: The file cannot be read or does not fit.
    """
    content = read(path)
    error = _mismatch(content, schema(kind))
    if error is not None:
        raise InputError(f"{path}: {_describe(error)}")
    _fill_defaults(content, schema(kind))
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


def _reject_unusable(path: Path, content: Any, where: str = "") -> None:
    if isinstance(content, float) and not math.isfinite(content):
        raise InputError(f"{path}: {where}{content}; give a finite number")
    items: Iterable[tuple[Any, Any]] = content.items() if isinstance(content, dict) else ()
    if isinstance(content, list):
        items = enumerate(content, start=1)
    for key, value in items:
        if isinstance(content, dict) and not isinstance(key, str):
            raise InputError(f"{path}: {where}key {key!r} is not text to YAML; put it in quotes")
        _reject_unusable(path, value, f"{where}{key}: ")


def _describe(error: jsonschema.ValidationError) -> str:
    """Return what is wrong, where and what to do, in one line."""
    where = ": ".join(str(p + 1) if isinstance(p, int) else str(p) for p in error.absolute_path)
    remedy = error.schema.get("description") if isinstance(error.schema, dict) else None
    message = error.message if len(error.message) < 160 else f"{error.message[:157]}..."
    violated = str(error.validator)
    if violated == "required":
        missing = error.message.split("'")[1]
        message = f"key '{missing}' is missing"
        remedy = error.schema.get("properties", {}).get(missing, {}).get("description", "add it")
    elif violated == "enum":
        message = f"{error.instance!r} is not known"
    elif violated == "additionalProperties":
        remedy = f"known keys: {', '.join(sorted(error.schema['properties']))}"
    text = f"{where}: {message}" if where else message
    return " ".join((f"{text}; {remedy}" if remedy else text).split())


def _fill_defaults(content: dict[str, Any], of: Mapping[str, Any]) -> None:
    """Insert the defaults of a schema, also those of optional sections that are absent."""
    for key, sub in of.get("properties", {}).items():
        if key not in content and "default" in sub:
            content[key] = json.loads(json.dumps(sub["default"]))
        if isinstance(content.get(key), dict):
            _fill_defaults(content[key], sub)
        elif isinstance(content.get(key), list):
            for item in content[key]:
                if isinstance(item, dict):
                    _fill_defaults(item, sub["items"])
