"""The work directory at every moment a run may be killed."""

import pytest

from scripts.engine import workdir
from scripts.engine.errors import UsageError


@pytest.fixture
def place(tmp_path):
    return tmp_path / "run.v1"


def fill(path, text):
    (path / "_yadage").mkdir(parents=True)
    (path / "result").write_text(text)


def fail_in(place):
    def run():
        with workdir.replaced(place):
            fill(place, "new")
            raise KeyError

    with pytest.raises(KeyError):
        run()


def state(place):
    """Content of the run's directories, by what their names end in."""
    return {
        path.name.removeprefix(place.name): (path / "result").read_text()
        for path in place.parent.iterdir()
        if (path / "result").exists()
    }


def test_success_replaces(place):
    fill(place, "old")
    with workdir.replaced(place):
        assert list(place.iterdir()) == []
        assert state(place) == {".previous": "old"}
        fill(place, "new")
    assert state(place) == {"": "new"}
    assert len(list(place.parent.iterdir())) == 1


def test_failure_restores(place):
    fill(place, "old")
    fill(workdir.failed(place), "older")
    fail_in(place)
    assert state(place) == {"": "old", ".failed": "new"}


def test_first_run_fails(place):
    fail_in(place)
    assert state(place) == {".failed": "new"}
    assert not place.exists()


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, False),
        ({"": "old"}, {"": "old"}, False),
        # Killed after moving the earlier results aside, in the run, and while deleting them.
        ({".previous": "old"}, {"": "old"}, False),
        ({"": "half", ".previous": "old"}, {"": "old", ".failed": "half"}, True),
        ({"": "new", ".discard": "old"}, {"": "new"}, False),
        # Killed while restoring.
        ({".failed": "half", ".previous": "old"}, {"": "old", ".failed": "half"}, False),
        ({"": "half", ".discard": "x", ".previous": "old"}, {"": "old", ".failed": "half"}, True),
    ],
)
def test_recovery(place, before, after, found):
    for suffix, text in before.items():
        fill(place.with_name(place.name + suffix), text)
    assert workdir.recover(place) is found
    assert state(place) == after


def test_recovery_of_a_first_run(place):
    fill(place, "half")
    place.with_name(place.name + ".previous").mkdir()
    assert workdir.recover(place)
    assert state(place) == {".failed": "half"}
    assert not place.exists()


@pytest.mark.parametrize("suffix", ["", ".previous", ".failed"])
def test_foreign_directory_is_refused(place, suffix):
    foreign = place.with_name(place.name + suffix)
    foreign.mkdir()
    workdir.check(place)
    (foreign / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"run\.v1.*: not the work directory"):
        workdir.check(place)


def test_lock(place):
    with workdir.locked(place):
        with pytest.raises(UsageError, match=r"run\.v1: another run"), workdir.locked(place):
            pass
        assert place.with_name("run.v1.lock").exists()
    assert list(place.parent.iterdir()) == []
    with workdir.locked(place):
        pass
