"""What a run says of itself, and what was changed since."""

import hashlib
import json
import os
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from toys import Toy, from_init, stage

from scripts import results
from steps import __version__

pytestmark = pytest.mark.workflow

SECRETS = {
    "MLFLOW_TRACKING_URI": "http://someone:hidden-in-address@127.0.0.1:9",
    "MLFLOW_TRACKING_USERNAME": "name-of-user",
    "MLFLOW_TRACKING_PASSWORD": "hidden-password",
    "MLFLOW_TRACKING_TOKEN": "hidden-token",
    "MLFLOW_USERNAME": "name-of-user",
}


def stages() -> list[dict]:
    """A check that writes the settings of the next, which writes what two others read."""
    check = stage(
        "check",
        ["init"],
        "printf 'seed: 7\\ncard: some card\\n' > settings.yml; cat '{input_file}' > seen",
        input_file=from_init("input_file"),
        folder="{workdir}",
    )
    make = stage(
        "make",
        ["check"],
        "sort '{settings}' > made; : '{server}' '{mlflow_server}' '{mlflow_username}'",
        settings={"step": "check", "output": "settings"},
        mlflow_server=from_init("mlflow_server"),
        mlflow_username=from_init("mlflow_username"),
        server="none",
        folder="{workdir}",
    )
    use = stage("use", ["make"], "wc '{made}' > used", made={"step": "make", "output": "made"})
    use["scheduler"]["scheduler_type"] = "multistep-stage"
    use["scheduler"]["parameters"]["n"] = [0, 1]
    use["scheduler"]["scatter"] = {"method": "zip", "parameters": ["n"]}
    for each, output, file in ((check, "settings", "settings.yml"), (make, "made", "made")):
        each["scheduler"]["step"]["publisher"] = {
            "publisher_type": "interpolated-pub",
            "publish": {output: f"{{folder}}/{file}"},
        }
    return [check, make, use]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A run that has succeeded, in the home of its user."""
    toy = Toy(tmp_path_factory.mktemp("home"), stages())
    profile = {"mlflow_server": "", "mlflow_username": "", "seed": 3}
    (toy.folder / "profile.yml").write_text(yaml.safe_dump(profile))
    result = toy.run(**SECRETS, HOME=str(toy.folder))
    assert result.returncode == 0, result.stderr
    return toy


@pytest.fixture
def facts(toy: Toy) -> dict:
    return json.loads((toy.workdir / "provenance.json").read_text())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_run_says_what_it_was(toy, facts):
    assert facts["code"]["version"] == __version__
    assert re.fullmatch("[0-9a-f]{40}|", facts["code"]["commit"])
    assert facts["code"]["files"].keys() >= {"steps/ml/training.py"}
    assert facts["packages"]["yadage"] == metadata.version("yadage")
    assert facts["environments"] == {}
    assert facts["host"].keys() == {"name", "system", "machine", "cores"}
    assert facts["parameters"] == {
        "input_file": "~/some.txt",
        "mlflow_server": "http://127.0.0.1:9",
    }
    assert facts["inputs"] == {"~/some.txt": sha256(toy.folder / "some.txt")}
    assert facts["settings"] == {"make": {"seed": 7, "card": "some card"}}
    assert facts["seeds"] == {"make": 7}
    assert facts["started"] < facts["ended"]
    assert facts["ended"].endswith("+00:00")
    assert facts["workflow"] == "~/spec/workflow.yml"


def test_the_graph_has_commands_keys_and_arrows(toy, facts):
    steps = {step["label"]: step for step in facts["steps"]}
    assert {label: step["after"] for label, step in steps.items()} == {
        "check": [],
        "make": ["check"],
        "use_0": ["make"],
        "use_1": ["make"],
    }
    assert {step["stage"] for step in facts["steps"]} == {"check", "make", "use"}
    make = steps["make"]
    assert make["command"] == (
        "sort '{workdir}/check/settings.yml' > made; "
        ": 'none' 'http://127.0.0.1:9' '{mlflow_username}'"
    )
    settings = toy.workdir / "check/settings.yml"
    assert make["reads"] == {
        "settings": {"path": "{workdir}/check/settings.yml", "sha256": sha256(settings)}
    }
    assert make["publishes"] == {"made": "{workdir}/make/made"}
    assert make["files"]["made"] == sha256(toy.workdir / "make/made")
    assert not make["kept"]
    assert (toy.folder / ".yadage-steps/steps" / make["key"]).is_dir()
    assert facts["started"] <= make["started"] <= make["ended"] <= facts["ended"]


def test_no_secret_and_no_name_of_a_user_is_told(toy):
    for name in ("provenance.json", "ro-crate-metadata.json", "specification.yml"):
        text = (toy.workdir / name).read_text()
        assert "hidden" not in text
        assert "name-of-user" not in text
        assert "someone" not in text
        assert str(toy.folder) not in text


def test_the_workflow_can_be_read_again(toy):
    from yadage import workflow_loader

    spec = workflow_loader.workflow("specification.yml", str(toy.workdir))
    assert [each["name"] for each in spec["stages"]] == ["check", "make", "use"]


def test_the_crate_describes_each_step(toy, facts):
    """That it keeps to its profile is told by a validator, which is no part of the tests."""
    graph = json.loads((toy.workdir / "ro-crate-metadata.json").read_text())["@graph"]
    by_id = {entity["@id"]: entity for entity in graph}
    assert len(by_id) == len(graph)

    def ids(entity: dict, name: str) -> list[str]:
        value = entity.get(name, [])
        return [each["@id"] for each in (value if isinstance(value, list) else [value])]

    root = by_id["./"]
    assert "https://w3id.org/ro/wfrun/provenance/0.5" in ids(root, "conformsTo")
    assert ids(root, "mainEntity") == ["specification.yml"]
    assert "ComputationalWorkflow" in by_id["specification.yml"]["@type"]
    for place in ids(root, "hasPart"):
        assert (toy.workdir / place).is_file()
        if place != "provenance.json":
            assert by_id[place]["sha256"] == sha256(toy.workdir / place)
    make = by_id["#action/make"]
    assert ids(make, "object") == ["check/settings.yml"]
    assert ids(make, "result") == ["make/made"]
    assert make["description"] == next(s for s in facts["steps"] if s["label"] == "make")["command"]
    for entity in graph:
        for name in entity.keys() - {"conformsTo", "additionalType", "license"}:
            values = entity[name] if isinstance(entity[name], list) else [entity[name]]
            named = [each["@id"] for each in values if isinstance(each, dict)]
            assert set(named) <= set(by_id), entity["@id"]


@pytest.fixture
def copied(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the run in another place: its files share nothing with the run's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return shutil.copytree(toy.folder, tmp_path / "home") / ".yadage"


def verify(workdir: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = results.main(["verify", "--workdir", str(workdir)])
    return status, capsys.readouterr().out.splitlines()


def test_what_a_run_left_is_sound(copied, capsys):
    (copied / "empty").mkdir()
    # Packtivity writes to it when a later step has the same name.
    with (copied / "check/_packtivity/check.step.log").open("a") as log:
        log.write("more\n")
    status, lines = verify(copied, capsys)
    assert status == 0
    (line,) = lines
    assert "and 1 input files are as the run of" in line


def test_what_was_changed_by_hand_is_told(copied, capsys):
    used = copied / "use_1/used"
    used.write_bytes(used.read_bytes()[:-1] + b"!")
    (copied / "make/made").unlink()
    (copied / "use_0/mine").touch()
    (copied / "yadage.log").write_text("")
    (copied / "steps.jsonl").write_text("{}\n")
    (copied.parent / "some.txt").write_text("other content\n")
    assert verify(copied, capsys) == (
        1,
        [
            "missing: make/made",
            "changed: steps.jsonl",
            "added: use_0/mine",
            "changed: use_1/used",
            "changed: yadage.log",
            f"changed: input file {copied.parent}/some.txt",
        ],
    )


def test_a_provenance_that_follows_the_change_is_told(copied, capsys):
    before = sha256(copied / "make/made")
    (copied / "make/made").write_text("other")
    path = copied / "provenance.json"
    path.write_text(path.read_text().replace(before, sha256(copied / "make/made")))
    status, lines = verify(copied, capsys)
    assert status == 1
    assert lines == ["changed: provenance.json or steps.jsonl, which differ on make"]


@pytest.mark.parametrize("text", [None, "{}", "[", '{"files": {}, "steps": [1]}'])
def test_without_provenance_nothing_can_be_said(copied, capsys, text):
    path = copied / "provenance.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert results.main(["verify", "--workdir", str(copied)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert error.count("\n") == 1


def test_environments_of_images_say_their_packages(tmp_path):
    place = tmp_path / "own/lib/python3.11/site-packages/pyhf-0.7.6.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: pyhf\nVersion: 0.7.6\n")
    python = tmp_path / "own/bin/python3"
    python.parent.mkdir()
    python.touch(mode=0o755)
    one = stage("own", ["init"], ": '{input_file}'", input_file=from_init("input_file"))
    image = "somebody/madminer-workflow-recast"
    one["scheduler"]["step"]["environment"]["image"] = image
    toy = Toy(tmp_path, [one])
    result = toy.run(VENV_RECAST=str(tmp_path / "own"))
    assert result.returncode == 0, result.stderr
    facts = json.loads((toy.workdir / "provenance.json").read_text())
    assert facts["environments"] == {image: {"pyhf": "0.7.6"}}


def test_images_are_told_by_their_digests(tmp_path):
    toy = Toy(tmp_path, [stage("only", ["init"], "true", n=from_init("input_file"))])
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    digest = f"sha256:{'0123456789abcdef' * 4}"
    docker.write_text(
        "#!/bin/sh\n"
        f'test "$1" = image && echo {digest}\n'
        'test "$1" = run && { for last; do :; done; exec sh -c "$last"; }\n'
        "exit 0\n"
    )
    docker.chmod(0o755)
    path = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
    result = toy.run("--runtime", "docker", PATH=path)
    assert result.returncode == 0, result.stderr
    facts = json.loads((toy.workdir / "provenance.json").read_text())
    assert facts["runtime"] == "docker"
    (step,) = facts["steps"]
    assert step["image"] == {"name": "toy:latest", "digest": digest}
    crate = json.loads((toy.workdir / "ro-crate-metadata.json").read_text())
    (image,) = (each for each in crate["@graph"] if each["@type"] == "ContainerImage")
    about = {"registry": "docker.io", "name": "toy", "tag": "latest"}
    assert image.items() >= {**about, "sha256": digest.removeprefix("sha256:")}.items()


def test_a_run_that_fails_leaves_none(toy, tmp_path):
    failing = Toy(tmp_path, [stage("bad", ["init"], "exit 1", n=from_init("input_file"))])
    assert failing.run().returncode == 1
    assert not (failing.failed / "provenance.json").exists()
