"""The progress display, on a terminal and elsewhere."""

import io
import os
from types import SimpleNamespace

import pytest
from adage import nodestate

from scripts.engine import progress


class Workflow:
    """As much of a Yadage workflow as the display looks at."""

    def __init__(self, folder):
        self.folder = folder
        self.nodes = []
        inner = [self.spec("generate"), self.spec("pythia")]
        self.rules = [
            self.rule("", "init", {"scheduler_type": "init-stage"}),
            self.rule("", "workflow_ph", {"workflow": {"stages": inner}}),
        ]
        self.dag = SimpleNamespace(
            nodes=lambda: range(len(self.nodes)), getNode=self.nodes.__getitem__
        )

    @staticmethod
    def spec(name):
        return {"name": name, "scheduler": {"scheduler_type": "singlestep-stage"}}

    @staticmethod
    def rule(offset, name, scheduler):
        return SimpleNamespace(offset=offset, rule=SimpleNamespace(name=name, stagespec=scheduler))

    def add(self, stage, name, state, printed=None):
        place = self.folder / "workflow_ph" / name
        metadir = place / "_packtivity"
        metadir.mkdir(parents=True)
        if printed is not None:
            (metadir / f"{name}.run.log").write_text(f"time | name | INFO | {printed}\n")
        metadata = {"name": name, "wflow_offset": "/workflow_ph/0", "wflow_stage": stage}
        task = SimpleNamespace(
            metadata=metadata,
            state=SimpleNamespace(readwrite=[str(place)], metadir=str(metadir)),
            pubOnlyTask=lambda: False,
        )
        self.nodes.append(SimpleNamespace(state=state, task=task))


@pytest.fixture
def workflow(tmp_path):
    return Workflow(tmp_path)


@pytest.fixture
def display(monkeypatch):
    descriptor = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setenv(progress.DESCRIPTOR, str(descriptor))
    display = progress.Progress()
    display.stream = io.StringIO()
    yield display
    os.close(descriptor)


def text(display):
    """What was written since the last call, without the times."""
    written = display.stream.getvalue()
    display.stream.seek(0)
    display.stream.truncate()
    return [line[8:] if line[3:4] == ":" else line for line in written.splitlines()]


def start_pythia(workflow):
    workflow.rules.clear()
    workflow.add("generate", "generate", nodestate.SUCCESS, "anything")
    workflow.add("pythia", "pythia_0", nodestate.RUNNING, "progress: 5/10 events")
    workflow.add("pythia", "pythia_1", nodestate.RUNNING)
    workflow.add("pythia", "pythia_2", nodestate.DEFINED)


def test_lines(display, workflow):
    display.initialize(workflow)
    display.track(workflow)
    assert text(display) == []
    start_pythia(workflow)
    display.track(workflow)
    counts = "workflow_ph/pythia 0/3 done, 1 running, 2 waiting"
    assert text(display) == [f"workflow_ph/generate 1/1 done; {counts}"]
    display.track(workflow)
    assert text(display) == []
    display.last_output -= 16
    display.track(workflow)
    assert text(display) == ["running: workflow_ph/pythia_0 5/10 events"]


def test_block_on_a_terminal(display, workflow, monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((50, 20)))
    monkeypatch.setattr(display.stream, "fileno", lambda: 0)
    display.live = True
    display.last_output = 0
    display.initialize(workflow)
    display.track(workflow)
    assert text(display) == [
        "\x1b[Jworkflow_ph/generate  waiting",
        "workflow_ph/pythia    waiting",
        "elapsed 0:00",
    ]
    start_pythia(workflow)
    display.track(workflow)
    assert text(display) == []  # too soon
    display.last_output = 0
    display.track(workflow)
    assert text(display) == [
        "\x1b[3A\x1b[Jworkflow_ph/generate  1/1 done",
        "workflow_ph/pythia    0/3 done, 1 running, 2 wait",
        "  workflow_ph/pythia_0: 5/10 events",
        "elapsed 0:00",
    ]


def test_summary(display, workflow):
    start_pythia(workflow)
    display.track(workflow)
    display.finalize(workflow)
    assert text(display)[-1] == "all stages: 1/4 done, 1 running, 2 waiting"


def test_stages_that_stay_open_are_an_error(display, workflow):
    with pytest.raises(RuntimeError, match="workflow_ph/generate, workflow_ph/pythia"):
        display.finalize(workflow)
    assert text(display) == ["all stages: no steps"]
