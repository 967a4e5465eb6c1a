"""The tracking server of a run: where it comes from, and what is kept from files."""

from pathlib import Path

import pytest

from scripts import sweep
from scripts.engine import tracking
from scripts.engine.containers import ENGINES
from scripts.engine.errors import RunFailed, UsageError

NONE = {"mlflow_server": "", "mlflow_username": "", "seed": 1}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in (*tracking.VARIABLES, "MLFLOW_USERNAME"):
        # Set first, so that what the code sets is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_nothing_named_is_nothing_tracked():
    assert tracking.resolve(NONE, here=True) == NONE


def test_workflows_without_tracking_stay_as_they_are(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert tracking.resolve({"seed": 1}, here=True) == {"seed": 1}


@pytest.mark.parametrize("by_parameter", [True, False])
def test_credentials_go_to_the_environment_alone(monkeypatch, by_parameter):
    uri = "https://emmy:secret@host:5000"
    values = NONE | ({"mlflow_server": uri} if by_parameter else {})
    if not by_parameter:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_USERNAME", "emmy")
    found = tracking.resolve(values, here=True)
    assert found == {"mlflow_server": "https://host:5000", "mlflow_username": "emmy", "seed": 1}
    assert tracking.os.environ["MLFLOW_TRACKING_URI"] == uri


def test_database_files_are_those_of_the_user(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = tracking.resolve(NONE | {"mlflow_server": "sqlite:///runs/m.db"}, here=True)
    assert found["mlflow_server"] == f"sqlite:///{tmp_path}/runs/m.db"
    assert Path("runs").is_dir()


def test_database_files_are_refused_for_steps_elsewhere():
    with pytest.raises(UsageError, match="start a server"):
        tracking.resolve(NONE | {"mlflow_server": "sqlite:///m.db"}, here=False)


@pytest.mark.parametrize("engine", ENGINES)
def test_containers_get_names_not_values(monkeypatch, engine, tmp_path):
    from scripts.engine import containers

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    options = {
        server: containers.environment(engine, {"mlflow_server": server}, tmp_path)[
            "PACKTIVITY_DOCKER_CMD_MOD"
        ]
        for server in ("http://127.0.0.1:5000", "http://host:5000", "")
    }
    for text in options.values():
        assert "-e MLFLOW_TRACKING_PASSWORD" in text
        assert "secret" not in text
    assert [("--network host" in text) for text in options.values()] == [True, False, False]


def test_table_of_a_silent_server_is_one_line(tmp_path):
    place = tmp_path / "sampling/data/Samples_alice_0"
    place.mkdir(parents=True)
    (place / "sample.yml").write_text("tracking: {sampling_run_id: abc}")
    with pytest.raises(RunFailed, match=r"^http://127.0.0.1:9: .*the results are in") as caught:
        sweep.table("http://emmy:secret@127.0.0.1:9", tmp_path, tmp_path / "sweep.yml")
    assert "secret" not in str(caught.value)
