"""Whole workflows through yadage-run: the default analysis, its soundness, what users rely on."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from matplotlib import pyplot as plt

from steps.inference.closure import comparison_points

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.workflow


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default analysis, as ``make run`` makes it; a folder given by the user is used again."""
    place = Path(os.environ.get("WORKFLOW_RUN", tmp_path_factory.mktemp("run") / "default"))
    if not place.exists():
        result = run("all", "--workdir", place)
        assert result.returncode == 0, result.stderr
        tail = result.stdout.strip().splitlines()[-2:]
        assert tail[0].startswith("plots:")
        assert tail[0].endswith("workflow_ml/plotting/plots")
        assert tail[1].startswith("data file:")
        assert tail[1].endswith("workflow_ph/combine/data/combined_delphes.h5")
    return place


@pytest.fixture(scope="session")
def data_file(default_run: Path) -> Path:
    return default_run / "workflow_ph/combine/data/combined_delphes.h5"


@pytest.fixture(scope="session")
def table(default_run: Path) -> dict:
    return yaml.safe_load((default_run / "workflow_ml/plotting/plots/limits.yml").read_text())


@pytest.mark.parametrize(
    "name", ["all_methods", "all_methods_separate", "correlation_ALICE", "correlation_ALICES"]
)
def test_plots_of_the_contract_show_something(default_run: Path, name: str) -> None:
    image = plt.imread(default_run / f"workflow_ml/plotting/plots/{name}.png")
    assert min(image.shape[:2]) > 300
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 50


def test_results_of_every_method_are_at_their_place(default_run: Path) -> None:
    archives = sorted((default_run / "workflow_ml").glob("evaluating_*/Results_*.tar.gz"))
    assert {a.name for a in archives} == {
        f"Results_{method}.tar.gz" for method in ("alice", "alices", "sally")
    }
    for archive in archives:
        with tarfile.open(archive) as content:
            assert {"results.h5", "training.yml"} <= set(content.getnames())


def test_madminer_opens_the_data_file(data_file: Path) -> None:
    """Plain MadMiner, without our compatibility module, agrees with the cross sections."""
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
    assert int(shown[0]) == len(weights) > 20_000
    assert float(shown[1]) == pytest.approx(weights[:, 0].sum())
    # sigma(p p -> j j H, W fusion) x BR = 2.5 pb x 0.00227, times the selection's efficiency.
    assert 0.6 < weights[:, 0].sum() / (2.5 * 2.27e-3) < 0.95


@pytest.mark.parametrize("method", ["alice", "alices", "sally"])
def test_default_networks_know_the_truth(table: dict, method: str) -> None:
    closure = table["closure"][method]
    assert min(closure["correlation"]) >= 0.95
    assert np.all(np.abs(np.array(closure["slope"]) - 1) <= 0.1)
    assert len(closure["slope"]) == (2 if method == "sally" else 5)


@pytest.mark.parametrize("method", ["ALICE", "ALICES", "SALLY"])
def test_best_fit_lies_within_its_contour_around_the_truth(table: dict, method: str) -> None:
    limits = table["limits"][method]
    for name, truth in table["theta_true"].items():
        low, high = limits["68 % CL"][name]
        assert low < truth < high
        assert low < limits["best_fit"][name] < high
        # Half a step of the grid or two off the truth is what training noise makes.
        assert abs(limits["best_fit"][name] - truth) <= 0.25


@pytest.mark.parametrize("method", ["ALICE", "ALICES", "SALLY"])
def test_limits_lie_inside_the_plotted_region_and_beat_the_rate(table: dict, method: str) -> None:
    for name in table["theta_true"]:
        low, high = table["limits"][method]["95 % CL"][name]
        assert -1.5 < low < high < 1.5
        rate = table["limits"]["rate"]["95 % CL"][name]
        assert high - low < rate[1] - rate[0]


def test_networks_are_no_better_than_full_information_allows(table: dict) -> None:
    """Information only grows from the rate to a histogram to all observables (plus noise)."""
    fisher = {name: np.array(matrix) for name, matrix in table["fisher_information"].items()}
    rate, histogram, full = (np.diag(fisher[k]) for k in ("rate", "histogram", "sally"))
    assert np.all(rate <= histogram * 1.05)
    assert np.all(histogram <= full * 1.1)


def test_carl_knows_the_truth(data_file: Path, tmp_path: Path) -> None:
    """CARL learns from labels alone: with as few events it takes the five points, not a region."""
    spec = yaml.safe_load((ROOT / "inputs/ml/input.yml").read_text())
    points = comparison_points([(-1.5, 1.5)] * 2).tolist()
    five = {"sampling_method": "morphing_points", "sampling_arg": points}
    spec["carl"] = {"theta_0": five, "theta_1": spec["alice"]["theta_1"]}
    spec["methods"] = ["carl"]
    spec["plotting"] = {"all_methods_separate": False}
    (tmp_path / "carl.yml").write_text(yaml.safe_dump(spec))
    result = run(
        *("ml", "--workdir", tmp_path / "run", "--data-file", data_file),
        *("--input-file-ml", tmp_path / "carl.yml", "-p", "mlflow_args_s=n_samples_train=600000"),
        *("-p", "mlflow_args_t=num_epochs=15"),
    )
    assert result.returncode == 0, result.stderr
    table = yaml.safe_load((tmp_path / "run/plotting/plots/limits.yml").read_text())
    assert min(table["closure"]["carl"]["correlation"]) >= 0.95
    assert np.all(np.abs(np.array(table["closure"]["carl"]["slope"]) - 1) <= 0.1)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small") / "run"
    result = run("all", "--profile", "test", "--workdir", place, *SMALL)
    assert result.returncode == 0, result.stderr
    return place


SMALL = (
    *("-p", "num_events=300", "-p", "mlflow_args_s=n_samples_train=2000"),
    *("-p", "mlflow_args_t=num_epochs=2", "-p", "num_procs_per_job=2"),
)


def test_same_seed_same_events_and_same_limits(small_run: Path, tmp_path: Path) -> None:
    """Once more in halves, on one core: neither the wrapper nor the order of jobs matters."""
    ph = run("ph", "--profile", "test", "--workdir", tmp_path / "ph", "--cores", "1", *SMALL)
    assert ph.returncode == 2, "parameters of the other half are refused"
    arguments = ("-p", "num_events=300", "-p", "num_procs_per_job=2")
    ph = run("ph", "--profile", "test", "--workdir", tmp_path / "ph", "--cores", "1", *arguments)
    assert ph.returncode == 0, ph.stderr
    first = small_run / "workflow_ph/combine/data/combined_delphes.h5"
    again = tmp_path / "ph/combine/data/combined_delphes.h5"
    with h5py.File(first) as one, h5py.File(again) as two:
        for name in ("observations", "weights"):
            np.testing.assert_array_equal(one[f"samples/{name}"], two[f"samples/{name}"])

    arguments = (*SMALL[2:6], "--data-file", again)
    ml = run("ml", "--profile", "test", "--workdir", tmp_path / "ml", "--cores", "1", *arguments)
    assert ml.returncode == 0, ml.stderr
    tables = [
        (folder / "plotting/plots/limits.yml").read_text()
        for folder in (small_run / "workflow_ml", tmp_path / "ml")
    ]
    assert tables[0] == tables[1]


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
    file = tmp_path / "wrong.yml"
    file.write_text(yaml.safe_dump(spec))
    kept = {p: p.stat().st_mtime_ns for p in small_run.rglob("*.png")}
    result = run(
        "all", "--profile", "test", "--workdir", small_run, f"--input-file-{half}", file, *SMALL
    )
    assert result.returncode == status
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error:")]
    assert expected in line
    assert str(file) in line
    assert "Traceback" not in result.stderr + result.stdout
    assert {p: p.stat().st_mtime_ns for p in small_run.rglob("*.png")} == kept
