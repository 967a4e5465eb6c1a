"""Every backend has what its protocol asks for, and a new one needs nothing but its name."""

import inspect
from importlib import import_module

import h5py
import numpy as np
import pytest
from stages import call_stage, checked, refusal

from steps.backends import detectors, generators
from steps.settings.schema import schema

TABLES = {"generator": generators, "detector": detectors}
PROTOCOLS = {"generator": generators.Generator, "detector": detectors.Detector}


def members(protocol):
    """Names of what a protocol asks for."""
    return ["__init__", *(name for name in vars(protocol) if not name.startswith("_"))]


def parameters(of):
    return list(inspect.signature(of).parameters)


def test_the_protocols_ask_for_something():
    assert {"complete", "check", "prepare", "generate", "event_settings"} <= set(
        members(generators.Generator)
    )
    assert {"complete", "reconstruct", "find_programs"} <= set(members(detectors.Detector))


def every_backend():
    return [(section, name) for section, table in TABLES.items() for name in table._MODULES]


@pytest.mark.parametrize(("section", "name"), every_backend())
def test_every_name_has_all_of_its_protocol(section, name):
    backend = import_module(TABLES[section]._MODULES[name]).Backend
    for member in members(PROTOCOLS[section]):
        wanted, found = (inspect.getattr_static(c, member) for c in (PROTOCOLS[section], backend))
        assert type(found) is type(wanted), member
        if not isinstance(wanted, property):
            assert parameters(getattr(backend, member)) == parameters(
                getattr(PROTOCOLS[section], member)
            ), member


@pytest.mark.parametrize("section", TABLES)
def test_the_schema_has_the_names_of_the_table(section):
    assert tuple(TABLES[section]._MODULES) == TABLES[section].NAMES
    backend = schema("ph")["properties"][section]["properties"]["backend"]
    assert backend["enum"] == list(TABLES[section].NAMES)
    assert backend["default"] in backend["enum"]


@pytest.fixture
def toys(monkeypatch):
    """A generator and a detector more, each called ``toy``."""
    for section, table in TABLES.items():
        monkeypatch.setitem(table._MODULES, "toy", f"toy_{section}")
        monkeypatch.setattr(table, "NAMES", tuple(table._MODULES))
    schema.cache_clear()
    yield
    schema.cache_clear()


INPUT = """
parameters:
  - {parameter_name: C, lha_block: any, lha_id: 7, parameter_range: [-1.0, 1.0]}
benchmarks:
  - {name: sm, parameter_name_1: C, value_1: 0.0}
  - {name: w, parameter_name_1: C, value_1: 0.5}
set_morphing: {max_overall_power: 2, n_trials: 10}
generator: {backend: toy, num_events: 20}
detector: {backend: toy}
observables:
  - {name: m_ee, definition: '(e[0] + e[1]).m', required: True}
  - {name: n_j, definition: len(j), required: True}
cuts:
  - {expression: 'len(e) == 2'}
"""


def test_another_process_and_another_detector_go_through_all_stages(tmp_path, toys):
    (tmp_path / "input.yml").write_text(INPUT)
    texts = checked(tmp_path / "input.yml", tmp_path, num_procs_per_job=2)
    assert "backend: toy" in texts["pythia"]

    def stage(name, out=tmp_path, **options):
        settings = tmp_path / "settings" / f"{name}.yml"
        call_stage(name, {"settings": settings, "output_dir": out} | options)

    config = tmp_path / "data/madminer_config.h5"
    stage("configure")
    stage("generate", config_file=config)
    assert (tmp_path / "shared").read_text() == "pythia8.cmnd"
    jobs = sorted(job.name for job in (tmp_path / "jobs").iterdir())
    assert jobs == ["ee_sm_0", "ee_sm_1", "ee_w_0", "ee_w_1"]
    for job in jobs:
        out = tmp_path / job
        stage("pythia", out, job_dir=tmp_path / "jobs" / job)
        stage("delphes", out, events_dir=out / "events")
    stage(
        "combine",
        config_file=config,
        data_files=sorted(tmp_path.glob("*/data/madminer_delphes_data_ee_*.h5")),
    )
    with h5py.File(tmp_path / "data/combined_delphes.h5") as file:
        mass, jets = file["samples/observations"][()].T
        weights = file["samples/weights"][()]
    assert 0.5 * 40 < len(mass) <= 40
    assert np.median(mass) == pytest.approx(500.0, rel=0.02)
    assert (jets == 0).all()
    # Half a unit of C more than doubles the cross section, whatever the share that is selected.
    np.testing.assert_allclose(weights[:, 1] / weights[:, 0], 1.5**2)


def test_what_is_no_backend_is_refused_by_name(tmp_path):
    (tmp_path / "input.yml").write_text(INPUT)
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    line = refusal("check", options)
    assert "generator: backend: 'toy' is not known; choose from builtin, madgraph" in line
