"""What a user wrote: text files, and YAML of numbers, texts, lists and mappings."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from steps.stage.errors import InputError

EMPTY = ("", "''")
"""What a user may write for no text: bare Yadage takes the empty one for a path that exists."""

# Characters of a file, values in it with those that aliases repeat, and lists within lists.
_LONGEST = 1_000_000
_MOST = 100_000
_DEEPEST = 20
_LARGEST = 2**63
_NOT_YAML = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)


class TextError(Exception):
    """A text is not what it should be: what is wrong, and the remedy."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML forbids, but PyYAML takes the last of."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: Any = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    problem = f"key '{key.value}' appears twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add((key.tag, key.value))
        return node


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        TextError: It is no text, or too long for one.
        OSError: It cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
    except UnicodeDecodeError:
        raise TextError("is not text in UTF-8; save it as such") from None
    if len(text) > _LONGEST:
        raise TextError(f"is longer than {_LONGEST} characters; check the path")
    if "\0" in text:
        raise TextError("is not text, it has zero bytes; check the path")
    return text


def read_yaml(path: Path) -> Any:
    """Read a YAML file that holds nothing but finite numbers, texts, lists and mappings.

    Raises:
        InputError: The file is absent or not YAML, or holds something else.
    """
    try:
        content = parse_yaml(read_text(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except TextError as error:
        raise InputError(f"{path}: {error}") from None
    return content


def parse_yaml(text: str) -> Any:
    """Return what a text in YAML holds: finite numbers, texts, lists and mappings.

    Raises:
        TextError: It is not YAML, or holds something else.
    """
    try:
        content = _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else "is not YAML: "
        problem = getattr(error, "problem", None) or getattr(error, "reason", "odd characters")
        raise TextError(f"{line}{problem}; mend the YAML") from None
    except RecursionError:
        raise TextError("is nested too deeply; mend the YAML") from None
    except _NOT_YAML:
        raise TextError(
            "is not YAML: a value is not of the kind that it looks like or its tag says; "
            "put it in quotes"
        ) from None
    _reject_unusable(content, "", iter(range(_MOST)))
    return content


def _reject_unusable(value: Any, where: str, left: Iterator[int], depth: int = 0) -> None:
    """Refuse what is no plain value; an alias may repeat a part a million times."""
    if next(left, None) is None or depth > _DEEPEST:
        raise TextError(
            f"{where}holds too much: more than {_MOST} values, or parts {_DEEPEST} deep; "
            "write less, without aliases of aliases"
        )
    if reason := _unusable(value):
        raise TextError(f"{where}{reason}")
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value, start=1)
    for key, part in items:
        if not isinstance(key, str) and isinstance(value, dict):
            raise TextError(f"{where}key {key} is not text to YAML; put it in quotes")
        if _unusable(key):
            raise TextError(f"{where}key {key!r} is not text; remove odd characters")
        _reject_unusable(part, f"{where}{key}: ", left, depth + 1)


def _unusable(value: Any) -> str:
    """Return what is wrong with a value and the remedy; empty for nothing."""
    match value:
        case None | bool() | list() | dict():
            return ""
        case str():
            odd = "\0" in value or any("\ud800" <= c <= "\udfff" for c in value)
            return "has characters that are no text; remove them" if odd else ""
        case int():
            return "" if abs(value) < _LARGEST else "is too large a number; give one below 9e18"
        case float():
            return "" if math.isfinite(value) else f"{value}; give a finite number"
    return "is a date, or a kind of value that is not used here; put it in quotes"
