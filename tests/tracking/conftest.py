"""A real MLflow server, a tracked run of the test profile, and a line to the server that fails."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_service import PASSWORD, PLAIN, USER, Line, call


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of an empty server."""
    place = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    store = ["--backend-store-uri", f"sqlite:///{place}/mlflow.db"]
    artifacts = ["--artifacts-destination", str(place / "artifacts")]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options, *store, *artifacts],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=PLAIN,
            start_new_session=True,
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (place / "log").read_text()
                time.sleep(0.5)
        else:
            pytest.fail((place / "log").read_text())
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.fixture(scope="session")
def tracked_run(server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work directory of the test profile, tracked on the server with user and password."""
    place = tmp_path_factory.mktemp("tracked") / "run"
    uri = server.replace("://", f"://{USER}:{PASSWORD}@")
    done = call(
        *("-m", "scripts.run", "all", "--profile", "test", "--workdir", place, "--cores", "2"),
        MLFLOW_TRACKING_URI=uri,
        MLFLOW_USERNAME=USER,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return place


@pytest.fixture(scope="session")
def data_file(tracked_run: Path) -> Path:
    return tracked_run / "workflow_ph/combine/data/combined_delphes.h5"


@pytest.fixture
def line(server: str) -> Iterator[Line]:
    made = Line(server)
    yield made
    made.cut()
