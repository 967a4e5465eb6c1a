"""Images as specification, Dockerfiles and version name them; the runner's use of them."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.engine import containers
from scripts.engine.errors import UsageError
from steps import __version__ as VERSION

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("docker/*/Dockerfile"))


@pytest.mark.parametrize("half", ["ph", "ml", "recast"])
def test_steps_name_the_image_of_this_version(half):
    steps = yaml.safe_load((ROOT / f"workflow/{half}/steps.yml").read_text())
    environment = steps.pop("environment")
    assert environment["image"] == f"madminertool/madminer-workflow-{half}"
    assert environment["imagetag"] == VERSION
    for step in (step for step in steps.values() if "process" in step):
        assert environment.items() <= step["environment"].items()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_dockerfiles_are_pinned_and_whole(file):
    text = file.read_text()
    assert "latest" not in text
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)", text, re.MULTILINE))
    for image in (value for value in defaults.values() if value.startswith("madminertool/")):
        assert image.endswith(f":{VERSION}")
    for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        stages = re.findall(r" AS (\w+)", text)
        assert base == "scratch" or base.strip("${}") in defaults or base in stages
    for label in ("title", "description", "version", "source", "licenses"):
        assert f"org.opencontainers.image.{label}=" in text


def test_every_requirement_is_pinned():
    pinned = {
        line.split("==")[0].strip().lower().replace("_", "-")
        for line in (ROOT / "requirements/run.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    for name in ("base", "ph", "ml", "runner"):
        for line in (ROOT / f"requirements/{name}.in").read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                assert line.split("==")[0].lower() in pinned


def engine(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("name", containers.ENGINES)
def test_a_missing_image_is_one_line(tmp_path, monkeypatch, name):
    engine(tmp_path, name, 'test "$1" = info')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UsageError) as error:
        containers.check(name, ROOT / "workflow/ph/workflow.yml")
    image = f"madminertool/madminer-workflow-ph:{VERSION}"
    assert f"{name} has no image {image}; 'make build ENGINE={name}'" in str(error.value)


@pytest.mark.parametrize(
    ("name", "answer", "user"),
    [
        ("docker", "[name=seccomp,profile=default]", None),
        ("docker", "[name=rootless]", "0:0"),
        ("podman", "false", None),
        ("podman", "true", "0:0"),
    ],
)
def test_results_belong_to_the_user(tmp_path, monkeypatch, name, answer, user):
    engine(tmp_path, name, f"echo '{answer}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("os.getuid", lambda: 1234)
    monkeypatch.setattr("os.getgid", lambda: 5678)
    (tmp_path / "in.yml").touch()
    given = {"input_file": str(tmp_path / "in.yml"), "seed": 1}
    variables = containers.environment(name, given, ROOT / "inputs")
    options = variables["PACKTIVITY_DOCKER_CMD_MOD"]
    assert f"--user {user or '1234:5678'}" in options
    assert f"-v '{tmp_path}:{tmp_path}:ro'" in options
    assert ("PATH" in variables) == (name == "podman")
    if name == "podman":
        assert (Path(variables["PATH"].split(":")[0]) / "docker").exists()
