"""Delphes as a backend: HepMC, the program, its errors; the reader has tests of its own."""

import h5py
import numpy as np
import pyhepmc
import pytest
import yaml
from stages import call_stage

from steps.events import hepmc, particle_file
from steps.events.origin import Origin
from steps.events.particles import Particles
from steps.interface.errors import InputError
from steps.interface.inputs import load_ph
from steps.interface.madminer import new_setup
from steps.programs import delphes

SPECIFICATION = {
    "parameters": [
        {
            "parameter_name": "C",
            "lha_block": "dim6",
            "lha_id": 2,
            "parameter_range": "(-1, 1)",
        }
    ],
    "benchmarks": [{"name": "sm", "parameter_name_1": "C", "value_1": 0.0}],
    "set_morphing": {"max_overall_power": 2, "n_trials": 10},
    "detector": {"backend": "delphes", "card": "delphes.dat"},
    "observables": [
        {"name": "m_jj", "definition": "(j[0] + j[1]).m", "required": True},
        {"name": "pt_a", "definition": "a[0].pt", "required": True},
        {"name": "n_e", "definition": "len(e)", "required": True},
    ],
}


@pytest.fixture
def particles():
    rng = np.random.default_rng(1)
    counts = np.array([3, 1, 5, 2], dtype=np.int32)
    momenta = rng.normal(0, 20, (counts.sum(), 4)).astype(np.float32)
    momenta[:, 0] = np.linalg.norm(momenta[:, 1:], axis=1)
    return Particles(counts, rng.choice([22, 211, -211], counts.sum()).astype(np.int32), momenta)


def test_hepmc_reads_back(tmp_path, particles):
    hepmc.write(tmp_path / "events.hepmc", particles, 6500.0)
    with pyhepmc.open(str(tmp_path / "events.hepmc")) as file:
        events = [
            [(q.pid, q.momentum.e, q.momentum.px) for q in event.particles if q.status == 1]
            for event in file
        ]
    filled = [k for k, count in enumerate(particles.counts) if count]
    found = [event for event in events if event]
    assert len(events) == len(particles.counts)
    assert [len(event) for event in found] == [particles.counts[k] for k in filled]
    flat = np.array([row for event in found for row in event])
    np.testing.assert_array_equal(flat[:, 0], particles.pdg_id)
    np.testing.assert_allclose(flat[:, 1:], particles.momenta[:, :2], rtol=1e-5, atol=1e-5)


def run(folder, particles):
    (folder / "input.yml").write_text(yaml.safe_dump(SPECIFICATION))
    spec = load_ph(folder / "input.yml")
    setup = new_setup(spec.parameters, spec.benchmarks, spec.morphing)
    setup.save(str(folder / "setup.h5"))
    weights = np.ones((len(particles.counts), 3))
    sample = particle_file.Sample(particles, weights, Origin("", "sm", 1.0), job=0, seed=1)
    (folder / "events").mkdir()
    particle_file.write(folder / "events/particles.h5", sample)
    options = {
        "input-file": folder / "input.yml",
        "output-dir": folder,
        "config-file": folder / "setup.h5",
        "events-dir": folder / "events",
    }
    call_stage("delphes", options)


def test_stage_measures_what_delphes_wrote(tmp_path, fake_delphes, particles):
    (tmp_path / "delphes.dat").write_text("card")
    run(tmp_path, particles)
    with h5py.File(tmp_path / "data/madminer_delphes_data_sm_0.h5") as file:
        observations = file["samples/observations"][()]
    assert observations.shape == (4, 3)
    assert (observations[:, 0] > 5).all()
    assert ((observations[:, 1] > 35) & (observations[:, 1] < 90)).all()
    assert (observations[:, 2] == 0).all(), "the card makes no electrons"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("tmp")] == []


def test_a_failure_of_delphes_is_one_line(tmp_path, fake_delphes, particles):
    (tmp_path / "delphes.dat").write_text("broken")
    with pytest.raises(InputError, match=r"Delphes failed .*ERROR: can't read card") as error:
        run(tmp_path, particles)
    assert "\n" not in str(error.value)


def test_lost_events_are_an_error(tmp_path, fake_delphes, particles):
    (tmp_path / "delphes.dat").write_text("card")
    program = fake_delphes / "DelphesHepMC3"
    program.write_text(
        program.read_text().replace("for line in open(source))", "for line in open(source)) - 1")
    )
    with pytest.raises(InputError, match="wrote 3 of 4 events"):
        run(tmp_path, particles)


@pytest.mark.parametrize(
    ("given", "message"), [("/nowhere", "check DELPHES_DIR"), (None, "on the PATH")]
)
def test_a_missing_program_is_one_line(monkeypatch, given, message):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DELPHES_DIR", raising=False)
    if given:
        monkeypatch.setenv("DELPHES_DIR", given)
    with pytest.raises(delphes.DelphesError, match=message):
        delphes.find()
