"""The schemas of the input files: JSON, completed by the names that tables of the code hold."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from steps.backends import detectors, generators
from steps.inference.methods import ESTIMATORS, METHODS

_FOLDER = Path(__file__).parent / "schemas"
KINDS = ("ph", "ml")


@cache
def schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema of an input file; ``kind`` is one of ``KINDS``."""
    content: dict[str, Any] = json.loads((_FOLDER / f"{kind}.json").read_text())
    properties = content["properties"]
    if kind == "ph":
        for section, names in (("generator", generators.NAMES), ("detector", detectors.NAMES)):
            properties[section]["properties"]["backend"] |= _choice(names)
        return content
    properties["estimator"] |= _choice(ESTIMATORS)
    properties["methods"]["items"] = _choice(list(METHODS))
    for method in METHODS.values():
        properties[method.name] = {
            "$ref": f"#/definitions/{method.kind.name.lower()}",
            "description": f"where {method.name} samples",
        }
    return content


def _choice(names: list[str] | tuple[str, ...]) -> dict[str, Any]:
    return {"enum": list(names), "description": f"choose from {', '.join(names)}"}
