"""Where the Redis server is that a run shares with its workers."""

import os

from steps.tracking.addresses import without_credentials

VARIABLE = "CELERY_BROKER"
"""Environment variable: the server, ``redis://:password@host:port``."""

_DEFAULT = "redis://127.0.0.1:6379"


def url() -> str:
    """Where the server is, with its password; never to be shown."""
    return os.environ.get(VARIABLE) or _DEFAULT


def shown() -> str:
    """Where the server is, without its password."""
    return without_credentials(url())


def silent(error: object) -> str:
    """One line that says that the server does not answer, and why."""
    reason = " ".join(str(error).split()).rstrip(".")
    return f"{VARIABLE}: no Redis server answers at {shown()} ({reason})"
