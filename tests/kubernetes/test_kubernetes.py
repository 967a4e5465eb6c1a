"""Manifests against Kubernetes' schemas, and MLflow's own way from the project to a Job."""

import argparse
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import kubernetes_validate
import mlflow
import mlflow.projects.docker
import mlflow.projects.kubernetes
import pytest
import yaml

import steps
from scripts.engine.parameters import from_command_line
from scripts.run import TARGETS
from steps.settings import learning, overrides, parameters, physics
from steps.settings.schema import schema
from steps.stage.command import optional_path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kubernetes"
PROJECTS = [yaml.safe_load((place / "MLproject").read_text()) for place in (ROOT, FOLDER)]
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema/v1.33.0-local-strict"
DEFINITIONS = SCHEMAS / "_definitions.json"


def validate(document: dict) -> None:
    """Raise ValidationError unless a document fits the schema of its kind.

    The package's own function needs a newer jsonschema than Yadage allows.
    """
    version = document["apiVersion"].replace("/", "-")
    file = SCHEMAS / f"{document['kind'].lower()}-{version}.json"
    schema = json.loads(file.read_text())
    definitions = json.loads(DEFINITIONS.read_text())
    store = {definitions["$id"]: definitions}
    resolver = jsonschema.RefResolver(schema["$id"], schema, store=store)
    jsonschema.Draft7Validator(schema, resolver=resolver).validate(document)


def manifest(name: str) -> dict:
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.mark.parametrize("name", ["input_configmap.yml", "pv.yml", "pvc.yml"])
def test_manifests_are_valid(name: str) -> None:
    validate(manifest(name))


def test_wrong_manifest_is_not_valid() -> None:
    wrong = manifest("pvc.yml")
    wrong["spec"]["accessModes"] = "ReadWriteMany"
    with pytest.raises(jsonschema.ValidationError):
        validate(wrong)


INPUTS = {
    "input.yml": ROOT / "inputs/ml/input.yml",
    "input_ph.yml": ROOT / "inputs/ph/input.yml",
    "pythia8.cmnd": ROOT / "inputs/ph/cards/pythia8.cmnd",
}


def test_configmap_holds_the_input_files() -> None:
    data = manifest("input_configmap.yml")["data"]
    assert data == {name: file.read_text() for name, file in INPUTS.items()}


def test_mounted_input_files_are_whole(tmp_path: Path) -> None:
    """Cards lie where the input file looks for them."""
    data = manifest("input_configmap.yml")["data"]
    pod = manifest("kubernetes_job_template.yaml")["spec"]["template"]["spec"]
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "input")
    for item in volume["configMap"]["items"]:
        place = tmp_path / item["path"]
        place.parent.mkdir(exist_ok=True)
        place.write_text(data.pop(item["key"]))
    assert not data
    given = parameters.read({})
    spec = physics.read(tmp_path / "input_ph.yml", given)
    assert spec.shower_card["text"] == INPUTS["pythia8.cmnd"].read_text()
    learning.check_against(learning.read(tmp_path / "input.yml", given), spec.theory)


def test_claim_fits_the_volume() -> None:
    volume, claim = manifest("pv.yml"), manifest("pvc.yml")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    for key in ("storageClassName", "accessModes"):
        assert claim["spec"][key] == volume["spec"][key]
    assert (
        claim["spec"]["resources"]["requests"]["storage"] == volume["spec"]["capacity"]["storage"]
    )


def test_both_projects_have_the_same_entry_points() -> None:
    here, there = (project["entry_points"] for project in PROJECTS)
    names = {"main", "physics", "reference", "sample", "train", "eval"}
    assert set(here) == set(there) == names
    assert PROJECTS[0]["name"] == PROJECTS[1]["name"]
    for entry in here:
        assert here[entry]["command"] == there[entry]["command"]
        assert set(here[entry]["parameters"]) == set(there[entry]["parameters"])
        for name, parameter in here[entry]["parameters"].items():
            if parameter["type"] == "path":
                assert there[entry]["parameters"][name]["type"] == "string"
            else:
                assert there[entry]["parameters"][name] == parameter


def test_entry_points_have_our_parameters_and_leave_defaults_to_the_input_file() -> None:
    given = parameters.read({})
    for entry, keys in (
        ("reference", ("luminosity",)),
        ("sample", schema("ml")["properties"]["sampling"]["properties"]),
        ("train", ("alpha", "batch_size", "num_epochs", "valid_split")),
        ("eval", ("luminosity", "n_samples_test", "n_samples_train", "test_split")),
    ):
        defaults = default_values(entry)
        assert {name: defaults[name] for name in keys} == dict.fromkeys(keys, "")
    for entry in ("sample", "eval"):
        assert default_values(entry)["reference_file"] == ""
    for entry in ("main", "physics", "reference", "sample"):
        defaults = default_values(entry)
        assert {n: v for n, v in vars(given).items() if n in defaults}.items() <= defaults.items()
    assert {"seed", "num_events", "num_procs_per_job"} <= set(default_values("physics"))


def default_values(entry: str) -> dict:
    values = PROJECTS[0]["entry_points"][entry]["parameters"]
    return {name: value["default"] for name, value in values.items() if "default" in value}


def test_image_is_that_of_the_whole_workflow() -> None:
    image = f"madminertool/madminer-workflow:{steps.__version__}"
    assert PROJECTS[1]["docker_env"] == {"image": image}
    assert 'image.title="madminer-workflow"' in (ROOT / "docker/workflow/Dockerfile").read_text()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking database; making one takes seconds."""
    place = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{place}/mlflow.db"
    mlflow.MlflowClient(uri).create_experiment("k8s", (place / "files").as_uri())
    return uri


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict]]:
    """As much of a cluster as keeps a Job and says that it is done; yields the Jobs."""
    jobs: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path.startswith("/apis/batch/v1/namespaces/default/jobs")
            jobs.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._answer(jobs[-1])

        def do_GET(self) -> None:
            name = jobs[-1]["metadata"]["name"]
            assert self.path.startswith(f"/apis/batch/v1/namespaces/default/jobs/{name}/status")
            done = {"type": "Complete", "status": "True", "message": "done"}
            self._answer(jobs[-1] | {"status": {"conditions": [done]}})

        def _answer(self, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": address}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    yield jobs
    server.shutdown()


def overridden(command: list[str], argument: str) -> dict:
    """What the last option of a command says, by the stage's own reading."""
    words = " ".join(command[command.index("--overrides") + 1 :])
    return overrides.parse(argument, words)


def reference_of(command: list[str]) -> Path | None:
    """What the stage reads as the reference file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reference-file", type=optional_path)
    read: Path | None = parser.parse_known_args(command)[0].reference_file
    return read


def is_reference(command: list[str]) -> bool:
    parsed = overridden(command, "mlflow_args_e")
    return command[2] == "steps.ml.reference" and parsed == {"luminosity": 3000.0}


def is_sample(command: list[str]) -> bool:
    parsed = overridden(command, "mlflow_args_s")
    assert reference_of(command) is None
    return command[2] == "steps.ml.sampling" and parsed == {"n_samples_train": 20_000}


def is_train(command: list[str]) -> bool:
    parsed = overridden(command, "mlflow_args_t")
    return command[2] == "steps.ml.training" and parsed == {"alpha": 2.5}


def is_eval(command: list[str]) -> bool:
    assert reference_of(command) == Path("/data/r/reference.h5")
    return command[2] == "steps.ml.evaluating" and overridden(command, "mlflow_args_e") == {}


def is_physics(command: list[str]) -> bool:
    given = dict(zip(command[4::2], command[5::2], strict=True))
    values = {name.removeprefix("--").replace("-", "_"): value for name, value in given.items()}
    numbers = parameters.read(values)
    assert (numbers.seed, numbers.num_events, numbers.num_procs_per_job) == (3, 20_000, 0)
    return command[2:4] == ["steps.ph", "pythia"] and values["workdir"] == "/data/run"


def is_main(command: list[str]) -> bool:
    (seed,) = from_command_line([command[command.index("-p") + 1]], {}, ROOT).values()
    assert parameters.read({"seed": seed.value}).seed == 10
    assert int(command[command.index("--cores") + 1]) == 2
    return command[2] == "scripts.run" and command[3] in TARGETS and "/inputs/input.yml" in command


@pytest.mark.parametrize(
    ("entry", "given", "file", "is_right"),
    [
        (
            "reference",
            {"data_file": "/data/d.h5", "output_dir": "/data/r", "luminosity": "3e3"},
            "/inputs/input.yml",
            is_reference,
        ),
        (
            "sample",
            {"data_file": "/data/d.h5", "output_dir": "/data/s", "n_samples_train": "2e4"},
            "/inputs/input.yml",
            is_sample,
        ),
        (
            "train",
            {
                "sample_dir": "/data/s/data/Samples_alices_0",
                "output_dir": "/data/t",
                "alpha": 2.5,
            },
            "/inputs/input.yml",
            is_train,
        ),
        (
            "eval",
            {
                "data_file": "/data/d.h5",
                "model_file": "/data/t/Model.tar.gz",
                "output_dir": "/data/e",
                "reference_file": "/data/r/reference.h5",
            },
            "/inputs/input.yml",
            is_eval,
        ),
        (
            "physics",
            {"stage": "pythia", "workdir": "/data/run", "num_events": "2e4", "seed": 3},
            "/inputs/input_ph.yml",
            is_physics,
        ),
        ("main", {"workdir": "/data/run", "seed": "1e1"}, "/inputs/input_ph.yml", is_main),
    ],
)
def test_mlflow_makes_a_valid_job(
    cluster: list[dict],
    store: str,
    monkeypatch: pytest.MonkeyPatch,
    entry: str,
    given: dict,
    file: str,
    is_right: Callable[[list[str]], bool],
) -> None:
    """Everything is MLflow's and Kubernetes' own but the building of the image."""
    image = SimpleNamespace(tags=["registry/madminer:1"], id="sha256:1")
    nothing = {"validate_docker_installation": None, "build_docker_image": image}
    for name, answer in nothing.items():
        monkeypatch.setattr(mlflow.projects.docker, name, lambda answer=answer, **_: answer)
    monkeypatch.setattr(mlflow.projects.kubernetes, "push_image_to_registry", lambda _: "sha256:2")
    monkeypatch.setenv("KUBE_MLFLOW_TRACKING_URI", "http://mlflow.default:5000")
    monkeypatch.chdir(FOLDER)
    mlflow.set_tracking_uri(store)
    try:
        submitted = mlflow.projects.run(
            ".",
            entry_point=entry,
            parameters=given,
            experiment_name="k8s",
            backend="kubernetes",
            backend_config="kubernetes_config.json",
            synchronous=False,
        )
        assert submitted.wait()
    finally:
        mlflow.set_tracking_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    (job,) = cluster
    validate(job)
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["image"] == "registry/madminer:1@sha256:2"
    assert {"requests", "limits"} == set(container["resources"])
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow.default:5000"
    assert environment["MLFLOW_RUN_ID"] == submitted.run_id

    # There is no shell in between: what the step gets is what it must be able to read.
    command = container["command"]
    assert command[:2] == ["python3", "-m"]
    assert file in command
    assert is_right(command)

    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert (mounted["data"], mounted["input"]) == ("/data", "/inputs")
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest("pvc.yml")["metadata"]["name"]
    assert (
        volumes["input"]["configMap"]["name"] == manifest("input_configmap.yml")["metadata"]["name"]
    )
