"""Who works for whom, kept in Redis: runs for their steps, workers for the steps they run.

Keys that vanish when nobody renews them::

    madminer:run:<work directory>   number of the run that may write there
    madminer:step:<run>:<task>      a worker runs this step
    madminer:lost:<run>             tasks that were given up; others do their work

A step ends when its run's key is gone or has another number, and, where it cannot renew its own
key, before that vanishes. So no two processes ever do one step's work at the same time, and none
goes on when its run has ended.
"""

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from scripts.engine.celery import broker
from scripts.engine.errors import UsageError

LIFE = 20
"""Seconds after which a key that nobody renews is gone."""

_BEAT = 2.0
_TIMEOUT = 2.0
# With a beat, a timeout and the time a step gets to end, less than LIFE.
_PATIENCE = 10.0
_DAY = 86400


class Run(NamedTuple):
    """A run, as its steps know it."""

    number: str
    place: str
    """Its work directory."""

    @property
    def key(self) -> str:
        """Key of the run."""
        return f"madminer:run:{self.place}"

    @property
    def lost(self) -> str:
        """Key of the tasks that were given up."""
        return f"madminer:lost:{self.number}"

    def step(self, task: str) -> str:
        """Key of a task that is running; of all of them, as a pattern, with ``*``."""
        return f"madminer:step:{self.number}:{task}"


def connect() -> redis.Redis:
    """Return a client of the broker that does not wait for long."""
    return redis.Redis.from_url(
        broker.url(),
        decode_responses=True,
        protocol=2,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


@contextlib.contextmanager
def run(place: Path) -> Iterator[Run]:
    """Let workers run steps in a work directory; afterwards none of these steps is left.

    Raises:
        UsageError: Redis does not answer, or steps of an earlier run there do not end.
    """
    client = connect()
    this = Run(uuid.uuid4().hex, str(place))
    try:
        with client.pipeline() as both:
            before, _ = both.get(this.key).set(this.key, this.number, ex=LIFE).execute()
        if before and not _wait(client, this._replace(number=before)):
            raise UsageError(f"{place}: workers are still running steps of an earlier run")
    except redis.RedisError as error:
        raise UsageError(broker.silent(error)) from None

    def renew() -> bool:
        with contextlib.suppress(redis.RedisError):
            client.set(this.key, this.number, ex=LIFE)
        return True

    try:
        with _repeated(renew):
            yield this
    finally:
        try:
            client.delete(this.key)
            _wait(client, this)
        except redis.RedisError:
            # Workers do not reach Redis either, or do not find the run: their steps end.
            time.sleep(LIFE)


def _wait(client: redis.Redis, run: Run) -> bool:
    """Wait for a run's steps to end and tell whether they have."""
    end = time.monotonic() + 2 * LIFE
    while any(True for _ in client.scan_iter(run.step("*"), count=1000)):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def give_up(client: redis.Redis, run: Run, task: str) -> None:
    """Keep a task from starting or going on, should it still be somewhere."""
    client.sadd(run.lost, task)
    client.expire(run.lost, _DAY)
    client.delete(run.step(task))


@contextlib.contextmanager
def step(run: Run, task: str) -> Iterator[None]:
    """Announce that this process runs a step; SIGTERM tells it that it must not any more.

    Raises:
        RuntimeError: It must not even begin.
    """
    client = connect()
    key = run.step(task)
    parent = os.getppid()
    confirmed = time.monotonic()

    def renew() -> bool:
        nonlocal confirmed
        now = time.monotonic()
        try:
            ours = client.set(key, "", ex=LIFE, xx=True) and client.get(run.key) == run.number
            confirmed = now
        except redis.RedisError:
            ours = time.monotonic() - confirmed < _PATIENCE
        if ours and os.getppid() == parent:
            return True
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    client.set(key, "", ex=LIFE)
    try:
        if client.get(run.key) != run.number or client.sismember(run.lost, task):
            raise RuntimeError("not started: its run has ended, or another worker does it")
        with _repeated(renew):
            yield
    finally:
        with contextlib.suppress(redis.RedisError):
            client.delete(key)


@contextlib.contextmanager
def _repeated(function: Callable[[], bool]) -> Iterator[None]:
    """Call a function in a thread every few seconds, as long as it returns True."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(_BEAT) and function():
            pass

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
