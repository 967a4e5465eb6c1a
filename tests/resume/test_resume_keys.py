"""What makes two steps the same."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.engine.resume import contents, keys, why
from scripts.engine.resume.store import Record

SPEC = {
    "process": {"process_type": "string-interpolated-cmd", "cmd": "python3 -m steps.ml.plotting"},
    "publisher": {"publisher_type": "frompar-pub", "outputmap": {}},
    "environment": {"image": "some/image", "imagetag": "1"},
}


def task(folder: Path, spec=SPEC, **parameters):
    return SimpleNamespace(
        state=SimpleNamespace(readwrite=[str(folder)]),
        parameters=SimpleNamespace(json=lambda: parameters),
        spec=spec,
    )


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / "in/data.h5").write_text("events")
        (tmp_path / name / "settings.yml").write_text("x: 1\ny: {z: 2}\n")
    return [tmp_path / "a", tmp_path / "b"]


def key(place: Path, **more):
    parameters = {
        "settings": f"{place}/settings.yml",
        "data_file": f"{place}/in/data.h5",
        "output_dir": f"{place}/step",
        **more,
    }
    return keys.of_task(task(place / "step", **parameters), "native")


def test_places_and_times_are_no_part_of_it(places):
    one, other = map(key, places)
    assert one == other
    assert key(places[0], data_file=[f"{places[0]}/in/data.h5"]) == one


def test_content_names_and_values_are(places):
    one = key(places[0])
    (places[1] / "in/data.h5").write_text("others")
    assert key(places[1]).digest != one.digest
    (places[0] / "in/other.h5").write_text("events")
    assert key(places[0], data_file=f"{places[0]}/in/other.h5").digest != one.digest
    assert key(places[0], seed=2).digest != one.digest
    assert key(places[0], data_file=f"{places[0]}/in").digest != one.digest
    other = {**SPEC, "process": {**SPEC["process"], "cmd": "python3 -m steps.ml.plotting --more"}}
    assert keys.of_task(task(places[0], other), "native") != keys.of_task(task(places[0]), "native")


def test_settings_are_apart(places):
    one = key(places[0])
    (places[0] / "settings.yml").write_text("x: 1\ny: {z: 3}\n")
    assert key(places[0]).digest == one.digest
    assert key(places[0]).settings == {"x": 1, "y": {"z": 3}}


def test_the_image_is_its_code_in_a_container(places, monkeypatch):
    digests = iter(["sha256:one", "sha256:two"])
    monkeypatch.setattr(keys, "_digest", lambda engine, image: next(digests))
    one, two = (keys.of_task(task(places[0]), "docker") for _ in range(2))
    assert one.code == {"some/image:1": "sha256:one"}
    assert one.packages == ""
    assert one.digest != two.digest


def test_a_program_of_the_user_counts(places, monkeypatch):
    spec = {**SPEC, "process": {**SPEC["process"], "cmd": "python3 -m steps.ph.generate"}}
    before = keys.of_task(task(places[0], spec), "native")
    (places[1] / "VERSION").write_text("3.5.7")
    monkeypatch.setenv("MADGRAPH_DIR", str(places[1]))
    after = keys.of_task(task(places[0], spec), "native")
    assert list(why._differences(before.code, after.code)) == ["MADGRAPH_DIR"]


TREE = st.recursive(
    st.binary(max_size=4),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=6,
)


def write(path: Path, tree) -> None:
    if isinstance(tree, bytes):
        path.write_bytes(tree)
        return
    path.mkdir()
    for name, item in tree.items():
        write(path / name, item)


@given(TREE, TREE)
def test_hashes_tell_folders_apart(tmp_path_factory, one, other):
    place = tmp_path_factory.mktemp("trees")
    for name, tree in (("one", one), ("other", other)):
        write(place / name, tree)
    same = contents.of(place / "one") == contents.of(place / "other")
    assert same == (one == other)


def test_reasons_name_what_changed(places):
    one = key(places[0])
    before = Record("plotting", one, ["x", "y/z"], {}, {}, 0.0, 0.0)

    def reasons(now, **more):
        return why.reasons(before, now, **{"always": False, "fresh": False, **more})

    assert why.reasons(None, one, always=False, fresh=False) == ["not done yet"]
    assert reasons(one) == ["its files are gone, or not as it left them"]
    assert reasons(one, fresh=True) == ["asked for by FRESH=1"]
    assert reasons(replace(one, settings={"x": 1, "y": {"z": 2}, "new": 3})) == [
        "its files are gone, or not as it left them"
    ]
    changed = replace(
        one,
        settings={"x": 5, "y": {"z": 6}},
        inputs={"data_file": "other"},
        code=dict(one.code) | {"steps/new.py": ""},
        packages="",
        command="",
    )
    assert reasons(changed) == [
        "settings: x, y/z",
        "its command or a parameter of it",
        "input: data_file",
        "code: steps/new.py",
        "installed packages",
    ]


def test_the_tree_of_a_file_is_content_and_name(places):
    for place in places:
        (place / "in/data.root").write_text("events")
    one, other = (key(place, observed_file=f"{place}/in/data.root:one") for place in places)
    assert one == other
    assert key(places[0], observed_file=f"{places[0]}/in/data.root:two").digest != one.digest
    (places[1] / "in/data.root").write_text("others")
    assert key(places[1], observed_file=f"{places[1]}/in/data.root:one").digest != one.digest
