"""Look the pinned packages up in a database of known vulnerabilities.

``python -m scripts.audit``: every line of ``requirements/*.txt`` must pin one version; all of these
are asked for in one request to the interface of OSV (https://osv.dev), which has the advisories of
the Python Packaging Authority and GitHub. It ends with status 0 where none is known, 1 where one is
or a package is not pinned, and 3 where the service does not answer: nothing is known then.
"""

import argparse
import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.engine.launch import ROOT

SERVICE = "https://api.osv.dev"
UNKNOWN = 3
"""Exit status: the service did not answer."""

_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[\w,.-]*\])?==([\w.!+-]+)(?:\s*;.*)?")
_SECONDS = 60
# Advisories of one package come in pages.
_MOST_PAGES = 50


class _SilentError(Exception):
    """The service cannot be asked, or answers something else."""


def main() -> int:
    """Say what is known about the pins."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--service", default=SERVICE, help="address (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=ROOT / "requirements", help="of the pins")
    options = parser.parse_args()
    found, loose = pins(options.folder)
    for line in loose:
        print(f"error: {line}: pins no version; run 'make lock'", file=sys.stderr)
    if loose or not found:
        return 1
    try:
        known = vulnerabilities(options.service, sorted(found))
    except _SilentError as error:
        print(
            f"error: {options.service}: {error}; nothing is known about {len(found)} packages, "
            "try again where it can be reached",
            file=sys.stderr,
        )
        return UNKNOWN
    for (name, version), names in known.items():
        where = ", ".join(sorted(found[name, version]))
        print(f"{name} {version} ({where}): {', '.join(names)}")
    print(f"{len(found)} packages, {len(known)} with known vulnerabilities")
    return 1 if known else 0


Pin = tuple[str, str]


def pins(folder: Path) -> tuple[dict[Pin, set[str]], list[str]]:
    """Return what is pinned where, and lines ``file:number: text`` that pin nothing.

    Args:
        folder: Folder of the requirements.

    Returns:
        Names of files by name and version of a package; the lines.
    """
    found: dict[Pin, set[str]] = {}
    loose = []
    for path in sorted(folder.glob("*.txt")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            text = line.partition("#")[0].strip()
            if match := _PIN.fullmatch(text):
                found.setdefault((match[1], match[2]), set()).add(path.name)
            elif text:
                loose.append(f"{path.name}:{number}: {text}")
    return found, loose


def vulnerabilities(service: str, wanted: Sequence[Pin]) -> dict[Pin, list[str]]:
    """Return the names of known vulnerabilities by package, of those that have any."""
    known: dict[Pin, list[str]] = {}
    asked = [(pin, "") for pin in wanted]
    for _ in range(_MOST_PAGES):
        following = []
        for (pin, _page), answer in zip(asked, _ask(service, asked), strict=True):
            names = [str(each["id"]) for each in answer.get("vulns", ())]
            if names:
                known.setdefault(pin, []).extend(names)
            if page := answer.get("next_page_token"):
                following.append((pin, page))
        if not following:
            return known
        asked = following
    raise _SilentError("its answer does not end")


def _ask(service: str, asked: Sequence[tuple[Pin, str]]) -> Sequence[Mapping[str, Any]]:
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        | ({"page_token": page} if page else {})
        for (name, version), page in asked
    ]
    request = urllib.request.Request(
        f"{service.rstrip('/')}/v1/querybatch",
        data=json.dumps({"queries": queries}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            found = json.load(answer)["results"]
        if len(found) != len(asked) or not all(isinstance(each, dict) for each in found):
            raise ValueError
        [each["id"] for result in found for each in result.get("vulns", ())]
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _SilentError(f"does not answer ({' '.join(str(error).split())})") from None
    except (ValueError, KeyError, TypeError):
        raise _SilentError("answers something else than OSV") from None
    return list(found)


if __name__ == "__main__":
    sys.exit(main())
