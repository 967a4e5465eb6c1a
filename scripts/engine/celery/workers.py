"""Steps on other machines: whether that is possible, and what a run must do about it."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from scripts.engine.celery import broker
from scripts.engine.errors import UsageError
from scripts.engine.launch import Backend

_PATIENCE = 3.0


@contextlib.contextmanager
def _leased(workdir: Path) -> Iterator[dict[str, str]]:
    """Let workers run steps; yields the variables that make ``yadage-run`` ask them."""
    from scripts.engine.celery import cluster, leases

    with leases.run(workdir) as this:
        yield dict(zip(cluster.VARIABLES, this, strict=True))


OTHER_MACHINES = Backend("celery", "scripts.engine.celery.cluster", _leased)


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
    if not broker.url().startswith(("redis://", "rediss://")):
        raise UsageError(
            f"{broker.VARIABLE}: {broker.shown()}: must be redis://[:PASSWORD@]HOST[:PORT]"
        )
    from redis import RedisError

    from scripts.engine.celery import cluster, leases

    try:
        leases.connect().ping()
        if workers and not cluster.app.control.ping(timeout=_PATIENCE, limit=1):
            raise UsageError(
                f"no worker listens at {broker.shown()}; start one on each machine "
                f"with 'make worker {broker.VARIABLE}=…'"
            )
    except (RedisError, ValueError) as error:
        raise UsageError(broker.silent(error)) from None
