"""The tracking server of a run: from the environment or the parameters, without credentials."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.engine.errors import UsageError
from steps.tracking.addresses import without_credentials

VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
_SQLITE = "sqlite:///"


def resolve(parameters: Mapping[str, Any], *, here: bool, default: str = "") -> dict[str, Any]:
    """Return parameters that name the tracking server, if there is one, and no secret.

    A server comes from ``mlflow_server`` or else from ``MLFLOW_TRACKING_URI``; the user from
    ``mlflow_username`` or else from ``MLFLOW_USERNAME``. Parameters are written to files and logs,
    so a URI with credentials goes on to the steps in the environment, where they look for it.

    Args:
        parameters: Values of the workflow's parameters.
        here: Whether steps are processes of this machine, which see its files.
        default: Server where none is named.

    Raises:
        UsageError: Steps elsewhere are to write to a database file.
    """
    result = dict(parameters)
    if "mlflow_server" not in result:
        return result
    server = str(result["mlflow_server"] or os.environ.get("MLFLOW_TRACKING_URI", default))
    if server.startswith(_SQLITE):
        if not here:
            raise UsageError(
                f"mlflow_server: {server}: steps in containers or on other machines cannot write "
                "to this file; start a server ('make mlflow-server') and set MLFLOW_TRACKING_URI"
            )
        # Steps run in folders of their own.
        file = Path(server.removeprefix(_SQLITE)).absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        server = _SQLITE + str(file)
    result["mlflow_server"] = without_credentials(server)
    result["mlflow_username"] = result["mlflow_username"] or os.environ.get("MLFLOW_USERNAME", "")
    if server:
        os.environ["MLFLOW_TRACKING_URI"] = server
    return result


def is_local(server: str) -> bool:
    """Whether a server listens on this machine's own address, which containers do not have."""
    return urlsplit(server).hostname in ("localhost", "127.0.0.1", "::1")
