"""The executor for plain processes, and what is read from its logs."""

import logging

import pytest
from packtivity.statecontexts.posixfs_context import LocalFSState
from packtivity.syncbackends import ExecutionConfig

from scripts.engine import environments, native, steplog

METADATA = {"name": "pythia_3", "wflow_offset": "/workflow_ph/0"}
ENVIRONMENT = {"envscript": "", "par_mounts": []}


@pytest.fixture
def state(tmp_path):
    state = LocalFSState([str(tmp_path / "workflow_ph" / "pythia_3")])
    state.ensure()
    return state


def run(state, job, **environment):
    # Packtivity opens the step's log only for a logger without handlers, and pytest adds one.
    logging.getLogger("pack.pythia_3.run").handlers.clear()
    native.run(ExecutionConfig(), {**ENVIRONMENT, **environment}, state, job, METADATA)


def error_of(state, command):
    with pytest.raises(RuntimeError) as error:
        run(state, {"command": command})
    log = steplog.path(state, METADATA)
    text = str(error.value)
    assert text.startswith("workflow_ph/pythia_3: ")
    assert text.endswith(f" (log: {log})")
    return text.removeprefix("workflow_ph/pythia_3: ").removesuffix(f" (log: {log})")


def test_command(state, tmp_path):
    run(state, {"command": "echo out; echo err >&2; echo there > file"})
    assert (tmp_path / "workflow_ph/pythia_3/file").read_text() == "there\n"
    log = steplog.path(state, METADATA).read_text()
    assert log.count("| out") == log.count("| err") == 1


def test_script(state, tmp_path):
    run(state, {"interpreter": "python3", "script": "print('x' * 3, file=open('file', 'w'))"})
    assert (tmp_path / "workflow_ph/pythia_3/file").read_text() == "xxx\n"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("echo 'error: f, k: remedy'; echo progress: 1/2; exit 1", "f, k: remedy"),
        ("python3 -c '1/0'", "ZeroDivisionError: division by zero"),
        ("echo last words; echo progress: 1/2; exit 1", "last words"),
        ("exit 4", "failed with exit status 4 and no message"),
        ("echo fine; kill -9 $$", "ended by signal 9 (Killed)"),
        ("echo fine; (exit 137)", "ended by signal 9 (Killed)"),
    ],
)
def test_errors(state, command, error):
    assert error_of(state, command) == error


def test_nothing_of_a_step_survives_it(state):
    run(state, {"command": "sleep 60 > /dev/null 2>&1 & echo $! > pid"})
    pid = (steplog.path(state, METADATA).parents[1] / "pid").read_text().strip()
    run(state, {"command": f"! kill -0 {pid} || grep -q ') Z' /proc/{pid}/stat"})


@pytest.mark.parametrize("key", ["envscript", "par_mounts"])
def test_what_needs_a_container_is_refused(state, key):
    with pytest.raises(RuntimeError, match=f"workflow_ph/pythia_3: '{key}' .* needs a container"):
        run(state, {"command": "true"}, **{key: "something"})


def test_progress_is_the_last_one_reported(state):
    log = steplog.path(state, METADATA)
    assert steplog.progress(log) == ""
    # A bar drawn with carriage returns is a line per update.
    run(state, {"command": "printf 'progress: 1/9 events\\rprogress: 2/9 events\\nother\\n'"})
    assert steplog.progress(log) == "2/9 events"


def test_long_logs_are_read_from_their_end(state):
    script = "print('progress: 1/2'); print('é' * 50_000); print('error: late')"
    run(state, {"interpreter": "python3", "script": script})
    log = steplog.path(state, METADATA)
    assert steplog.progress(log) == ""
    assert steplog.failure(state, METADATA).endswith(f": late (log: {log})")


RECAST = "some.registry/somebody/madminer-workflow-recast"


def test_an_image_may_have_an_environment_of_its_own(state, tmp_path, monkeypatch):
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "own"))
    with pytest.raises(RuntimeError, match=r"own: no such environment; 'make run-recast' makes it"):
        run(state, {"command": "true"}, image=RECAST)
    (tmp_path / "own/bin").mkdir(parents=True)
    (tmp_path / "own/bin/python3").touch(mode=0o755)
    run(state, {"command": "command -v python3 > which"}, image=RECAST)
    which = tmp_path / "workflow_ph/pythia_3/which"
    assert which.read_text() == f"{tmp_path}/own/bin/python3\n"
    run(state, {"command": "command -v python3 > which"}, image="somebody/madminer-workflow-ph")
    assert which.read_text() != f"{tmp_path}/own/bin/python3\n"
