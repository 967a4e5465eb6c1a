"""A tracked run of the test profile, and a line to the server that fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking_service import PASSWORD, USER, Line, call


@pytest.fixture(scope="session")
def server(tracking_server: str) -> str:
    return tracking_server


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
