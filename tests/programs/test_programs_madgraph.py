"""MadGraph as a backend: cards, fan-out, seeds, weights by name, backgrounds, errors."""

import json
import os
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pylhe
import pytest
import yaml
from stages import ROOT, call_stage, checked

from steps.backends import plans
from steps.events import lhe, madminer_file, particle_file
from steps.madminer.library import SampleAugmenter
from steps.physics import amplitude
from steps.programs import madgraph
from steps.programs.cards import Card
from steps.stage.errors import InputError

from madminer.sampling import benchmark  # isort: skip

CARDS = ROOT / "inputs/ph/cards"
N_EVENTS = 120


def parameter(name, code):
    return {
        "parameter_name": name,
        "lha_block": "dim6",
        "lha_id": code,
        "parameter_range": "(-1.0, 1.0)",
        "param_card_transform": "16.52*theta",
    }


def specification(folder, names=("C",), processes=("signal",), card="generate signal\n"):
    """Write an input file and its cards; return its path."""
    codes = dict(zip(("C", "CP", "CB"), (2, 5, 3), strict=True))
    (folder / "run.dat").write_text("  1 = nevents ! number\n  0 = iseed\n")
    (folder / "proc.dat").write_text(f"import model EWdim6-full\n{card}")
    values = {}
    for k, name in enumerate(names, start=1):
        values |= {f"parameter_name_{k}": name, f"value_{k}": 0.0}
    content = {
        "parameters": [parameter(name, codes[name]) for name in names],
        "benchmarks": [{"name": "sm", **values}],
        "set_morphing": {"max_overall_power": 2, "n_trials": 30},
        "generator": {
            "backend": "madgraph",
            "processes": [
                {
                    "name": name,
                    "process_card": "proc.dat",
                    "run_card": "run.dat",
                    "is_background": name == "background",
                    "branching_ratio": 0.5,
                }
                for name in processes
            ],
        },
        "observables": [{"name": "pt_j1", "definition": "j[0].pt", "default": 0.0}],
    }
    (folder / "input.yml").write_text(yaml.safe_dump(content))
    return folder / "input.yml"


def stage(name, folder, **options):
    arguments = {"input_file": folder / "input.yml", "output_dir": folder} | options
    call_stage(name, arguments)


def generate(folder, jobs=1):
    config = folder / "data/madminer_config.h5"
    stage("configure", folder)
    options = {"num_procs_per_job": jobs, "num_events": N_EVENTS}
    stage("generate", folder, config_file=config, **options)
    return config


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, madgraph_in):
    """Folder of a run of signal and background from stage check on, two jobs each."""
    folder = tmp_path_factory.mktemp("mixed")
    specification(folder, processes=("signal", "background"))
    with madgraph_in(folder / "mg5"):
        checked(folder / "input.yml", folder, num_procs_per_job=2, num_events=N_EVENTS)

        def stage(name, out=folder, **options):
            settings = folder / "settings" / f"{name}.yml"
            call_stage(name, {"settings": settings, "output_dir": out} | options)

        config = folder / "data/madminer_config.h5"
        stage("configure")
        stage("generate", config_file=config)
        for job in (folder / "jobs").iterdir():
            out = folder / "pythia" / job.name
            stage("pythia", out, job_dir=job)
            stage("delphes", out, events_dir=out / "events")
        stage(
            "combine",
            config_file=config,
            data_files=sorted(folder.glob("pythia/*/data/madminer_delphes_data_*.h5")),
        )
    return folder


def test_signal_and_background_go_through_to_one_file(mixed):
    setup = madminer_file.read_setup(mixed / "data/madminer_config.h5")
    jobs = sorted((mixed / "jobs").iterdir())
    assert {job.name for job in jobs} == {
        f"{process}_{k}"
        for process in ("background", *(f"signal_{b}" for b in setup.benchmarks))
        for k in (0, 1)
    }
    read = [plans.read(job) for job in jobs]
    assert len({plan.seed for plan in read}) == len(jobs)
    cross_sections = {}
    for job, plan in zip(jobs, read, strict=True):
        out = mixed / "pythia" / job.name
        assert sorted(p.name for p in out.glob("events/*")) == [
            "events.lhe.gz",
            "particles.h5",
            "setup.h5",
        ]
        sample = particle_file.read(out / "events/particles.h5")
        (info,) = pylhe.LHEFile.fromfile(str(out / "events/events.lhe.gz")).init.procInfo
        # Half of the events and, by the branching ratio alone, half of the cross section.
        assert sample.weights.shape == (N_EVENTS // 2, len(setup.benchmarks))
        if plan.process == "background":
            assert (np.ptp(sample.weights, axis=1) == 0).all()
            own = sample.weights[:, 0]
        else:
            assert (np.ptp(sample.weights, axis=1) > 0).all()
            own = sample.weights[:, list(setup.benchmarks).index(plan.benchmark)]
        assert own.sum() == pytest.approx(0.5 * info.xSection)
        key = (plan.process, plan.benchmark)
        cross_sections[key] = cross_sections.get(key, 0.0) + 0.5 * own.sum()

    assert len(list(mixed.glob("pythia/*/data/madminer_delphes_data_*.h5"))) == len(jobs)
    with h5py.File(mixed / "data/combined_delphes.h5") as file:
        weights = file["samples/weights"][()]
        sampled = file["samples/sampling_benchmarks"][()]
        assert file["sample_summary/background_events"][()] == N_EVENTS
    assert set(sampled) == {0, -1}
    assert (sampled == -1).sum() == N_EVENTS
    np.testing.assert_allclose(weights[sampled == -1].sum(axis=0), cross_sections["background", ""])
    for k, name in enumerate(setup.benchmarks):
        expected = cross_sections["signal", name]
        assert weights[sampled == 0][:, k].sum() == pytest.approx(expected, rel=0.2)


def test_madminer_reads_signal_with_background(mixed):
    path = mixed / "data/combined_delphes.h5"
    sampler = SampleAugmenter(str(path), include_nuisance_parameters=False)
    with h5py.File(path) as file:
        expected = file["samples/weights"][()].sum(axis=0)
    points = madminer_file.read_setup(path).benchmarks
    found = sampler.xsecs(thetas=[np.array(list(p.values())) for p in points.values()])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    x, *_ = sampler.sample_train_plain(
        theta=benchmark("sm"), n_samples=50, folder=None, filename=None
    )
    assert np.isfinite(x).all()


def test_madgraph_runs_in_surroundings_of_its_own(tmp_path, fake_madgraph, monkeypatch):
    specification(tmp_path)
    stage("configure", tmp_path)
    config, here = tmp_path / "data/madminer_config.h5", set(os.listdir())

    def forbidden(*args):
        raise AssertionError(f"changes this process: {args}")

    for name in ("chdir", "putenv", "unsetenv"):
        # The last two are what every change of os.environ calls.
        monkeypatch.setattr(os, name, forbidden)
    stage("generate", tmp_path, config_file=config, num_events=10)
    started = fake_madgraph / "bin" / "started"
    (prepared,) = map(json.loads, started.read_text().splitlines())
    monkeypatch.undo()
    # A job may run on a machine with programs elsewhere.
    monkeypatch.setenv("PATH", f"/elsewhere{os.pathsep}{os.environ['PATH']}")
    stage("pythia", tmp_path, job_dir=tmp_path / "jobs/signal_sm_0")
    _, ran = map(json.loads, started.read_text().splitlines())

    for told in (prepared, ran):
        environment, ours = told["environment"], dict(os.environ)
        assert environment["PATH"].startswith(f"{Path(sys.executable).parent}{os.pathsep}")
        assert environment["F2PY"] == f"{sys.executable} -m numpy.f2py"
        assert {"PYTHONPATH", "PYTHONHOME"} <= set(ours) - set(environment)
        assert environment["HOME"] == ours["HOME"]
        assert not Path(told["cwd"]).exists()
    assert "/elsewhere" not in prepared["environment"]["PATH"]
    assert "/elsewhere" in ran["environment"]["PATH"]
    assert set(os.listdir()) == here
    assert not list(tmp_path.rglob("py.py"))
    with tarfile.open(tmp_path / "processes/signal.tar.gz") as archive:
        assert not [name for name in archive.getnames() if name.endswith("py.py")]


@pytest.mark.parametrize("card", ["proc.dat", "run.dat", "param.dat", "me5.txt"])
def test_the_text_of_a_card_concerns_stage_generate_alone(tmp_path, fake_madgraph, card):
    path = specification(tmp_path)
    content = yaml.safe_load(path.read_text())
    content["generator"] |= {"param_card": "param.dat", "configuration_card": "me5.txt"}
    path.write_text(yaml.safe_dump(content))
    (tmp_path / "param.dat").write_text("Block dim6\n 2 0.0\n")
    (tmp_path / "me5.txt").write_text("run_mode = 0\n")
    before = checked(path, tmp_path)
    assert before["generate"].count((tmp_path / card).read_text().splitlines()[-1]) == 1
    with (tmp_path / card).open("a") as file:
        file.write("# changed\n")
    after = checked(path, tmp_path)
    assert [stage for stage in before if before[stage] != after[stage]] == ["generate"]
    assert str(tmp_path) not in "".join(after.values())


def test_three_parameters_fan_out(tmp_path, fake_madgraph):
    specification(tmp_path, names=("C", "CP", "CB"))
    config = generate(tmp_path)
    setup = madminer_file.read_setup(config)
    # 1 + 3 + 6 monomials of a quadratic form in three parameters.
    assert len(setup.benchmarks) == 10
    assert len(list((tmp_path / "jobs").iterdir())) == 10


def test_a_failed_reweighting_is_one_line(tmp_path, fake_madgraph):
    specification(tmp_path, card="# broken reweighting\n")
    generate(tmp_path)
    with pytest.raises(InputError, match=r"signal: no weight of benchmark .* reweighting") as error:
        stage("pythia", tmp_path, job_dir=tmp_path / "jobs/signal_sm_0")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "events").exists()


def test_events_of_an_earlier_run_are_not_those_of_one_that_failed(tmp_path, fake_madgraph):
    (tmp_path / "madminer/cards").mkdir(parents=True)
    (tmp_path / "madminer/scripts").mkdir()
    (tmp_path / "madminer/cards/run_card_0.dat").write_text("  0 = iseed\n")
    script = tmp_path / "madminer/scripts/run_0.sh"
    script.write_text("echo 'CRITICAL: out of space' > run_0.log\n")
    earlier = tmp_path / "Events/run_01/unweighted_events.lhe.gz"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    with pytest.raises(madgraph.MadGraphError, match="no events; it said: CRITICAL: out of space"):
        madgraph.generate(madgraph.find([]), tmp_path, 0, 10, 1)
    with script.open("a") as file:
        file.write("mkdir Events/run_02; touch Events/run_02/unweighted_events.lhe.gz\n")
    made = madgraph.generate(madgraph.find([]), tmp_path, 0, 10, 1)
    assert made.parent.name == "run_02"


def test_a_process_that_madgraph_refuses_is_one_line(tmp_path, fake_madgraph):
    specification(tmp_path, card="generate nonsense\n")
    with pytest.raises(
        InputError, match=r"no process for .*proc.dat.*No particle nonsense"
    ) as error:
        generate(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "jobs").exists()


def test_transforms_are_never_evaluated_by_python(tmp_path, fake_madgraph):
    path = specification(tmp_path)
    generate(tmp_path)
    config = tmp_path / "data/madminer_config.h5"
    with h5py.File(config, "a") as file:
        del file["parameters/transforms"]
        file["parameters/transforms"] = np.array([b"__import__('os').getpid()"])
    with pytest.raises(InputError, match="parameters"):
        stage("generate", tmp_path, config_file=config, num_events=10)
    assert path.exists()


def test_run_cards_get_size_and_seed():
    card = "# 5 = nevents\n  1000 = nevents ! Number\n 0    = iseed   ! rnd\n 7 = nevents_other\n"
    changed = madgraph._set(card, {"nevents": 12, "iseed": 34})
    assert changed.splitlines() == [
        "# 5 = nevents",
        "  12 = nevents",
        "  34 = iseed",
        " 7 = nevents_other",
    ]
    assert "  5 = nevents" in madgraph._set("  1 = lpp1", {"nevents": 5})


def test_weights_are_in_picobarn_whatever_the_norm(tmp_path):
    momenta = np.ones((3, 5, 4))
    raw = np.array([[2.0, 1.0], [2.0, 3.0], [2.0, 2.0]])
    for norm in (1.0, 1e-3):
        sample = lhe.Weights(raw * norm, ["sm", "w"], "sm")
        head = lhe.Head(6500.0, (6.0, 0.1), 125.0, (0.0078, 0.13))
        lhe.write(tmp_path / "events.lhe", np.full((3, 5), 2), momenta, sample, head)
        weights, cross_section = lhe.read_weights(tmp_path / "events.lhe", ["sm", "w"], "sm")
        assert cross_section == pytest.approx(6.0)
        np.testing.assert_allclose(weights, raw, rtol=1e-4)
        background, _ = lhe.read_weights(tmp_path / "events.lhe", ["sm", "w"], "")
        np.testing.assert_allclose(background, 2.0, rtol=1e-4)
    with pytest.raises(lhe.WeightsError, match="no weight of benchmark x"):
        lhe.read_weights(tmp_path / "events.lhe", ["sm", "x"], "sm")


@pytest.mark.parametrize(
    ("directory", "model", "path", "message"),
    [
        (None, "EWdim6", None, "set MADGRAPH_DIR"),
        ("absent", "EWdim6", None, "no bin/mg5_aMC in"),
        ("mg5", "EWdim6", "/nowhere", "needs gfortran"),
        ("mg5", "other", "tools", "no other in .*models"),
        ("mg5", "EWdim6", "tools", "no python3 on the PATH suits"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path, monkeypatch, directory, model, path, message):
    (tmp_path / "mg5/bin").mkdir(parents=True)
    (tmp_path / "mg5/models/EWdim6").mkdir(parents=True)
    (tmp_path / "mg5/bin/mg5_aMC").touch()
    (tmp_path / "tools").mkdir()
    for name in ("gfortran", "make", "python3", "f2py"):
        (tmp_path / "tools" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "tools" / name).chmod(0o755)
    card = Card("proc.dat", f"# import model commented\nimport model {model}-full\n")
    monkeypatch.delenv("MADGRAPH_DIR", raising=False)
    monkeypatch.delenv("MADGRAPH_PYTHON", raising=False)
    if directory:
        monkeypatch.setenv("MADGRAPH_DIR", str(tmp_path / directory))
    if path:
        monkeypatch.setenv("PATH", str(tmp_path / path) if path == "tools" else path)
    with pytest.raises(madgraph.MadGraphError, match=message) as error:
        madgraph.find([card])
    assert "\n" not in str(error.value)


@pytest.mark.skipif("MADGRAPH_DIR" not in os.environ, reason="MADGRAPH_DIR names no MadGraph")
def test_real_madgraph_reweights_as_the_built_in_amplitude(tmp_path):
    """One quark channel, whose weights the amplitude gives event by event."""
    path = specification(tmp_path, names=("C", "CP"))
    content = yaml.safe_load(path.read_text())
    content["generator"]["param_card"] = str(CARDS / "param_card_template.dat")
    content["generator"]["processes"][0]["run_card"] = str(CARDS / "run_card_signal.dat")
    path.write_text(yaml.safe_dump(content))
    (tmp_path / "proc.dat").write_text(
        "import model EWdim6-full\ngenerate u d > u d h / a z QCD=0 QED=99 NP=2\n"
    )
    config = generate(tmp_path)
    stage("pythia", tmp_path, job_dir=tmp_path / "jobs/signal_sm_0")
    setup = madminer_file.read_setup(config)
    events = list(pylhe.LHEFile.fromfile(str(tmp_path / "events/events.lhe.gz")).events)
    assert len(events) == N_EVENTS
    # MadGraph's order: u, d, u (from the d), d (from the u), h.
    p = np.array([[[q.e, q.px, q.py, q.pz] for q in event.particles] for event in events])
    assert [q.id for q in events[0].particles] == [2, 1, 2, 1, 25]
    quark = np.zeros(len(p), dtype=bool)
    amplitudes = amplitude.sub_amplitudes(p[:, 0], p[:, 1], p[:, 3], p[:, 2], quark, quark)
    form = amplitude.quadratic_form(amplitudes)
    for name, values in setup.benchmarks.items():
        if name != "sm":
            point = {"CWL2": 16.52 * values["C"], "CPWL2": 16.52 * values["CP"]}
            expected = form @ amplitude.monomials([point])[0] / form[:, 0]
            found = [event.weights[name] / event.eventinfo.weight for event in events]
            np.testing.assert_allclose(found, expected, rtol=2e-3)
