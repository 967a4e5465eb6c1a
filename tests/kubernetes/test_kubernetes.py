"""Manifests against Kubernetes' schemas, and MLflow's own way from the project to a Job."""

import json
import os
import threading
from collections.abc import Iterator
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

from steps.interface import overrides

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


def test_configmap_holds_the_input_file() -> None:
    text = manifest("input_configmap.yml")["data"]["input.yml"]
    assert text == (ROOT / "inputs/ml/input.yml").read_text()


def test_claim_fits_the_volume() -> None:
    volume, claim = manifest("pv.yml"), manifest("pvc.yml")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    for key in ("storageClassName", "accessModes"):
        assert claim["spec"][key] == volume["spec"][key]
    assert (
        claim["spec"]["resources"]["requests"]["storage"] == volume["spec"]["capacity"]["storage"]
    )


def test_both_projects_have_the_same_steps_and_our_defaults() -> None:
    for entry, kind in (
        ("sample", overrides.Sampling),
        ("train", overrides.Training),
        ("eval", overrides.Evaluating),
    ):
        here, there = (project["entry_points"][entry] for project in PROJECTS)
        assert here["command"] == there["command"]
        assert set(here["parameters"]) == set(there["parameters"])
        values = {k: v["default"] for k, v in here["parameters"].items() if "default" in v}
        known = {k: v for k, v in vars(kind()).items() if v is not None}
        assert {k: values[k] for k in known} == known
        for name in known:
            assert here["parameters"][name] == there["parameters"][name]


def test_image_is_that_of_the_steps() -> None:
    environment = yaml.safe_load((ROOT / "workflow/ml/steps.yml").read_text())["environment"]
    image = f"{environment['image']}:{environment['imagetag']}"
    assert PROJECTS[1]["docker_env"] == {"image": image}


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


def test_mlflow_makes_a_valid_job(
    cluster: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is MLflow's and Kubernetes' own but the building of the image."""
    image = SimpleNamespace(tags=["registry/madminer:1"], id="sha256:1")
    nothing = {"validate_docker_installation": None, "build_docker_image": image}
    for name, answer in nothing.items():
        monkeypatch.setattr(mlflow.projects.docker, name, lambda answer=answer, **_: answer)
    monkeypatch.setattr(mlflow.projects.kubernetes, "push_image_to_registry", lambda _: "sha256:2")
    monkeypatch.setenv("KUBE_MLFLOW_TRACKING_URI", "http://mlflow.default:5000")
    monkeypatch.chdir(FOLDER)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        experiment = mlflow.create_experiment("k8s", (tmp_path / "files").as_uri())
        submitted = mlflow.projects.run(
            ".",
            entry_point="train",
            parameters={"sample_dir": "/data/s/data/Samples_alices_0", "output_dir": "/data/t"},
            experiment_id=experiment,
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
    assert command[:3] == ["python3", "-m", "steps.ml.training"]
    assert "/inputs/input.yml" in command
    words = command[command.index("--overrides") + 1 :]
    assert overrides.Training.parse(" ".join(words)) == overrides.Training()

    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert (mounted["data"], mounted["input"]) == ("/data", "/inputs")
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest("pvc.yml")["metadata"]["name"]
    assert (
        volumes["input"]["configMap"]["name"] == manifest("input_configmap.yml")["metadata"]["name"]
    )
