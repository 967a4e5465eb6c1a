"""The parts of the documentation that the code knows: ``make docs`` writes them anew.

Schemas for editors go to ``docs/schemas``; tables and the map of the rooms go between markers
``<!-- made by 'make docs': NAME -->`` and ``<!-- end -->`` of Markdown files.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts import rooms
from steps.events.expressions import LANGUAGE
from steps.inference.methods import METHODS
from steps.settings.schema import KINDS, schema

ROOT = Path(__file__).parents[1]
_FILES = ("docs/inputs.md", "CONTRIBUTING.md")
_PART = re.compile(r"(<!-- made by 'make docs': (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def texts() -> dict[Path, str]:
    """Return all files that hold such parts, as they should be."""
    made = {
        ROOT / "docs/schemas" / f"{kind}.json": json.dumps(schema(kind), indent=1) + "\n"
        for kind in KINDS
    }
    parts = _parts()
    for name in _FILES:
        text = (ROOT / name).read_text()
        made[ROOT / name] = _PART.sub(lambda m: f"{m[1]}\n{parts[m[2]]}\n{m[3]}", text)
    return made


def _parts() -> dict[str, str]:
    return {
        "keys of the physics input": _keys("ph"),
        "keys of the machine-learning input": _keys("ml"),
        "methods": _methods(),
        "language": _language(),
        "rooms": rooms.mermaid(),
    }


def _keys(kind: str) -> str:
    rows = ["| key | meaning | default |", "| --- | --- | --- |"]
    methods = set(METHODS)
    for key, of in _walk(schema(kind)):
        if key in methods:
            continue
        meaning = "; ".join(of[name] for name in ("title", "description") if name in of)
        default = of.get("default", "")
        shown = "" if default in ("", {}, []) else f"`{json.dumps(default)}`"
        rows.append(f"| `{key}` | {meaning} | {shown} |".replace("|M|^2", "\\|M\\|²"))
    return "\n".join(rows) + "\n"


def _walk(of: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the keys below a schema, in its order, and what it says of each."""
    for key, sub in of.get("properties", {}).items():
        yield prefix + key, sub
        items = sub.get("items", {})
        yield from _walk(items if "properties" in items else sub, f"{prefix}{key}: ")


def _methods() -> str:
    rows = ["| method | its network estimates | estimators | limits | `alpha` | source |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    for method in METHODS.values():
        link = f"[{method.source}](https://arxiv.org/abs/{method.source.removeprefix('arXiv:')})"
        alpha = "yes" if method.uses_alpha else ""
        forms = " ".join(f"`{form}`" for form in method.estimators)
        cells = (
            *(f"`{method.name}`", method.kind.value, forms),
            *(method.likelihood.value, alpha, link),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _language() -> str:
    lines = [
        f"* {kind}: {' '.join(f'`{name}`' for name in names)}" for kind, names in LANGUAGE.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write what is not as it should be."""
    for path, text in texts().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
