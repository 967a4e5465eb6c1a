"""A tracked machine-learning half, tiny or by the runner, and a line to the server that fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from inference.toys import blocks, made
from tracking_service import PASSWORD, USER, Line, Tracked, call, step

TINY = {"n_samples": 1000, "num_epochs": 3}


@pytest.fixture(scope="session")
def server(tracking_server: str) -> str:
    return tracking_server


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(made(tmp_path_factory, 2, 8_000).path)


@pytest.fixture(scope="session")
def input_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods and small networks on the toy: one of ours, one of MadMiner's."""
    methods = ("alice", "sally")
    content = {
        "methods": list(methods),
        **{method: blocks(method, 2) for method in methods},
        "asymptotic_limits": {
            "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(2)},
            "resolutions": [7, 5],
            "theta_true": [0.0, 0.0],
        },
        "histogram_vars": "x0",
        "fisher_information": {
            "bool": True,
            "observable": "x0",
            "histogram_bins": [-3.0, -1.0, 1.0, 3.0],
            "histogram_range": [-3.0, 3.0],
            "theta_true": [0.0, 0.0],
        },
        "training": {
            "hidden_layers": [10],
            "num_epochs": TINY["num_epochs"],
            "batch_size": 50,
        },
        "morphing": {
            "hidden_layers": [10],
            "num_epochs": TINY["num_epochs"],
            "batch_size": 50,
            "n_bags": 2,
        },
        "sampling": {"n_samples_train": TINY["n_samples"]},
        "evaluating": {"n_samples_test": 500, "n_toys": 0},
    }
    path = tmp_path_factory.mktemp("input") / "input.yml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def tiny(
    server: str, input_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Tracked:
    """All steps in this process, on the toy; the server has user and password."""
    folder = tmp_path_factory.mktemp("tiny")
    result = Tracked(folder, data_file, ("alice", "sally"), **TINY)

    def run(name: str, place: str, *options: object, tracked: bool = True) -> None:
        to = ("--mlflow-server", server, "--mlflow-username", USER) if tracked else ()
        uri = server.replace("://", f"://{USER}:{PASSWORD}@")
        argv = (*options, "--output-dir", folder / place, *to)
        done = step(name, *argv, MLFLOW_TRACKING_URI=uri)
        assert done.returncode == 0, done.stderr
        # Small networks are told not to be reliable.
        assert "warning: tracking" not in done.stderr
        assert PASSWORD not in done.stdout + done.stderr

    def settings(name: str) -> tuple[str, Path]:
        return "--settings", folder / f"check/settings/{name}.yml"

    data = ("--data-file", data_file)
    run("check", "check", "--input-file", input_file, *data, tracked=False)
    run("reference", "reference", *settings("reference"), *data, tracked=False)
    reference = ("--reference-file", folder / "reference/reference.h5")
    run("sampling", "sampling", *settings("sampling"), *data, *reference)
    files = []
    for number, method in enumerate(result.methods):
        trained, evaluated = f"training_{number}", f"evaluating_{number}"
        run("training", trained, *settings("training"), "--sample-dir", result.sample(method))
        model = ("--model-file", folder / trained / "Model.tar.gz")
        run("evaluating", evaluated, *settings("evaluating"), *data, *model, *reference)
        files.append(folder / evaluated / f"Results_{method}.tar.gz")
    results = ("--result-files", *files)
    run("plotting", "plotting", *settings("plotting"), *results, *reference, tracked=False)
    return result


@pytest.fixture(scope="session")
def whole(server: str, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """The test profile by the runner, on the server with user and password."""
    place = tmp_path_factory.mktemp("tracked") / "run"
    uri = server.replace("://", f"://{USER}:{PASSWORD}@")
    done = call(
        *("-m", "scripts.run", "all", "--profile", "test", "--workdir", place, "--cores", "2"),
        MLFLOW_TRACKING_URI=uri,
        MLFLOW_USERNAME=USER,
    )
    assert done.returncode == 0, done.stderr
    assert "warning: tracking" not in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    data = place / "workflow_ph/combine/data/combined_delphes.h5"
    return Tracked(place / "workflow_ml", data, ("alice", "alices", "sally"), 20_000, 15)


@pytest.fixture(
    scope="session",
    params=["tiny", pytest.param("whole", marks=(pytest.mark.slow, pytest.mark.workflow))],
)
def tracked(request: pytest.FixtureRequest) -> Tracked:
    return request.getfixturevalue(request.param)


@pytest.fixture
def line(server: str) -> Iterator[Line]:
    made = Line(server)
    yield made
    made.cut()
