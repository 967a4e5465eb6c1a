"""Yadage plug-in: ``--cache content:<JSON>`` takes steps that are done from where they are kept.

Yadage's own cache asks a strategy for the result of each task before it submits it; this is one. It
mends what that cache cannot do: a step that fails ends the run with the step's message instead of
an exception of the cache, and the key of a step is the content of what it reads, where Yadage's
``checksums`` strategy has the paths of its folders, so that a step could never move.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packtivity import datamodel
from yadage.backends import CachedProxy, caching, federatedbackend

from scripts.engine import steplog
from scripts.engine.resume import contents, keys, why
from scripts.engine.resume.journal import Line
from scripts.engine.resume.store import Record, Store, reads

log = logging.getLogger(__name__)

ALWAYS = "check"
"""Stage that always runs: the input file names other files."""


@dataclass(frozen=True)
class _Running:
    """A step that has been submitted, why, and when."""

    label: str
    key: keys.Key
    why: list[str]
    started: float


class Cache:
    """Yadage's cache strategy; every step writes a line to the journal.

    Args:
        store: Folder of finished steps.
        journal: Where lines are written.
        runtime: See :func:`scripts.engine.resume.keys.of_task`.
        fresh: Whether steps run again though they are done.
        look: Whether steps that are not done are only told, not run; but for those of stage check.
    """

    def __init__(
        self, store: str, journal: str, runtime: str, *, fresh: bool = False, look: bool = False
    ) -> None:
        self._store, self._journal, self._runtime = Store(Path(store)), Path(journal), runtime
        self._fresh, self._look = fresh, look
        self._running: dict[str, _Running] = {}

    def cacheid(self, task: Any) -> str:
        """Return a name of a task that is about to run."""
        return str(task.state.readwrite[0])

    def cacheddata(self, task: Any) -> dict[str, Any] | None:
        """Return what a task published when it was done; nothing where it has to run."""
        label, key = steplog.label(task.state, task.metadata), keys.of_task(task, self._runtime)
        always = task.metadata["wflow_stage"] == ALWAYS
        record = None if self._fresh or always else self._store.find(key)
        if record and self._store.is_sound(record):
            return self._restored(task, label, record)
        reasons = why.reasons(self._store.latest(label), key, always=always, fresh=self._fresh)
        self._running[self.cacheid(task)] = _Running(label, key, reasons, time.time())
        if self._look and not always:
            Line(label, kept=False, why=reasons).append(self._journal)
            return {"status": "FAILED", "result": datamodel.create({})}
        log.info("%s runs: %s", label, "; ".join(reasons))
        return None

    def finished(self, cacheid: str, result: Any) -> None:
        """Keep a step that has succeeded."""
        if cacheid not in self._running:
            return
        step, folder = self._running.pop(cacheid), Path(cacheid)
        record = Record(
            label=step.label,
            key=step.key,
            reads=reads(folder),
            result=_replaced(result.json(), cacheid, keys.WORKDIR),
            files=contents.of_tree(folder),
            finished=time.time(),
            seconds=round(time.time() - step.started, 2),
        )
        try:
            self._store.keep(record, folder)
        except OSError as error:
            log.warning("%s cannot be kept for later runs: %s", step.label, error)
        line = Line(step.label, kept=False, why=step.why, place=record.place, of=asdict(record))
        line.append(self._journal)

    def _restored(self, task: Any, label: str, record: Record) -> dict[str, Any]:
        folder = self.cacheid(task)
        if self._look:
            place = str(self._store.files(record))
        else:
            self._store.restore(record, Path(folder))
            place = folder
        Line(label, kept=True, place=record.place, of=asdict(record)).append(self._journal)
        result = _replaced(record.result, keys.WORKDIR, place)
        return {"status": "SUCCESS", "result": datamodel.create(result)}


def _ready(backend: caching.CachedBackend, proxy: Any) -> bool:
    """Return whether a task has ended; one that succeeded is kept, and those alone."""
    ready = federatedbackend.FederatedBackend.ready(backend, proxy)
    if ready and isinstance(proxy, CachedProxy) and backend.successful(proxy):
        backend.cache.finished(proxy.cacheid, backend.result(proxy))
    return bool(ready)


def _replaced(value: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(value).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))


@caching.cachestrategy("content")
def content(configuration: str) -> Cache:
    """Return the cache that a command line asks for, as JSON."""
    return Cache(**json.loads(configuration))


caching.CachedBackend.ready = _ready
