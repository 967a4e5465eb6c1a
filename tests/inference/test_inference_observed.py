"""The machine-learning half given observed events, through its stage scripts."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml

from inference.chains import call
from steps.events import observed, tables
from steps.events.observed import Observed
from steps.inference import observing
from steps.settings import learning, parameters
from steps.settings import observed as checks
from steps.stage import results
from steps.stage.errors import InputError

THETA = {"t0": 0.3}


@pytest.fixture(scope="module")
def data(line, tmp_path_factory):
    """Pseudo-data: sixty events of the toy, one of which is far out."""
    with h5py.File(line.path) as file:
        x = file["samples/observations"][:60]
    pseudo = {"theta": THETA, "seed": 1, "luminosity": 1e4}
    path = tmp_path_factory.mktemp("data") / "pseudo.csv"
    tables.write(path, {"x0": x[:, 0]}, {"pseudo": pseudo})
    return path


@pytest.fixture(scope="module")
def chained(chain, line, data):
    """All stages: networks that know the polynomial, a ratio and a score of MadMiner's."""
    made = replace(chain(line), observed=str(data))
    evaluating = {"n_toys": 20, "luminosity": 50.0}
    made.write_input(["alices", "carl", "sally"], evaluating=evaluating)
    made.run()
    return made


@pytest.fixture(scope="module")
def limits(chained):
    return yaml.safe_load((chained.folder / "plotting/plots/limits.yml").read_text())


LABELS = ["rate", "histogram of x0", "reference (x0)", "ALICES", "CARL", "SALLY"]


def test_observed_limits_stand_beside_the_expected_ones(limits):
    assert limits["observed"]["file"] == "pseudo.csv"
    assert limits["observed"]["events"] == 60
    assert limits["observed"]["pseudo-data"] == {
        "theta": THETA,
        "seed": 1,
        "luminosity_in_1/fb": 10.0,
    }
    for label in [*LABELS, *(f"{label} (kinematics)" for label in LABELS[1:])]:
        expected = limits["limits"][label]
        seen = expected["observed"]
        assert seen["of"] == "pseudo-data"
        assert set(seen["intervals"]) == {"t0"}
        assert seen["best_fit"] != expected["best_fit"]
        assert 0 <= seen["true_point"]["p_by_chi-squared"] <= 1
        assert ("why" in seen) == (seen["reliable"] is False)


def test_networks_tell_how_good_the_fit_is(limits):
    for label in LABELS[3:]:
        fit = limits["limits"][label]["observed"]["goodness_of_fit"]
        assert fit["pseudo-experiments"] == 80
        assert 0 < fit["p"] <= 1
        assert set(fit["of_each"]) == {"x0"} | ({"network"} if label == "ALICES" else set())
    toys = limits["limits"]["ALICES"]["observed"]["true_point"]["p_by_pseudo-experiments"]
    assert 0 < toys <= 1


def test_methods_agree_on_what_was_observed(limits):
    """Of the number of events alone, and of the histogram of the only observable."""
    fits = [limits["limits"][name]["observed"]["best_fit"]["t0"]["value"] for name in LABELS]
    seen = limits["limits"]["reference (x0)"]["observed"]
    (piece, *_) = seen["intervals"]["t0"]["others profiled"]["95 % CL"]
    assert all(piece["low"] - 0.2 < fit < piece["high"] + 0.2 for fit in fits)


def test_training_is_told_where_the_observed_likelihood_lives(chained):
    about = yaml.safe_load((chained.sample("alices") / "sample.yml").read_text())
    reference = results.read(chained.reference)
    low, high = np.array(about["expectation"]["keep"]).T
    region = np.array(about["expectation"]["region"])
    assert (region[:, 0] <= low).all()
    assert (region[:, 1] >= high).all()
    np.testing.assert_array_equal(reference["observed/region"], about["expectation"]["keep"])


def test_results_of_other_observed_events_are_not_shown_together(chained, capsys, tmp_path):
    arrays = results.read(chained.reference)
    other = {name: array for name, array in arrays.items() if "observed/" not in name}
    results.write(tmp_path / "reference.h5", other)
    files = [
        chained.folder / f"evaluating_{method}_0" / f"Results_{method}.tar.gz"
        for method in ("alices", "carl", "sally")
    ]
    options = ("--result-files", *files, "--reference-file", tmp_path / "reference.h5")
    with pytest.raises(SystemExit):
        call(chained.stage("plotting", "other", *options))
    line = capsys.readouterr().err.splitlines()[-1]
    assert "observed events are pseudo.csv, those of the reference file none" in line


# --------------------------------------------------------------------------------- stage check


def checked(chained, line, folder, text):
    options = ("--data-file", line.path, "--observed-file", text)
    call(("steps.ml.check", "--input-file", chained.folder / "input.yml", *options,
          "--output-dir", folder))  # fmt: skip


def test_check_hands_events_on_with_warnings(chained, line, data, tmp_path, capsys):
    checked(chained, line, tmp_path, data)
    found = observed.read(str(tmp_path / "observed.h5"), ["x0"])
    assert found.pseudo["theta"] == THETA
    (line_of_it,) = found.warnings
    assert "pseudo-data of 10/fb, analysed as 0.05/fb" in line_of_it
    assert f"warning: {line_of_it}" in capsys.readouterr().err


def test_check_counts_events_against_all_the_region(chained, line, data, tmp_path, capsys):
    with h5py.File(line.path) as file:
        x = file["samples/observations"][:2000, 0]
    tables.write(tmp_path / "many.h5", {"x0": x}, {})
    checked(chained, line, tmp_path, tmp_path / "many.h5")
    assert "2000 events: " in (text := capsys.readouterr().err)
    assert "standard deviations from what any point of the region expects at 0.05/fb" in text


def test_check_refuses_in_one_line(chained, line, tmp_path, capsys):
    tables.write(tmp_path / "mev.csv", {"x0": 1000 * np.arange(1.0, 9.0)}, {})
    with pytest.raises(SystemExit):
        checked(chained, line, tmp_path, tmp_path / "mev.csv")
    (text,) = capsys.readouterr().err.splitlines()
    assert text.startswith(f"error: {tmp_path}/mev.csv: 8 events: x0: its size is")
    assert not (tmp_path / "settings").exists()


def test_no_events_leave_a_file_of_none(chained, line, tmp_path):
    checked(chained, line, tmp_path, "")
    assert observed.read(str(tmp_path / "observed.h5"), ["x0"]) is None
    assert checks.read("", ["x0"]) is None


def test_the_runner_refuses_the_same(chained, line, tmp_path):
    spec = learning.read(chained.folder / "input.yml", parameters.read({}))
    tables.write(tmp_path / "other.csv", {"x1": np.arange(1.0, 9.0)}, {})
    with pytest.raises(InputError, match=r"other.csv: 8 events without x0 \(it has x1\)"):
        checks.check(str(tmp_path / "other.csv"), spec, line.path)


def test_facts_survive_their_array():
    seen = Observed(np.ones((3, 1)), "a.csv", {}, ["one line"])
    assert observing.facts_of(observing.about(seen.about)) == seen.about
    assert observing.about(None) == {}
    assert observing.facts_of({}) is None
