"""Progress display of a run, as a tracker that Yadage calls (``YADAGE_CUSTOM_TRACKER``)."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from adage import nodestate

from scripts.engine import steplog

DESCRIPTOR = "MADMINER_PROGRESS_FD"
"""Environment variable: file descriptor to write to, since Yadage's log has standard error."""

RUNNER = "MADMINER_RUNNER"
"""Environment variable: number of the process that looks after the run."""

_LIVE_INTERVAL = 0.2
_TEXT_INTERVAL = 15.0
# Packtivity's executor for containers raises this whatever happened in the container.
_UNINFORMATIVE = "failed container execution"


class StepFailed(RuntimeError):
    """A step failed; ends the run at once instead of after all the steps that could still run."""


class Count(NamedTuple):
    """Numbers of steps of a stage."""

    done: int
    running: int
    waiting: int
    failed: int

    def moved(self, before: "Count | None") -> bool:
        """Whether a step started or finished since then."""
        return self._replace(waiting=0) != (before or Count(0, 0, 0, 0))._replace(waiting=0)

    def __str__(self) -> str:
        parts = [f"{self.done}/{sum(self)} done"]
        names = ("running", "waiting", "failed")
        numbers = (self.running, self.waiting, self.failed)
        parts += [f"{number} {name}" for name, number in zip(names, numbers, strict=True) if number]
        return ", ".join(parts)


class Progress:
    """Shows how many steps of each stage are done, and what the running ones report.

    A terminal gets a block that is redrawn in place, anything else a line per change. A failed step
    ends the run through ``StepFailed``, whose text is the step's error line.
    """

    def __init__(self) -> None:
        descriptor = int(os.environ.get(DESCRIPTOR, sys.stderr.fileno()))
        self.stream = os.fdopen(descriptor, "w", closefd=False, encoding="utf-8", errors="replace")
        self.live = os.isatty(descriptor)
        self.start = time.monotonic()
        # Not its present parent: the runner may have been killed already.
        self.runner = os.environ.get(RUNNER)
        self.workers = {process.pid for process in multiprocessing.active_children()}
        self.stages: list[str] = []
        self.counts: dict[str, Count] = {}
        self.warned: set[Path | str] = set()
        self.last_output = self.start
        self.height = 0

    def initialize(self, workflow: Any) -> None:
        """Note the stages in the order of the specification."""
        self.stages = list(open_stages(workflow))

    def track(self, workflow: Any) -> None:
        """Update the display.

        Raises:
            StepFailed: A step failed.
        """
        if self.runner not in (None, str(os.getppid())):
            # Whoever looks after this run was killed.
            os.killpg(0, signal.SIGTERM)
        if not self.workers <= {process.pid for process in multiprocessing.active_children()}:
            # A pool replaces its worker and forgets what that one was doing; it may wait for ever
            # for a lock that died with it, so that it cannot be ended in peace.
            print("Error: a process of this run was killed; run it again", file=sys.stderr)
            sys.stderr.flush()
            os.killpg(0, signal.SIGKILL)
        self._show(workflow)
        self._warn(workflow)
        for node in _steps(workflow):
            if node.state == nodestate.FAILED:
                raise StepFailed(_failure(node))

    def finalize(self, workflow: Any) -> None:
        """Print a summary.

        Raises:
            RuntimeError: The run ended well for Yadage, but with stages that never started.
        """
        self._warn(workflow)
        self._show(workflow, final=True)
        total = Count(*map(sum, zip(*self.counts.values(), strict=True))) if self.counts else None
        self._write(f"{self._elapsed()}  all stages: {total or 'no steps'}\n")
        left = list(open_stages(workflow))
        # During an exception open stages are no news.
        if left and sys.exc_info()[0] is None:
            raise RuntimeError(f"stages that nothing made ready: {', '.join(left)}")

    def _show(self, workflow: Any, *, final: bool = False) -> None:
        now = time.monotonic()
        if self.live and not final and now - self.last_output < _LIVE_INTERVAL:
            return
        counts = _count(workflow)
        changed = [stage for stage, count in counts.items() if count.moved(self.counts.get(stage))]
        self.counts = counts
        if self.live:
            self._draw(workflow)
        elif changed:
            text = "; ".join(f"{stage} {counts[stage]}" for stage in changed)
            self._write(f"{self._elapsed()}  {text}\n")
        elif now - self.last_output > _TEXT_INTERVAL and not final:
            running = [f"{name} {text}".rstrip() for name, text in _running(workflow)]
            self._write(f"{self._elapsed()}  running: {'; '.join(running) or 'none'}\n")

    def _warn(self, workflow: Any) -> None:
        """Print the warnings of steps that ended, each text once."""
        logs = {_log(n) for n in _steps(workflow) if n.state == nodestate.SUCCESS} - self.warned
        texts = {text for log in sorted(logs) for text in steplog.warnings(log)} - self.warned
        self.warned |= logs | texts
        for text in sorted(texts):
            self._write(f"warning: {text}\n")
            self.height = 0  # the display goes on below

    def _draw(self, workflow: Any) -> None:
        width = os.get_terminal_size(self.stream.fileno()).columns or 80
        waiting = set(open_stages(workflow))
        shown = [stage for stage in self.stages if stage in self.counts or stage in waiting]
        column = max(map(len, shown), default=0)
        lines = [f"{stage:{column}}  {self.counts.get(stage, 'waiting')}" for stage in shown]
        lines += [f"  {name}: {text}" for name, text in _running(workflow) if text]
        lines.append(f"elapsed {self._elapsed().strip()}")
        up = f"\x1b[{self.height}A" if self.height else ""
        self.height = len(lines)
        self._write(up + "\x1b[J" + "".join(line[: width - 1] + "\n" for line in lines))

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _write(self, text: str) -> None:
        self.last_output = time.monotonic()
        # A closed terminal is no reason to stop a run.
        with contextlib.suppress(OSError):
            self.stream.write(text)
            self.stream.flush()


def _stage(offset: str, name: str) -> str:
    """Name of a stage in its workflows: ``/workflow_ph/0`` and ``pythia`` → workflow_ph/pythia."""
    return "/".join([*offset.split("/")[1::2], name])


def open_stages(workflow: Any) -> Iterator[str]:
    for rule in workflow.rules:
        yield from _expand(_stage(rule.offset, rule.rule.name), rule.rule.stagespec)


def _expand(stage: str, scheduler: Any) -> Iterator[str]:
    """The stage, or those of the workflow it will run."""
    if "workflow" in scheduler:
        for nested in scheduler["workflow"]["stages"]:
            yield from _expand(f"{stage}/{nested['name']}", nested["scheduler"])
    elif scheduler.get("scheduler_type") != "init-stage":
        yield stage


def _steps(workflow: Any) -> list[Any]:
    """The nodes that run something."""
    nodes = (workflow.dag.getNode(identifier) for identifier in workflow.dag.nodes())
    return [node for node in nodes if not node.task.pubOnlyTask()]


def _count(workflow: Any) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for node in _steps(workflow):
        stage = _stage(node.task.metadata["wflow_offset"], node.task.metadata["wflow_stage"])
        step = Count(
            done=node.state == nodestate.SUCCESS,
            running=_is_running(node),
            waiting=node.state in (nodestate.DEFINED, nodestate.RUNNING) and not _is_running(node),
            failed=node.state == nodestate.FAILED,
        )
        before = counts.get(stage, Count(0, 0, 0, 0))
        counts[stage] = Count(*(a + b for a, b in zip(before, step, strict=True)))
    return counts


def _is_running(node: Any) -> bool:
    # Yadage calls a step running when it has handed it to the pool, where it may still queue.
    return node.state == nodestate.RUNNING and _log(node).exists()


def _running(workflow: Any) -> list[tuple[str, str]]:
    """Names of the running steps and what they reported last."""
    return [
        (steplog.label(node.task.state, node.task.metadata), steplog.progress(_log(node)))
        for node in _steps(workflow)
        if _is_running(node)
    ]


def _log(node: Any) -> Path:
    return steplog.path(node.task.state, node.task.metadata)


def _failure(node: Any) -> str:
    label = steplog.label(node.task.state, node.task.metadata)
    try:
        # Yadage connects nodes to their backend, which knows the reason, only sometimes; a cache
        # wraps what the backend gave.
        proxy = node.resultproxy
        while hasattr(proxy, "proxy"):
            proxy = proxy.proxy
        proxy.get()
        text = "failed"
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
    if _UNINFORMATIVE in text:
        return steplog.failure(node.task.state, node.task.metadata)
    return text if text.startswith(f"{label}: ") else f"{label}: {text} (log: {_log(node)})"
