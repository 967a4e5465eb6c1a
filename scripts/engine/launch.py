"""Start ``yadage-run``, wait for it, and leave none of its processes behind."""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from scripts.engine import containers, progress
from scripts.engine.errors import Interrupted, RunFailed, UsageError
from scripts.engine.workdir import YADAGE_LOG

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = ("native", *containers.ENGINES)

TRACKER = "YADAGE_CUSTOM_TRACKER"
"""Environment variable: the class that follows a run."""

# Seconds between two looks of Yadage at its graph, each of which takes it about 0.01 s.
_TICK = 0.2
_POLLING = "scripts.engine.polling"
# Bytes of a disk that is full.
_LITTLE = 65536
# Longer than a step gets to end by itself.
_GRACE = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Specification(NamedTuple):
    """A workflow as Yadage names it."""

    toplevel: Path
    """Folder that the file and the references in it are relative to."""
    file: str

    @property
    def path(self) -> Path:
        """The workflow's file."""
        return self.toplevel / self.file


class Backend(NamedTuple):
    """Machines that steps run on."""

    option: str
    """What Yadage calls them; ``{cores}`` stands for the number of steps at the same time."""
    plugin: str
    """Packtivity's plug-in that runs steps there as plain processes."""
    around: Callable[[Path], AbstractContextManager[Mapping[str, str]]]
    """What is done about a run in a work directory; gives environment variables."""


THIS_MACHINE = Backend(
    "multiproc:{cores}", "scripts.engine.native", lambda workdir: contextlib.nullcontext({})
)


class Site(NamedTuple):
    """Where and how steps run."""

    inputs: Path
    """The inputs folder, which containers see at its own path."""
    runtime: str = "native"
    """One of ``RUNTIMES``: as plain processes, or in containers."""
    cores: int = 1
    """Number of steps that run at the same time on this machine."""
    backend: Backend = THIS_MACHINE


class Extension(NamedTuple):
    """What is added to a run."""

    plugins: Sequence[str] = ()
    """Modules that ``yadage-run`` imports first."""
    options: Sequence[str] = ()
    """Its further options."""
    environment: Mapping[str, str] = {}
    """Environment variables, over the run's own."""


def run(
    specification: Specification,
    parameters: Mapping[str, Any],
    workdir: Path,
    site: Site,
    extension: Extension,
    lock: int,
) -> None:
    """Run a workflow through ``yadage-run``; its own log goes to ``yadage.log`` in ``workdir``.

    Args:
        specification: Workflow to run.
        parameters: Values of its parameters, files as absolute paths.
        workdir: Existing, empty directory.
        site: Where and how steps run.
        extension: What is added.
        lock: File descriptor that stays open as long as any process of the run lives.

    Raises:
        RunFailed: With one line that names the step, the reason and the step's log.
    """
    init = workdir / "parameters.yml"
    init.write_text(yaml.safe_dump(dict(parameters), sort_keys=False, allow_unicode=True))
    of_backend = [site.backend.plugin] if site.runtime == "native" else []
    plugins = [_POLLING, *extension.plugins, *of_backend]
    command = [
        _program("yadage-run"),
        f"local:{workdir}",
        specification.file,
        str(init),
        *["--toplevel", str(specification.toplevel)],
        *["-d", f"initdir={site.inputs}"],
        # Yadage would take strings for names of files, and '' for that of the inputs folder.
        *["-w", "relative=false", "-w", "discover=false"],
        *["-b", site.backend.option.format(cores=site.cores), "-u", str(_TICK)],
        # Predicting results before steps ran costs Yadage a whole core with some tens of steps.
        *["-o", "disable_prepub=true"],
        *["--plugins", ",".join(plugins)],
        *extension.options,
    ]
    log = workdir / YADAGE_LOG
    environment = _environment(site, parameters) | dict(extension.environment)
    with site.backend.around(workdir) as more:
        if _wait(command, environment | dict(more), log, lock):
            raise RunFailed(last_error(log))


def _program(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise UsageError(f"{path}: not found; install the project's requirements first")
    return str(path)


def _environment(site: Site, parameters: Mapping[str, Any]) -> dict[str, str]:
    environment = dict(os.environ)
    environment["PYTHONPATH"] = str(ROOT)
    environment[TRACKER] = f"{progress.__name__}:Progress"
    if site.runtime != "native":
        # What the user set, of Packtivity's own, stands.
        ours = containers.environment(site.runtime, parameters, site.inputs)
        environment = ours | environment | {"PATH": ours.get("PATH", environment.get("PATH", ""))}
    return environment


def _wait(command: list[str], environment: dict[str, str], log: Path, lock: int) -> int:
    terminal = os.dup(2)
    # The reading end of this pipe closes when the last process that inherited the other has ended.
    alive, inherited = os.pipe()
    environment[progress.DESCRIPTOR] = str(terminal)
    environment[progress.RUNNER] = str(os.getpid())
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment,
                pass_fds=(terminal, inherited, lock),
                start_new_session=True,
            )
        os.close(inherited)
        try:
            return process.wait()
        finally:
            _stop(process, alive)
    finally:
        os.close(terminal)
        os.close(alive)


def _stop(process: subprocess.Popen, alive: int) -> None:
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 1.0)):
        if select.select([alive], [], [], 0)[0]:
            break
        # macOS refuses with EPERM where Linux finds no process.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        select.select([alive], [], [], patience)
    process.wait()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first signal that asks to stop into ``Interrupted``, and ignore later ones."""

    def interrupt(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    # What the caller ignores (nohup) stays ignored.
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    before = {each: old for each, old in before.items() if old is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def last_error(log: Path) -> str:
    """What ``yadage-run`` says at its end, which is the failed step's error line if one failed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if line.startswith("Error: ")]
    full = os.strerror(errno.ENOSPC)
    if shutil.disk_usage(log.parent).free < _LITTLE and not any(full in line for line in errors):
        # Then the log does not say all.
        return f"{log.parent}: {full}; make room and run again"
    if not lines:
        return f"yadage-run ended without a message (log: {log})"
    if not errors:
        return f"{lines[-1]} (log: {log})"
    error = errors[-1].removeprefix("Error: ").removeprefix("Workflow failed: ")
    return error if "(log: " in error else f"{error} (log: {log})"
