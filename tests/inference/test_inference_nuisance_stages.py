"""All stages of machine learning on a file with systematic uncertainties."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from inference.chains import call
from inference.processes import Mixture
from inference.toys import Toy
from steps.stage import results

MIXTURE = Mixture()
NAMES = ("rate", "histogram/with_rate", "histogram/kinematics", "reference/with_rate")


@pytest.fixture(scope="module")
def run(chain, tmp_path_factory):
    """The stages with a network of ours and one of MadMiner's."""
    made = chain(Toy(1, str(MIXTURE.draw(2000).write(tmp_path_factory.mktemp("mixture")))))
    made.write_input(
        ["alice", "sally"],
        include_xsec=[True, False],
        evaluating={"luminosity": 200.0},
        plotting={
            "all_methods_pvalue": "alice",
            "all_methods_separate": False,
            "correlations": False,
        },
    )
    made.run()
    return made


def evaluated(run, method):
    return results.read(run.folder / f"evaluating_{method}_0" / "results.h5")


def test_reference_learns_responses_and_has_limits_with_them(run):
    arrays = results.read(run.reference)
    assert arrays["responses/names"].astype(str).tolist() == list(MIXTURE.nuisances)
    with h5py.File(run.toy.path) as file:
        assert len(arrays["responses/fold"]) == len(file["samples/observations"])
    for name in NAMES:
        assert arrays[f"nuisance/{name}/impacts"].shape == (3, 1, 4)
        assert np.isfinite(arrays[f"uncertainty/systematics/{name}"]).all()


@pytest.mark.parametrize("method", ["alice", "sally"])
def test_networks_have_limits_with_systematics(run, method):
    arrays = evaluated(run, method)
    for name in ("with_rate", "kinematics"):
        errors = f"nuisance/{name}/errors"
        # An error is not known where the region ends before.
        assert not (arrays[f"{errors}/total"] < arrays[f"{errors}/statistics"]).any()
        assert np.isfinite(arrays[f"log_likelihood/systematics/{name}"]).all()


def test_a_network_of_the_training_has_no_responses_of_its_own(run):
    sample = {path.name for path in run.sample("alice").iterdir()}
    assert "processes_alice_events.npy" in sample
    assert not any(name.startswith(("ratios", "shifted", "nuisances")) for name in sample)


def test_all_limits_are_told(run):
    plots = run.folder / "plotting" / "plots"
    limits = yaml.safe_load((plots / "limits.yml").read_text())["limits"]
    assert set(limits) > {"rate", "histogram of x0", "ALICE", "SALLY (kinematics)"}
    for of in limits.values():
        assert set(of["with_systematics"]["pulls"]) == set(MIXTURE.nuisances)
    for source in ("HISTOGRAM", "ALICE", "SALLY_kinematics"):
        assert (plots / f"impacts_{source}.png").exists()
    assert not (plots / "impacts_RATE.png").exists()


@pytest.fixture
def evaluating(run, tmp_path):
    """Return a function that evaluates a network once more, with another reference or none."""

    def again(method, reference: Path | None, toy=run.toy):
        other = replace(run, folder=tmp_path)
        (tmp_path / "input.yml").write_text((run.folder / "input.yml").read_text())
        options = ["--data-file", toy.path, "--overrides", "n_toys=0", "n_samples_test=100"]
        options += ["--reference-file", reference] if reference else []
        model = run.folder / f"training_{method}_0" / "Model.tar.gz"
        call(other.stage("evaluating", "again", "--model-file", model, *options))
        return results.read(tmp_path / "again" / "results.h5")

    return again


def test_without_a_reference_there_are_no_limits_with_systematics(evaluating, capsys):
    arrays = evaluating("alice", None)
    assert not any("systematics/" in name for name in arrays)
    said = [line for line in capsys.readouterr().out.splitlines() if "systematics" in line]
    assert said == [
        "no limits with systematics: give --reference-file, which has responses to them"
    ]


def test_responses_of_other_events_are_refused(run, evaluating, tmp_path, capsys):
    arrays = results.read(run.reference)
    arrays["responses/fold"] = arrays["responses/fold"][1:]
    results.write(tmp_path / "other.h5", arrays)
    with pytest.raises(SystemExit):
        evaluating("alice", tmp_path / "other.h5")
    assert "responses are not of the events of" in capsys.readouterr().err


def test_sally_without_responses_is_what_it_was(run, evaluating, tmp_path):
    """What systematics add leaves all else as it is, to the last bit."""
    arrays = {k: v for k, v in results.read(run.reference).items() if "responses/" not in k}
    results.write(tmp_path / "none.h5", arrays)
    plain, full = evaluating("sally", tmp_path / "none.h5"), evaluated(run, "sally")
    shared = {k for k in full if k.startswith(("log_likelihood", "uncertainty", "intervals"))}
    without = {k for k in shared if "systematics/" not in k}
    assert without < shared
    assert without == {
        k for k in plain if k.startswith(("log_likelihood", "uncertainty", "interv"))
    }
    for name in without:
        np.testing.assert_array_equal(plain[name], full[name])


def test_without_systematics_nothing_is_added(chain, line):
    plain = chain(line)
    plain.write_input(["carl"])
    call(plain.stages()[0])
    arrays = results.read(plain.reference)
    added = ("responses/", "nuisance/", "spline_error/")
    assert not [k for k in arrays if k.startswith(added) or "systematics/" in k]
