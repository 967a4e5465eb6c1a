"""Steps that no results use go; all others stay."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from toys import Toy, toy_stages

from scripts import results
from scripts.engine import workdir
from scripts.engine.resume import contents, keys
from scripts.engine.resume.journal import Line
from scripts.engine.resume.store import NAME, Record, Store


def keep(folder: Path, name: str, size: int) -> Record:
    """Keep a step with a file; it ran in a folder that is gone."""
    step = folder / "step"
    step.mkdir(parents=True)
    (step / "result").write_bytes(b"x" * size)
    key = keys.Key(command=name, code={}, packages="", inputs={}, settings={})
    record = Record(name, key, [], {}, contents.of_tree(step), 0.0, 0.0)
    Store(folder / NAME).keep(record, step)
    (step / "result").unlink()
    step.rmdir()
    return record


def mention(folder: Path, name: str, *records: Record) -> Path:
    """A work directory whose journal has steps."""
    (folder / name).mkdir()
    for record in records:
        line = Line(record.label, kept=False, place=record.place, of=asdict(record))
        line.append(folder / name / "steps.jsonl")
    return folder / name


def collect(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = results.main(["gc", "--workdir", str(folder / "any")])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_what_results_mention_stays(tmp_path, capsys):
    a, b, c, d = (keep(tmp_path, name, 1_000_000) for name in "abcd")
    mention(tmp_path, "run", a)
    mention(tmp_path, "run.failed", b)
    mention(tmp_path, "other", a, c)
    (tmp_path / NAME / "scratch").mkdir(exist_ok=True)
    (tmp_path / NAME / "scratch" / "half").write_bytes(b"x" * 500_000)
    assert collect(tmp_path, capsys) == (
        0,
        f"{tmp_path}/{NAME}: 1 steps deleted, 1.5 MB freed; "
        "3 steps (3.0 MB) stay, used by other, run, run.failed\n",
    )
    store = Store(tmp_path / NAME)
    assert store.places() == sorted(record.place for record in (a, b, c))
    assert store.latest("a") == a
    assert store.latest("d") is None
    assert [path.name for path in (tmp_path / NAME / "latest").iterdir() if path.name == "d"] == []
    assert not (tmp_path / NAME / "scratch").exists()
    assert not (tmp_path / NAME / "steps" / d.key.digest).exists()


def test_files_that_results_share_are_not_freed(tmp_path, capsys):
    record = keep(tmp_path, "a", 1_000_000)
    Store(tmp_path / NAME).restore(record, tmp_path / "copy")
    status, text = collect(tmp_path, capsys)
    assert status == 0
    assert "1 steps deleted, 0.0 MB freed; 0 steps (0.0 MB) stay\n" in text
    assert (tmp_path / "copy/result").stat().st_size == 1_000_000


def test_nothing_is_kept_yet(tmp_path, capsys):
    status, text = collect(tmp_path / "new", capsys)
    assert status == 0
    assert "0 steps deleted" in text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["run", "never-finished"])
def test_a_run_that_goes_on_is_not_disturbed(tmp_path, capsys, name):
    record = keep(tmp_path, "a", 10)
    mention(tmp_path, "run.previous")
    with workdir.locked(tmp_path / name):
        status, text = collect(tmp_path, capsys)
    assert status == 2
    assert text == f"error: {tmp_path}/{name}: a run is using it; try again when it has ended\n"
    assert Store(tmp_path / NAME).places() == [record.place]


def test_a_journal_that_cannot_be_read_keeps_all(tmp_path, capsys):
    record = keep(tmp_path, "a", 10)
    folder = mention(tmp_path, "run")
    (folder / "steps.jsonl").write_text("{ not json\n")
    status, text = collect(tmp_path, capsys)
    assert status == 2
    assert text.startswith(f"error: {folder}/steps.jsonl: cannot be read")
    assert text.count("\n") == 1
    assert Store(tmp_path / NAME).places() == [record.place]


@pytest.mark.workflow
def test_a_later_run_finds_what_stayed(tmp_path, capsys):
    toy = Toy(tmp_path, toy_stages())
    for text in ("one", "two"):
        assert toy.run("-p", f"text={text}").returncode == 0
    # The first step of the first run is of no results any more.
    status, text = collect(tmp_path, capsys)
    assert status == 0
    assert "1 steps deleted" in text
    assert "5 steps" in text
    assert "steps:     0 ran, 5 were done already" in toy.run("-p", "text=two").stdout
    assert "steps:     1 ran, 4 were done already" in toy.run("-p", "text=one").stdout
    assert results.main(["verify", "--workdir", str(toy.workdir)]) == 0
    facts = json.loads((toy.workdir / "provenance.json").read_text())
    kept = {step["label"] for step in facts["steps"] if step["kept"]}
    assert kept == {f"many_{n}" for n in range(4)}
    for step in facts["steps"]:
        assert (step["ended"] < facts["started"]) == step["kept"]
