"""Seeds, files that appear whole, numbers and facts between stages, errors and progress."""

import io
import os
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from broken import BROKEN
from hypothesis import given
from hypothesis import strategies as st

import steps
from steps.arrays import decoded, encoded
from steps.stage import command, files, provenance, results, seeds
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


def test_results_that_were_changed_are_refused(tmp_path):
    path = tmp_path / "results.h5"
    results.write(path, {"a/b": np.eye(3), "c": b"text"})
    with pytest.raises(InputError, match="has no 'd'; give what the right"):
        results.read(path)["d"]
    with h5py.File(path, "a") as file:
        file["a/b"][0, 0] = 2.0
    with pytest.raises(InputError, match="is not as a stage of this workflow wrote it"):
        results.read(path)


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


def member(name: str, content: bytes = b"", **about) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in about.items():
        setattr(info, key, value)
    return info, content


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


STOLEN = member("link/stolen", b"x")
HOSTILE = {
    "above": [member("../stolen", b"x")],
    "absolute": [member("/stolen", b"x")],
    "above later": [member("a/../../stolen", b"x")],
    "link": [link("link", ".."), STOLEN],
    "absolute link": [link("link", "/"), STOLEN],
    "link by way of a name": [link("link", "name/.."), link("name", "."), STOLEN],
    "link to a link": [link("a", "."), link("a/link", ".."), STOLEN],
    "over a link": [link("link", "../stolen"), member("link", b"x")],
    "loop": [link("link", "link"), STOLEN],
    "hard link": [link("link", "../secret", tarfile.LNKTYPE)],
    "device": [member("link", type=tarfile.CHRTYPE)],
    "pipe": [member("link", type=tarfile.FIFOTYPE)],
    "too large": [member("large", bytes(2**20))],
}


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused(tmp_path, monkeypatch, name, links):
    monkeypatch.setattr(files, "_LARGE", 2**19)
    (tmp_path / "secret").write_text("secret")
    archive = packed(tmp_path / "bad.tar.gz", *HOSTILE[name])
    with pytest.raises(InputError, match=r"bad\.tar\.gz: ") as error:
        unpack(archive, tmp_path / "new", links=links)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"secret", "bad.tar.gz", "new"}
    for path in (tmp_path / "new").rglob("*"):
        assert os.path.realpath(path).startswith(str(tmp_path / "new"))


def test_a_sparse_member_is_refused(tmp_path):
    """Of a few bytes in the archive, a file of terabytes."""
    info, _ = member("large", type=tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 2**31, b"%011o\0" % 0
    header[483:495] = b"%011o\0" % 2**32
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "bad.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(InputError, match="will not unpack 'large'"):
        unpack(tmp_path / "bad.tar", tmp_path / "new")


@pytest.mark.parametrize("length", [0, 1, 5, 20, -1, -10, -100])
def test_truncated_archives_are_refused(tmp_path, length):
    random = np.random.default_rng(1).bytes(10_000)
    archive = packed(tmp_path / "bad.tar.gz", member("a", random))
    archive.write_bytes(archive.read_bytes()[:length])
    with pytest.raises(InputError, match="cannot be read as an archive"):
        unpack(archive, tmp_path / "new")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_text("text"), None])
def test_what_is_no_archive_is_refused(tmp_path, make):
    if make:
        make(tmp_path / "bad")
    with pytest.raises(InputError, match="cannot be read as an archive"):
        unpack(tmp_path / "bad", tmp_path / "new")


def test_links_and_modes_of_programs_stay(tmp_path):
    place = tmp_path / "process"
    (place / "bin").mkdir(parents=True)
    (place / "bin/run").write_text("run")
    (place / "bin/run").chmod(0o755)
    (place / "sub").mkdir()
    (place / "sub/run").symlink_to("../bin/run")
    (place / "lib").symlink_to("bin/")
    os.link(place / "bin/run", place / "bin/same")
    files.pack(place, tmp_path / "good.tar.gz")
    with pytest.raises(InputError, match="neither file nor folder"):
        unpack(tmp_path / "good.tar.gz", tmp_path / "new")
    unpack(tmp_path / "good.tar.gz", tmp_path / "programs", links=True)
    for name in ("bin/run", "bin/same", "sub/run", "lib/run"):
        path = tmp_path / "programs/process" / name
        assert path.read_text() == "run"
        assert os.access(path, os.X_OK)
    assert (tmp_path / "programs/process/sub/run").is_symlink()


@pytest.mark.parametrize("way", BROKEN)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, way):
    path = tmp_path / "results.h5"
    results.write(path, {"a": np.eye(3)})
    BROKEN[way](path)
    with pytest.raises(InputError, match="run the stage that made it again") as error:
        results.read(path)
    assert len(str(error.value).splitlines()) == 1


def test_texts_survive_in_any_script():
    texts = ["x", "Δφ jj", "", "a" * 300]
    np.testing.assert_array_equal(decoded(encoded(texts)), texts)
    assert decoded(encoded([])) == []
