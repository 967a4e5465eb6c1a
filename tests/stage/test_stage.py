"""Seeds, files that appear whole, numbers and facts between stages, errors and progress."""

import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steps
from steps.stage import command, provenance, results, seeds
from steps.stage.errors import InputError, SettingError
from steps.stage.files import atomic, unpack


# ------------------------------------------------------------------ seeds
def test_streams_are_reproducible_and_differ():
    keys = [
        (seed, stage, benchmark, job)
        for seed in (0, 1, 2**40)
        for stage in ("generate", "events")
        for benchmark in ("sm", "w", "morphing_basis_vector_2")
        for job in (0, 1, 11)
    ]
    first = {seeds.generator(*key).random() for key in keys}
    assert len(first) == len(keys)
    assert first == {seeds.generator(*key).random() for key in keys}
    assert len({seeds.integer(*key) for key in keys}) == len(keys)


@given(st.integers(0, 2**63), st.text(max_size=5), st.integers(0, 1000))
def test_streams_of_neighbours_are_uncorrelated(seed, benchmark, job):
    one, two = (seeds.generator(seed, benchmark, job + i).standard_normal(1000) for i in (0, 1))
    assert abs(one @ two) / 1000 < 6 / np.sqrt(1000)


def test_keys_are_not_joined():
    assert seeds.integer(1, "a", "b") != seeds.integer(1, "ab")
    assert seeds.integer(1, "b", "a") != seeds.integer(1, "a", "b")
    assert seeds.integer(1, "events", "sm", 11) != seeds.integer(1, "events", "sm1", 1)


def test_global_state_follows_the_seed():
    drawn = []
    for seed in (1, 1, 2):
        seeds.seed_globally(seed, "configure")
        drawn.append(np.random.random())
    assert drawn[0] == drawn[1] != drawn[2]


# ------------------------------------------------------------------ files
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_failed_block_leaves_the_old_content(tmp_path, kind):
    target = tmp_path / "deep" / "result"
    inner = target if kind == "file" else target / "inner"

    def write(path, text):
        if kind == "folder":
            path.mkdir()
            path = path / "inner"
        path.write_text(text)

    for text in ("first", "second"):
        with atomic(target) as path:
            assert path != target
            write(path, text)
        assert inner.read_text() == text
    with pytest.raises(RuntimeError), atomic(target) as path:  # noqa: PT012 - what is tested
        write(path, "broken")
        raise RuntimeError
    assert inner.read_text() == "second"
    assert [p.name for p in target.parent.iterdir()] == ["result"]


def test_block_that_writes_nothing_fails_and_leaves_the_old_content(tmp_path):
    for kind in ("file", "folder"):
        target = tmp_path / kind
        if kind == "file":
            target.write_text("old")
        else:
            target.mkdir()
        with pytest.raises(OSError), atomic(target):
            pass
        assert target.exists()


# ------------------------------------------------------------------ between stages
def test_results_round_trip(tmp_path):
    arrays = {"limits/alice/p": np.eye(3), "best": 4, "score": np.arange(5.0)}
    results.write(tmp_path / "results.h5", arrays)
    read = results.read(tmp_path / "results.h5")
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_input_error_ends_a_stage_with_one_line(capsys):
    def main():
        raise InputError("input.yml: methods: unknown")

    with pytest.raises(SystemExit) as stop:
        command.run(main)
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: input.yml: methods: unknown\n"


def test_setting_error_names_the_half_whose_file_it_is(capsys):
    def main():
        raise SettingError("cuts: nothing passes")

    with pytest.raises(SystemExit) as stop:
        command.run(main, "physics")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: physics input file: cuts: nothing passes\n"


def test_facts_travel_with_the_version(tmp_path):
    provenance.write(tmp_path / "sample.yml", {"seed": 3, "partition": {"test_split": 0.2}})
    facts = provenance.read(tmp_path / "sample.yml")
    assert facts == {
        "seed": 3,
        "partition": {"test_split": 0.2},
        "version": steps.__version__,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 3\nversion: 0.1.0\n", "made by version 0.1.0 of the workflow"),
        ("seed: 3\n", "not made by a stage"),
        ("[1, 2", "not made by a stage"),
        (None, "not made by a stage"),
    ],
)
def test_facts_of_others_are_refused_in_one_line(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "sample.yml").write_text(text)
    with pytest.raises(InputError, match=expected) as error:
        provenance.read(tmp_path / "sample.yml")
    assert "\n" not in str(error.value)


def test_progress_is_throttled_but_always_ends(capsys):
    report = command.progress(100, "events", seconds=60)
    for done in range(1, 101):
        report(done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["progress: 1/100 events", "progress: 100/100 events"]


# ------------------------------------------------------------------ archives
def test_archives_unpack_below_their_folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("content")
    with tarfile.open(tmp_path / "good.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a", arcname="model")
    unpack(tmp_path / "good.tar.gz", tmp_path / "new")
    assert (tmp_path / "new" / "model" / "b" / "file").read_text() == "content"


@pytest.mark.parametrize("name", ["../outside", "/outside", "model/../../outside"])
def test_archives_that_lead_elsewhere_are_refused(tmp_path, name):
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match="outside"):
        unpack(tmp_path / "bad.tar.gz", tmp_path / "new")
    assert not (tmp_path / "outside").exists()


def test_links_in_archives_are_refused(tmp_path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        archive.addfile(link)
    with pytest.raises(ValueError, match="link"):
        unpack(tmp_path / "bad.tar.gz", tmp_path / "new")
