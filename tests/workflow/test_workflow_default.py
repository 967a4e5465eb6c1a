"""The default analysis and others of full size: their limits are sound."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from workflow_runs import ROOT, SMALL, run

from steps.inference.quality import comparison_points

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default analysis, as ``make run`` makes it; a folder given by the user is used again."""
    place = Path(os.environ.get("WORKFLOW_RUN", tmp_path_factory.mktemp("run") / "default"))
    if not place.exists():
        result = run("all", "--workdir", place)
        assert result.returncode == 0, result.stderr
    return place


@pytest.fixture(scope="module")
def data_file(default_run: Path) -> Path:
    return default_run / "workflow_ph/combine/data/combined_delphes.h5"


@pytest.fixture(scope="module")
def table(default_run: Path) -> dict:
    return yaml.safe_load((default_run / "workflow_ml/plotting/plots/limits.yml").read_text())


@pytest.mark.parametrize("method", ["alice", "alices", "sally"])
def test_default_networks_know_the_truth(table: dict, method: str) -> None:
    closure = table["closure"][method]
    assert min(closure["correlation"]) >= 0.95
    assert np.all(np.abs(np.array(closure["slope"]) - 1) <= 0.1)
    assert len(closure["slope"]) == (2 if method == "sally" else 5)


def profiled(table: dict, label: str, name: str, level: str) -> tuple[float, float]:
    """Outermost ends of a profiled interval."""
    kinds = table["limits"][label]["intervals"][name]
    pieces = kinds["others profiled"][f"{level} % CL"]
    return pieces[0]["low"], pieces[-1]["high"]


def contour(table: dict, label: str, level: str) -> dict:
    return table["limits"][label]["joint_contours_of_2_parameters"][f"{level} % CL"]


@pytest.mark.parametrize("method", ["ALICE", "ALICES", "SALLY"])
def test_best_fit_lies_within_its_interval_around_the_truth(table: dict, method: str) -> None:
    for name, truth in table["theta_true"].items():
        low, high = profiled(table, method, name, "68")
        best = table["limits"][method]["best_fit"][name]["value"]
        assert low < truth < high
        assert low < best < high
        # A few tenths of the interval off the truth is what training noise makes.
        assert abs(best - truth) <= 0.25
        joint = contour(table, method, "68")["extent"][name]
        assert joint["low"] < low < high < joint["high"]


@pytest.mark.parametrize("method", ["ALICE", "ALICES", "SALLY"])
def test_limits_lie_inside_the_region_and_beat_the_rate(table: dict, method: str) -> None:
    for name, (first, last) in table["region"].items():
        extent = contour(table, method, "95")["extent"][name]
        assert -1.5 <= first < extent["low"] < extent["high"] < last <= 1.5
        rate = contour(table, "rate", "95")["extent"][name]
        assert extent["high"] - extent["low"] < rate["high"] - rate["low"]


@pytest.mark.parametrize("method", ["ALICE", "ALICES"])
def test_networks_agree_with_the_reference(table: dict, method: str) -> None:
    """All observables of the default analysis are in its histogram."""
    (reference,) = (label for label in table["limits"] if label.endswith("delta_phi_jj)"))
    for level in ("68", "95"):
        area, exact = (
            contour(table, label, level)["area"]["value"] for label in (method, reference)
        )
        assert area == pytest.approx(exact, rel=0.1)


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


def test_same_seed_same_events_and_same_limits(tmp_path: Path) -> None:
    """Once more in halves, on one core: neither the wrapper nor the order of jobs matters."""
    jobs = ("-p", "num_procs_per_job=2")
    small = run("all", "--workdir", tmp_path / "all", *SMALL, *jobs)
    assert small.returncode == 0, small.stderr
    ph = run("ph", "--profile", "test", "--workdir", tmp_path / "ph", "--cores", "1", *SMALL)
    assert ph.returncode == 2, "parameters of the other half are refused"
    arguments = ("-p", "num_events=300", "-p", "num_procs_per_job=2")
    ph = run("ph", "--profile", "test", "--workdir", tmp_path / "ph", "--cores", "1", *arguments)
    assert ph.returncode == 0, ph.stderr
    first = tmp_path / "all" / "workflow_ph/combine/data/combined_delphes.h5"
    again = tmp_path / "ph/combine/data/combined_delphes.h5"
    with h5py.File(first) as one, h5py.File(again) as two:
        for name in ("observations", "weights"):
            np.testing.assert_array_equal(one[f"samples/{name}"], two[f"samples/{name}"])

    arguments = (*SMALL[4:], "--data-file", again)
    ml = run("ml", "--profile", "test", "--workdir", tmp_path / "ml", "--cores", "1", *arguments)
    assert ml.returncode == 0, ml.stderr
    tables = [
        (folder / "plotting/plots/limits.yml").read_text()
        for folder in (tmp_path / "all" / "workflow_ml", tmp_path / "ml")
    ]
    assert tables[0] == tables[1]
