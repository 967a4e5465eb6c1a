"""What tests of tracking share: calls of steps, and a line to the server that fails on demand."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inference import chains

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "emmy", "n0ether-s3cret"
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
PLAIN |= {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}


def call(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments and further environment variables."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=PLAIN | variables,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


class Done(NamedTuple):
    """What a step in this process left behind."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> list[str]:
        """Lines of standard error but progress."""
        return [line for line in self.stderr.splitlines() if not line.startswith("progress:")]


class Listener(io.StringIO):
    """Standard error that tells of each line, while the step runs."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tell = tell

    def write(self, text: str) -> int:
        self.tell(text)
        return super().write(text)


def step(
    name: str,
    *arguments: object,
    tell: Callable[[str], None] = lambda text: None,
    **variables: str,
) -> Done:
    """Run a step of machine learning in this process, with further environment variables."""
    before, status = dict(os.environ), 0
    output, errors = io.StringIO(), Listener(tell)
    os.environ.clear()
    os.environ.update(PLAIN | variables)
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            chains.call([f"steps.ml.{name}", *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Done(status, output.getvalue(), errors.getvalue())


@dataclass(frozen=True)
class Tracked:
    """The machine-learning half, tracked: where it lies, and what it was told.

    Attributes:
        folder: Its work directory.
        data_file: Its events.
        methods: Names of its methods.
        n_samples: Events drawn per method.
        num_epochs: Epochs of each training.
    """

    folder: Path
    data_file: Path
    methods: tuple[str, ...]
    n_samples: int
    num_epochs: int

    def training(self, method: str) -> Path:
        """Folder of the training of a method."""
        return next(self.folder.glob(f"training_*/models/{method}/losses.npy")).parents[2]

    def sample(self, method: str) -> Path:
        """Folder of the sample of a method."""
        return self.folder / f"sampling/data/Samples_{method}_0"


class Line:
    """A port that passes everything on to a server until it is cut or frozen."""

    def __init__(self, target: str) -> None:
        self.target = int(target.rpartition(":")[2])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.frozen = threading.Event()
        self.calls = 0
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close the port and all connections."""
        with contextlib.suppress(OSError):  # cut already
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            connection.close()

    def freeze(self) -> None:
        """Accept everything and pass on nothing."""
        self.frozen.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            far = socket.create_connection(("127.0.0.1", self.target))
            self.open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.frozen.is_set():
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
