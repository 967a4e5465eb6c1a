"""W Z production with three parameters and few events (wz.md): marked where it must be."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from inference.chains import call
from steps.inference import intervals
from steps.stage import results

SAMPLE = Path(__file__).with_name("wz.h5")
PARAMETERS = ("cwww", "cw", "cb")
# Profiled 68 % intervals at 2/fb from an independent sample of 21 861 events, and their errors.
TEN_TIMES_MORE = {
    "cwww": (-0.111, 0.003, 0.112, 0.003),
    "cw": (-0.277, 0.006, 0.054, 0.005),
    "cb": (-0.596, 0.010, 0.293, 0.009),
}


def evaluated(folder: Path, luminosity: float) -> dict[str, np.ndarray]:
    """Run the stages up to the evaluation of ALICES with the default settings."""
    point = {"sampling_method": "benchmark", "sampling_arg": "sm"}
    content = {
        "methods": ["alices"],
        "asymptotic_limits": {
            "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(3)},
            "resolutions": [15, 15, 15],
            "theta_true": [0.0, 0.0, 0.0],
        },
        "include_xsec": [True],
        "histogram_vars": "pt_z",
        "reference_vars": ["pt_z", "pt_miss"],
        "alices": {"theta_0": point, "theta_1": point},
        "evaluating": {"luminosity": luminosity, "n_toys": 0},
        "morphing": {"n_bags": 12},
    }
    folder.mkdir()
    (folder / "input.yml").write_text(yaml.safe_dump(content))
    reference = ("--reference-file", folder / "reference/reference.h5")

    def stage(name: str, *options: object) -> None:
        common = ("--input-file", folder / "input.yml", "--output-dir", folder / name)
        call((f"steps.ml.{name}", *common, *options))

    stage("reference", "--data-file", SAMPLE)
    stage("sampling", "--data-file", SAMPLE, *reference)
    stage("training", "--sample-dir", folder / "sampling/data/Samples_alices_0")
    model = folder / "training/Model.tar.gz"
    stage("evaluating", "--data-file", SAMPLE, *reference, "--model-file", model)
    return results.read(folder / "evaluating/results.h5")


def test_too_large_a_luminosity_is_marked_and_a_smaller_one_named(tmp_path):
    arrays = evaluated(tmp_path / "wz", 10_000.0)
    assert arrays["expectation/n_expected"] == pytest.approx(14_209, rel=1e-3)
    lines = [line.decode() for line in arrays["findings/with_rate"].tolist()]
    assert len(lines) > 1
    assert not any("\n" in line for line in lines)
    (supported,) = re.findall(r"supported up to about ([0-9.]+)/fb", lines[-1])
    assert 1 <= float(supported) <= 5


def test_there_it_gives_what_ten_times_more_events_give(tmp_path):
    arrays = evaluated(tmp_path / "wz", 2_000.0)
    assert arrays["findings/with_rate"].size == 0
    found = intervals.from_arrays(arrays, "with_rate").profiled
    for estimate, name in zip(found, PARAMETERS, strict=True):
        (piece,) = estimate.pieces["68"]
        low, low_error, high, high_error = TEN_TIMES_MORE[name]
        assert abs(piece.low - low) < 2 * np.hypot(piece.low_error, low_error)
        assert abs(piece.high - high) < 2 * np.hypot(piece.high_error, high_error)
