"""A small analysis through yadage-run: what users rely on, and what they do wrong."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from matplotlib import pyplot as plt
from toys import HOSTILE
from workflow_runs import ROOT, SMALL, run

import steps

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small") / "run"
    user = f"mlflow_username={json.dumps(HOSTILE)}"
    result = run("all", "--workdir", place, *SMALL, "-p", user)
    assert result.returncode == 0, result.stderr
    # Networks that hardly trained are told not to be reliable.
    assert "tracking" not in result.stderr
    tail = result.stdout.strip().splitlines()[-2:]
    assert tail[0].startswith("plots:")
    assert tail[0].endswith("workflow_ml/plotting/plots")
    assert tail[1].startswith("data file:")
    assert tail[1].endswith("workflow_ph/combine/data/combined_delphes.h5")
    assert not list(place.rglob("stolen"))
    return place


@pytest.fixture(scope="module")
def data_file(small_run: Path) -> Path:
    return small_run / "workflow_ph/combine/data/combined_delphes.h5"


@pytest.mark.parametrize(
    "name", ["all_methods", "all_methods_separate", "correlation_ALICE", "correlation_ALICES"]
)
def test_plots_of_the_contract_show_something(small_run: Path, name: str) -> None:
    image = plt.imread(small_run / f"workflow_ml/plotting/plots/{name}.png")
    assert min(image.shape[:2]) > 300
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 50


def test_results_of_every_method_are_at_their_place(small_run: Path) -> None:
    archives = sorted((small_run / "workflow_ml").glob("evaluating_*/Results_*.tar.gz"))
    assert {a.name for a in archives} == {
        f"Results_{method}.tar.gz" for method in ("alice", "alices", "sally")
    }
    for archive in archives:
        with tarfile.open(archive) as content:
            assert {"results.h5", "training.yml"} <= set(content.getnames())
            about = yaml.safe_load(content.extractfile("training.yml"))
        assert about["partition"] == {"test_split": 0.2, "valid_split": 0.2}
        assert about["version"] == steps.__version__


def test_all_methods_have_limits_where_the_likelihood_lives(small_run: Path) -> None:
    """In the region of the reference, however wide the input's; ALICE and ALICES are ours."""
    folder = small_run / "workflow_ml"
    table = yaml.safe_load((folder / "plotting/plots/limits.yml").read_text())
    for low, high in table["region"].values():
        assert -1.5 <= low < high <= 1.5
    assert {"rate", "ALICE", "ALICES", "SALLY", "SALLY (kinematics)"} <= set(table["limits"])
    for method in ("alice", "alices"):
        (archive,) = folder.glob(f"evaluating_*/Results_{method}.tar.gz")
        with tarfile.open(archive) as content:
            assert f"models/{method}/{method}.onnx" in content.getnames()


def test_each_half_left_one_settings_file_for_each_stage(small_run: Path) -> None:
    for half, stages in (
        ("ph", ("configure", "generate", "pythia", "delphes", "combine")),
        ("ml", ("reference", "sampling", "training", "evaluating", "plotting")),
    ):
        folder = small_run / f"workflow_{half}/check/settings"
        assert {path.stem for path in folder.iterdir()} == set(stages)


def test_madminer_opens_the_data_file(data_file: Path) -> None:
    """Plain MadMiner, without our repairs, agrees with the cross sections."""
    code = (
        "import sys, numpy as np\n"
        "from madminer.sampling import SampleAugmenter, benchmark\n"
        "s = SampleAugmenter(sys.argv[1], include_nuisance_parameters=False)\n"
        "print(s.n_samples, s.xsecs()[0][0])\n"
        "x, *_ = s.sample_train_plain(theta=benchmark('w'), n_samples=100, folder=None,"
        " filename=None)\n"
        "assert x.shape == (100, 2) and np.isfinite(x).all()\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, data_file], capture_output=True, text=True, check=True
    ).stdout.split()
    with h5py.File(data_file) as file:
        weights = file["samples/weights"][()]
    assert int(shown[0]) == len(weights) > 1000
    assert float(shown[1]) == pytest.approx(weights[:, 0].sum())
    # sigma(p p -> j j H, W fusion) x BR = 2.5 pb x 0.00227, times the selection's efficiency.
    assert 0.5 < weights[:, 0].sum() / (2.5 * 2.27e-3) < 1.0


@pytest.mark.parametrize(
    ("key", "change", "expected", "status"),
    [
        ("methods", ["alice", "magic"], "magic", 2),
        ("observables", [{"name": "x", "definition": "j[0].pt +"}], "definition", 2),
        ("cuts", [{"expression": "pt_j1 > 1e7"}], "no event passes 'pt_j1 > 1e7'", 1),
    ],
)
def test_mistakes_are_one_line_and_leave_results(
    small_run: Path, tmp_path: Path, key: str, change: object, expected: str, status: int
) -> None:
    half = "ml" if key == "methods" else "ph"
    spec = yaml.safe_load((ROOT / f"inputs/{half}/input.yml").read_text())
    spec.pop("shower", None)
    spec[key] = change
    if key == "cuts":  # fewer benchmarks: this one is found after the events
        spec["parameters"].pop()
        for benchmark in spec["benchmarks"]:
            del benchmark["parameter_name_2"], benchmark["value_2"]
    file = tmp_path / "wrong.yml"
    file.write_text(yaml.safe_dump(spec))
    kept = {p: p.stat().st_mtime_ns for p in small_run.rglob("*.png")}
    target = ("ph", *SMALL[:2], "-p", "num_events=20") if key == "cuts" else ("all", *SMALL)
    result = run(*target, "--workdir", small_run, f"--input-file-{half}", file)
    assert result.returncode == status
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error:")]
    assert expected in line
    assert str(file) in line
    assert "Traceback" not in result.stderr + result.stdout
    assert {p: p.stat().st_mtime_ns for p in small_run.rglob("*.png")} == kept


def test_a_bare_engine_refuses_what_the_runner_refuses(tmp_path: Path) -> None:
    """Without our runner the first stage says the same, before any event."""
    profile = yaml.safe_load((ROOT / "inputs/profiles/test.yml").read_text())
    profile["mlflow_args_s"] = "n_samples_train=20000 test_split=0.1"
    init = tmp_path / "init.yml"
    init.write_text(yaml.safe_dump(profile))
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("yadage-run"), tmp_path / "out"),
            *("workflow/workflow.yml", init, "-d", f"initdir={ROOT}/inputs"),
            *("--plugins", "scripts.engine.native"),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    expected = "mlflow_args_e: test_split 0.2 exceeds the 0.1 of mlflow_args_s"
    assert expected in done.stdout + done.stderr
    # Yadage predicts what a stage will publish, and could start others before it has ended.
    (log,) = (tmp_path / "out").rglob("*.run.log")
    assert log.is_relative_to(tmp_path / "out/check")
    refused = run("all", "--workdir", tmp_path / "x", "-p", "mlflow_args_s=test_split=0.1")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {expected}")
