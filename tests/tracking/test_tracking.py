"""Tracking against a real MLflow server: what is logged, what is not, and when it fails."""

import json
import os
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import mlflow.projects
import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from tracking_service import PASSWORD, PLAIN, ROOT, USER, Done, Line, Tracked, call, step

from scripts import run as runner
from steps.events import madminer_file
from steps.inference import networks
from steps.inference.methods import METHODS, Kind
from steps.stage.files import sha256, unpack
from steps.tracking.addresses import without_credentials
from steps.tracking.record import EXPERIMENTS


@pytest.fixture(scope="module")
def client(server: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(server)


@pytest.fixture(scope="module")
def runs(client: mlflow.MlflowClient, tracked: Tracked) -> dict[str, dict]:
    """Runs of the tracked steps by experiment and name, as the server lists them."""
    sample = yaml.safe_load((tracked.sample("alice") / "sample.yml").read_text())
    sampling = sample["tracking"]["sampling_run_id"]
    found = {}
    for stage, name in EXPERIMENTS.items():
        experiment = client.get_experiment_by_name(name)
        listed = client.search_runs([experiment.experiment_id])
        found[stage] = {
            run.info.run_name: client.get_run(run.info.run_id)
            for run in listed
            if sampling in (run.info.run_id, run.data.tags.get("sampling_run_id"))
            # Other tests train on the same sample.
            and run.data.tags["mlflow.user"] == USER
        }
    return found


def artifacts(client: mlflow.MlflowClient, run: mlflow.entities.Run) -> set[str]:
    return {item.path for item in client.list_artifacts(run.info.run_id)}


def test_every_step_is_one_finished_run(runs: dict, tracked: Tracked) -> None:
    assert len(runs["sampling"]) == 1
    for stage in ("training", "evaluating"):
        assert set(runs[stage]) == {f"{method}-0" for method in tracked.methods}
    for of_stage in runs.values():
        for run in of_stage.values():
            assert run.info.status == "FINISHED"
            assert run.data.tags["mlflow.user"] == USER
            assert run.data.metrics["wall_time"] > 0


def test_runs_name_their_inputs(runs: dict, client: mlflow.MlflowClient, tracked: Tracked) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    for stage, of_stage in runs.items():
        settings = tracked.folder / f"check/settings/{stage}.yml"
        for run in of_stage.values():
            assert run.data.params["data_file_sha256"] == sha256(tracked.data_file)
            assert run.data.params["settings"] == str(settings)
            assert run.data.params["settings_sha256"] == sha256(settings)
            kept = client.list_artifacts(run.info.run_id, "settings")
            assert [item.path for item in kept] == [f"settings/{stage}.yml"]
            assert run.data.tags.get("mlflow.source.git.commit", "") == commit


def test_sampling_logs_parameters_and_sizes(
    runs: dict, client: mlflow.MlflowClient, tracked: Tracked
) -> None:
    (run,) = runs["sampling"].values()
    assert run.data.params["n_samples_train"] == str(tracked.n_samples)
    assert run.data.params["test_split"] == run.data.params["valid_split"] == "0.2"
    assert run.data.params["seed"] == "1"
    n_events = len(madminer_file.read_weights(tracked.data_file)[1])
    for method in tracked.methods:
        n = run.data.metrics[f"n_samples/{method}_0"]
        # Of a file with fewer events networks that take them as they are have all.
        most = n_events if METHODS[method].cross_fits("morphing") else tracked.n_samples
        assert n == pytest.approx(min(tracked.n_samples, most), rel=0.02)
    names = {f"Samples_{method}_0" for method in tracked.methods}
    assert names <= artifacts(client, run)


def test_training_logs_losses_of_every_epoch(
    runs: dict, client: mlflow.MlflowClient, tracked: Tracked
) -> None:
    for method in tracked.methods:
        run = runs["training"][f"{method}-0"]
        folder = tracked.training(method)
        about = yaml.safe_load((folder / f"models/{method}/training.yml").read_text())
        assert run.data.params["num_epochs"] == str(tracked.num_epochs)
        assert run.data.params["hidden_layers"] == str(about["training"]["hidden_layers"])
        losses = np.load(folder / f"models/{method}/losses.npy")
        # Training may end where events that networks have not seen no longer like it.
        n = len(losses)
        assert 1 <= n <= tracked.num_epochs
        if not METHODS[method].cross_fits("morphing"):
            assert n == tracked.num_epochs
        for column, name in enumerate(("training_loss", "validation_loss")):
            history = client.get_metric_history(run.info.run_id, name)
            assert [point.step for point in history] == list(range(1, n + 1))
            np.testing.assert_allclose([p.value for p in history], losses[:, column])
        assert {"Model.tar.gz", "training.yml", "settings"} <= artifacts(client, run)


def test_evaluation_logs_numbers_plots_and_results(
    runs: dict, client: mlflow.MlflowClient, tracked: Tracked
) -> None:
    table = yaml.safe_load((tracked.folder / "plotting/plots/limits.yml").read_text())
    names = "_".join(madminer_file.read_setup(tracked.data_file).parameters)
    for method in tracked.methods:
        run = runs["evaluating"][f"{method}-0"]
        metrics = run.data.metrics
        closure = table["closure"][method]["correlation"]
        assert metrics["correlation_0"] == pytest.approx(closure[0], abs=1e-3)
        assert metrics["correlation_mean"] == pytest.approx(np.mean(closure), abs=1e-3)
        assert 0 < metrics["joint_correlation"] < 1
        assert metrics["held_out_loss"] > 0
        label = method.upper()
        for name, shown in (("kinematics", f"{label} (kinematics)"), ("with_rate", label)):
            expected = table["limits"][shown]
            for parameter, kinds in expected["intervals"].items():
                profiled = next(iter(kinds.values()))
                for level in ("68", "95"):
                    pieces = profiled[f"{level} % CL"]
                    logged = [
                        metrics[f"{name}_{level}/{parameter}_{end}"] for end in ("low", "high")
                    ]
                    ends = [pieces[0]["low"], pieces[-1]["high"]]
                    assert logged == pytest.approx(ends, abs=1e-3)
                best = expected["best_fit"][parameter]["value"]
                assert metrics[f"{name}_best_fit/{parameter}"] == pytest.approx(best, abs=1e-3)
        if METHODS[method].kind is Kind.SCORE:
            fisher = table["fisher_information"][method]
            logged = metrics[f"fisher_information/{names}"]
            assert logged == pytest.approx(fisher[0][1], abs=1e-3)
        expected = {f"Results_{method}.tar.gz", f"closure_{label}.png", f"correlation_{label}.png"}
        assert expected <= artifacts(client, run)


def test_evaluation_points_at_its_training(runs: dict, tracked: Tracked) -> None:
    for method in tracked.methods:
        training, evaluation = (runs[s][f"{method}-0"] for s in ("training", "evaluating"))
        assert evaluation.data.tags["training_run_id"] == training.info.run_id
        (made,) = training.outputs.model_outputs
        (used,) = evaluation.inputs.model_inputs
        assert used.model_id == made.model_id
        epochs = training.data.params["num_epochs"]
        assert evaluation.data.params["training.num_epochs"] == epochs


def test_models_load_without_madminer(
    runs: dict, server: str, tracked: Tracked, tmp_path: Path
) -> None:
    ids = [
        runs["training"][f"{method}-0"].outputs.model_outputs[0].model_id
        for method in tracked.methods
    ]
    code = (
        "import sys, json, mlflow\n"
        "sys.modules['madminer'] = None\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "for name in sys.argv[2:]:\n"
        "    model = mlflow.pyfunc.load_model('models:/' + name)\n"
        "    example = model.input_example\n"
        "    print('made', json.dumps([example.tolist(), model.predict(example).tolist()]))\n"
    )
    done = call("-c", code, server, *ids)
    assert done.returncode == 0, done.stderr
    made = [line.removeprefix("made ") for line in done.stdout.splitlines() if "made " in line]

    for name, line in zip(tracked.methods, made, strict=True):
        example, output = map(np.array, json.loads(line))
        unpack(tracked.training(name) / "Model.tar.gz", tmp_path)
        method = METHODS[name]
        path = tmp_path / name / name
        if method.cross_fits("morphing"):
            # The mean density of all folds, of parameters and observables; each event's own
            # network is not what is exported.
            expected = onnx_log_ratio(path.with_suffix(".onnx"), example[:, :2], example[:, 2:])
        else:
            expected = networks.load(path, method, "parameterized").score(example, 2)
        np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-5)


def onnx_log_ratio(path: Path, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the file beside the networks says."""
    session = ReferenceEvaluator(onnx.load(path))
    inputs = {"theta": theta.astype(np.float32), "x": x.astype(np.float32)}
    return np.asarray(session.run(["log_ratio"], inputs)[0])


def test_no_file_of_the_run_has_the_password(
    tracked: Tracked, runs: dict, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    places = [tracked.folder]
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
def sample_dir(data_file: Path, input_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample that no server knows."""
    place = tmp_path_factory.mktemp("sample")
    files = ("--input-file", input_file, "--data-file", data_file)
    assert step("sampling", *files, "--output-dir", place).returncode == 0
    return place / "data/Samples_alice_0"


@pytest.fixture
def train(input_file: Path, sample_dir: Path, tmp_path: Path):
    """Return a function that trains on that sample, below a folder."""

    def run(place: Path = tmp_path, server: str = "", **more) -> Done:
        options = ("--input-file", input_file, "--sample-dir", sample_dir, "--output-dir", place)
        return step("training", *options, "--mlflow-server", server, **more)

    return run


# What a step waits for an answer, unless the environment says otherwise, is a few seconds.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"}


@pytest.mark.parametrize("way", ["refused", "silent", "unknown host", "file store"])
def test_server_that_is_not_there_costs_one_warning(
    line: Line, train, tmp_path: Path, way: str
) -> None:
    uri = line.uri.replace("://", f"://{USER}:{PASSWORD}@")
    if way == "refused":
        line.cut()
    elif way == "silent":
        line.freeze()
    else:
        uri = {"unknown host": "http://nowhere.invalid", "file store": f"file://{tmp_path}"}[way]
    done = train(tmp_path / "t", without_credentials(uri), MLFLOW_TRACKING_URI=uri, **IMPATIENT)
    assert done.returncode == 0, done.stderr
    (warning,) = done.said
    assert warning.startswith(f"warning: tracking at {without_credentials(uri)} stopped: ")
    assert PASSWORD not in done.stderr + done.stdout
    assert (tmp_path / "t/Model.tar.gz").exists()


@pytest.mark.slow
def test_silent_server_costs_some_eight_seconds(line: Line, train) -> None:
    line.freeze()
    before = time.monotonic()
    (warning,) = train(server=line.uri).said
    waited = time.monotonic() - before
    before = time.monotonic()
    train()
    assert waited - (time.monotonic() - before) < 9
    assert warning.startswith(f"warning: tracking at {line.uri} stopped: ")


@pytest.mark.parametrize("way", ["cut", "freeze"])
def test_server_that_dies_costs_one_warning(line: Line, train, tmp_path: Path, way: str) -> None:
    """The line fails when the training has begun; what it learns is what it learns alone."""

    def fail(said: str) -> None:
        if said.startswith("progress: 1/"):
            getattr(line, way)()

    done = train(tmp_path / "t", line.uri, tell=fail, **IMPATIENT)
    assert done.returncode == 0
    assert line.calls > 0
    (warning,) = done.said
    assert warning.startswith(f"warning: tracking at {line.uri} stopped: ")

    assert train(tmp_path / "alone").returncode == 0
    losses = [np.load(tmp_path / place / "models/alice/losses.npy") for place in ("t", "alone")]
    np.testing.assert_array_equal(*losses)


@pytest.mark.slow
@pytest.mark.workflow
def test_warning_reaches_the_user_once(data_file: Path, input_file: Path, tmp_path: Path) -> None:
    done = call(
        *("-m", "scripts.run", "ml", "--workdir", tmp_path / "run", "--data-file", data_file),
        *("--input-file-ml", input_file, "-p", "mlflow_server=http://127.0.0.1:9"),
    )
    assert done.returncode == 0, done.stderr
    warnings = [text for text in done.stderr.splitlines() if "tracking at" in text]
    assert warnings == [
        "warning: tracking at http://127.0.0.1:9 stopped: [Errno 111] Connection refused"
    ]
    assert (tmp_path / "run/plotting/plots/all_methods_separate.png").exists()


def test_nothing_is_imported_without_a_server(
    input_file: Path, sample_dir: Path, tmp_path: Path
) -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['training', *sys.argv[1:]]\n"
        "runpy.run_module('steps.ml.training', run_name='__main__')\n"
        "assert not {'mlflow', 'sqlalchemy', 'pandas'} & set(sys.modules)\n"
    )
    done = call(
        *("-c", code, "--input-file", input_file, "--sample-dir", sample_dir),
        *("--overrides", "num_epochs=1", "--output-dir", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "Model.tar.gz") as archive:
        about = yaml.safe_load(archive.extractfile("alice/training.yml"))
    assert "training_run_id" not in about["tracking"]


@pytest.mark.slow
def test_steps_at_once_make_each_experiment_once(server: str) -> None:
    """On a database of its own, where everything is still to be made."""
    code = (
        "import argparse, pathlib, sys\n"
        "from steps.tracking import record as tracking\n"
        "tracking.EXPERIMENTS = {k: v + '-race' for k, v in tracking.EXPERIMENTS.items()}\n"
        "args = argparse.Namespace(mlflow_server=sys.argv[1], mlflow_username='', settings=None,\n"
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


def newest(client: mlflow.MlflowClient, stage: str) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name(EXPERIMENTS[stage])
    return client.search_runs([experiment.experiment_id], max_results=1)[0]


def test_failed_step_is_a_failed_run(
    server: str, client: mlflow.MlflowClient, input_file: Path, sample_dir: Path, tmp_path: Path
) -> None:
    options = ("--sample-dir", sample_dir, "--output-dir", tmp_path, "--mlflow-server", server)
    other = ("--overrides", "valid_split=0.3")
    done = step("training", "--input-file", input_file, *options, *other)
    assert done.returncode == 1
    (error,) = done.said
    assert error.startswith("error: ")
    assert newest(client, "training").info.status == "FAILED"


def test_whole_input_file_is_kept_where_it_was_given(
    server: str, client: mlflow.MlflowClient, train, input_file: Path
) -> None:
    assert train(server=server).returncode == 0
    run = newest(client, "training")
    assert run.data.params["input_file"] == str(input_file)
    assert run.data.params["input_file_sha256"] == sha256(input_file)
    kept = client.list_artifacts(run.info.run_id, "settings")
    assert [item.path for item in kept] == ["settings/input.yml"]


@pytest.mark.parametrize("entry", ["train", "main"])
def test_steps_fill_the_run_of_their_entry_point_alone(
    server: str, client: mlflow.MlflowClient, train, entry: str
) -> None:
    """The run of the whole workflow is parent of those of its steps."""
    experiment = client.get_experiment_by_name("entry") or client.get_experiment(
        client.create_experiment("entry")
    )
    tags = {"mlflow.project.entryPoint": entry}
    given = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    assert train(server=server, MLFLOW_RUN_ID=given).said == []
    if entry == "train":
        assert "best_validation_loss" in client.get_run(given).data.metrics
    else:
        assert client.get_run(given).data.metrics == {}
        step_run = newest(client, "training")
        assert step_run.data.tags["mlflow.parentRunId"] == given
        assert "best_validation_loss" in step_run.data.metrics


def test_database_file_keeps_artifacts_beside_it(train, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    done = train(tmp_path / "t", f"sqlite:///{store}/mlflow.db")
    assert done.returncode == 0, done.stderr
    assert done.said == []
    assert list(store.glob("mlartifacts/madminer-ml-train/*/artifacts/Model.tar.gz"))
    left = {path.name for path in (tmp_path / "t").iterdir()}
    assert left == {"Model.tar.gz", "models", "reads.yml"}


def mlflow_run(server: str, entry: str, experiment: str, **parameters: object):
    options = [item for name, value in parameters.items() for item in ("-P", f"{name}={value}")]
    return call(
        *("-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local"),
        *("--experiment-name", experiment, *options),
        MLFLOW_TRACKING_URI=server,
    )


@pytest.mark.slow
def test_project_runs_step_by_step(
    server: str,
    client: mlflow.MlflowClient,
    data_file: Path,
    input_file: Path,
    tmp_path: Path,
) -> None:
    """Entry points fill the runs that 'mlflow run' starts, and leave its parameters alone."""
    data = {"data_file": data_file}
    reference = {"reference_file": tmp_path / "r/reference.h5"}
    steps = (
        ("reference", "r", data | {"luminosity": "2e3"}),
        ("sample", "s", data | reference | {"n_samples_train": "2e3"}),
        ("train", "t", {"sample_dir": tmp_path / "s/data/Samples_sally_0", "num_epochs": 2}),
        ("eval", "e", data | reference | {"model_file": tmp_path / "t/Model.tar.gz"}),
    )
    for entry, place, parameters in steps:
        output = {"output_dir": tmp_path / place, "input_file": input_file}
        done = mlflow_run(server, entry, f"project-{entry}", **parameters, **output)
        assert done.returncode == 0, done.stderr
        assert "warning: tracking" not in done.stderr
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


@pytest.mark.slow
@pytest.mark.workflow
def test_project_runs_as_a_whole(server: str, client: mlflow.MlflowClient, tmp_path: Path) -> None:
    """Each step has a run of its own, below that of the project."""
    profile = yaml.safe_load((ROOT / "inputs/profiles/test.yml").read_text())
    profile |= {"num_events": 300, "mlflow_args_s": "n_samples_train=1000"}
    profile["mlflow_args_t"] = "num_epochs=2"
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump(profile))
    options = {"workdir": tmp_path / "run", "profile": tmp_path / "tiny.yml", "seed": "1e1"}
    done = mlflow_run(server, "main", "project-main", **options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/workflow_ml/plotting/plots/limits.yml").exists()
    whole = project_run(client, "main")
    assert whole.info.status == "FINISHED"
    assert whole.data.metrics == {}
    settings = yaml.safe_load((tmp_path / "run/workflow_ph/check/settings/combine.yml").read_text())
    assert settings["seed"] == 10
    for stage, number in (("sampling", 1), ("training", 3), ("evaluating", 3)):
        experiment = client.get_experiment_by_name(EXPERIMENTS[stage])
        of_parent = f"tags.`mlflow.parentRunId` = '{whole.info.run_id}'"
        below = client.search_runs([experiment.experiment_id], of_parent)
        assert [run.info.status for run in below] == ["FINISHED"] * number


def project(server: str, entry: str, **parameters: object) -> None:
    """Run an entry point as 'mlflow run' does, without starting that program."""
    before = dict(os.environ)
    os.environ.update(PLAIN)
    mlflow.set_tracking_uri(server)
    try:
        mlflow.projects.run(
            str(ROOT),
            entry_point=entry,
            parameters={name: str(value) for name, value in parameters.items()},
            experiment_name=f"refused-{entry}",
            env_manager="local",
        )
    finally:
        mlflow.set_tracking_uri(None)
        os.environ.clear()
        os.environ.update(before)


def test_project_refuses_an_unknown_observable_as_a_step_does(
    server: str,
    client: mlflow.MlflowClient,
    data_file: Path,
    input_file: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spec = yaml.safe_load(input_file.read_text()) | {"histogram_vars": "x7"}
    (tmp_path / "input.yml").write_text(yaml.safe_dump(spec))
    files = {"input_file": tmp_path / "input.yml", "data_file": data_file}
    alone = step("sampling", *options_of(files), "--output-dir", tmp_path / "alone")
    (line,) = alone.said
    assert line == (
        f"error: {tmp_path}/input.yml: histogram_vars: no observable 'x7'; choose from x0, x1"
    )
    with pytest.raises(mlflow.exceptions.ExecutionException):
        project(server, "sample", **files, output_dir=tmp_path / "s")
    assert errors_of(capfd) == [line]
    assert refused_run(client, "sample").info.status == "FAILED"
    assert not list(tmp_path.glob("s/data/*"))


def test_project_refuses_events_that_networks_have_seen_as_a_step_does(
    server: str,
    client: mlflow.MlflowClient,
    data_file: Path,
    input_file: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The sample keeps a tenth of the events for tests, the evaluation wants its default fifth."""
    data = {"input_file": input_file, "data_file": data_file}
    less = ("--overrides", "test_split=0.1")
    assert not step("sampling", *options_of(data), "--output-dir", tmp_path / "s", *less).said
    sample = tmp_path / "s/data/Samples_sally_0"
    where = ("--input-file", input_file, "--sample-dir", sample)
    assert not step("training", *where, "--output-dir", tmp_path / "t").said
    files = data | {"model_file": tmp_path / "t/Model.tar.gz"}
    alone = step("evaluating", *options_of(files), "--output-dir", tmp_path / "alone")
    (line,) = alone.said
    assert "test_split: 0.2 exceeds the 0.1 of the training sample" in line
    with pytest.raises(mlflow.exceptions.ExecutionException):
        project(server, "eval", **files, output_dir=tmp_path / "e")
    assert errors_of(capfd) == [line]
    assert refused_run(client, "eval").info.status == "FAILED"
    assert not list(tmp_path.glob("e/Results*"))


def options_of(files: dict[str, Path]) -> list[object]:
    return [word for k, v in files.items() for word in (f"--{k.replace('_', '-')}", v)]


def errors_of(capfd: pytest.CaptureFixture[str]) -> list[str]:
    said = capfd.readouterr().err.splitlines()
    assert not [line for line in said if "Traceback" in line or line.startswith("warning")]
    return [line for line in said if line.startswith("error")]


def project_run(client: mlflow.MlflowClient, entry: str, kind: str = "project"):
    experiment = client.get_experiment_by_name(f"{kind}-{entry}")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["mlflow.project.entryPoint"] == entry
    return run


def refused_run(client: mlflow.MlflowClient, entry: str):
    return project_run(client, entry, "refused")


@pytest.mark.slow
@pytest.mark.workflow
def test_sweep_prints_the_best_setting_first(
    server: str, client: mlflow.MlflowClient, data_file: Path, input_file: Path, tmp_path: Path
) -> None:
    spec = yaml.safe_load(input_file.read_text())
    spec |= {"methods": ["sally"], "plotting": {"all_methods": False}}
    (tmp_path / "input.yml").write_text(yaml.safe_dump(spec))
    settings = [{"num_epochs": 1, "learning_rate": 1e-6}, {"num_epochs": 8, "hidden_layers": [20]}]
    (tmp_path / "sweep.yml").write_text(yaml.safe_dump({"settings": settings}))
    done = call(
        *("-m", "scripts.run", "sweep", "--sweep-file", tmp_path / "sweep.yml"),
        *("--workdir", tmp_path / "run", "--data-file", data_file, "--cores", "2"),
        *("--input-file-ml", tmp_path / "input.yml", "-p", "mlflow_args_s=n_samples_train=20000"),
        MLFLOW_TRACKING_URI=server,
    )
    assert done.returncode == 0, done.stderr
    *table, steps = done.stdout.splitlines()
    assert steps.startswith("steps: ")
    header, first, second = (line.split() for line in table)
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
        (
            "settings: [{}, {hidden_layers: [a]}]",
            "settings: line 2: hidden_layers=a: ",
        ),
        ("settings: [", "line 1: "),
    ],
)
def test_sweep_refuses_mistakes_in_one_line(
    data_file: Path,
    input_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
    expected: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "sweep.yml").write_text(content)
    files = ["--sweep-file", tmp_path / "sweep.yml", "--workdir", tmp_path / "run"]
    files += ["--data-file", data_file, "--input-file-ml", input_file]
    assert runner.main(["sweep", *map(str, files)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
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
