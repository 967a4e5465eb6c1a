"""Tracking against a real MLflow server: what is logged, what is not, and when it fails."""

import json
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tracking_service import PASSWORD, PLAIN, ROOT, USER, Line, call

from steps.inference import estimators
from steps.interface.addresses import without_credentials
from steps.interface.files import sha256, unpack
from steps.interface.tracking import EXPERIMENTS

pytestmark = pytest.mark.workflow
METHODS = ("alice", "alices", "sally")


@pytest.fixture(scope="module")
def client(server: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(server)


@pytest.fixture(scope="module")
def runs(client: mlflow.MlflowClient, tracked_run: Path) -> dict[str, dict]:
    """Runs of the tracked workflow by experiment and name, as the server lists them."""
    sample = yaml.safe_load(
        (tracked_run / "workflow_ml/sampling/data/Samples_alice_0/sample.yml").read_text()
    )
    sampling = sample["tracking"]["sampling_run_id"]
    found = {}
    for stage, name in EXPERIMENTS.items():
        experiment = client.get_experiment_by_name(name)
        listed = client.search_runs([experiment.experiment_id])
        found[stage] = {
            run.info.run_name: client.get_run(run.info.run_id)
            for run in listed
            if sampling in (run.info.run_id, run.data.tags.get("sampling_run_id"))
        }
    return found


def artifacts(client: mlflow.MlflowClient, run: mlflow.entities.Run) -> set[str]:
    return {item.path for item in client.list_artifacts(run.info.run_id)}


def test_every_step_is_one_finished_run(runs: dict) -> None:
    assert len(runs["sampling"]) == 1
    for stage in ("training", "evaluating"):
        assert set(runs[stage]) == {f"{method}-0" for method in METHODS}
    for of_stage in runs.values():
        for run in of_stage.values():
            assert run.info.status == "FINISHED"
            assert run.data.tags["mlflow.user"] == USER
            assert run.data.metrics["wall_time"] > 0


def test_runs_name_their_inputs(runs: dict, data_file: Path) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    for of_stage in runs.values():
        for run in of_stage.values():
            assert run.data.params["data_file_sha256"] == sha256(data_file)
            assert run.data.params["input_file_sha256"] == sha256(ROOT / "inputs/ml/input.yml")
            assert run.data.tags.get("mlflow.source.git.commit", "") == commit


def test_sampling_logs_parameters_and_sizes(runs: dict, client: mlflow.MlflowClient) -> None:
    (run,) = runs["sampling"].values()
    assert run.data.params["n_samples_train"] == "20000"
    assert run.data.params["test_split"] == "0.2"
    for method in METHODS:
        assert run.data.metrics[f"n_samples/{method}_0"] == pytest.approx(20_000, rel=0.02)
    assert "input.yml" in artifacts(client, run)


@pytest.mark.parametrize("method", METHODS)
def test_training_logs_losses_of_every_epoch(
    runs: dict, client: mlflow.MlflowClient, tracked_run: Path, method: str
) -> None:
    run = runs["training"][f"{method}-0"]
    assert run.data.params["num_epochs"] == "15"
    assert run.data.params["hidden_layers"] == "[64, 64, 64, 64]"
    (file,) = [
        path
        for path in tracked_run.glob("workflow_ml/training_*/models/*/losses.npy")
        if path.parent.name == method
    ]
    for column, name in enumerate(("training_loss", "validation_loss")):
        history = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in history] == list(range(1, 16))
        np.testing.assert_allclose([p.value for p in history], np.load(file)[:, column])
    assert {"Model.tar.gz", "training.yml", "input.yml"} <= artifacts(client, run)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_logs_numbers_plots_and_results(
    runs: dict, client: mlflow.MlflowClient, tracked_run: Path, method: str
) -> None:
    run = runs["evaluating"][f"{method}-0"]
    metrics = run.data.metrics
    table = yaml.safe_load((tracked_run / "workflow_ml/plotting/plots/limits.yml").read_text())
    closure = table["closure"][method]["correlation"]
    assert metrics["correlation_0"] == pytest.approx(closure[0], abs=1e-3)
    assert metrics["correlation_mean"] == pytest.approx(np.mean(closure), abs=1e-3)
    assert 0 < metrics["joint_correlation"] < 1
    assert metrics["held_out_loss"] > 0
    for name, label in (("kinematics", f"{method.upper()} (kinematics)"), ("with_rate", None)):
        expected = table["limits"][label or method.upper()]
        for level in ("68", "95"):
            for parameter, (low, high) in expected[f"{level} % CL"].items():
                assert metrics[f"{name}_{level}/{parameter}_low"] == pytest.approx(low, abs=1e-3)
                assert metrics[f"{name}_{level}/{parameter}_high"] == pytest.approx(high, abs=1e-3)
    if method == "sally":
        fisher = table["fisher_information"]["sally"]
        logged = metrics["fisher_information/CWL2_CPWL2"]
        assert logged == pytest.approx(fisher[0][1], abs=1e-3)
    expected = {f"Results_{method}.tar.gz", f"closure_{method.upper()}.png"}
    assert expected | {f"correlation_{method.upper()}.png"} <= artifacts(client, run)


@pytest.mark.parametrize("method", METHODS)
def test_evaluation_points_at_its_training(runs: dict, method: str) -> None:
    training, evaluation = (runs[s][f"{method}-0"] for s in ("training", "evaluating"))
    assert evaluation.data.tags["training_run_id"] == training.info.run_id
    (made,) = training.outputs.model_outputs
    (used,) = evaluation.inputs.model_inputs
    assert used.model_id == made.model_id
    assert evaluation.data.params["training.alpha"] == training.data.params["alpha"]


@pytest.mark.parametrize("method", METHODS)
def test_model_loads_without_madminer(
    runs: dict, server: str, tracked_run: Path, tmp_path: Path, method: str
) -> None:
    (made,) = runs["training"][f"{method}-0"].outputs.model_outputs
    code = (
        "import sys, json, mlflow\n"
        "sys.modules['madminer'] = None\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "uri = 'models:/' + sys.argv[2]\n"
        "model = mlflow.pyfunc.load_model(uri)\n"
        "example = model.input_example\n"
        "print(json.dumps([example.tolist(), model.predict(example).tolist()]))\n"
    )
    done = call("-c", code, server, made.model_id)
    assert done.returncode == 0, done.stderr
    example, output = map(np.array, json.loads(done.stdout.splitlines()[-1]))

    for file in tracked_run.glob("workflow_ml/training_*/Model.tar.gz"):
        unpack(file, tmp_path)
    model = estimators.load(tmp_path / method / method, method, "parameterized")
    if method == "sally":
        expected = estimators.score(model, example, 2)
    else:
        expected = [estimators.log_ratio(model, row[None, 2:], row[None, :2])[0] for row in example]
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-5)


def test_no_file_of_the_run_has_the_password(
    tracked_run: Path, runs: dict, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    places = [tracked_run]
    for of_stage in runs.values():
        for name, run in of_stage.items():
            place = tmp_path / f"{run.info.experiment_id}-{name}"
            client.download_artifacts(run.info.run_id, "", str(place.parent))
            places.append(place.parent)
            assert PASSWORD not in str(run.to_dictionary())
    for archive in [p for place in places for p in place.rglob("*.tar.gz")]:
        folder = tmp_path / f"unpacked-{len(places)}"
        with tarfile.open(archive) as content:
            content.extractall(folder)
        places.append(folder)
    files = {p for place in places for p in place.rglob("*") if p.is_file()}
    assert len(files) > 50
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def sample_dir(tracked_run: Path) -> Path:
    return tracked_run / "workflow_ml/sampling/data/Samples_alices_0"


def train(sample_dir: Path, place: Path, server: str = "", **variables: str):
    return call(
        *("-m", "steps.ml.training", "--input-file", ROOT / "inputs/ml/input.yml"),
        *("--sample-dir", sample_dir, "--overrides", "num_epochs=3", "--output-dir", place),
        *("--mlflow-server", server),
        **variables,
    )


@pytest.mark.parametrize("way", ["refused", "silent", "unknown host", "file store"])
def test_server_that_is_not_there_costs_one_warning(
    line: Line, sample_dir: Path, tmp_path: Path, way: str
) -> None:
    uri = line.uri.replace("://", f"://{USER}:{PASSWORD}@")
    if way == "refused":
        line.cut()
    elif way == "silent":
        line.freeze()
    else:
        uri = {"unknown host": "http://nowhere.invalid", "file store": f"file://{tmp_path}"}[way]
    done = train(sample_dir, tmp_path / "t", without_credentials(uri), MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    warnings = [text for text in done.stderr.splitlines() if not text.startswith("progress:")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: tracking at {without_credentials(uri)} stopped: ")
    assert PASSWORD not in done.stderr + done.stdout
    assert (tmp_path / "t/Model.tar.gz").exists()


@pytest.mark.parametrize("way", ["cut", "freeze"])
def test_server_that_dies_costs_one_warning(
    line: Line, sample_dir: Path, tmp_path: Path, way: str
) -> None:
    """The line fails when the training has begun; what it learns is what it learns alone."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "steps.ml.training", "--sample-dir", sample_dir),
            *("--input-file", ROOT / "inputs/ml/input.yml", "--output-dir", tmp_path / "t"),
            *("--overrides", "num_epochs=3", "--mlflow-server", line.uri),
        ],
        cwd=ROOT,
        env=PLAIN,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for text in process.stderr:
        if text.startswith("progress: 1/"):
            getattr(line, way)()
        lines.append(text)
    assert process.wait(120) == 0
    assert line.calls > 0
    (warning,) = [text for text in lines if not text.startswith("progress:")]
    assert warning.startswith(f"warning: tracking at {line.uri} stopped: ")

    assert train(sample_dir, tmp_path / "alone").returncode == 0
    losses = [np.load(tmp_path / place / "models/alices/losses.npy") for place in ("t", "alone")]
    np.testing.assert_array_equal(*losses)


def test_warning_reaches_the_user_once(data_file: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load((ROOT / "inputs/ml/input.yml").read_text())
    spec |= {"methods": ["alice", "sally"], "plotting": {"all_methods": False}}
    (tmp_path / "input.yml").write_text(yaml.safe_dump(spec))
    done = call(
        *("-m", "scripts.run", "ml", "--workdir", tmp_path / "run", "--data-file", data_file),
        *("--input-file-ml", tmp_path / "input.yml", "-p", "mlflow_server=http://127.0.0.1:9"),
        *("-p", "mlflow_args_s=n_samples_train=2000", "-p", "mlflow_args_t=num_epochs=1"),
    )
    assert done.returncode == 0, done.stderr
    warnings = [text for text in done.stderr.splitlines() if "tracking at" in text]
    assert warnings == [
        "warning: tracking at http://127.0.0.1:9 stopped: [Errno 111] Connection refused"
    ]
    assert (tmp_path / "run/plotting/plots/all_methods_separate.png").exists()


def test_nothing_is_imported_without_a_server(sample_dir: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['training', *sys.argv[1:]]\n"
        "runpy.run_module('steps.ml.training', run_name='__main__')\n"
        "assert not {'mlflow', 'sqlalchemy', 'pandas'} & set(sys.modules)\n"
    )
    done = call(
        *("-c", code, "--input-file", ROOT / "inputs/ml/input.yml", "--sample-dir", sample_dir),
        *("--overrides", "num_epochs=1", "--output-dir", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "Model.tar.gz") as archive:
        about = yaml.safe_load(archive.extractfile("alices/training.yml"))
    assert "training_run_id" not in about["tracking"]


def test_steps_at_once_make_each_experiment_once(server: str, tmp_path: Path) -> None:
    """On a database of its own, where everything is still to be made."""
    code = (
        "import argparse, pathlib, sys\n"
        "from steps.interface import tracking\n"
        "tracking.EXPERIMENTS = {k: v + '-race' for k, v in tracking.EXPERIMENTS.items()}\n"
        "args = argparse.Namespace(mlflow_server=sys.argv[1], mlflow_username='',\n"
        "    input_file=pathlib.Path('inputs/ml/input.yml'))\n"
        "with tracking.run('sampling', args) as record:\n"
        "    assert record.on\n"
    )
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: call("-c", code, server), range(6)))
    assert [(d.returncode, d.stderr) for d in done] == [(0, "")] * 6
    client = mlflow.MlflowClient(server)
    names = [e.name for e in client.search_experiments() if e.name.endswith("-race")]
    assert sorted(names) == sorted(f"{name}-race" for name in EXPERIMENTS.values())
    experiment = client.get_experiment_by_name("madminer-ml-sample-race")
    assert len(client.search_runs([experiment.experiment_id])) == 6


def test_failed_step_is_a_failed_run(server: str, sample_dir: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load((ROOT / "inputs/ml/input.yml").read_text()) | {"estimator": "quadratic"}
    (tmp_path / "input.yml").write_text(yaml.safe_dump(spec))
    done = call(
        *("-m", "steps.ml.training", "--input-file", tmp_path / "input.yml"),
        *("--sample-dir", sample_dir, "--output-dir", tmp_path, "--mlflow-server", server),
    )
    assert done.returncode == 1
    assert [t for t in done.stderr.splitlines() if t.startswith("error: ")] != []
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name(EXPERIMENTS["training"])
    newest = client.search_runs([experiment.experiment_id], max_results=1)[0]
    assert newest.info.status == "FAILED"


def test_database_file_keeps_artifacts_beside_it(sample_dir: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    uri = f"sqlite:///{store}/mlflow.db"
    done = train(sample_dir, tmp_path / "t", uri)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert list(store.glob("mlartifacts/madminer-ml-train/*/artifacts/Model.tar.gz"))
    assert {path.name for path in (tmp_path / "t").iterdir()} == {"Model.tar.gz", "models"}


def mlflow_run(server: str, entry: str, experiment: str, **parameters: object):
    options = [item for name, value in parameters.items() for item in ("-P", f"{name}={value}")]
    return call(
        *("-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local"),
        *("--experiment-name", experiment, *options),
        MLFLOW_TRACKING_URI=server,
    )


def test_project_runs_step_by_step(
    server: str, client: mlflow.MlflowClient, data_file: Path, tmp_path: Path
) -> None:
    """Entry points fill the runs that 'mlflow run' starts, and leave its parameters alone."""
    steps = (
        ("sample", "s", {"data_file": data_file, "n_samples_train": "2e3"}),
        ("train", "t", {"sample_dir": tmp_path / "s/data/Samples_sally_0", "num_epochs": 2}),
        ("eval", "e", {"data_file": data_file, "model_file": tmp_path / "t/Model.tar.gz"}),
    )
    for entry, place, parameters in steps:
        output = {"output_dir": tmp_path / place}
        done = mlflow_run(server, entry, f"project-{entry}", **parameters, **output)
        assert done.returncode == 0, done.stderr
        assert "warning:" not in done.stderr
    assert (tmp_path / "e/Results_sally.tar.gz").exists()

    found = {}
    for entry, *_ in steps:
        experiment = client.get_experiment_by_name(f"project-{entry}")
        (found[entry],) = client.search_runs([experiment.experiment_id])
        assert found[entry].info.status == "FINISHED"
        assert found[entry].data.tags["mlflow.project.entryPoint"] == entry
    assert found["sample"].data.params["n_samples_train"] == "2e3"
    assert found["train"].data.tags["sampling_run_id"] == found["sample"].info.run_id
    assert found["eval"].data.tags["training_run_id"] == found["train"].info.run_id
    assert found["eval"].data.metrics["held_out_loss"] > 0


def test_sweep_prints_the_best_setting_first(
    server: str, client: mlflow.MlflowClient, data_file: Path, tmp_path: Path
) -> None:
    spec = yaml.safe_load((ROOT / "inputs/ml/input.yml").read_text())
    spec |= {"methods": ["sally"], "plotting": {"all_methods": False}}
    (tmp_path / "input.yml").write_text(yaml.safe_dump(spec))
    settings = [{"num_epochs": 1, "learning_rate": 1e-6}, {"num_epochs": 8, "hidden_layers": [20]}]
    (tmp_path / "sweep.yml").write_text(yaml.safe_dump({"settings": settings}))
    done = call(
        *("-m", "scripts.run", "sweep", "--settings", tmp_path / "sweep.yml"),
        *("--workdir", tmp_path / "run", "--data-file", data_file, "--cores", "2"),
        *("--input-file-ml", tmp_path / "input.yml", "-p", "mlflow_args_s=n_samples_train=20000"),
        MLFLOW_TRACKING_URI=server,
    )
    assert done.returncode == 0, done.stderr
    header, first, second = (line.split() for line in done.stdout.splitlines())
    assert header[0] == "sally"
    assert {"hidden_layers", "learning_rate", "num_epochs", "held_out_loss"} <= set(header)
    losses = [float(line[-5]) for line in (first, second)]
    assert losses[0] < losses[1]
    assert "[20]" in first
    sample = yaml.safe_load((tmp_path / "run/sampling/data/Samples_sally_0/sample.yml").read_text())
    tag = sample["tracking"]["sampling_run_id"]
    experiment = client.get_experiment_by_name(EXPERIMENTS["evaluating"])
    runs = client.search_runs([experiment.experiment_id], f"tags.sampling_run_id = '{tag}'")
    logged = sorted(run.data.metrics["held_out_loss"] for run in runs)
    np.testing.assert_allclose(losses, logged, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("settings: []", "settings: must be a list of mappings"),
        ("settings: [{magic: 1}]", "settings: line 1: 'magic=1' is not key=value"),
        ("settings: [{}, {hidden_layers: [a]}]", "settings: line 2: hidden_layers=a: units"),
        ("settings: [", "not YAML"),
    ],
)
def test_sweep_refuses_mistakes_in_one_line(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "sweep.yml").write_text(content)
    options = ("--settings", tmp_path / "sweep.yml", "--workdir", tmp_path / "run")
    done = call("-m", "scripts.run", "sweep", *options, "--data-file", __file__)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/sweep.yml: ")
    assert expected in line


WORDS = st.text(st.characters(categories=("L", "N"), include_characters="-._~%"), min_size=1)


@given(user=WORDS, password=WORDS, token=WORDS)
def test_shown_addresses_have_no_credentials(user: str, password: str, token: str) -> None:
    for scheme in ("http", "https", "postgresql", "mysql+pymysql"):
        uri = f"{scheme}://{user}:{password}@host:5000/path?token={token}"
        assert without_credentials(uri) == f"{scheme}://host:5000/path"
        assert without_credentials(f"{scheme}://{token}@host") == f"{scheme}://host"


@pytest.mark.parametrize("uri", ["", "http://host:5000", "sqlite:////a@b/c.db", "sqlite:///c.db"])
def test_addresses_without_credentials_stay(uri: str) -> None:
    assert without_credentials(uri) == uri
