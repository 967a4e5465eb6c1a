"""Delphes as a backend: HepMC, the program, its errors; the reader has tests of its own."""

import h5py
import numpy as np
import pyhepmc
import pytest
import yaml
from stages import call_stage, checked

from steps.events import delphes_file, hepmc, particle_file
from steps.events.origin import Origin
from steps.events.particles import Particles
from steps.madminer.setup import new_setup
from steps.programs import delphes
from steps.settings import parameters, physics
from steps.stage.errors import InputError

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
    spec = physics.read(folder / "input.yml", parameters.read({}))
    setup = new_setup(spec.parameters, spec.benchmarks, spec.morphing)
    weights = np.ones((len(particles.counts), 3))
    sample = particle_file.Sample(
        particles=particles,
        weights=weights,
        events=np.arange(len(weights)),
        origin=Origin("", "sm", 1.0, len(weights)),
        job=0,
        seed=1,
    )
    (folder / "events").mkdir()
    setup.save(str(folder / "events/setup.h5"))
    particle_file.write(folder / "events/particles.h5", sample)
    options = {
        "input-file": folder / "input.yml",
        "output-dir": folder,
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
    with pytest.raises(
        InputError, match=r"Delphes failed with card delphes.dat.*ERROR: can't read card"
    ) as error:
        run(tmp_path, particles)
    assert "\n" not in str(error.value)


def test_without_a_card_delphes_reads_its_own_for_cms(tmp_path, fake_delphes, particles):
    hepmc.write(tmp_path / "events.hepmc", particles, 6500.0)
    own = fake_delphes / "cards" / "delphes_card_CMS.tcl"
    own.parent.mkdir()
    own.write_text("broken")
    with pytest.raises(delphes.DelphesError, match=f"failed with card {own}"):
        delphes.run(delphes.find(), None, tmp_path / "events.hepmc", tmp_path / "delphes.root")
    own.write_text("card")
    delphes.run(delphes.find(), None, tmp_path / "events.hepmc", tmp_path / "delphes.root")
    assert len(delphes_file.read(tmp_path / "delphes.root")["met"]) == len(particles.counts)


def test_the_text_of_the_card_concerns_stage_delphes_alone(tmp_path, fake_delphes):
    (tmp_path / "input.yml").write_text(yaml.safe_dump(SPECIFICATION))
    found = []
    for text in ("set MaxEvents 0\n", "set MaxEvents 1\n"):
        (tmp_path / "delphes.dat").write_text(text)
        found.append(checked(tmp_path / "input.yml", tmp_path))
        assert text in found[-1]["delphes"]
        assert "name: delphes.dat" in found[-1]["delphes"]
    assert [stage for stage in found[0] if found[0][stage] != found[1][stage]] == ["delphes"]


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
