"""Overrides, seeds, files that appear whole, plans and numbers between stages."""

import string
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.interface import command, plans, results, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic, unpack
from steps.interface.overrides import Evaluating, Sampling, Training
from steps.physics.generator import Grid

KINDS = (Sampling, Training, Evaluating)


# ------------------------------------------------------------------ overrides
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "''", '""', "  ", " '' "])
def test_no_overrides_are_the_defaults(kind, text):
    assert kind.parse(text) == kind()


def test_upstream_overrides_are_understood():
    s = Sampling.parse("n_samples_train=1000 n_sampling_runs=2 nuisance_flag=0 test_split=0.5")
    assert (s.n_samples_train, s.n_sampling_runs, s.nuisance_flag) == (1000, 2, 0)
    assert s.nuisance_flag is not True
    assert Sampling.parse("ntrainsamples=3") == Sampling(n_sampling_runs=3)
    t = Training.parse("alpha=10.0  batch_size=100 num_epochs=2 valid_split=0.3")
    assert (t.alpha, t.batch_size, t.num_epochs, t.valid_split) == (10.0, 100, 2, 0.3)
    e = Evaluating.parse(
        "luminosity=10000.0 n_samples_test=100 n_samples_train=1000 test_split=0.5"
    )
    assert (e.luminosity, e.n_samples_test) == (1e4, 100)


@given(st.integers(1, 10**6), st.floats(0, 1e6), st.integers(1, 10**5))
def test_values_survive(batch_size, alpha, num_epochs):
    text = f"num_epochs={num_epochs} alpha={alpha!r} batch_size={batch_size}"
    parsed = Training.parse(text)
    assert parsed == Training(alpha=alpha, batch_size=batch_size, num_epochs=num_epochs)
    assert type(parsed.batch_size) is int
    assert type(parsed.alpha) is float


def test_networks_are_those_of_the_input_file_unless_overridden():
    section = {"hidden_layers": [64], "activation": "tanh", "learning_rate": 0.01}
    settings = Training.parse("hidden_layers=20,10 alpha=2").over(section)
    assert settings["hidden_layers"] == [20, 10]
    assert (settings["activation"], settings["learning_rate"]) == ("tanh", 0.01)
    assert settings["alpha"] == 2


@pytest.mark.parametrize(
    ("kind", "text", "named"),
    [
        (Training, "hidden_layers=64,,64", "hidden_layers=64,,64: units"),
        (Training, "hidden_layers=0", "units"),
        (Training, "activation=magic", "tanh, relu, elu, sigmoid"),
        (Training, "learning_rate=0", "positive"),
        (Training, "epochs=3", "num_epochs"),
        (Training, "num_epochs", "num_epochs"),
        (Training, "num_epochs=", "num_epochs"),
        (Training, "num_epochs=2.5", "whole number"),
        (Training, "num_epochs=0", "from 1"),
        (Training, "num_epochs=-3", "from 1"),
        (Training, "alpha=nan", "number"),
        (Training, "alpha=inf", "number"),
        (Training, "num_epochs=inf", "number"),
        (Training, "num_epochs=nan", "number"),
        (Training, "alpha=ten", "number"),
        (Training, "alpha = 10", "alpha"),
        (Training, "valid_split=1.0", "0.9"),
        (Sampling, "nuisance_flag=2", "from 0 to 1"),
        (Sampling, "test_split=0", "0.01"),
        (Evaluating, "luminosity=0", "1/pb"),
    ],
)
def test_bad_overrides_name_argument_and_remedy(kind, text, named):
    with pytest.raises(InputError) as error:
        kind.parse(text)
    message = str(error.value)
    assert message.startswith(kind.argument)
    assert named in message
    assert "\n" not in message


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_parses_or_is_an_input_error(text):
    for kind in KINDS:
        try:
            assert isinstance(kind.parse(text), kind)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it need not raise


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
def test_plan_round_trip(tmp_path):
    plan = plans.Plan("signal", "sm", 2, 300, 900, 2**32 - 1)
    edges = [np.sort(np.random.default_rng(i).random(5 + i)) for i in range(6)]
    plans.write(tmp_path / "sm_2", plan)
    plans.write_grid(tmp_path / "sm_2", Grid(edges, 0.0061, 1e-5, 0.3))
    assert plans.read(tmp_path / "sm_2") == plan
    read_grid = plans.read_grid(tmp_path / "sm_2")
    assert (read_grid.cross_section, read_grid.error, read_grid.max_weight) == (0.0061, 1e-5, 0.3)
    for axis, expected in zip(read_grid.edges, edges, strict=True):
        np.testing.assert_array_equal(axis, expected)


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
