"""Packtivity plug-in: run the steps as plain processes where no container engine is wanted.

``yadage-run --plugins scripts.engine.native`` imports this module before it makes its pool of
workers; from then on a step whose environment is ``docker-encapsulated`` runs its command here, in
the Python environment of ``yadage-run``, or the image's own, and with the repository's modules,
instead of in its image.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from packtivity import logutils
from packtivity.handlers.execution_handlers import executor

import scripts.engine.visualize  # noqa: F401  (a plug-in too; on import it mends --visualize)
from scripts.engine import environments, steplog

ROOT = Path(__file__).resolve().parents[2]

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_GRACE = 3.0

# Workers must inherit the registration below; macOS and Python 3.14 would start them afresh.
multiprocessing.set_start_method("fork", force=True)


def run(config, environment: dict, state, job: dict, metadata: dict) -> None:
    """Run a step's command in its work directory and log what it prints.

    Args:
        config: Packtivity's execution configuration.
        environment: The step's environment; of it only the image's name matters here.
        state: The step's directories.
        job: The step's ``command``, or its ``script`` and ``interpreter``.
        metadata: The step's name and place in the workflow.

    Raises:
        RuntimeError: The step failed (the message is its own error line), or it needs something
            that only a container gives.
    """
    label = steplog.label(state, metadata)
    command, script = _command(environment, job, label)
    tools = _tools(environment, label)
    with (
        _terminable(),
        logutils.setup_logging_topic(
            config, metadata, state, steplog.TOPIC, return_logger=True
        ) as log,
    ):
        status = _run(command, script, Path(state.readwrite[0]), tools, log)
    if status:
        raise RuntimeError(steplog.failure(state, metadata, status))


# Packtivity's decorator returns nothing, so it cannot stand above the function.
executor("docker-encapsulated")(run)


def _command(environment: dict, job: dict, label: str) -> tuple[str, str]:
    """The shell command and what it reads from standard input."""
    for key in ("envscript", "par_mounts"):
        if environment.get(key):
            raise RuntimeError(f"{label}: '{key}' of its environment needs a container")
    if "command" in job:
        return job["command"], ""
    if "script" in job:
        return job["interpreter"], job["script"]
    raise RuntimeError(f"{label}: neither a command nor a script to run")


def _tools(environment: dict, label: str) -> Path:
    """The folder whose ``python3`` runs a step."""
    own = environments.of_image(environment.get("image", ""))
    if own is None:
        return Path(sys.executable).parent
    if not (own.tools / "python3").exists():
        raise RuntimeError(f"{label}: {own.prefix}: no such environment; '{own.make}' makes it")
    return own.tools


def _run(command: str, script: str, folder: Path, tools: Path, log) -> int:
    with tempfile.TemporaryFile() as stdin:
        stdin.write(script.encode())
        stdin.seek(0)
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(tools),
            text=True,
            errors="replace",
            process_group=0,
        )
    with process.stdout, _guarded(process.pid):
        threading.Thread(target=_end_with_shell, args=(process,), daemon=True).start()
        try:
            for line in process.stdout:
                log.info("%s", line.rstrip())
            return process.wait()
        finally:
            _stop(process)


def _end_with_shell(process: subprocess.Popen) -> None:
    """Let a step's processes not outlive its shell, whose output they would keep open."""
    process.wait()
    _signal_group(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _guarded(group: int) -> Iterator[None]:
    """Let a process group not outlive this process, also when this one is killed."""
    guard = subprocess.Popen(
        ["sh", "-c", f"read _ || kill -9 -{group}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with guard.stdin:
            guard.kill()
            guard.wait()


def _environment(tools: Path) -> dict[str, str]:
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join([str(tools), environment.get("PATH", os.defpath)])
    # Not added to: the PYTHONPATH of an experiment's set-up belongs to another Python.
    environment["PYTHONPATH"] = str(ROOT)
    environment["PYTHONUNBUFFERED"] = "1"
    for name in _THREADS:
        # Steps run in parallel, one per core.
        environment.setdefault(name, "1")
    return environment


def _stop(process: subprocess.Popen) -> None:
    """End whatever is left of the step's process group."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> None:
    # macOS refuses with EPERM where Linux finds no process.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM, which ends a pool's workers, into an exception, so that the step ends too."""

    def terminate(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
