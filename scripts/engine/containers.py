"""Container engines: whether one answers, has the images, and how steps run in it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.engine import tracking
from scripts.engine.errors import UsageError
from scripts.engine.parameters import split

# How each engine says whether it runs without root.
_ROOTLESS = {
    "docker": ("{{.SecurityOptions}}", "rootless"),
    "podman": ("{{.Host.Security.Rootless}}", "true"),
}
ENGINES = tuple(_ROOTLESS)
_SHIMS = Path(__file__).parent


def check(engine: str, specification: Path) -> None:
    """Refuse a run that an engine cannot make.

    Args:
        engine: One of ``ENGINES``.
        specification: Workflow file; the ``steps.yml`` below its folder name the images.

    Raises:
        UsageError: The engine does not answer, or lacks an image.
    """
    if _info(engine) is None:
        raise UsageError(f"no container engine answers ({engine} info); use RUNTIME=native")
    for image in sorted(_images(specification)):
        if digest(engine, image) is None:
            raise UsageError(
                f"{engine} has no image {image}; 'make build ENGINE={engine}' builds it, "
                f"'{engine} pull {image}' fetches it where it is published"
            )


def digest(engine: str, image: str) -> str | None:
    """Return the digest of an image; None where the engine does not have it."""
    answer = _call(engine, "image", "inspect", "--format", "{{.Id}}", image)
    return None if answer is None else answer.strip()


def environment(engine: str, parameters: Mapping[str, Any], inputs: Path) -> dict[str, str]:
    """Return the environment variables that make Packtivity run steps in an engine.

    Args:
        engine: One of ``ENGINES``.
        parameters: Values of the workflow's parameters, files as absolute paths.
        inputs: The inputs folder, which Packtivity mounts by itself.
    """
    texts = [split(str(value))[0] for value in parameters.values()]
    files = [Path(text) for text in texts if text.startswith("/")]
    outside = {path.parent for path in files if path.is_file() and inputs not in path.parents}
    # Results must belong to the user, who could not delete them otherwise: the user of the same
    # number, or where the engine runs without root, its root.
    sign = _ROOTLESS[engine][1]
    user = "0:0" if sign in (_info(engine) or "") else f"{os.getuid()}:{os.getgid()}"
    options = [f"--user {user}", *(f"-v '{path}:{path}:ro'" for path in sorted(outside))]
    # Names alone: the engine takes the values from its own environment.
    options += [f"-e {name}" for name in tracking.VARIABLES if os.environ.get(name)]
    if tracking.is_local(str(parameters.get("mlflow_server", ""))):
        options.append("--network host")
    variables = {"PACKTIVITY_DOCKER_NOPULL": "1", "PACKTIVITY_DOCKER_CMD_MOD": " ".join(options)}
    if engine == "podman":
        variables["PATH"] = os.pathsep.join([str(_SHIMS / engine), os.environ.get("PATH", "")])
        # Where SELinux rules, podman's containers may not read a user's folders.
        variables["PACKTIVITY_DOCKER_CMD_MOD"] += " --security-opt label=disable"
    return variables


def _images(specification: Path) -> set[str]:
    images = set()
    for file in specification.parent.rglob("steps.yml"):
        for step in yaml.safe_load(file.read_text()).values():
            environment = step.get("environment", {})
            if "image" in environment:
                images.add(f"{environment['image']}:{environment.get('imagetag', 'latest')}")
    return images


def _info(engine: str) -> str | None:
    return _call(engine, "info", "--format", _ROOTLESS[engine][0])


def _call(engine: str, *arguments: str) -> str | None:
    """Return what an engine prints, or None where it fails."""
    if shutil.which(engine) is None:
        return None
    with contextlib.suppress(subprocess.TimeoutExpired):
        answer = subprocess.run([engine, *arguments], capture_output=True, text=True, timeout=30)
        return answer.stdout if answer.returncode == 0 else None
    return None
