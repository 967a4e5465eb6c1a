"""The Redis server that a run shares with its workers: where it is, whether it answers."""

import importlib.util
import os

from scripts.engine.errors import UsageError
from steps.interface.addresses import without_credentials

VARIABLE = "CELERY_BROKER"
"""Environment variable: the server, ``redis://:password@host:port``."""

_DEFAULT = "redis://127.0.0.1:6379"
_PATIENCE = 3.0


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


def check(*, workers: bool = True) -> None:
    """Refuse what cannot work.

    Args:
        workers: Whether somebody must be there to run steps.

    Raises:
        UsageError: Celery is not installed, the server does not answer, or no worker does.
    """
    if any(importlib.util.find_spec(name) is None for name in ("celery", "redis")):
        raise UsageError(
            "Celery is not installed; 'make run BACKEND=celery' does it, or "
            "'pip install -r requirements/celery.txt'"
        )
    if not url().startswith(("redis://", "rediss://")):
        raise UsageError(f"{VARIABLE}: {shown()}: must be redis://[:PASSWORD@]HOST[:PORT]")
    from redis import RedisError

    from scripts.engine import cluster, leases

    try:
        leases.connect().ping()
        if workers and not cluster.app.control.ping(timeout=_PATIENCE, limit=1):
            raise UsageError(
                f"no worker listens at {shown()}; start one on each machine "
                f"with 'make worker {VARIABLE}=…'"
            )
    except (RedisError, ValueError) as error:
        raise UsageError(silent(error)) from None
