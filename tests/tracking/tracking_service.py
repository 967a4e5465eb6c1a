"""What tests of tracking share: calls of Python, and a line to the server that fails on demand."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

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
