"""Whole runs of a small workflow: success, failure, interruption."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from toys import HOSTILE, ROOT, Toy, from_init, got, stage, toy_stages

pytestmark = pytest.mark.workflow


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        # A zombie that nobody has waited for yet is as good as gone.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(toy: Toy) -> list[int]:
    """The steps' processes that wrote their number into a file ``pid``."""
    return [int(text) for p in toy.workdir.glob("many_*/pid") if (text := p.read_text().strip())]


SLEEP = "sh -c 'echo $$ > pid; sleep 60'; true"


def test_success(toy):
    toy.earlier_results()
    command = "date +%s.%N > start; echo progress: $N/4; sleep 1; date +%s.%N > end"
    result = toy.run("-p", f"command={command}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ("steps:     5 ran, 0 were done already\nresult:    .yadage/many_0\n")
    assert toy.left() == {".yadage"}
    assert not (toy.workdir / "result").exists()

    first = toy.workdir / "first"
    assert (first / "content").read_text() == "some content\n"
    assert (first / "pwd").read_text().strip() == str(first)
    environment = dict(line.partition("=")[::2] for line in (first / "env").read_text().split("\n"))
    assert environment["PYTHONPATH"] == str(ROOT)
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["OMP_NUM_THREADS"] == os.environ.get("OMP_NUM_THREADS", "1")
    assert Path((first / "python").read_text().strip()).parent == Path(sys.executable).parent

    times = [
        [float((toy.workdir / f"many_{n}" / name).read_text()) for name in ("start", "end")]
        for n in range(4)
    ]
    overlaps = [a < d and c < b for i, (a, b) in enumerate(times) for c, d in times[:i]]
    assert any(overlaps)

    lines = result.stderr.splitlines()
    assert any(line.endswith("first 1/1 done") for line in lines)
    assert any("many 0/4 done, 2 running, 2 waiting" in line for line in lines)
    assert lines[-1].endswith("all stages: 5/5 done")
    assert all(line[:5].strip().replace(":", "").isdigit() for line in lines), result.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-p", "text=a=1  b=0.5"], ["", "a=1  b=0.5"]),
        (["-p", "empty=''", "-p", "text=key: value"], ["", "key: value"]),
        (["-p", f"text={json.dumps(HOSTILE)}"], ["", HOSTILE]),
    ],
)
def test_parameters_arrive_as_they_were_given(toy, given, expected):
    assert toy.run(*given).returncode == 0
    assert got(toy.workdir / "first") == expected


def test_parameters_arrive_without_our_runner(toy):
    """Bare ``yadage-run``; Packtivity's own executor is tried below."""
    text = yaml.safe_dump({"text": HOSTILE, "command": "true"})
    (toy.folder / "more.yml").write_text(text)
    options = ["profile.yml", "more.yml", "--plugins", "scripts.engine.native"]
    command = [Path(sys.executable).with_name("yadage-run"), "out", "workflow.yml", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shutil.copy(toy.folder / "spec/workflow.yml", toy.folder)
    (toy.folder / "profile.yml").write_text("{empty: '', input_file: some.txt}")
    done = subprocess.run(
        [*command, "-d", f"initdir={toy.folder}"],
        cwd=toy.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert got(toy.folder / "out/first")[1] == HOSTILE


def test_failure_ends_the_run_and_keeps_earlier_results(toy):
    toy.earlier_results()
    command = f"test $N = 0 || {SLEEP}; sleep 1; echo error: cuts: nothing left >&2; exit 2"
    start = time.monotonic()
    result = toy.run("-p", f"command={command}")
    assert time.monotonic() - start < 30
    assert result.returncode == 1
    log = ".yadage.failed/many_0/_packtivity/many_0.run.log"
    assert result.stderr.splitlines()[-3:] == [
        f"error: many_0: cuts: nothing left (log: {log})",
        "the failed run is kept in .yadage.failed; the results in .yadage are those from before",
        "steps that are done (1) are taken by the next run",
    ]
    assert "nothing left" in (toy.folder / log).read_text()
    assert (toy.workdir / "result").read_text() == "earlier"
    assert toy.left() == {".yadage", ".yadage.failed"}
    assert "Traceback" not in result.stderr
    assert [p for p in toy.failed.glob("many_*/pid") if is_alive(int(p.read_text()))] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupt_ends_the_steps_and_keeps_earlier_results(toy, number):
    toy.earlier_results()
    process = toy.start("-p", f"command={SLEEP}")
    wait_for(lambda: len(pids(toy)) == 2)
    steps = pids(toy)
    assert all(map(is_alive, steps))

    second = toy.run()
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "another run is using it" in second.stderr

    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"error: stopped by {number.name}" in err
    assert "Traceback" not in err
    assert not any(map(is_alive, steps))
    assert (toy.workdir / "result").read_text() == "earlier"
    assert toy.left() == {".yadage", ".yadage.failed"}


def test_start_after_a_hard_kill_restores_earlier_results(toy):
    toy.earlier_results()
    process = toy.start("-p", f"command={SLEEP}")
    wait_for(lambda: len(pids(toy)) == 2)
    steps = pids(toy)
    process.kill()
    process.communicate()
    # What is left of the run notices, ends, and gives the lock back.
    wait_for(lambda: not any(map(is_alive, steps)))
    assert toy.left() == {".yadage", ".yadage.previous", ".yadage.lock"}
    result = toy.run("-p", "command=exit 3")
    assert "an unfinished run was moved to .yadage.failed" in result.stdout
    assert "failed with exit status 3 and no message" in result.stderr
    assert (toy.workdir / "result").read_text() == "earlier"


def test_stages_that_never_start_are_a_failure(tmp_path):
    toy = Toy(tmp_path, [*toy_stages(), stage("last", ["nowhere"], "true")])
    result = toy.run()
    assert result.returncode == 1
    assert "error: stages that nothing made ready: last" in result.stderr
    assert toy.left() == {".yadage.failed"}
    assert "results in" not in result.stderr


def test_nested_workflows_have_readable_names(tmp_path):
    inner = [stage("inner", ["init"], "echo error: bad >&2; exit {code}", code=from_init("code"))]
    outer = stage("outer", ["init"], "", code=from_init("text"))
    del outer["scheduler"]["step"]
    outer["scheduler"]["workflow"] = {"$ref": "inner.yml"}
    keep = stage("keep", ["init"], "true", input_file=from_init("input_file"))
    toy = Toy(tmp_path, [outer, keep], {"inner.yml": {"stages": inner}})
    result = toy.run("-p", "text=1")
    assert "outer/inner 0/1 done, 1 failed" in result.stderr
    log = ".yadage.failed/outer/inner/_packtivity/inner.run.log"
    assert f"error: outer/inner: bad (log: {log})\n" in result.stderr


def test_specification_with_an_error_is_one_line(tmp_path):
    broken = stage("broken", ["init"], "true", input_file=from_init("input_file"))
    broken["scheduler"]["scheduler_type"] = "no-such-stage"
    result = Toy(tmp_path, [broken]).run()
    assert result.returncode == 1
    assert [line[:6] for line in result.stderr.splitlines()] == ["error:", "the fa"]


def test_containers(toy):
    """Packtivity's own executor, with something that looks like Docker."""
    tools = toy.folder / "bin"
    tools.mkdir()
    docker = tools / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        'test "$1" = info && exit 0\n'
        f'echo "$@" >> {toy.folder}/calls\n'
        f'cd {tools}; for last; do :; done; exec sh -c "$last"\n'
    )
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    command = 'echo "error: it\'s full" >&2; exit 1'
    text = f"text={json.dumps(HOSTILE)}"
    result = toy.run("--runtime", "docker", "-p", f"command={command}", "-p", text, PATH=path)
    assert result.returncode == 1
    assert got(tools) == ["", HOSTILE]
    assert ": it's full (log: .yadage.failed/many_" in result.stderr
    calls = (toy.folder / "calls").read_text()
    assert "pull" not in calls
    assert f"--user {os.getuid()}:{os.getgid()}" in calls
    assert f"-v {toy.folder}:{toy.folder}:ro" in calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir", "spec"], "spec: not the work directory of an earlier run"),
        (["-p", "num_event=3"], "-p num_event: not a parameter of this workflow (known: command, "),
        (["--data-file", "x.h5"], "--data-file: not a parameter of this workflow"),
        (["-p", "input_file=none.txt"], "-p input_file: no file 'none.txt' (looked in "),
        (["--profile", "none"], "--profile: no file "),
        (["--runtime", "docker"], "no container engine answers (docker info)"),
        (["--workdir", "a:b"], "Yadage cannot work in a path with"),
    ],
)
def test_refusals(toy, arguments, message):
    toy.earlier_results()
    result = toy.run(*arguments, PATH="/nowhere")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert toy.left() == {".yadage"}
    assert (toy.workdir / "result").read_text() == "earlier"


def test_input_in_the_work_directory_is_refused(toy):
    toy.earlier_results()
    result = toy.run("-p", "input_file=.yadage/result")
    assert result.returncode == 2
    assert "input_file: '.yadage/result' is in .yadage, which this run replaces" in result.stderr


def test_help_and_wrong_options():
    def call(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "scripts.run", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "(default: native)" in call("--help").stdout
    assert call("all", "--cores", "0").returncode == 2
