"""Weights of other scales, densities and showers, against samples made with these."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import pythia8mc

from steps.events import lhe
from steps.physics import amplitude, detector, generator, reweighting
from steps.physics.partons import PartonDensities, PartonDistribution, StrongCoupling, find_set
from steps.physics.shower import CardError, log_responses, shower, variation_settings

SET, OTHER = "NNPDF31_lo_as_0130", "NNPDF23_lo_as_0130_qed"
ENERGY, SCALE = 13000.0, 125.0


@pytest.fixture(scope="module")
def incoming(sm_events):
    return sm_events.pdg_id[:, :2], sm_events.momenta[:, :2, 0] / (0.5 * ENERGY)


def pythia_grid(name):
    pythia = pythia8mc.Pythia("", False)
    pythia.readString("Print:quiet = on")
    pythia.readString(f"PDF:pSet = LHAGrid1:{name}_0000.dat")
    return pythia.getPDFPtr(2212)


@pytest.mark.parametrize(("name", "factor"), [(SET, 2.0), (SET, 0.5), (OTHER, 1.0)])
def test_ratios_are_those_of_pythias_own_densities(densities, incoming, name, factor):
    pdg_id, x = incoming
    logs = reweighting.of_tables(PartonDensities(name, factor * SCALE), densities, pdg_id, x)
    to, at = pythia_grid(name), pythia_grid(SET)
    for i in range(0, 40_000, 800):
        (a, b), (xa, xb) = pdg_id[i].tolist(), x[i].tolist()
        up = to.xf(a, xa, (factor * SCALE) ** 2) * to.xf(b, xb, (factor * SCALE) ** 2)
        assert logs[i] == pytest.approx(
            np.log(up / (at.xf(a, xa, SCALE**2) * at.xf(b, xb, SCALE**2))), abs=2e-3
        )


@pytest.mark.parametrize(("name", "factor"), [(SET, 2.0), (OTHER, 1.0)])
def test_reweighted_events_are_those_generated_anew(
    densities, process, sm_grid, sm_events, incoming, name, factor
):
    """Cross section, and the mean transverse momentum of a quark below and above 100 GeV."""
    varied = PartonDensities(name, factor * SCALE)
    response = np.exp(reweighting.of_tables(varied, densities, *incoming))
    other = generator.Process(varied, process.energy, 1.0, process.cuts)
    grid = generator.adapt(other, {}, np.random.default_rng(5))
    anew = generator.generate(other, grid, {}, 20_000, np.random.default_rng(6))

    weight = sm_grid.cross_section * sm_events.weight * response / len(response)
    error = np.hypot(grid.error, np.sqrt(np.sum((weight - weight.mean()) ** 2)))
    assert abs(weight.sum() - grid.cross_section) < 4 * error

    def share(events, weights):
        pt = np.hypot(events.momenta[:, 2, 1], events.momenta[:, 2, 2])
        return np.average(pt > 100.0, weights=weights)

    one, two = share(sm_events, sm_events.weight * response), share(anew, anew.weight)
    assert abs(one - two) < 4 * np.sqrt(two / 20_000 + two / 20_000)


def test_general_ratios_agree_with_those_of_tables(densities, incoming):
    pdg_id, x = (column[:300] for column in incoming)
    q2 = np.full(300, SCALE**2)
    process = reweighting.HardProcess(pdg_id, x, q2, q2, np.full(300, 2))
    own = PartonDistribution.of_file(f"{SET}_0000.dat")
    coupling = StrongCoupling(0.13, 1)
    entry = {"type": "scale", "scale": "muf", "value": [2.0, 0.5]}
    logs = reweighting.of_entry(process, entry, own, coupling)
    table = PartonDensities(SET, 2 * SCALE)
    expected = reweighting.of_tables(table, densities, pdg_id, x)
    np.testing.assert_allclose(logs[:, 0], expected, atol=2e-3)
    both = reweighting.of_entry(process, entry | {"scale": "mu"}, own, coupling)
    running = 2 * np.log(coupling(4 * q2) / coupling(q2))
    np.testing.assert_allclose(both[:, 0] - logs[:, 0], running)
    assert np.all(running < -0.1)
    pdf = reweighting.of_entry(process, {"type": "pdf", "value": [OTHER]}, own, coupling)
    expected = reweighting.of_tables(PartonDensities(OTHER, SCALE), densities, pdg_id, x)
    np.testing.assert_allclose(pdf[:, 0], expected, atol=5e-3)


def test_powers_of_the_strong_coupling():
    np.testing.assert_array_equal(
        reweighting.alpha_s_powers(np.array([902, 204, 205, 203, 601, 221, 241, 907])),
        [2, 0, 2, 3, 2, 0, 1, 0],
    )
    with pytest.raises(KeyError):
        reweighting.alpha_s_powers(np.array([5001]))
    np.testing.assert_array_equal(reweighting.alpha_s_powers([5001, 902, 204], 1), [1, 2, 0])


def test_coupling_runs_as_pythias():
    found = StrongCoupling(0.13, 1)(np.array([91.19**2, 125.0**2]))
    assert found[0] == pytest.approx(0.13, rel=1e-3)
    assert found[1] < found[0]


# ------------------------------------------------------------------ sets with members
@pytest.fixture
def library(tmp_path, monkeypatch):
    """A folder of sets as LHAPDF has them, of grids that Pythia ships."""
    shipped = Path(pythia8mc.Pythia("", False).settings.word("xmlPath")).parent / "pdfdata"
    members = [SET, "NNPDF31_lo_as_0118", OTHER, "NNPDF23_lo_as_0119_qed", SET]
    for name, error_type, level in (("Pairs", "hessian", 90), ("Many", "replicas", 68.27)):
        folder = tmp_path / name
        folder.mkdir()
        info = f"NumMembers: 5\nErrorType: {error_type}\nErrorConfLevel: {level}\nSetIndex: 1000\n"
        (folder / f"{name}.info").write_text(f'SetDesc: "toy: of grids"\n{info}')
        for k, member in enumerate(members):
            shutil.copyfile(shipped / f"{member}_0000.dat", folder / f"{name}_{k:04d}.dat")
    monkeypatch.setenv("LHAPDF_DATA_PATH", str(tmp_path))
    return tmp_path


def test_sets_are_found_by_name_path_and_file(library):
    found = find_set("Pairs")
    assert (found.error_type, len(found.files), found.number) == ("hessian", 5, 1000)
    assert found.sigmas == pytest.approx(1.645, abs=1e-3)
    assert find_set(str(library / "Many")).sigmas == 1.0
    assert find_set(str(library / "Many/Many_0002.dat")).error_type == ""
    assert find_set(SET).files == (f"{SET}_0000.dat",)
    for wrong in ("NoSuchSet", str(library / "none"), str(library / "none.dat")):
        with pytest.raises(ValueError, match=r"no|none"):
            find_set(wrong)
    (library / "Pairs/Pairs_0003.dat").unlink()
    with pytest.raises(ValueError, match=r"there is no .*Pairs_0003.dat"):
        find_set("Pairs")


def test_members_are_compared_with_their_own_central_one(library, densities, incoming):
    pdg_id, x = (column[:100] for column in incoming)

    def load(file):
        return PartonDensities.of_file(file, SCALE)

    def ratio(varied, nominal):
        return reweighting.of_tables(varied, nominal, pdg_id, x)

    logs = reweighting.of_sets(["Pairs"], None, load, ratio)
    expected = ratio(PartonDensities(OTHER, SCALE), densities) / find_set("Pairs").sigmas
    np.testing.assert_allclose(logs[:, 1], expected)
    assert np.all(logs[:, 3] == 0.0)


# ------------------------------------------------------------------ shower
CARD = [
    *("25:onMode = off", "25:onIfMatch = 22 22", "SpaceShower:dipoleRecoil = on"),
    *("PartonLevel:MPI = off", "HadronLevel:all = off"),
]
N = 6000


@pytest.fixture(scope="module")
def event_file(sm_events, sm_grid, tmp_path_factory):
    path = tmp_path_factory.mktemp("shower") / "events.lhe"
    weights = generator.benchmark_weights(sm_events, sm_grid.cross_section, 40_000, {}, [{}])
    head = lhe.Head(6500.0, (sm_grid.cross_section, 0.0), SCALE, (amplitude.ALPHA_EW, -1.0))
    sample = lhe.Weights(weights[:N], ["sm"], "sm")
    lhe.write(path, sm_events.pdg_id[:N], sm_events.momenta[:N], sample, head)
    return path


# As if the scale were simply another one: Pythia by default compensates part of the variation.
PLAIN = ["UncertaintyBands:muSoftCorr = off"]


def hard_partons(particles):
    """Number of partons above 5 GeV of each event: the variations leave the softest as they are."""
    hard = np.hypot(*particles.momenta[:, 1:3].T) > 5.0
    coloured = np.abs(particles.pdg_id) != 22
    return np.bincount(particles.event[hard & coloured], minlength=particles.counts.size)


@pytest.mark.parametrize(("kind", "setting"), [("isr", "SpaceShower"), ("fsr", "TimeShower")])
def test_a_varied_shower_is_that_of_the_other_scale(event_file, kind, setting):
    entry = {"name": "v", "variation": kind, "value": [2.0, 0.5]}
    rng = np.random.default_rng(1)
    particles, kept, logs = shower(event_file, [*CARD, *PLAIN], N, rng, variations=[entry])
    response = np.exp(logs["v"])
    assert response.shape == (len(kept), 2)
    error = response.std(axis=0) / np.sqrt(len(kept))
    assert np.all(np.abs(response.mean(axis=0) - 1) < 4 * error)
    counts = hard_partons(particles)
    for k, factor in enumerate(entry["value"]):
        card = [*CARD, f"{setting}:renormMultFac = {factor**2}"]
        anew = hard_partons(shower(event_file, card, N, np.random.default_rng(2 + k))[0])
        by_weights = np.average(counts, weights=response[:, k])
        spread = np.std(response[:, k] * (counts - by_weights)) / np.sqrt(len(counts))
        error = np.hypot(spread, anew.std() / np.sqrt(N))
        if kind == "isr":
            assert abs(by_weights - anew.mean()) < 4 * error
        # Of final-state radiation Pythia's weights know a part alone; see docs/systematics.md.
        share = (by_weights - counts.mean()) / (anew.mean() - counts.mean())
        assert 0.15 < share < 1.2


def test_a_card_that_no_event_survives_is_refused(event_file):
    """A Higgs boson that may decay to one photon alone cannot decay at all."""
    card = ["25:onMode = off", "25:onIfMatch = 22 2"]
    with pytest.raises(CardError, match="gives up on every event; may its particles decay"):
        shower(event_file, card, 20, np.random.default_rng(1))


def test_weights_are_told_by_their_names():
    entries = [{"name": "ISR", "variation": "isr", "value": [2.0, 0.5]}]
    assert "isr:muRfac=0.5" in variation_settings(entries)[1]
    assert variation_settings([]) == []
    weights = np.array([[2.0, 9.0, 4.0, 1.0]])
    logs = log_responses(["Weight", "sm", "shower.isr.0", "shower.isr.1"], weights, entries)
    np.testing.assert_allclose(logs["ISR"], np.log([[2.0, 0.5]]))


# ------------------------------------------------------------------ detector
def test_shifts_share_their_random_numbers(event_file):
    """The spread of a shift is nothing beside that of two runs."""
    card = [line for line in CARD if "HadronLevel" not in line]
    particles = shower(event_file, card, 400, np.random.default_rng(1))[0]

    def ht(objects):
        return np.asarray(np.sum(objects["j"].pt, axis=-1))

    rng = np.random.default_rng(7)
    nominal, up = map(ht, detector.reconstruct_scaled(particles, rng, [{}, {"j": 1.03}]))
    again, other = (
        ht(detector.reconstruct(particles, np.random.default_rng(seed))) for seed in (7, 8)
    )
    np.testing.assert_array_equal(nominal, again)
    assert np.median(np.abs(up - 1.03 * nominal)) < 1e-9
    assert np.std(up - nominal) < 0.5 * np.std(other - nominal)
    assert up.mean() > nominal.mean()


def test_missing_momentum_takes_what_jets_and_photons_get(event_file):
    card = [line for line in CARD if "HadronLevel" not in line]
    particles = shower(event_file, card, 200, np.random.default_rng(1))[0]
    scales = [{}, {"j": 1.0 + 1e-9, "a": 1.1}]
    nominal, up = detector.reconstruct_scaled(particles, np.random.default_rng(3), scales)
    photons = up["a"]
    for c in ("px", "py"):
        change = np.asarray(up["met"][c] - nominal["met"][c])
        added = np.asarray(np.sum(photons[c] * (0.1 / 1.1), axis=-1))
        np.testing.assert_allclose(change, -added, atol=1e-5)
