"""The stages of the physics workflow on tiny samples: one job or three, same seed or another."""

import os
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pylhe
import pytest
from broken import BROKEN, broken
from stages import ROOT, call_stage, checked, refusal

from steps.backends import builtin, plans
from steps.events import lhe, madminer_file, particle_file
from steps.events.combination import morphed
from steps.madminer.library import SampleAugmenter
from steps.stage.errors import InputError

N_EVENTS = 300
INPUT = """
parameters:
  - {parameter_name: C, lha_block: dim6, lha_id: 2, morphing_max_power: 2,
     param_card_transform: 16.52*theta, parameter_range: '(-1.5, 1.5)'}
benchmarks:
  - {benchmark: 1, name: sm, parameter_name_1: C, value_1: 0.0}
  - {benchmark: 2, name: w, parameter_name_1: C, value_1: 0.6}
set_morphing: {max_overall_power: 2, include_existing_benchmarks: True, n_trials: 50}
observables:
  - {name: pt_j1, definition: 'j[0].pt', required: False, default: 0.0}
  - name: delta_phi_jj
    definition: 'j[0].deltaphi(j[1]) * (-1. + 2.*float(j[0].eta > j[1].eta))'
    required: True
    default: null
cuts:
  - {cut: 1, expression: 'pt_j1 > 30.'}
"""


class Workflow:
    """One run of the stages, in this process: starting Python costs more than the work."""

    def __init__(self, folder, jobs, seed, checked=True):
        self.folder = folder
        self.input = folder / "input.yml"
        self.input.write_text(INPUT)
        whole = {"input_file": self.input, "seed": seed}
        whole |= {"num_events": N_EVENTS, "num_procs_per_job": jobs}
        if checked:
            call_stage("check", whole | {"output_dir": folder})
        settings = folder / "settings"

        def stage(name, **options):
            way = {"settings": settings / f"{name}.yml"} if checked else whole
            call_stage(name, way | {"output_dir": folder} | options)

        self.config = folder / "data" / "madminer_config.h5"
        stage("configure")
        stage("generate", config_file=self.config)
        for job in sorted((folder / "jobs").iterdir()):
            out = folder / "pythia" / job.name
            stage("pythia", output_dir=out, job_dir=job)
            stage("delphes", output_dir=out, events_dir=out / "events")
        self.data = sorted(folder.glob("pythia/*/data/madminer_delphes_data_*.h5"))
        stage("combine", config_file=self.config, data_files=self.data)
        self.combined = folder / "data" / "combined_delphes.h5"

    def particles(self, job):
        return particle_file.read(self.folder / "pythia" / job / "events" / "particles.h5")

    def lhe(self, job):
        return self.folder / "pythia" / job / "events" / "events.lhe.gz"


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return Workflow(tmp_path_factory.mktemp("one"), jobs=1, seed=1)


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """The same, but each stage reads the input file by itself."""
    return Workflow(tmp_path_factory.mktemp("again"), jobs=1, seed=1, checked=False)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return Workflow(tmp_path_factory.mktemp("three"), jobs=3, seed=2)


def weights(file):
    with h5py.File(file) as h5:
        return h5["samples/weights"][()]


def cross_sections(file):
    w = weights(file)
    return w.sum(0), np.sqrt((w**2).sum(0))


def test_every_benchmark_and_job_has_a_plan(three):
    benchmarks = madminer_file.read_setup(three.config).benchmarks
    assert {"sm", "w"} < set(benchmarks)
    assert len(benchmarks) == 3
    read = [plans.read(folder) for folder in (three.folder / "jobs").iterdir()]
    assert {(p.benchmark, p.job) for p in read} == {(b, j) for b in benchmarks for j in range(3)}
    assert {p.n_events for p in read} == {N_EVENTS // 3}
    assert len({p.seed for p in read}) == len(read)
    assert len(three.data) == 9


def test_one_job_or_three_give_the_same_cross_sections(one, three):
    (first, error), (second, other) = map(cross_sections, (one.combined, three.combined))
    assert np.all(error < 0.1 * first)
    np.testing.assert_array_less(np.abs(first - second), 4 * np.hypot(error, other))


def test_mixture_and_each_benchmark_alone_agree(one):
    mixed, mixed_error = cross_sections(one.combined)
    benchmarks = list(madminer_file.read_setup(one.config).benchmarks)
    for file in one.data:
        own = benchmarks.index(madminer_file.read_sample(file).origin.benchmark)
        alone, error = cross_sections(file)
        assert abs(alone[own] - mixed[own]) < 4 * np.hypot(error[own], mixed_error[own])


def test_selected_cross_section_is_a_share_of_the_generated(one):
    names = list(madminer_file.read_setup(one.config).benchmarks)
    for folder in (one.folder / "jobs").iterdir():
        plan, grid = plans.read(folder), builtin.read_grid(folder)
        selected = cross_sections(one.combined)[0][names.index(plan.benchmark)]
        assert 0.3 * grid.cross_section < selected < grid.cross_section


def test_same_seed_same_file_from_settings_or_the_whole_input(one, again):
    assert sorted(p.name for p in (one.folder / "settings").iterdir()) == [
        "combine.yml",
        "configure.yml",
        "delphes.yml",
        "generate.yml",
        "pythia.yml",
    ]
    assert not (again.folder / "settings").exists()
    with h5py.File(one.combined) as a, h5py.File(again.combined) as b:
        for name in ("samples/observations", "samples/weights", "benchmarks/values"):
            np.testing.assert_array_equal(a[name][()], b[name][()])


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_same_seed_same_events_to_the_last_byte(one, again):
    for job in ("sm_0", "w_0"):
        first, second = (run.folder / "pythia" / job / "events" for run in (one, again))
        assert contents(first) == contents(second)
        assert len(contents(first)) == 3


def test_more_events_keep_the_jobs_that_are_there(one, tmp_path):
    (tmp_path / "input.yml").write_text(INPUT + "generator: {events_per_job: 100}\n")
    jobs = {}
    for n_events in (200, 350):
        out = tmp_path / str(n_events)
        given = {"input_file": tmp_path / "input.yml", "num_events": n_events, "output_dir": out}
        call_stage("generate", given | {"config_file": one.config})
        jobs[n_events] = {place.name: contents(place) for place in (out / "jobs").iterdir()}
    few, more = jobs.values()
    assert {name: more[name] for name in few} == few
    benchmarks = madminer_file.read_setup(one.config).benchmarks
    assert set(few) == {f"{b}_{k}" for b in benchmarks for k in range(2)}
    assert set(more) == {f"{b}_{k}" for b in benchmarks for k in range(4)}
    sizes = [plans.read(tmp_path / "350/jobs" / f"sm_{k}").n_events for k in range(4)]
    assert sizes == [100, 100, 100, 50]


# ------------------------------------------------------------------ one benchmark more
ANOTHER = "  - {name: x, parameter_name_1: C, value_1: -0.8, in_basis: False}\n"
MORE = INPUT.replace("set_morphing", f"{ANOTHER}set_morphing")


@pytest.fixture(scope="module")
def more(one, tmp_path_factory):
    """Folder of a run with one benchmark more, which takes all other events from ``one``."""
    folder = tmp_path_factory.mktemp("more")
    (folder / "input.yml").write_text(MORE)
    given = {"input_file": folder / "input.yml", "num_events": N_EVENTS, "output_dir": folder}
    call_stage("configure", given)
    files = {"config_file": folder / "data/madminer_config.h5"}
    call_stage("generate", given | files)
    call_stage("pythia", given | {"job_dir": folder / "jobs/x_0"})
    call_stage("delphes", given | {"events_dir": folder / "events"})
    files["data_files"] = [*one.data, *folder.glob("data/madminer_delphes_data_x_0.h5")]
    call_stage("combine", given | files)
    return folder


def test_one_benchmark_more_keeps_the_jobs_of_the_others(one, more):
    before, after = (
        {place.name: contents(place) for place in (folder / "jobs").iterdir()}
        for folder in (one.folder, more)
    )
    assert set(after) - set(before) == {"x_0"}
    assert {name: after[name] for name in before} == before
    for run, stage in (("one", "pythia"), ("more", "delphes")):
        texts = [checked(f, more / run) for f in (one.input, more / "input.yml")]
        assert texts[0][stage] == texts[1][stage]


def test_the_set_up_of_a_job_is_the_same_file_in_every_process(one, tmp_path):
    code = "import sys; from pathlib import Path; from steps.events import madminer_file as f; "
    code += "f.restrict(Path(sys.argv[1]), Path(sys.argv[2]), 'sm')"
    files = [tmp_path / f"{seed}.h5" for seed in range(3)]
    for seed, file in enumerate(files):
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", code, str(file), str(one.config)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert len({file.read_bytes() for file in files}) == 1


def test_a_job_knows_the_basis_and_its_own_benchmark(one, more):
    basis = list(madminer_file.read_setup(one.config).benchmarks)
    whole = madminer_file.read_setup(more / "data/madminer_config.h5")
    assert list(whole.benchmarks) == [*basis, "x"]
    assert list(madminer_file.read_setup(more / "jobs/sm_0/setup.h5").benchmarks) == basis
    own = madminer_file.read_setup(more / "jobs/x_0/setup.h5")
    assert (own.parameters, own.benchmarks) == (whole.parameters, whole.benchmarks)
    events = list(pylhe.LHEFile.fromfile(str(more / "events/events.lhe.gz")).events)
    assert list(events[0].weights) == [*basis, "x"]
    assert events[0].eventinfo.weight == pytest.approx(events[0].weights["x"], rel=1e-4)


def test_weights_at_one_benchmark_more_are_those_of_the_amplitude(one, more):
    """Its own events have them from the generator, the others by morphing."""
    (own,) = more.glob("data/madminer_delphes_data_x_0.h5")
    found = madminer_file.read_sample(own).weights
    points = madminer_file.read_setup(own).benchmarks.values()
    at = np.array([list(values.values()) for values in points])
    exponents = madminer_file.read_exponents(one.config)
    by_morphing = morphed(found[:, :-1], at[:-1], at[-1:], exponents)
    np.testing.assert_allclose(by_morphing, found[:, -1:], rtol=1e-7)


def test_one_benchmark_more_gives_the_same_cross_sections(one, more):
    (first, error), (second, other) = (
        cross_sections(file) for file in (one.combined, more / "data/combined_delphes.h5")
    )
    np.testing.assert_array_less(np.abs(first - second[:-1]), 4 * np.hypot(error, other[:-1]))
    with h5py.File(one.combined) as few, h5py.File(more / "data/combined_delphes.h5") as many:
        found = [len(file["samples/weights"]) for file in (few, many)]
    assert found[1] > found[0] + 0.5 * N_EVENTS
    (own,) = more.glob("data/madminer_delphes_data_x_0.h5")
    alone, spread = cross_sections(own)
    assert abs(alone[-1] - second[-1]) < 4 * np.hypot(spread[-1], other[-1])
    # MadMiner's morphing knows nothing of the benchmark.
    xsecs, _ = SampleAugmenter(str(more / "data/combined_delphes.h5")).xsecs([np.array([-0.8])])
    np.testing.assert_allclose(xsecs, second[-1:], rtol=1e-6)


def test_a_basis_of_its_own_does_not_depend_on_the_benchmarks(tmp_path):
    found = []
    for k, text in enumerate((INPUT, MORE.replace(", in_basis: False", ""))):
        text = text.replace("benchmarks: True", "benchmarks: False")
        (tmp_path / "input.yml").write_text(text)
        options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path / str(k)}
        call_stage("configure", options)
        setup = madminer_file.read_setup(tmp_path / str(k) / "data/madminer_config.h5")
        found.append(dict(setup.benchmarks))
    few, many = found
    assert set(many) - set(few) == {"x"}
    assert {name: many[name] for name in few} == few


def test_events_of_other_benchmarks_are_refused(one, tmp_path):
    (tmp_path / "input.yml").write_text(INPUT.replace("value_1: 0.6", "value_1: 0.7"))
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    call_stage("configure", options)
    files = {"config_file": tmp_path / "data/madminer_config.h5", "data_files": one.data}
    line = refusal("combine", options | files)
    assert "has other benchmarks than" in line
    assert not (tmp_path / "data/combined_delphes.h5").exists()


def test_combined_weights_do_not_depend_on_the_number_of_jobs(one, tmp_path):
    """The same events, shared unequally by jobs: but for their order nothing changes."""
    (tmp_path / "input.yml").write_text(INPUT)
    drawn = (60, 90, 150)
    for file in one.data:
        sample = madminer_file.read_sample(file)
        rows = np.split(np.arange(len(sample.weights)), [50, 80])
        for job, (n, events) in enumerate(zip(drawn, rows, strict=True)):
            part = madminer_file.Sample(
                sample.observations[events],
                # Each job's weights are those of its own events.
                sample.weights[events] * N_EVENTS / n,
                replace(sample.origin, n_events=n),
                sample.cut_flow,
                sample.events[events],
            )
            definitions = {"pt_j1": "j[0].pt", "delta_phi_jj": "j[0].phi"}
            place = tmp_path / f"{file.stem}_{job}.h5"
            madminer_file.write_sample(place, one.config, definitions, part)
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    files = {"config_file": one.config, "data_files": sorted(tmp_path.glob("*_data_*.h5"))}
    call_stage("combine", options | files)

    def table(path):
        with h5py.File(path) as file:
            rows = np.hstack([file["samples/observations"][()], file["samples/weights"][()]])
        return rows[np.argsort(rows[:, 0])]

    split, whole = table(tmp_path / "data/combined_delphes.h5"), table(one.combined)
    np.testing.assert_allclose(split, whole, rtol=1e-12)


def test_jobs_differ(three):
    first, second = (three.particles(f"sm_{job}") for job in (0, 1))
    assert not np.array_equal(first.weights, second.weights)
    assert not np.array_equal(first.particles.counts, second.particles.counts)


def test_observables_respect_the_cuts(one):
    with h5py.File(one.combined) as file:
        pt, angle = file["samples/observations"][()].T
    assert pt.min() > 30
    assert np.abs(angle).max() <= np.pi
    assert np.isfinite(angle).all()
    assert len(pt) > 1.5 * N_EVENTS


@pytest.fixture(scope="module")
def analyser(one):
    return SampleAugmenter(str(one.combined))


def test_madminer_s_cross_sections_are_the_sums_of_weights(one, analyser):
    xsecs, errors = analyser.xsecs()
    sums, spread = cross_sections(one.combined)
    np.testing.assert_allclose(xsecs, sums, rtol=1e-6)
    np.testing.assert_allclose(errors, spread, rtol=1e-3)


def test_madminer_reads_events_and_morphs(one, analyser):
    _, w = next(iter(analyser.event_loader(batch_size=10**6)))
    stored = weights(one.combined)
    np.testing.assert_allclose(np.sort(w.sum(1)), np.sort(stored.sum(1)))
    assert analyser.n_samples == len(stored)
    assert list(analyser.observables) == ["pt_j1", "delta_phi_jj"]
    # |M|^2 is quadratic in one parameter: morphing to a benchmark's point gives it back.

    for name, values in madminer_file.read_setup(one.combined).benchmarks.items():
        xsec, _ = analyser.xsecs([np.array(list(values.values()))])
        index = list(madminer_file.read_setup(one.combined).benchmarks).index(name)
        np.testing.assert_allclose(xsec, stored.sum(0)[index], rtol=1e-6)


def test_madminer_opens_the_file_of_one_job(one):
    sums, _ = cross_sections(one.data[0])
    np.testing.assert_allclose(SampleAugmenter(str(one.data[0])).xsecs()[0], sums, rtol=1e-6)


# ------------------------------------------------------------------ the event file
def test_event_file_reads_back(one):
    sample = one.particles("w_0")
    names = list(madminer_file.read_setup(one.config).benchmarks)
    file = pylhe.LHEFile.fromfile(str(one.lhe("w_0")))
    assert file.init.initInfo.beamA == file.init.initInfo.beamB == 2212
    assert file.init.initInfo.energyA == 6500
    folder = one.folder / "jobs" / "w_0"
    plan, grid = plans.read(folder), builtin.read_grid(folder)
    assert file.init.procInfo[0].xSection == pytest.approx(grid.cross_section, rel=1e-6)

    events = list(file.events)
    assert len(events) == plan.n_events == len(sample.weights)
    for event, row in zip(events, sample.weights, strict=True):
        assert list(event.weights) == names
        np.testing.assert_allclose(list(event.weights.values()), row, rtol=1e-4)  # 5 digits
        assert event.eventinfo.weight == pytest.approx(event.weights["w"], rel=1e-4)
        a, b, c, d, higgs = event.particles
        assert [p.status for p in event.particles] == [-1, -1, 1, 1, 1]
        assert [p.mother1 for p in event.particles] == [0, 0, 1, 1, 1]
        for incoming, outgoing in ((a, c), (b, d)):
            colour = (incoming.color1, incoming.color2)
            assert colour == (outgoing.color1, outgoing.color2)
            assert (colour[0] > 0) == (incoming.id > 0)
            assert (colour[1] > 0) == (incoming.id < 0)
            # Left-handed quarks, right-handed antiquarks.
            assert incoming.spin == outgoing.spin == -np.sign(incoming.id)
        assert {a.color1 or a.color2, b.color1 or b.color2} == {501, 502}
        assert (higgs.id, higgs.spin, higgs.color1, higgs.color2) == (25, 0, 0, 0)
        assert higgs.m == pytest.approx(125.0, rel=1e-6)
        for component in ("px", "py", "pz", "e"):
            values = [getattr(p, component) for p in event.particles]
            assert abs(sum(values[:2]) - sum(values[2:])) < 1e-6 * (a.e + b.e)


def test_sum_of_an_event_file_is_the_cross_section(one):
    names = list(madminer_file.read_setup(one.config).benchmarks)
    for folder in (one.folder / "jobs").iterdir():
        plan, grid = plans.read(folder), builtin.read_grid(folder)
        sample = one.particles(folder.name)
        own = sample.weights[:, names.index(plan.benchmark)]
        assert own.sum() == pytest.approx(grid.cross_section, rel=0.03)
        assert sample.origin.cross_section == pytest.approx(grid.cross_section)
        assert sample.origin.n_events == N_EVENTS


# ------------------------------------------------------------------ particles and detector
def test_shower_conserves_momentum_and_decays_the_higgs(one):
    particles = one.particles("sm_0").particles
    n = len(particles.counts)
    total = np.stack(
        [np.bincount(particles.event, particles.momenta[:, i].astype(float), n) for i in range(4)]
    )
    np.testing.assert_allclose(total[0], 13000, rtol=1e-4)
    assert np.abs(total[1:3]).max() < 0.1
    assert not np.isin(np.abs(particles.pdg_id), (25, 15, 111, 1, 2, 21)).any()


def test_diphoton_mass_peaks_at_the_higgs_mass(one):
    from steps.physics.detector import reconstruct

    mass = []
    for job in sorted((one.folder / "jobs").iterdir()):
        photons = reconstruct(one.particles(job.name).particles, np.random.default_rng(1))["a"]
        photons = photons[np.asarray([len(p) >= 2 for p in photons])]
        mass += (photons[:, 0] + photons[:, 1]).mass.to_list()
    mass = np.array(mass)
    assert len(mass) > 0.4 * 3 * N_EVENTS
    assert np.median(mass) == pytest.approx(125.0, abs=0.7)
    assert np.mean(np.abs(mass - 125) < 6) > 0.85
    assert np.subtract(*np.quantile(mass, [0.75, 0.25])) < 6


def test_particle_file_round_trip(one, tmp_path):
    sample = one.particles("sm_0")
    particle_file.write(tmp_path / "copy.h5", sample)
    copy = particle_file.read(tmp_path / "copy.h5")
    for name in ("origin", "job", "seed"):
        assert getattr(copy, name) == getattr(sample, name)
    np.testing.assert_array_equal(copy.weights, sample.weights)
    for name, column in vars(sample.particles).items():
        np.testing.assert_array_equal(getattr(copy.particles, name), column)


# ------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("jobs", "text", "named"),
    [
        (-1, INPUT, "num_procs_per_job"),
        (9999, INPUT, "num_procs_per_job"),
        (1, INPUT.replace("lha_id: 2", "lha_id: X"), "lha_id"),
    ],
)
def test_generate_refuses_in_one_line(one, tmp_path, jobs, text, named):
    path = tmp_path / "input.yml"
    path.write_text(text)
    given = {"input_file": path, "num_procs_per_job": jobs, "num_events": 9}
    options = {"config_file": one.config, "output_dir": tmp_path}
    assert named in refusal("generate", given | options)
    assert named in refusal("check", given | {"output_dir": tmp_path})
    assert [p.name for p in tmp_path.iterdir()] == ["input.yml"]


def test_a_stage_of_its_own_process_ends_with_one_line(tmp_path):
    # Of configure, whose libraries have most to say.
    command = [sys.executable, "-m", "steps.ph.configure", "--settings", str(tmp_path / "none.yml")]
    command += ["--output-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"error: {tmp_path / 'none.yml'}: cannot be read (No such file or directory); "
        "check the path"
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("value_1: 0.6", "value_1: 0.0"), "some depend on others"),
        (("morphing_max_power: 2", "morphing_max_power: 1"), "morphing_max_power"),
        (("max_overall_power: 2", "max_overall_power: 1"), "max_overall_power"),
        (("16.52*theta", "16.52*theta**2"), "not linear"),
    ],
)
def test_configure_refuses_a_morphing_that_would_be_wrong(tmp_path, change, named):
    assert change[0] in INPUT
    (tmp_path / "input.yml").write_text(INPUT.replace(*change))
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    line = refusal("configure", options)
    assert line.startswith("error: physics input file: ")
    assert named in line
    assert not list(tmp_path.glob("data/*"))


def test_too_many_benchmarks_are_an_error_unless_kept_out_of_the_basis(tmp_path):
    more = "".join(
        f"  - {{name: b{k}, parameter_name_1: C, value_1: {0.1 * k + 0.1}}}\n" for k in range(3)
    )
    text = INPUT.replace("set_morphing", f"{more}set_morphing")
    (tmp_path / "input.yml").write_text(text)
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    assert "5 benchmarks are more than the morphing needs" in refusal("configure", options)
    (tmp_path / "input.yml").write_text(text.replace("benchmarks: True", "benchmarks: False"))
    call_stage("configure", options)
    setup = madminer_file.read_setup(tmp_path / "data" / "madminer_config.h5")
    assert len(setup.benchmarks) == 3 + 5


def test_cuts_without_phase_space_are_an_error(one, tmp_path):
    text = INPUT + "generator: {cuts: {m_jj_min: 12999.0, pt_min: 3000.0}}\n"
    (tmp_path / "input.yml").write_text(text)
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    line = refusal("generate", options | {"config_file": one.config})
    assert line.startswith("error: physics input file: generator: cuts: no phase space")


def test_a_shower_that_cannot_start_is_an_error(one, tmp_path):
    (tmp_path / "my.cmnd").write_text("PDF:pSet = LHAGrid1:none.dat\n")
    (tmp_path / "input.yml").write_text(INPUT + "shower: {card: my.cmnd}\n")
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    options |= {"job_dir": one.folder / "jobs" / "sm_0"}
    line = refusal("pythia", options)
    assert line.startswith("error: physics input file: shower: my.cmnd: ")
    assert not (tmp_path / "events").exists()


def test_empty_selection_is_an_error_that_keeps_earlier_results(one, tmp_path):
    strict = tmp_path / "input.yml"
    strict.write_text(INPUT.replace("> 30.", "> 1e6"))
    events = one.folder / "pythia" / "sm_0" / "events"
    common = {"input_file": strict, "output_dir": tmp_path}
    call_stage("delphes", common | {"events_dir": events})
    (tmp_path / "data" / "combined_delphes.h5").write_text("earlier")
    files = sorted((tmp_path / "data").glob("madminer_*.h5"))
    line = refusal("combine", common | {"config_file": one.config, "data_files": files})
    assert "pt_j1 > 1e6" in line
    assert (tmp_path / "data" / "combined_delphes.h5").read_text() == "earlier"


def test_an_undefined_observable_is_an_error(one, tmp_path):
    (tmp_path / "input.yml").write_text(
        INPUT.replace("'j[0].pt', required", "'e[0].pt', required")
        .replace("default: 0.0", "default: null")
        .replace("cuts:", "cuts: []")
        .split("  - {cut")[0]
    )
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path}
    options |= {"events_dir": one.folder / "pythia/sm_0/events"}
    line = refusal("delphes", options)
    assert line.startswith("error: physics input file: observables: pt_j1 is undefined")
    assert not list(tmp_path.glob("data/*"))


# ------------------------------------------------------------------ odd and broken files
JOB = "sm_0"


def test_a_folder_may_have_any_name(one, tmp_path):
    """Pythia reads settings as text, where a path would end at its first space."""
    place = tmp_path / "it's a; $(folder)"
    way = {"settings": one.folder / "settings/pythia.yml", "output_dir": place}
    call_stage("pythia", way | {"job_dir": one.folder / "jobs" / JOB})
    found = particle_file.read(place / "events/particles.h5").particles
    np.testing.assert_array_equal(found.momenta, one.particles(JOB).particles.momenta)


def of_stage(one, tmp_path, name, **options):
    settings = one.folder / "settings" / f"{name}.yml"
    return refusal(name, {"settings": settings, "output_dir": tmp_path / "out", **options})


@pytest.mark.parametrize("way", BROKEN)
def test_broken_particles_are_refused(one, tmp_path, way):
    events = one.folder / "pythia" / JOB / "events"
    path = broken(events / "particles.h5", way, tmp_path)
    line = of_stage(one, tmp_path, "delphes", events_dir=path.parent)
    assert line.startswith(f"error: {path}: cannot be read as events of a job (")
    assert line.endswith("; run the step that made it again")


@pytest.mark.parametrize("way", BROKEN)
def test_broken_events_of_a_job_are_refused(one, tmp_path, way):
    path = broken(one.data[0], way, tmp_path)
    files = {"config_file": one.config, "data_files": [path, *one.data[1:]]}
    line = of_stage(one, tmp_path, "combine", **files)
    assert line.startswith(f"error: {path}: cannot be read as a MadMiner file (")


@pytest.mark.parametrize("way", BROKEN)
@pytest.mark.parametrize("name", ["plan.yml", "grid.h5", "setup.h5"])
def test_a_broken_plan_is_refused(one, tmp_path, name, way):
    path = broken(one.folder / "jobs" / JOB / name, way, tmp_path)
    line = of_stage(one, tmp_path, "pythia", job_dir=path.parent)
    assert line.startswith(f"error: {path}: cannot be read as ")
    assert line.count("; ") == 1


@pytest.mark.parametrize("way", BROKEN)
def test_broken_event_files_are_refused(one, tmp_path, way):
    path = broken(one.folder / "pythia" / JOB / "events/events.lhe.gz", way, tmp_path)
    for read in (lambda: lhe.read_weights(path, ["sm"], "sm"), lambda: lhe.read_incoming(path)):
        with pytest.raises((InputError, lhe.WeightsError)) as error:
            read()
        assert len(str(error.value).splitlines()) == 1
