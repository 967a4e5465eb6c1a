"""Systematic uncertainties through the stages of the physics half, on a small sample."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from stages import call_stage

from steps.events import madminer_file, particle_file
from steps.madminer.events import Events, Sampler

INPUT = """
parameters:
  - {parameter_name: C, lha_block: dim6, lha_id: 2, morphing_max_power: 2,
     param_card_transform: 16.52*theta, parameter_range: '(-1.5, 1.5)'}
benchmarks:
  - {benchmark: 1, name: sm, parameter_name_1: C, value_1: 0.0}
  - {benchmark: 2, name: w, parameter_name_1: C, value_1: 0.6}
set_morphing: {max_overall_power: 2, include_existing_benchmarks: True, n_trials: 50}
observables:
  - {name: pt_j1, definition: 'j[0].pt', required: True}
  - {name: met, definition: 'met.pt', required: True}
cuts:
  - {expression: 'pt_j1 > 50.'}
"""
ENTRIES = {
    "luminosity": "{name: luminosity, type: norm, value: 0.02}",
    "scale": "{name: scale, type: scale, scale: mu, value: '0.5,1,2'}",
    "pdf": "{name: pdf, type: pdf, value: [NNPDF31_lo_as_0118, NNPDF23_lo_as_0130_qed]}",
    "isr": "{name: isr, type: shower, variation: isr, value: '0.5,2'}",
    "fsr": "{name: fsr, type: shower, variation: fsr, value: '0.5,2'}",
    "jes": "{name: jes, type: detector, object: j, value: 0.05}",
    "pes": "{name: pes, type: detector, object: a, value: 0.02}",
}
ALL = tuple(ENTRIES)
N_EVENTS = 200


class Half:
    """One run of the stages in this process."""

    def __init__(self, folder: Path, names=ALL):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        listed = "".join(f"  - {ENTRIES[name]}\n" for name in names)
        (folder / "input.yml").write_text(INPUT + (f"systematics:\n{listed}" if listed else ""))
        whole = {"input_file": folder / "input.yml", "num_events": N_EVENTS, "seed": 1}
        call_stage("check", whole | {"output_dir": folder})

        def stage(name, out=folder, **options):
            settings = folder / "settings" / f"{name}.yml"
            call_stage(name, {"settings": settings, "output_dir": out} | options)

        config = folder / "data/madminer_config.h5"
        stage("configure")
        stage("generate", config_file=config)
        for job in sorted((folder / "jobs").iterdir()):
            out = folder / "pythia" / job.name
            stage("pythia", out, job_dir=job)
            stage("delphes", out, events_dir=out / "events")
        data = sorted(folder.glob("pythia/*/data/*.h5"))
        stage("combine", config_file=config, data_files=data)
        self.path = folder / "data/combined_delphes.h5"

    def particles(self, job="sm_0"):
        return particle_file.read(self.folder / "pythia" / job / "events/particles.h5")

    def columns(self):
        with h5py.File(self.path) as file:
            return {name: file[f"samples/{name}"][()] for name in file["samples"]}


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return Half(tmp_path_factory.mktemp("every"))


@pytest.fixture(scope="module")
def none(tmp_path_factory):
    return Half(tmp_path_factory.mktemp("none"), ())


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """All that leaves Pythia's random numbers as they are."""
    names = [name for name in ALL if name not in ("isr", "fsr")]
    return Half(tmp_path_factory.mktemp("steady"), names)


PARAMETERS = ["luminosity", "scale", "pdf_1", "pdf_2", "isr", "fsr", "jes", "pes"]


def test_the_file_tells_of_every_nuisance_parameter(every):
    described = madminer_file.read_systematics(every.path)
    assert [entry["name"] for entry in described] == PARAMETERS
    assert described[2]["systematic"] == "pdf"
    assert {tuple(entry["processes"]) for entry in described} == {("signal",)}
    with h5py.File(every.path) as file:
        names = [n.decode() for n in file["nuisance_parameters/names"][()]]
        assert names == PARAMETERS[:-2]
        assert json.loads(file["samples/processes"].attrs["names"]) == ["signal"]
        assert list(file["benchmarks/is_reference"][()]) == [1] + [0] * 13
        assert list(file["benchmarks/is_nuisance"][()]) == [0] * 3 + [1] * 11
        assert len(file["sample_summary/signal_events"]) == 3


def test_responses_are_what_each_type_promises(every):
    responses = madminer_file.read_responses(every.path)
    weights = every.columns()["weights"][:, 0]
    assert responses.shape == (len(weights), 8, 2)
    np.testing.assert_allclose(responses[:, 0], [[1.02, 1 / 1.02]] * len(weights))
    # One-sided: the other side is the mirror image; detector: nothing.
    up, down = np.moveaxis(responses[:, 2:4], -1, 0)
    np.testing.assert_allclose(down, np.where(up > 1, 1 / up, 2 - up))
    assert np.all(responses[:, 6:] == 1.0)
    mean = np.average(responses, axis=0, weights=weights)
    assert np.all(np.abs(mean[[1, 2, 4]] - 1) < 0.1)
    assert np.all(responses[:, [1, 4, 5]].std(axis=0) > 0.01)


def test_what_moves_nothing_leaves_the_events_as_they_are(none, steady):
    """To the last bit: other types than ``shower`` draw no random numbers."""
    first, second = none.columns(), steady.columns()
    for name, column in first.items():
        np.testing.assert_array_equal(
            column, second[name][:, :3] if name == "weights" else second[name]
        )
    assert madminer_file.read_systematics(none.path) == []
    assert madminer_file.read_responses(none.path).shape == (len(first["weights"]), 0, 2)


def test_variations_of_the_shower_draw_others_but_always_the_same(none, every, tmp_path):
    one = Half(tmp_path / "isr", ("isr",))
    momenta = [half.particles().particles.momenta for half in (none, every, one)]
    np.testing.assert_array_equal(momenta[1], momenta[2])
    assert not np.array_equal(momenta[0], momenta[1])


def test_one_switched_off_takes_only_its_own_along(every, tmp_path):
    less = Half(tmp_path / "less", [name for name in ALL if name not in ("scale", "jes", "fsr")])
    one, two = every.columns(), less.columns()
    np.testing.assert_array_equal(one["observations"], two["observations"])
    np.testing.assert_array_equal(one["weights"][:, :3], two["weights"][:, :3])
    kept = [PARAMETERS.index(e["name"]) for e in madminer_file.read_systematics(less.path)]
    np.testing.assert_array_equal(
        madminer_file.read_responses(every.path)[:, kept], madminer_file.read_responses(less.path)
    )
    for name, (first, second) in {
        "pes": [madminer_file.read_shifted(h.path, "pes") for h in (every, less)]
    }.items():
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.observations, b.observations, err_msg=name)
    with pytest.raises(KeyError):
        madminer_file.read_shifted(less.path, "jes")


def test_jets_shift_by_the_factor_and_migrate_over_the_cut(every):
    nominal = every.columns()
    found = {}
    for name in ("jes", "pes"):
        up, down = madminer_file.read_shifted(every.path, name)
        sums = [c[:, 0].sum() for c in (up.weights, nominal["weights"], down.weights)]
        for side, shifted in (("up", up), ("down", down)):
            _, a, b = np.intersect1d(nominal["events"], shifted.events, return_indices=True)
            ratio = shifted.observations[b, 0] / nominal["observations"][a, 0]
            found[name, side] = ratio, sums
            assert len(np.unique(shifted.events)) == len(shifted.events)
            np.testing.assert_allclose(shifted.weights[b], nominal["weights"][a, :3])
    for side, factor in (("up", 1.05), ("down", 0.95)):
        ratio, sums = found["jes", side]
        # Another jet is the hardest where a photon crosses a threshold: never here.
        np.testing.assert_allclose(ratio, factor, rtol=1e-9)
        assert sums[0] > sums[1] > sums[2]
        assert np.mean(found["pes", side][0] == 1.0) > 0.95


def test_files_of_madminer_itself_are_read_too(every, tmp_path):
    """Which have no attribute of ours."""
    path = tmp_path / "theirs.h5"
    shutil.copyfile(every.path, path)
    with h5py.File(path, "a") as file:
        del file.attrs["systematics"]
    described = madminer_file.read_systematics(path)
    assert described[2] == {"name": "pdf_1", "systematic": "pdf"}
    np.testing.assert_array_equal(
        madminer_file.read_responses(path), madminer_file.read_responses(every.path)[:, :6]
    )


def test_our_own_reading_leaves_nuisance_parameters_at_zero(every, none):
    file, plain = Events(str(every.path)), Events(str(none.path))
    assert file.benchmarks.shape == plain.benchmarks.shape == (3, 1)
    _, weights, _ = file.drawn()
    assert weights.shape == (file.n, 3)
    np.testing.assert_allclose(weights, every.columns()["weights"][:, :3])
    assert file.weighted("sm")[1].sum() == pytest.approx(weights[:, 0].sum())
    drawn = Sampler(str(every.path), nuisance=False).local(
        ("benchmark", "sm"), n_samples=20, partition="train", test_split=0.2, validation_split=0.2
    )
    assert drawn["t_xz"].shape == (20, 1)


PLAIN = """
import sys
import numpy as np
import logging
from madminer.sampling import SampleAugmenter
from madminer.fisherinformation import FisherInformation
from madminer.analysis import DataAnalyzer

path = sys.argv[1]
data = DataAnalyzer(path, include_nuisance_parameters=True)
assert data.n_nuisance_parameters == 6, data.n_nuisance_parameters
shifts = [np.eye(6)[0], np.zeros(6)]
up, nominal = (data.xsecs([np.zeros(1)], nus=[nu])[0] for nu in shifts)
np.testing.assert_allclose(up, 1.02 * nominal, rtol=1e-6)
sampler = SampleAugmenter(path, include_nuisance_parameters=True)
x, theta, t, _ = sampler.sample_train_local(("benchmark", "sm"), 100, folder=None, filename=None)
assert t.shape == (100, 7), t.shape
# The score is that of a normalised density: a norm changes none.
np.testing.assert_allclose(t[:, 1], 0.0, atol=1e-9)
assert np.all(t[:, 2:].std(axis=0) > 1e-3)
fisher = FisherInformation(path, include_nuisance_parameters=True)
matrix, covariance = fisher.truth_information(np.zeros(1), luminosity=1000.0)
assert matrix.shape == (7, 7)
assert np.all(np.linalg.eigvalsh(matrix + fisher.nuisance_constraint_information()) > 0)
assert not any(name.split(".")[0] == "steps" for name in sys.modules)
print("good")
"""


def test_madminer_itself_reads_the_file_with_nuisance_parameters(every, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(every.path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("good")
