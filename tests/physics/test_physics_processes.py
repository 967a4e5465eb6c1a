"""Processes that Pythia 8 generates itself: cross sections, filters, jobs, and their place."""

from types import SimpleNamespace

import awkward as ak
import h5py
import numpy as np
import pytest
from stages import ROOT, call_stage, checked, refusal

from steps.backends import plans
from steps.events import madminer_file, particle_file
from steps.events.combination import fitted, monomials
from steps.madminer.library import SampleAugmenter
from steps.physics import shower
from steps.physics.passing import passing
from steps.settings import parameters, physics, stages
from steps.stage.errors import InputError

BEAMS = ["Beams:eCM = 13000."]
GLUON_FUSION = ["HiggsSM:gg2H = on", "25:onMode = off", "25:onIfMatch = 22 22"]
QUICK = ["PartonLevel:MPI = off"]
PHOTONS = {"photons": {"number": 2, "pt_min": 40.0, "eta_max": 1.5}}


EVERYTHING = {}


# ------------------------------------------------------------------ cross sections
def test_a_filter_selects_from_the_same_cross_section():
    """Weights of the events that pass sum to what passes of all; Pythia counts what it tried."""
    settings = GLUON_FUSION + QUICK + BEAMS
    rng = np.random.default_rng(5)
    whole = shower.produce(settings, 1200, EVERYTHING, rng)
    assert whole.n_events == 1200
    assert whole.events.tolist() == list(range(1200))
    (sigma, error), n = whole.cross_section, len(whole.weights)
    np.testing.assert_allclose(whole.weights, sigma / n)
    passed = passing(whole.particles, PHOTONS)
    expected = whole.weights[passed].sum()

    some = shower.produce(settings, 400, PHOTONS, rng)
    assert passing(some.particles, PHOTONS).all()
    assert len(some.weights) == len(some.particles.counts) == len(some.events) == 400
    assert np.all(np.diff(some.events) > 0)
    assert some.events[-1] < some.n_events
    share = 400 / some.n_events
    assert some.weights.sum() == pytest.approx(some.cross_section[0] * share)
    spread = np.sqrt((1 - share) * (1 / 400 + 1 / passed.sum()))
    relative = np.hypot(spread, np.hypot(error / sigma, some.cross_section[1] / sigma))
    assert some.weights.sum() == pytest.approx(expected, rel=4 * relative)


def test_the_cross_section_is_of_the_decays_that_are_on():
    """Pythia's share of H -> gamma gamma, 2.3 per mille, and its leading-order cross section."""
    quick = ["PartonLevel:all = off", "HadronLevel:all = off", *BEAMS]
    rng = np.random.default_rng(6)
    sigma = [
        shower.produce([*lines, *quick], 3000, EVERYTHING, rng).cross_section
        for lines in (GLUON_FUSION[:1], GLUON_FUSION)
    ]
    (all_decays, error), (photons, other) = sigma
    assert 15.0 < all_decays < 35.0
    relative = np.hypot(error / all_decays, other / photons)
    assert photons / all_decays == pytest.approx(2.297e-3, rel=4 * relative)


JETS = {
    "photons": {"number": 2, "pt_min": 20.0},
    "jets": {"number": 2, "pt_min": 18.0, "mass_min": 200.0},
}


def test_showers_without_hope_of_jets_are_given_up():
    """The yield is that of a filter behind whole showers, of which Pythia finishes many more."""
    settings = GLUON_FUSION + QUICK + BEAMS
    whole = shower.produce(settings, 1500, EVERYTHING, np.random.default_rng(9))
    passed = passing(whole.particles, JETS)
    early = shower.produce(settings, 400, JETS, np.random.default_rng(10))
    assert passing(early.particles, JETS).all()
    # Cross sections are of all events, given up or not; those that are not are numbered.
    assert early.cross_section[0] == pytest.approx(whole.cross_section[0], rel=0.05)
    assert early.events[-1] < 0.6 * early.n_events
    error = np.sqrt(1 / passed.sum() + 1 / 400)
    assert early.weights.sum() == pytest.approx(whole.weights[passed].sum(), rel=3 * error)


def test_given_up_events_count_by_their_weight():
    """Biased towards hard processes, the yield is the same."""
    wanted = {"jets": {"number": 2, "pt_min": 40.0}}
    settings = ["WeakBosonAndParton:qg2gmZq = on", "23:onMode = off", "23:onIfAny = 12", *QUICK]
    settings += ["PhaseSpace:pTHatMin = 20.", "HadronLevel:all = off", *BEAMS]
    plain = shower.produce(settings, 400, wanted, np.random.default_rng(13))
    biased = [*settings, "PhaseSpace:bias2Selection = on", "PhaseSpace:bias2SelectionRef = 20."]
    other = shower.produce(biased, 400, wanted, np.random.default_rng(14))
    relative = np.sqrt(1 / 400 + np.sum(other.weights**2) / other.weights.sum() ** 2)
    assert other.weights.sum() == pytest.approx(plain.weights.sum(), rel=3 * relative)
    assert 400 / other.n_events > 2 * 400 / plain.n_events


@pytest.mark.parametrize("filter_", [{}, {"leptons": {"number": 1, "pt_min": 15.0}}])
def test_jets_of_decays_are_waited_for(filter_):
    """The shower shows no quark of a W's decay in time; with a lepton wanted, its own are none."""
    settings = ["Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 3 5", *QUICK, *BEAMS]
    wanted = filter_ | {"jets": {"number": 4, "pt_min": 20.0}}
    if filter_:
        settings[2] = "24:onIfAny = 11"
        wanted["jets"]["number"] = 2
    made = shower.produce(settings, 10, wanted, np.random.default_rng(11))
    assert made.n_events < 30


def test_jets_that_cannot_come_end_too(monkeypatch):
    monkeypatch.setattr(shower, "_TRIES", 300)
    wanted = {"jets": {"number": 2, "pt_min": 3000.0}}
    with pytest.raises(shower.RareError, match="0 of"):
        shower.produce(GLUON_FUSION + QUICK + BEAMS, 10, wanted, np.random.default_rng(12))


class Coins:
    """Stands in for Pythia: events with one particle, whose energy tells whether they pass."""

    def __init__(self, rng, share):
        self._rng, self._share = rng, share

    def nextBatch(self, size, mode):
        counts = 1 + (self._rng.random(size) < self._share)
        particle = {"id": 22, "status": 1, "p": {"e": 1.0, "px": 1.0, "py": 0.0, "pz": 0.0}}
        batch = [{"prt": [particle] * int(n), "info": {"weights": [1.0]}} for n in counts]
        # As of Pythia, which leaves gaps.
        return ak.Array([*batch, None])[:-1]

    def infoPython(self):
        return SimpleNamespace(
            weightNameVector=list,
            sigmaGen=lambda: 1e-9,
            sigmaErr=lambda: 0.0,
            nSelected=lambda: 1,
            nAccepted=lambda: 1,
        )

    def init(self):
        return True


TWO = {"photons": {"number": 2, "pt_min": 0.5}}


def test_a_fixed_number_of_events_that_pass_does_not_bias_the_share(monkeypatch):
    """n / N of the events up to the n-th would be a third too large here."""
    rng, share, n = np.random.default_rng(7), 0.3, 2
    monkeypatch.setattr(shower, "_configured", lambda settings: Coins(rng, share))
    found = [shower.produce([], n, TWO, rng).weights.sum() for _ in range(150)]
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.07 * share
    assert abs(np.mean(found) - share) < 4 * error


def test_a_filter_that_nothing_passes_ends(monkeypatch):
    rng = np.random.default_rng(8)
    monkeypatch.setattr(shower, "_configured", lambda settings: Coins(rng, 0.0))
    monkeypatch.setattr(shower, "_TRIES", 300)
    with pytest.raises(shower.RareError, match=r"0 of [56]\d\d events pass"):
        shower.produce([], 10, TWO, rng)


# ------------------------------------------------------------------ through the stages
N_SIGNAL, N_BACKGROUND = 60, 120
INPUT = """
parameters:
  - {parameter_name: C, lha_block: dim6, lha_id: 2, parameter_range: [-1.5, 1.5],
     param_card_transform: 16.52*theta}
benchmarks:
  - {name: sm, parameter_name_1: C, value_1: 0.0}
  - {name: w, parameter_name_1: C, value_1: 0.6}
  - {name: x, parameter_name_1: C, value_1: -0.8, in_basis: False}
set_morphing: {max_overall_power: 2, n_trials: 30}
generator:
  num_events: 60
  k_factor: 1.0
  processes:
    - name: ggF
      backend: pythia
      card: ggf.cmnd
      num_events: 120
      k_factor: 1.0
      filter: {photons: {number: 2, pt_min: 20.0, eta_max: 2.7}}
observables:
  - {name: pt_aa, definition: '(a[0] + a[1]).pt', required: True}
  - {name: n_j, definition: len(j), required: True}
"""


class Run:
    """Stages up to the combined file, the processes of Pythia in one job or more."""

    def __init__(self, folder, jobs, text=INPUT):
        self.folder = folder
        self.input = folder / "input.yml"
        self.input.write_text(text)
        (folder / "ggf.cmnd").write_text("\n".join(GLUON_FUSION))
        self.texts = checked(self.input, folder, num_procs_per_job=jobs, seed=3)
        self.config = folder / "data/madminer_config.h5"
        self.stage("configure")
        self.stage("generate", config_file=self.config)
        self.jobs = sorted((folder / "jobs").iterdir())
        for job in self.jobs:
            out = folder / "pythia" / job.name
            self.stage("pythia", out, job_dir=job)
            self.stage("delphes", out, events_dir=out / "events")
        self.data = sorted(folder.glob("pythia/*/data/*.h5"))
        self.combined = self.combine(folder)

    def stage(self, name, out=None, **options):
        settings = self.folder / "settings" / f"{name}.yml"
        call_stage(name, {"settings": settings, "output_dir": out or self.folder} | options)

    def combine(self, out):
        self.stage("combine", out, config_file=self.config, data_files=self.data)
        return out / "data/combined_delphes.h5"

    def particles(self, job):
        return particle_file.read(self.folder / "pythia" / job / "events/particles.h5")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("one"), jobs=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("two"), jobs=2)


def samples(path):
    with h5py.File(path) as file:
        return {name: file[f"samples/{name}"][()] for name in file["samples"]}


def test_a_job_of_pythia_s_holds_its_card_and_no_event_file(two):
    names = {job.name for job in two.jobs}
    assert {"ggF_0", "ggF_1", "sm_0", "sm_1"} < names
    job = two.folder / "jobs/ggF_1"
    assert sorted(p.name for p in job.iterdir()) == ["plan.yml", "process.yml", "setup.h5"]
    plan = plans.read(job)
    assert (plan.backend, plan.benchmark, plan.n_events) == ("pythia", "", N_BACKGROUND // 2)
    assert plans.read(two.folder / "jobs/sm_0").backend == ""
    events = two.folder / "pythia/ggF_1/events"
    assert sorted(p.name for p in events.iterdir()) == ["particles.h5", "setup.h5"]
    sample = two.particles("ggF_1")
    assert sample.origin.is_background
    assert len(sample.weights) == N_BACKGROUND // 2 < sample.origin.n_events
    assert (np.ptp(sample.weights, axis=1) == 0).all()
    share = len(sample.weights) / sample.origin.n_events
    np.testing.assert_allclose(sample.weights.sum(0), share * sample.origin.cross_section)


def test_jobs_of_pythia_s_differ(two):
    first, second = (two.particles(f"ggF_{k}") for k in (0, 1))
    assert first.origin.cross_section != second.origin.cross_section
    assert not np.array_equal(first.particles.counts, second.particles.counts)


@pytest.mark.parametrize("jobs", ["one", "two"])
def test_the_file_names_the_process_and_the_event(request, jobs):
    run = request.getfixturevalue(jobs)
    found, processes = samples(run.combined), madminer_file.read_processes(run.combined)
    assert processes.names == ["signal", "ggF"]
    assert set(processes.index) == {0, 1}
    np.testing.assert_array_equal(processes.index, np.where(found["sampling_benchmarks"] < 0, 1, 0))
    assert len(set(processes.events)) == len(processes.events)
    drawn = [madminer_file.read_sample(file).origin.n_events for file in run.data]
    assert 0 <= processes.events.min() <= processes.events.max() < sum(drawn)
    assert processes.events.dtype == np.int64


def test_two_jobs_pool_to_what_one_has(one, two):
    """Each event weighs the mean cross section over the number of all events of both."""
    origins = [two.particles(f"ggF_{k}").origin for k in (0, 1)]
    total = sum(o.n_events for o in origins)
    found = samples(two.combined)
    background = found["weights"][found["processes"] == 1]
    expected = sorted(o.cross_section / total for o in origins)
    np.testing.assert_allclose(np.unique(background.round(12)), np.round(expected, 12))

    whole = samples(one.combined)
    first, second = background[:, 0], whole["weights"][whole["processes"] == 1][:, 0]
    errors = [w.sum() / np.sqrt(len(w)) for w in (first, second)]
    assert abs(first.sum() - second.sum()) < 4 * np.hypot(*errors)


def test_the_file_knows_cross_sections_before_cuts(one, two):
    """Those of the jobs, which events before cuts have too."""
    for run in (one, two):
        found = madminer_file.read_cross_sections(run.combined)
        names = list(madminer_file.read_setup(run.combined).benchmarks)
        signal = [madminer_file.read_sample(file).origin for file in run.data]
        for number, benchmark in enumerate(names):
            own = [o.cross_section for o in signal if o.benchmark == benchmark]
            if own:
                assert found[0, number] == pytest.approx(np.mean(own))
        background = [o for o in signal if o.is_background]
        expected = np.average(
            [o.cross_section for o in background], weights=[o.n_events for o in background]
        )
        np.testing.assert_allclose(found[1], expected)
    of_events = two.particles("sm_0").weights[:, 0].sum()
    assert found[0, names.index("sm")] == pytest.approx(of_events, rel=0.05)


def test_cross_sections_lie_on_a_polynomial(one):
    """Also at a benchmark that no event was drawn at."""
    found = madminer_file.read_cross_sections(one.combined)[0]
    mixture = madminer_file.read_mixture(one.combined)
    exponents = mixture.exponents
    assert len(found) > len(exponents)
    c = fitted(found, mixture.points, exponents)
    np.testing.assert_allclose(monomials(mixture.points, exponents) @ c, found, rtol=0.05)


def test_backgrounds_add_to_the_rate_alone(one):
    """Also at a benchmark that the jobs do not know, and where MadMiner morphs to."""
    found = samples(one.combined)
    signal, background = (found["weights"][found["processes"] == k] for k in (0, 1))
    assert np.ptp(background, axis=1).max() == 0
    assert (np.ptp(signal, axis=1) > 0).all()
    assert background.shape[1] == 4
    sampler = SampleAugmenter(str(one.combined), include_nuisance_parameters=False)
    exponents = madminer_file.read_exponents(one.combined)
    basis = list(madminer_file.read_setup(one.combined).benchmarks.values())[: len(exponents)]
    points = np.array([list(values.values()) for values in basis])
    monomials = (np.array([0.3]) ** exponents).prod(-1)
    morphing = np.linalg.solve((points[:, None] ** exponents).prod(-1).T, monomials)
    expected = signal[:, : len(basis)].sum(0) @ morphing + background[:, 0].sum()
    assert sampler.xsecs([np.array([0.3])])[0][0] == pytest.approx(expected, rel=1e-6)


def test_the_size_of_a_process_follows_that_of_the_benchmarks(tmp_path):
    (tmp_path / "ggf.cmnd").write_text("\n".join(GLUON_FUSION))
    sizes = []
    for text in (INPUT, INPUT.replace("      num_events: 120\n", "")):
        (tmp_path / "input.yml").write_text(text)
        spec = physics.read(tmp_path / "input.yml", parameters.read({}))
        for given in ({}, {"num_events": 90}, {"num_events": 90, "num_procs_per_job": 4}):
            made = physics.divide(spec, parameters.read(given))
            (process,) = stages.pick(made, stages.Generate).pythia_processes
            sizes.append((process["num_events"], process["events_per_job"]))
    assert sizes == [(120, 8000), (180, 8000), (180, 45), (60, 8000), (90, 8000), (90, 23)]
    with pytest.raises(InputError, match="100 jobs for 60 events"):
        physics.read(tmp_path / "input.yml", parameters.read({"num_procs_per_job": 100}))


def test_factors_are_applied_once_and_concern_stage_combine_alone(one, tmp_path, capsys):
    text = INPUT.replace("k_factor: 1.0\n      filter", "k_factor: 1.5\n      filter")
    text = text.replace("k_factor: 1.0\n  processes", "k_factor: 1.25\n  processes")
    (tmp_path / "input.yml").write_text(text)
    (tmp_path / "ggf.cmnd").write_text("\n".join(GLUON_FUSION))
    texts = checked(tmp_path / "input.yml", tmp_path, num_procs_per_job=1, seed=3)
    assert [name for name in texts if texts[name] != one.texts[name]] == ["combine"]
    capsys.readouterr()
    options = {"config_file": one.config, "data_files": one.data, "output_dir": tmp_path}
    call_stage("combine", {"settings": tmp_path / "settings/combine.yml"} | options)
    said = capsys.readouterr().out
    before, after = samples(one.combined), samples(tmp_path / "data/combined_delphes.h5")
    factor = np.array([1.25, 1.5])[after["processes"]]
    np.testing.assert_allclose(after["weights"], factor[:, None] * before["weights"])
    sums = [after["weights"][after["processes"] == k][:, 0].sum() for k in (0, 1)]
    assert f"signal: {sums[0]:.4e} pb after cuts at sm, k_factor 1.25 included" in said
    assert f"ggF: {sums[1]:.4e} pb after cuts at sm, k_factor 1.5 included" in said


# ------------------------------------------------------------------ systematics of some processes
SYSTEMATICS = """
systematics:
  - {name: ggF_rate, type: norm, value: 0.1, processes: [ggF]}
  - {name: signal_rate, type: norm, value: 0.05, processes: [signal]}
  - {name: ggF_scale, type: scale, scale: mu, value: '0.5,2', processes: [ggF]}
  - {name: signal_scale, type: scale, scale: muf, value: '0.5,2', processes: [signal]}
  - {name: pdf, type: pdf, value: NNPDF31_lo_as_0118}
  - {name: ggF_jets, type: detector, object: j, value: 0.1, processes: [ggF]}
  - {name: signal_photons, type: detector, object: a, value: 0.05, processes: [signal]}
"""
NAMES = ["signal", "ggF"]
OF = [["ggF"], ["signal"], ["ggF"], ["signal"], ["signal", "ggF"], ["ggF"], ["signal"]]


@pytest.fixture(scope="module")
def restricted(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("restricted"), jobs=1, text=INPUT + SYSTEMATICS)


def test_weights_of_processes_not_named_stay_to_the_last_bit(restricted):
    described = madminer_file.read_systematics(restricted.combined)
    assert [entry["processes"] for entry in described] == OF
    found = samples(restricted.combined)
    nominal, processes = found["weights"][:, 0], found["processes"]
    with h5py.File(restricted.combined) as file:
        benchmarks = [name.decode() for name in file["benchmarks/names"][()]]
    for entry in described[:5]:
        for side in ("up", "down"):
            name = f"nu_{entry['name']}_{side}"
            if name not in benchmarks:
                assert (entry["type"], side) == ("norm", "down")
                continue
            varied = found["weights"][:, benchmarks.index(name)]
            for number, process in enumerate(NAMES):
                same = varied[processes == number] == nominal[processes == number]
                # A density may be the same by chance; events are some hundred.
                assert same.all() if process not in entry["processes"] else same.mean() < 0.05


def test_events_of_processes_not_named_are_shifted_by_nothing(restricted):
    found = samples(restricted.combined)
    order = np.argsort(found["events"])
    for shifted, moved in (("ggF_jets", 1), ("signal_photons", 0)):
        for side in madminer_file.read_shifted(restricted.combined, shifted):
            rows = np.argsort(side.events)
            for number in (0, 1):
                a = order[found["processes"][order] == number]
                b = rows[side.processes[rows] == number]
                same = np.array_equal(found["observations"][a], side.observations[b])
                assert same == (number != moved)
                if number != moved:
                    np.testing.assert_array_equal(found["weights"][a, :4], side.weights[b])


def test_they_change_neither_events_nor_weights(one, restricted):
    before, after = samples(one.combined), samples(restricted.combined)
    for name, column in before.items():
        now = after[name][:, :4] if name == "weights" else after[name]
        np.testing.assert_array_equal(column, now)


def test_scales_of_gluon_fusion_move_its_rate_by_a_fifth(restricted):
    """The square of the strong coupling, as at leading order; densities take some back."""
    found = samples(restricted.combined)
    of = found["processes"] == 1
    responses = madminer_file.read_responses(restricted.combined)[of, 2]
    mean = np.average(responses, axis=0, weights=found["weights"][of, 0])
    np.testing.assert_allclose(mean, [0.84, 1.20], atol=0.04)


def test_a_process_does_not_change_the_jobs_of_others(one, tmp_path):
    text = INPUT[: INPUT.index("  processes:")] + INPUT[INPUT.index("observables:") :]
    (tmp_path / "input.yml").write_text(text)
    options = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path, "seed": 3}
    call_stage("generate", options | {"config_file": one.config, "num_procs_per_job": 1})
    for job in (tmp_path / "jobs").iterdir():
        for file in job.iterdir():
            assert file.read_bytes() == (one.folder / "jobs" / job.name / file.name).read_bytes()


def test_older_files_tell_signal_from_background_by_the_benchmark(one, tmp_path):
    path = tmp_path / "old.h5"
    path.write_bytes(one.combined.read_bytes())
    with h5py.File(path, "a") as file:
        del file["samples/processes"], file["samples/events"]
    expected = madminer_file.read_processes(one.combined)
    found = madminer_file.read_processes(path)
    assert found.names == ["signal", "background"]
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.events, np.arange(len(found.index)))
    signal = madminer_file.read_processes(ROOT / "tests/inference/wz.h5")
    assert signal.names == ["signal"]
    assert not signal.index.any()


# ------------------------------------------------------------------ what is refused
def refused(folder, stage, card, text=INPUT, **options):
    (folder / "input.yml").write_text(text)
    (folder / "ggf.cmnd").write_text(card)
    return refusal(
        stage, {"input_file": folder / "input.yml", "output_dir": folder, "seed": 3} | options
    )


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("HiggsSM:nonsense = on", "does not understand the setting 'HiggsSM:nonsense = on'"),
        (
            "HiggsSM:gg2H = on\n beams:eCM = 8.",
            "set by the workflow; remove 'beams:eCM = 8.'",
        ),
        ("Random:seed = 1", "set by the workflow; remove"),
    ],
)
def test_a_card_that_cannot_be_is_refused_at_once(tmp_path, card, said):
    line = refused(tmp_path, "check", card)
    assert "generator: processes: ggF: ggf.cmnd: " in line
    assert said in line


UNKNOWN = "NewGaugeBoson:ffbar2gmZZprime = on"


@pytest.mark.parametrize(
    ("card", "entry", "said"),
    [
        (
            "SoftQCD:nonDiffractive = on",
            "{name: p, type: pdf, value: NNPDF31_lo_as_0118}",
            "systematics: p: processes: a pdf of ggF is not known: non-diffractive is no hard "
            "process; name the other processes, and give it a norm",
        ),
        (
            UNKNOWN,
            "{name: s, type: scale, scale: mu, value: '0.5,2'}",
            "generator: processes: ggF: alpha_s_power is missing: 's' in systematics varies the "
            "strong coupling, whose power in Pythia's f fbar -> gamma*/Z0/Zprime0 (3001) is not "
            "known here; give it",
        ),
        (
            "WeakSingleBoson:ffbar2gmZ = on",
            "{name: s, type: scale, scale: mur, value: '0.5,2', processes: [ggF]}",
            "systematics: s: ggF has no strong coupling at leading order, so mur changes nothing; "
            "choose muf, or remove the entry",
        ),
        (
            "PartonLevel:MPI = off",
            "{name: s, type: scale, scale: muf, value: '0.5,2'}",
            "generator: processes: ggF: ggf.cmnd: Pythia 8 cannot start with these settings; "
            "does it switch a process on?",
        ),
    ],
)
def test_a_systematic_that_cannot_be_computed_is_refused_at_once(tmp_path, card, entry, said):
    assert said in refused(tmp_path, "check", card, f"{INPUT}systematics:\n  - {entry}\n")


def test_a_power_is_asked_for_where_the_coupling_varies_alone(tmp_path):
    """And the one given goes with the job."""
    (tmp_path / "ggf.cmnd").write_text(UNKNOWN)
    given = INPUT.replace("      card:", "      alpha_s_power: 1\n      card:")
    for text, scale in ((INPUT, "muf"), (given, "mu")):
        entry = f"{{name: s, type: scale, scale: {scale}, value: 2}}"
        (tmp_path / "input.yml").write_text(f"{text}systematics:\n  - {entry}\n")
        texts = checked(tmp_path / "input.yml", tmp_path)
        assert ("alpha_s_power: 1" in texts["generate"]) == (scale == "mu")


def test_a_process_that_cannot_start_is_refused_before_any_job(one, tmp_path):
    line = refused(tmp_path, "generate", "PartonLevel:MPI = off", config_file=one.config)
    assert "ggF: ggf.cmnd: Pythia 8 cannot start" in line
    assert "does it switch a process on?" in line
    assert not list(tmp_path.glob("jobs/*"))


def test_a_filter_that_nothing_passes_is_refused_by_its_key(one, tmp_path, monkeypatch):
    text = INPUT.replace("photons: {number: 2", "leptons: {number: 9")
    card = "\n".join(GLUON_FUSION)
    (tmp_path / "input.yml").write_text(text)
    (tmp_path / "ggf.cmnd").write_text(card)
    given = {"input_file": tmp_path / "input.yml", "output_dir": tmp_path, "seed": 3}
    call_stage("generate", given | {"config_file": one.config})
    monkeypatch.setattr(shower, "_TRIES", 150)
    line = refused(tmp_path, "pythia", card, text, job_dir=tmp_path / "jobs/ggF_0")
    assert "generator: processes: ggF: filter: 0 of " in line
    assert "loosen it" in line
    assert not (tmp_path / "events").exists()
