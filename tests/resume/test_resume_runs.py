"""Runs that take what is done: by the real ``yadage-run``, killed, changed, moved."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from toys import Toy, from_init, stage

from scripts.engine.resume import journal

pytestmark = pytest.mark.workflow


def reading(name: str, of: str, command: str, /, **parameters) -> dict:
    """A stage that reads the file ``out`` of another and writes one of its own."""
    made = stage(name, [of], command, source={"step": of, "output": "out"}, **parameters)
    return publishing(made)


def publishing(made: dict) -> dict:
    made["scheduler"]["step"]["publisher"] = {
        "publisher_type": "fromglob-pub",
        "outputkey": "out",
        "globexpression": "out",
    }
    return made


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Stages in a row; each tells outside of its folder that it ran."""
    tell = f"echo $$ >> {tmp_path}/ran_"
    begin = stage(
        "begin",
        ["init"],
        f"{tell}begin; cat '{{input_file}}' > out; echo '{{text}}' >> other",
        input_file=from_init("input_file"),
        text=from_init("text"),
    )
    middle = reading("middle", "begin", f"{tell}middle; tr a-z A-Z < {{source}} > out")
    end = reading(
        "end",
        "middle",
        f"{tell}end; {{command}} && cat {{source}} > out",
        command=from_init("command"),
    )
    return Toy(tmp_path, [publishing(begin), middle, end])


def ran(toy: Toy) -> dict[str, int]:
    """How often each stage has run so far."""
    files = {path.name.removeprefix("ran_"): path for path in toy.folder.glob("ran_*")}
    return {name: len(path.read_text().splitlines()) for name, path in files.items()}


ONCE = {"begin": 1, "middle": 1, "end": 1}


def result(toy: Toy) -> str:
    return (toy.workdir / "end/out").read_text()


def test_what_is_done_is_not_done_again(toy):
    assert toy.run().stdout.startswith("steps:     3 ran, 0 were done already\n")
    assert result(toy) == "SOME CONTENT\n"
    files = {p.relative_to(toy.workdir) for p in toy.workdir.glob("*/**/*") if p.is_file()}
    again = toy.run()
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("steps:     0 ran, 3 were done already\n")
    assert ran(toy) == ONCE
    assert result(toy) == "SOME CONTENT\n"
    steps = {path for path in files if path.parts[0] != "_yadage"}
    assert all((toy.workdir / path).is_file() for path in steps)


def test_another_work_directory_beside_it_takes_them_too(toy):
    toy.run()
    (toy.folder / "renamed.txt").write_text("some content\n")
    assert toy.run("--workdir", "other").returncode == 0
    assert ran(toy) == ONCE
    assert (toy.folder / "other/end/out").read_text() == "SOME CONTENT\n"
    # Nothing leads back to the first one.
    toy.workdir.rename(toy.folder / "moved")
    assert (toy.folder / "other/end/out").read_text() == "SOME CONTENT\n"


def test_a_change_runs_what_reads_it_and_no_more(toy):
    toy.run()
    (toy.folder / "some.txt").write_text("Some Content\n")
    second = toy.run()
    # 'middle' writes the same again, so 'end' has nothing to do.
    assert second.stdout.startswith("steps:     2 ran, 1 were done already\n")
    assert ran(toy) == {"begin": 2, "middle": 2, "end": 1}
    third = toy.run("-p", "command=true again")
    assert third.stdout.startswith("steps:     1 ran, 2 were done already\n")
    why = [line.why for line in journal.read(toy.workdir) if line.label == "end"]
    assert why == [["its command or a parameter of it"]]
    # What was done before is still there.
    (toy.folder / "some.txt").write_text("some content\n")
    assert toy.run().stdout.startswith("steps:     0 ran, 3 were done already\n")


def test_a_failed_step_starts_clean_and_those_before_it_are_kept(toy):
    failed = toy.run("-p", "command=touch half; exit 3")
    assert failed.returncode == 1
    assert "end: failed with exit status 3" in failed.stderr
    assert "Traceback" not in failed.stderr
    again = toy.run("-p", "command=test ! -e half")
    assert again.returncode == 0, again.stderr
    assert ran(toy) == {"begin": 1, "middle": 1, "end": 2}
    assert result(toy) == "SOME CONTENT\n"


@pytest.mark.parametrize("whom", ["the run", "a worker", "the step"])
def test_killed_at_work_it_goes_on_where_it_was(toy, whom):
    slow = "sleep 60"
    process = toy.start("-p", f"command=test -e {toy.folder}/go || {slow}")
    end = time.monotonic() + 40
    while "end" not in ran(toy):
        assert time.monotonic() < end
        time.sleep(0.05)
    step = int((toy.folder / "ran_end").read_text().split()[0])
    parent = int(Path(f"/proc/{step}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill({"the run": process.pid, "a worker": parent, "the step": step}[whom], 9)
    process.communicate(timeout=30)
    (toy.folder / "go").touch()
    # It waits for what a killed run leaves, which ends by itself.
    last = toy.run("-p", f"command=test -e {toy.folder}/go || {slow}")
    assert last.returncode == 0, last.stderr
    assert ran(toy) == {"begin": 1, "middle": 1, "end": 2}
    assert result(toy) == "SOME CONTENT\n"
    assert toy.left() <= {".yadage", ".yadage.failed"}


def test_killed_before_yadage_is_up_it_leaves_nothing_that_goes_on(toy):
    process = toy.start()
    child = None
    while child is None:
        child = next(children(process.pid), None)
    os.kill(process.pid, 9)
    process.communicate(timeout=30)
    end = time.monotonic() + 30
    while child_lives(child):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert "end" not in ran(toy)
    assert toy.run().returncode == 0
    assert result(toy) == "SOME CONTENT\n"


def children(of: int) -> Iterator[int]:
    """Processes with ``yadage-run`` in their command whose parent is the one."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            if parent == of and b"yadage-run" in (path.parent / "cmdline").read_bytes():
                yield int(path.parent.name)


def child_lives(process: int) -> bool:
    """Whether a process still is ``yadage-run``."""
    with contextlib.suppress(OSError):
        return b"yadage-run" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def test_stopped_by_a_signal_it_goes_on_where_it_was(toy):
    process = toy.start("-p", "command=sleep 60")
    while "end" not in ran(toy):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert toy.run().returncode == 0
    assert ran(toy) == {"begin": 1, "middle": 1, "end": 2}


def test_fresh_runs_all_again(toy):
    toy.run()
    assert toy.run("--fresh").stdout.startswith("steps:     3 ran, 0 were done already\n")
    assert ran(toy) == {"begin": 2, "middle": 2, "end": 2}
    why = {reason for line in journal.read(toy.workdir) for reason in line.why}
    assert why == {"asked for by FRESH=1"}
    assert toy.run().stdout.startswith("steps:     0 ran, 3 were done already\n")


def test_a_file_that_was_changed_by_hand_is_not_taken(toy):
    toy.run()
    # In place: the kept file is the same one.
    with (toy.workdir / "middle/out").open("a") as file:
        file.write("more")
    assert toy.run().stdout.startswith("steps:     1 ran, 2 were done already\n")
    assert ran(toy) == {"begin": 1, "middle": 2, "end": 1}
    assert result(toy) == "SOME CONTENT\n"


def test_status_tells_what_would_run_and_runs_nothing(toy):
    before = toy.run("--status")
    assert before.returncode == 0, before.stderr
    later = "after those before it, unless they write the same again"
    assert before.stdout.splitlines() == [
        "begin   to run: not done yet",
        f"middle  {later}",
        f"end     {later}",
    ]
    assert ran(toy) == {}
    toy.run()
    assert toy.run("--status").stdout.split() == ["begin", "done", "middle", "done", "end", "done"]
    (toy.folder / "some.txt").write_text("other\n")
    assert toy.run("--status").stdout.splitlines()[0] == "begin   to run: input: input_file"
    (toy.folder / "some.txt").write_text("some content\n")
    told = toy.run("--status", "-p", "command=true again").stdout.splitlines()
    assert told == [
        "begin   done",
        "middle  done",
        "end     to run: its command or a parameter of it",
    ]
    assert ran(toy) == ONCE
    assert toy.left() == {".yadage"}


def test_parts_of_the_settings_that_a_step_did_not_read_may_change(tmp_path):
    tell = f"echo >> {tmp_path}/ran"
    made = stage(
        "one",
        ["init"],
        f"{tell}; cat '{{settings}}' > out; printf -- '- a\\n- b/c\\n' > reads.yml",
        settings=from_init("input_file"),
    )
    toy = Toy(tmp_path, [publishing(made)])

    def run(**settings) -> int:
        (toy.folder / "some.txt").write_text(yaml.safe_dump(settings))
        toy.run()
        return len((tmp_path / "ran").read_text().splitlines())

    assert run(a=1, b={"c": 2, "d": 3}, e=4) == 1
    assert run(a=1, b={"c": 2, "d": 5}, e=6) == 1
    assert run(a=1, b={"c": 7, "d": 5}, e=6) == 2
    (line,) = journal.read(toy.workdir)
    assert line.why == ["settings: b/c"]
    assert run(a=1, b={"c": 2}) == 2
