"""The images, built from the Dockerfiles, and the whole workflow in them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import mlflow
import numpy as np
import pytest
import yaml

import steps
from scripts.engine.resume import journal

ROOT = Path(__file__).parents[2]
VERSION = steps.__version__
BASE, PH, ML, WHOLE = (
    f"madminertool/{name}:{VERSION}"
    for name in ("madminer", "madminer-workflow-ph", "madminer-workflow-ml", "madminer-workflow")
)
STAGES = {
    PH: ["whole.check", "ph"]
    + [f"ph.{s}" for s in ("check", "configure", "generate", "pythia", "delphes", "combine")],
    ML: [
        f"ml.{s}" for s in ("check", "reference", "sampling", "training", "evaluating", "plotting")
    ],
}
STAGES[WHOLE] = STAGES[PH] + STAGES[ML]
# A cluster's way to run images: some user, nothing to write to but what it mounts, no home.
RESTRICTED = "--user 1000:0 --read-only --tmpfs /tmp"

pytestmark = pytest.mark.images


def call(*command: str | Path, **options) -> str:
    result = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def inside(image: str, script: str) -> str:
    options = ["--rm", "--network", "none", *RESTRICTED.split()]
    return call("docker", "run", *options, image, "sh", "-c", script)


@pytest.fixture(scope="session", autouse=True)
def images() -> None:
    """Build without network, from the wheelhouse."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no container engine answers")
    call("make", "wheelhouse")
    print(call("make", "build", "BUILD_ARGS=--network none"))


def run(*arguments: str | Path, **environment: str) -> None:
    call(
        *(sys.executable, "-m", "scripts.run", *arguments),
        env={**os.environ, **environment},
        # The user of the containers is another one: the folders must be open to it.
        preexec_fn=lambda: os.umask(0),
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("images")
    for folder in (place, *place.parents[:2]):
        folder.chmod(0o777)
    whole = ("all", "--profile", "test")
    run(
        *(*whole, "--runtime", "docker", "--workdir", place / "containers"),
        PACKTIVITY_DOCKER_CMD_MOD=RESTRICTED,
    )
    run(*whole, "--workdir", place / "native")
    data = place / "native/workflow_ph/combine/data/combined_delphes.h5"
    half = ("ml", "--profile", "test", "--data-file", data)
    run(*half, "--workdir", place / "other", "-p", "seed=2")
    return {
        "containers": place / "containers/workflow_ml",
        "native": place / "native/workflow_ml",
        "other seed": place / "other",
    }


def test_sizes() -> None:
    base, ph, ml, whole = (
        int(call("docker", "image", "inspect", "--format", "{{.Size}}", image))
        for image in (BASE, PH, ML, WHOLE)
    )
    assert base <= 1.8e9
    assert ph - base <= 0.4e9
    assert ml - base <= 0.4e9
    assert whole - ml <= 0.4e9


@pytest.mark.parametrize("image", [BASE, PH, ML, WHOLE])
def test_labels_and_user(image: str) -> None:
    config = yaml.safe_load(
        call("docker", "image", "inspect", "--format", "{{json .Config}}", image)
    )
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.source"].startswith("https://")
    assert config["User"] == "1000:0"
    assert config["Cmd"] == ["bash"]
    assert config["WorkingDir"] == "/madminer"


@pytest.mark.parametrize("image", [PH, ML, WHOLE])
def test_every_step_explains_itself(image: str) -> None:
    script = " && ".join(f"python3 -m steps.{stage} --help" for stage in STAGES[image])
    assert inside(image, f"cd / && {script}").count("usage:") == len(STAGES[image])


def test_each_image_has_no_more_than_its_steps() -> None:
    assert "ml" not in inside(PH, "ls /madminer/steps").split()
    assert "ph" not in inside(ML, "ls /madminer/steps").split()
    modules = inside(BASE, "cd /madminer && find * -name '*.py'").split()
    room = [str(p.relative_to(ROOT)) for p in (ROOT / "steps/madminer").glob("*.py")]
    assert sorted(modules) == sorted(["steps/__init__.py", "steps/arrays.py", *room])


@pytest.mark.parametrize("image", [BASE, PH, ML, WHOLE])
def test_nothing_is_left_of_the_build(image: str) -> None:
    left = inside(
        image,
        "find /wheelhouse /requirements /root/.cache /var/cache/apt/archives/*.deb"
        " /var/lib/apt/lists/*_Packages 2>/dev/null || true",
    )
    assert left == ""
    assert "DOCKERPASS" not in call("docker", "history", "--no-trunc", image)


def test_versions_are_those_of_the_native_run() -> None:
    def versions(lines: list[str]) -> dict[str, str]:
        pairs = (line.split(";")[0].split("==") for line in lines if "==" in line)
        return {re.sub(r"[-_.]+", "-", name).lower(): v.strip() for name, v in pairs}

    pinned = versions((ROOT / "requirements/mlflow.txt").read_text().splitlines())
    for image in (PH, ML, WHOLE):
        found = versions(inside(image, "pip list --format freeze 2>/dev/null").split())
        del found["pip"]
        assert {name: v.split("+")[0] for name, v in found.items()} == {
            name: pinned[name] for name in found
        }


def test_events_are_those_of_the_native_run(runs: dict[str, Path]) -> None:
    files = [
        runs[name].parent / "workflow_ph/combine/data/combined_delphes.h5"
        for name in ("containers", "native")
    ]
    with h5py.File(files[0]) as one, h5py.File(files[1]) as two:
        for name in ("observations", "weights"):
            np.testing.assert_allclose(one[f"samples/{name}"], two[f"samples/{name}"], rtol=1e-9)
    assert files[0].stat().st_uid == 1000


def test_what_is_done_in_containers_is_taken(runs: dict[str, Path]) -> None:
    place = runs["containers"].parent
    run(
        *("all", "--profile", "test", "--runtime", "docker", "--workdir", place),
        PACKTIVITY_DOCKER_CMD_MOD=RESTRICTED,
    )
    ran = [line.label for line in journal.read(place) if not line.kept]
    assert sorted(ran) == ["check", "workflow_ml/check", "workflow_ph/check"]


def _extents_of_contours(folder: Path) -> np.ndarray:
    """Return where joint contours of two parameters reach to, of all methods in their order."""
    limits = yaml.safe_load((folder / "plotting/plots/limits.yml").read_text())["limits"]
    contours = [one["joint_contours_of_2_parameters"] for one in limits.values()]
    extents = [each[level]["extent"] for each in contours for level in ("68 % CL", "95 % CL")]
    ends = [one for extent in extents for one in extent.values()]
    return np.array([[one["low"], one["high"]] for one in ends])


def test_limits_agree_better_than_those_of_two_seeds(runs: dict[str, Path]) -> None:
    containers, native, other = (_extents_of_contours(folder) for folder in runs.values())
    assert np.abs(containers - native).max() <= np.abs(other - native).max()
    assert {p.name for p in (runs["containers"] / "plotting/plots").iterdir()} == {
        p.name for p in (runs["native"] / "plotting/plots").iterdir()
    }


def test_entry_points_of_the_cluster_run_in_the_image(tmp_path: Path) -> None:
    """As in a Job of kubernetes/: root read-only, results on a volume, no shell."""
    tmp_path.chmod(0o777)
    options = ["--rm", "--network", "none", *RESTRICTED.split(), "-v", f"{tmp_path}:/data"]
    ph = ["--input-file", "inputs/ph/input.yml", "--num-events", "1e2", "--workdir", "/data/ph"]
    for stage in ("configure", "generate", "pythia", "delphes", "combine"):
        call("docker", "run", *options, WHOLE, "python3", "-m", "steps.ph", stage, *ph)
    assert (tmp_path / "ph/combine/data/combined_delphes.h5").exists()
    whole = ["all", "--profile", "test", "--workdir", "/data/all", "-p", "num_events=3e2"]
    call("docker", "run", *options, WHOLE, "python3", "-m", "scripts.run", *whole)
    assert (tmp_path / "all/workflow_ml/plotting/plots/limits.yml").exists()


def test_runner_asks_for_missing_images() -> None:
    tagged = [PH, ML]
    for image in tagged:
        call("docker", "tag", image, f"{image}-kept")
        call("docker", "rmi", image)
    try:
        command = [sys.executable, "-m", "scripts.run", "all", "--runtime", "docker"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        for image in tagged:
            call("docker", "tag", f"{image}-kept", image)
            call("docker", "rmi", f"{image}-kept")
    assert result.returncode == 2
    assert f"docker has no image {ML}; 'make build" in result.stderr
    assert result.stderr.count("\n") == 1


def test_steps_in_containers_are_tracked(
    runs: dict[str, Path], tracking_server: str, tmp_path: Path
) -> None:
    """The image's own, smaller MLflow; the password comes with the environment alone."""
    spec = yaml.safe_load((ROOT / "inputs/ml/input.yml").read_text())
    spec |= {"methods": ["alice", "sally"], "plotting": {"all_methods": False}}
    (tmp_path / "input.yml").write_text(yaml.safe_dump(spec))
    data = runs["native"].parent / "workflow_ph/combine/data/combined_delphes.h5"
    run(
        *("ml", "--runtime", "docker", "--workdir", tmp_path / "run", "--data-file", data),
        *("--input-file-ml", tmp_path / "input.yml"),
        *("-p", "mlflow_args_s=n_samples_train=2000", "-p", "mlflow_args_t=num_epochs=2"),
        MLFLOW_TRACKING_URI=tracking_server.replace("://", "://emmy:n0ether-s3cret@"),
    )
    client = mlflow.MlflowClient(tracking_server)
    for name in ("madminer-ml-train", "madminer-ml-eval"):
        experiment = client.get_experiment_by_name(name)
        found = client.search_runs([experiment.experiment_id])
        assert [r.info.status for r in found] == ["FINISHED"] * 2
        assert all(r.data.tags["mlflow.source.git.commit"] for r in found)
    assert all(len(client.get_run(r.info.run_id).inputs.model_inputs) == 1 for r in found)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [path for path in files if b"n0ether-s3cret" in path.read_bytes()]
