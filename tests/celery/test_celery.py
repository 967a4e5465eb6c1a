"""Runs whose steps are done by workers with a network each, some of which are lost meanwhile."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from machines import PASSWORD, ROOT, Broker, Machine, wait_for
from toys import HOSTILE, got

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

# A step that never ends on machine a, and says which process that is.
STUCK = "sh -c 'echo $$ > pid; sleep 100'; true"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(folder: Path) -> list[int]:
    return [int(text) for p in folder.glob("many_*/pid") if (text := p.read_text().strip())]


def start(toy, broker: Broker, *arguments: str, **environment: str) -> subprocess.Popen:
    return toy.start("--backend", "celery", *arguments, CELERY_BROKER=broker.url(), **environment)


def error(process: subprocess.Popen, seconds: float, status: int = 1) -> str:
    """The one error line of a run that must end with it soon."""
    _, text = process.communicate(timeout=seconds)
    assert process.returncode == status, text
    assert "Traceback" not in text
    assert PASSWORD not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error:")]
    return line


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("redis://:{0}@127.0.0.1:1", [], "no Redis server answers at redis://127.0.0.1:1 ("),
        ("redis://127.0.0.1:{1}", [], "(Authentication required)"),
        ("redis://:{0}@127.0.0.1:{1}", [], "no worker listens at redis://127.0.0.1:"),
        ("amqp://:{0}@127.0.0.1", [], "amqp://127.0.0.1: must be redis://"),
        ("", ["--runtime", "docker"], "runs steps as plain processes; use RUNTIME=native"),
    ],
)
def test_refusals(toy, broker: Broker, url: str, options: list[str], message: str) -> None:
    toy.earlier_results()
    run = toy.start(
        *("--backend", "celery", *options),
        CELERY_BROKER=url.format(PASSWORD, broker.port),
        PATH="/nowhere",
    )
    assert message in error(run, 30, status=2)
    assert toy.left() == {".yadage"}
    assert (toy.workdir / "result").read_text() == "earlier"


def test_worker_without_server_is_one_line() -> None:
    worker = subprocess.run(
        [sys.executable, "-m", "scripts.worker"],
        cwd=ROOT,
        env=os.environ | {"CELERY_BROKER": f"redis://:{PASSWORD}@127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert worker.returncode == 2
    assert worker.stderr.startswith("error: CELERY_BROKER: no Redis server answers at redis://127")
    assert worker.stderr.count("\n") == 1


def test_steps_are_shared_and_a_failure_is_told(toy, broker: Broker, machines) -> None:
    text = f"text={json.dumps(HOSTILE)}"
    run = start(toy, broker, "-p", "command=echo $WHERE > where; sleep 2", "-p", text)
    out, text = run.communicate(timeout=60)
    assert run.returncode == 0, text
    assert got(toy.workdir / "first") == ["", HOSTILE]
    assert {p.read_text().strip() for p in toy.workdir.glob("many_*/where")} == {"a", "b"}
    told = [out, text]
    told += [p.read_text() for p in toy.workdir.rglob("*") if p.is_file() and p.name != "env"]
    assert not [text for text in told if PASSWORD in text]

    # The other steps go on until they are told to stop, and have ended when the directory moves.
    command = f"test $N = 0 || {STUCK}; sleep 2; echo error: cuts: nothing left >&2; exit 2"
    run = start(toy, broker, "-p", f"command={command}")
    wait_for(lambda: pids(toy.workdir))
    (step,) = pids(toy.workdir)
    log = ".yadage.failed/many_0/_packtivity/many_0.run.log"
    assert error(run, 40) == f"error: many_0: cuts: nothing left (log: {log})"
    assert not is_alive(step)
    assert "nothing left" in (toy.folder / log).read_text()
    assert broker.client.keys("madminer:*") == []

    # The workers' next run of the same steps writes its own logs.
    run = start(toy, broker, "-p", "command=echo error: again >&2; exit 2")
    assert ": again (log: .yadage.failed/many_" in error(run, 40)


def test_interrupt_ends_the_steps_everywhere(toy, broker: Broker, machines) -> None:
    toy.earlier_results()
    run = start(toy, broker, "-p", f"command={STUCK}")
    wait_for(lambda: len(pids(toy.workdir)) == 2)
    steps = pids(toy.workdir)
    run.send_signal(signal.SIGINT)
    assert error(run, 40) == "error: stopped by SIGINT"
    assert not any(map(is_alive, steps))
    assert (toy.workdir / "result").read_text() == "earlier"
    # Nobody does the steps that still were in the queue.
    wait_for(lambda: broker.idle_workers() == 2)
    assert not broker.client.llen("madminer")
    assert len(pids(toy.failed)) == 2


def test_lost_workers_do_no_harm(toy, broker: Broker, machines: dict[str, Machine]) -> None:
    """One is killed, one is cut off and goes on: others do their steps, at no time two at once."""
    machines["c"].start(broker)
    command = f"echo $WHERE >> where; test $WHERE = b || {STUCK}; echo $N > result"
    run = start(toy, broker, "-p", f"command={command}")
    wait_for(lambda: len(pids(toy.workdir)) == 2)
    steps = pids(toy.workdir)
    machines["a"].kill()
    machines["c"].unplug()
    wait_for(lambda: not any(map(is_alive, steps)))
    assert run.poll() is None
    _, text = run.communicate(timeout=90)
    assert run.returncode == 0, text
    done = [(p / "result").read_text() for p in sorted(toy.workdir.glob("many_*"))]
    assert done == ["0\n", "1\n", "2\n", "3\n"]
    where = sorted(p.read_text().split() for p in toy.workdir.glob("many_*/where"))
    assert where == [["a", "b"], ["b"], ["b"], ["c", "b"]]
    assert text.count("its worker was lost; another one does it again") == 2


def test_without_any_worker_the_run_ends(toy, broker: Broker, machines) -> None:
    toy.earlier_results()
    run = start(toy, broker, "-p", f"command={STUCK}", CELERY_PATIENCE="5")
    wait_for(lambda: len(pids(toy.workdir)) == 2)
    for name in "ab":
        machines[name].kill()
    expected = "error: many_0 and 3 more: not run, since no worker has answered for 5 s"
    assert error(run, 90).startswith(expected)
    assert (toy.workdir / "result").read_text() == "earlier"


def test_server_may_restart_with_nothing_in_it(toy, broker: Broker, machines) -> None:
    command = f"test $N -gt 1 || test -e pid || {STUCK}; echo $N > result"
    run = start(toy, broker, "-p", f"command={command}")
    wait_for(lambda: len(pids(toy.workdir)) == 2)
    steps = pids(toy.workdir)
    broker.stop()
    broker.start()
    wait_for(lambda: not any(map(is_alive, steps)))
    _, text = run.communicate(timeout=90)
    assert run.returncode == 0, text
    assert len(list(toy.workdir.glob("many_*/result"))) == 4


def test_without_server_the_run_ends(toy, broker: Broker, machines) -> None:
    toy.earlier_results()
    run = start(toy, broker, "-p", f"command={STUCK}")
    wait_for(lambda: len(pids(toy.workdir)) == 2)
    steps = pids(toy.workdir)
    broker.stop()
    assert "no Redis server answers" in error(run, 120)
    assert not any(map(is_alive, steps))
    assert (toy.workdir / "result").read_text() == "earlier"
