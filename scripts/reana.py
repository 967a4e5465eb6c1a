"""Run the workflow on a REANA cluster: ``python -m scripts.reana --help``.

It needs nothing but reana-client, whose environment it runs in.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from steps.tracking.addresses import without_credentials

ROOT = Path(__file__).resolve().parents[1]
SPECIFICATIONS = ("reana.yaml", "reana-ph.yaml", "reana-ml.yaml", "reana-recast.yaml")
_NEEDED = ("REANA_SERVER_URL", "REANA_ACCESS_TOKEN")
_MARK = "reana-run.txt"


class Refused(Exception):
    """What was asked for cannot be done; nothing was changed."""


def check() -> None:
    """Validate the specifications."""
    for file in SPECIFICATIONS:
        _client("validate", "--file", file)


def run(name: str, file: str, parameters: Sequence[str]) -> None:
    """Create a workflow, upload its files and start it.

    Args:
        name: Name of the workflow.
        file: REANA specification.
        parameters: Workflow parameters, ``NAME=VALUE``.
    """
    content = yaml.safe_load((ROOT / file).read_text())
    values = content["inputs"]["parameters"]
    for parameter in [*_tracking(values), *parameters]:
        key, _, value = parameter.partition("=")
        if key not in values:
            raise Refused(f"-p {parameter}: not a parameter of {file}; known: {', '.join(values)}")
        values[key] = value
    _client("ping")
    with tempfile.TemporaryDirectory() as scratch:
        # The client's own option for parameters takes no value with '=' in it.
        changed = Path(scratch) / file
        changed.write_text(yaml.safe_dump(content, sort_keys=False))
        output = _client("create", "--name", name, "--file", str(changed), capture=True)
    found = re.search(rf"^{re.escape(name)}\.\d+$", output, flags=re.MULTILINE)
    number = found[0] if found else name
    _client("upload", "--workflow", number)
    _client("start", "--workflow", number)
    print(f"{number}: 'make reana-status' watches it, 'make reana-download' gets the results")


def status(name: str) -> None:
    """Show what a workflow does."""
    _client("status", "--workflow", name, "--verbose")


def download(name: str, file: str, place: Path) -> None:
    """Get the outputs of a workflow into the layout of a local work directory.

    Args:
        name: Name of the workflow.
        file: REANA specification, which names the outputs.
        place: Folder, replaced if it is an earlier download.
    """
    if place.exists() and not (place / _MARK).exists():
        raise Refused(f"{place}: not an earlier download; remove it or use another WORKDIR")
    outputs = yaml.safe_load((ROOT / file).read_text())["outputs"]
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        new = scratch / "new"
        new.mkdir()
        for pattern in [*outputs.get("files", []), *outputs.get("directories", [])]:
            part = scratch / "part"
            _client("download", "--workflow", name, "--output-directory", str(part), pattern)
            _collect(part, new)
        (new / _MARK).write_text(f"{name}\n")
        if place.exists():
            place.rename(scratch / "old")
        new.rename(place)
    finally:
        shutil.rmtree(scratch)
    print(f"results: {place}")


def _collect(part: Path, place: Path) -> None:
    """Move downloaded files; folders and patterns come as archives of paths in the workspace."""
    for path in [p for p in part.rglob("*") if p.is_file()]:
        if path.suffix == ".zip" and path.name.startswith("download_"):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(place)
        else:
            target = place / path.relative_to(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    shutil.rmtree(part)


def _tracking(known: Sequence[str]) -> list[str]:
    """Parameters that name the tracking server of the environment, without its credentials."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri or "mlflow_server" not in known:
        return []
    if not uri.startswith(("http://", "https://")):
        shown = without_credentials(uri)
        raise Refused(f"MLFLOW_TRACKING_URI: {shown}: the cluster can reach servers alone")
    shown = without_credentials(uri)
    if shown != uri or "MLFLOW_TRACKING_PASSWORD" in os.environ:
        print(
            "the tracking server's password stays here; once, give it to REANA as a secret: "
            "reana-client secrets-add --env MLFLOW_TRACKING_USERNAME=… "
            "--env MLFLOW_TRACKING_PASSWORD=…"
        )
    user = os.environ.get("MLFLOW_USERNAME", "")
    return [f"mlflow_server={shown}", *([f"mlflow_username={user}"] if user else [])]


def _client(*arguments: str, capture: bool = False) -> str:
    """Call reana-client; the token reaches it by the environment alone.

    Raises:
        CalledProcessError: It failed, and said why.
    """
    command = [str(Path(sys.executable).with_name("reana-client")), *arguments]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        text=True,
        stdout=subprocess.PIPE if capture else None,
    )
    if capture:
        print(done.stdout, end="")
    done.check_returncode()
    return done.stdout or ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; the exit status is 0, 1 (failed) or 2 (not started)."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reana", description=__doc__)
    add = parser.add_argument
    add("command", choices=["check", "run", "status", "download"])
    add("--name", default="madminer-workflow", help="name of the workflow (default: %(default)s)")
    add("--file", choices=SPECIFICATIONS, default=SPECIFICATIONS[0], help="specification to run")
    add("--workdir", help="where results go (default: .yadage-reana)")
    add("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args(arguments)
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    try:
        if options.command == "check":
            check()
            return 0
        if missing:
            raise Refused(f"set {' and '.join(missing)}: your cluster's address and your token")
        match options.command:
            case "run":
                run(options.name, options.file, options.parameters)
            case "status":
                status(options.name)
            case "download":
                download(options.name, options.file, Path(options.workdir or ".yadage-reana"))
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: reana-client {error.cmd[1]} failed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
