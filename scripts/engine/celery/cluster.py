"""Packtivity plug-in: its Celery backend, for workers that may be lost.

With ``yadage-run -b celery --plugins scripts.engine.celery.cluster`` a step goes to a worker as
with Packtivity's backend. Celery itself would forget a step whose worker is killed; here the step
goes to another worker, and the run ends when no worker is left.
"""

import os
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from billiard.exceptions import WorkerLostError
from kombu.exceptions import OperationalError
from packtivity.asyncbackends import CeleryBackend, CeleryProxy
from packtivity.asyncbackends import default_celeryapp as app
from packtivity.backendutils import backend
from redis import RedisError

from scripts.engine import steplog
from scripts.engine.celery import broker, leases
from scripts.engine.errors import RunFailed

VARIABLES = ("MADMINER_RUN", "MADMINER_PLACE")
"""Environment variables: number and work directory of the run."""

METADATA = "run"
"""Where a step's metadata name its run."""

_QUEUE = "madminer"
# Seconds between two looks at the steps, each of which asks Redis for every step.
_LOOK = 3.0
# A step's key goes a little before its result comes, and comes a little after it left the queue.
_GRACE = 8.0
_ATTEMPTS = 3
_WEEK = 7 * 86400

app.conf.update(
    broker_url=broker.url(),
    result_backend=broker.url(),
    task_default_queue=_QUEUE,
    result_expires=_WEEK,
    # A worker takes as many steps as it has cores and leaves the others to its fellows.
    worker_disable_prefetch=True,
    # A worker outlives its Redis server.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        **app.conf.broker_transport_options,
        "socket_timeout": 10.0,
        "socket_connect_timeout": 5.0,
    },
    task_publish_retry_policy={"max_retries": 20, "interval_step": 0.5, "interval_max": 1.0},
    redis_socket_timeout=10.0,
    redis_socket_connect_timeout=5.0,
    result_backend_transport_options={"retry_policy": {"max_retries": 5}},
)


@dataclass
class _Step:
    work: partial
    attempts: int = 1
    started: bool = False
    well: float = 0.0
    """When it was last known to run or to wait for a worker."""

    @property
    def label(self) -> str:
        keywords = self.work.keywords
        return steplog.label(keywords["state"], keywords["metadata"])


class Backend(CeleryBackend):
    """Packtivity's Celery backend, which also looks after the workers.

    It ends a run by an exception whose text is one line for the user.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.run = leases.Run(*(os.environ[name] for name in VARIABLES))
        self.patience = float(os.environ.get("CELERY_PATIENCE", "60"))
        self.client = leases.connect()
        self.steps: dict[CeleryProxy, _Step] = {}
        self.looked = self.answered = self.heard = time.monotonic()

    def submit_callable(self, work: partial) -> CeleryProxy:
        """Queue a step."""
        metadata = work.keywords["metadata"] | {METADATA: list(self.run)}
        work = partial(work, metadata=metadata)
        try:
            proxy = super().submit_callable(work)
        except (RedisError, OperationalError) as error:
            raise RunFailed(broker.silent(error)) from None
        self.steps[proxy] = _Step(work, well=time.monotonic())
        return proxy

    def ready(self, proxy: CeleryProxy) -> bool:
        """Whether a step has ended; looks after all of them on occasion."""
        if proxy not in self.steps:
            return True
        try:
            if time.monotonic() - self.looked > _LOOK:
                self._look()
            done = self._ended(proxy)
        except (RedisError, OperationalError) as error:
            # It may come back, for instance after a restart.
            if time.monotonic() - self.heard < leases.LIFE:
                return False
            raise RunFailed(broker.silent(error)) from None
        self.heard = time.monotonic()
        return done

    def _ended(self, proxy: CeleryProxy) -> bool:
        if not super().ready(proxy):
            return False
        # The latter is what a step raises that must not go on.
        if isinstance(proxy.proxy.result, WorkerLostError | SystemExit):
            self._again(proxy, self.steps[proxy])
            return False
        del self.steps[proxy]
        return True

    def _look(self) -> None:
        """Give steps whose worker is gone to another one.

        Raises:
            RunFailed: No worker is left, or one after the other was lost with the same step.
        """
        running = {
            proxy for proxy in self.steps if self.client.exists(self.run.step(proxy.proxy.task_id))
        }
        queued = self.client.llen(_QUEUE) > 0
        self._find_workers(bool(running))
        now = self.looked = time.monotonic()
        for proxy, step in self.steps.items():
            if proxy in running:
                step.started = True
            if proxy in running or (queued and not step.started):
                step.well = now
            elif now - step.well > _GRACE and not super().ready(proxy):
                self._again(proxy, step)

    def _find_workers(self, known: bool) -> None:
        if known or not self.steps or app.control.ping(timeout=1.0, limit=1):
            self.answered = time.monotonic()
        elif time.monotonic() - self.answered > self.patience:
            first, *others = [step.label for step in self.steps.values()]
            more = f" and {len(others)} more" if others else ""
            raise RunFailed(
                f"{first}{more}: not run, since no worker has answered for {self.patience:g} s"
            )

    def _again(self, proxy: CeleryProxy, step: _Step) -> None:
        keywords = step.work.keywords
        log = steplog.path(keywords["state"], keywords["metadata"])
        if step.attempts == _ATTEMPTS:
            raise RunFailed(f"{step.label}: lost {_ATTEMPTS} workers that ran it (log: {log})")
        leases.give_up(self.client, self.run, proxy.proxy.task_id)
        proxy.proxy = super().submit_callable(step.work).proxy
        with log.open("a") as file:
            file.write(f"warning: {step.label}: its worker was lost; another one does it again\n")
        self.steps[proxy] = _Step(step.work, step.attempts + 1, well=time.monotonic())


@backend("celery")
def _celery(backendstring: str, backendopts: dict[str, Any]) -> tuple[bool, Backend]:
    return False, Backend(**backendopts)
