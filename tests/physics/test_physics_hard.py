"""Scales and densities of processes that Pythia generates, against Pythia with other settings."""

import numpy as np
import pytest
import pythia8mc

from steps.physics import hard, shower
from steps.physics.partons import StrongCoupling
from steps.physics.shower import Variations

# The scale is that of the strong coupling alone.
BEAMS = ["Beams:eCM = 13000.", "SigmaProcess:alphaEMorder = 0"]
QUICK = [*BEAMS, "PartonLevel:all = off"]
# Events with their incoming and outgoing partons and nothing else.
BARE = ["ISR = off", "FSR = off", "MPI = off"]
BARE = [*BEAMS, "HadronLevel:all = off", *(f"PartonLevel:{line}" for line in BARE)]
BARE += ["BeamRemnants:primordialKT = off"]
# The width of H -> g g with nothing but alpha_s^2, at the mass: renormMultFac does not change it.
GLUON_FUSION = ["HiggsSM:gg2H = on", "HiggsSM:NLOWidths = off", "25:onMode = off"]
GLUON_FUSION += ["25:onIfMatch = 22 22"]
PHOTONS = ["PromptPhoton:ffbar2gammagamma = on", "PromptPhoton:gg2gammagamma = on"]
PHOTONS += ["PhaseSpace:pTHatMin = 22.", "PhaseSpace:mHatMin = 118.", "PhaseSpace:mHatMax = 132."]
Z_AND_JET = ["WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on"]
Z_AND_JET += ["PhaseSpace:pTHatMin = 20.", "23:onMode = off", "23:onIfAny = 13"]
SET = "NNPDF31_lo_as_0130"
N = 4000


def scale(which, *factors):
    return {"name": "v", "type": "scale", "scale": which, "value": list(factors)}


PDF = {"name": "v", "type": "pdf", "value": [SET]}


def produced(lines, seed, *entries, n=N, wanted=None):
    rng = np.random.default_rng(seed)
    return shower.produce(lines, n, wanted or {}, rng, variations=Variations(hard=entries))


def mur_of_gluon_fusion(factor):
    """Return what gives alpha_s(m_H) the value that it had at another scale."""
    wanted = StrongCoupling()(np.array([(factor * 125.0) ** 2]))[0]
    values = np.linspace(0.08, 0.2, 2001)
    found = [StrongCoupling(value)(np.array([125.0**2]))[0] for value in values]
    return f"SigmaProcess:alphaSvalue = {np.interp(wanted, found, values)}"


@pytest.mark.parametrize(
    ("lines", "entry", "setting"),
    [
        (GLUON_FUSION, scale("muf", 3.0), "SigmaProcess:factorMultFac = 9."),
        (GLUON_FUSION, scale("mur", 2.0), mur_of_gluon_fusion(2.0)),
        (PHOTONS, scale("muf", 0.5), "SigmaProcess:factorMultFac = 0.25"),
        (PHOTONS, scale("mur", 0.5), "SigmaProcess:renormMultFac = 0.25"),
        (PHOTONS, PDF, f"PDF:pSet = LHAGrid1:{SET}_0000.dat"),
        (Z_AND_JET, scale("mur", 0.5), "SigmaProcess:renormMultFac = 0.25"),
    ],
)
def test_the_mean_response_is_the_ratio_of_new_cross_sections(lines, entry, setting):
    nominal = produced([*lines, *QUICK], 1, entry)
    anew = produced([*lines, *QUICK, setting], 2)
    response = np.exp(nominal.log_responses["v"][:, 0])
    (one, error), (two, other) = nominal.cross_section, anew.cross_section
    error = np.hypot(two / one * np.hypot(error / one, other / two), response.std() / np.sqrt(N))
    assert error < 0.03
    assert abs(response.mean() - two / one) < 4 * error


def photon_pt(particles):
    """Transverse momentum of one of the two photons of each event."""
    photons = np.abs(particles.pdg_id) == 22
    return np.hypot(*particles.momenta[photons, 1:3].T)[::2]


def test_each_event_has_the_coupling_of_its_own_process():
    """Those that pass a filter: none for q qbar, the square at p_T for g g."""
    entries = scale("mur", 2.0), scale("mu", 2.0) | {"name": "both"}
    harder = {"n": 300, "wanted": {"photons": {"number": 2, "pt_min": 40.0}}}
    found = produced([*PHOTONS, *BARE], 3, *entries, **harder)
    logs, pt = found.log_responses["v"][:, 0], photon_pt(found.particles)
    assert found.n_events > 400
    coupling = StrongCoupling()
    expected = 2 * np.log(coupling(4 * pt**2) / coupling(pt**2))
    loops = logs != 0.0
    assert 30 < loops.sum() < 270
    np.testing.assert_allclose(logs[loops], expected[loops], rtol=1e-4)
    # Densities come on top, of both.
    assert np.all(found.log_responses["both"][~loops, 0] != 0.0)


def test_what_varies_changes_no_event():
    lines = [*PHOTONS, *BARE]
    plain, varied = produced(lines, 4, n=50), produced(lines, 4, scale("mu", 2.0, 0.5), n=50)
    assert plain.particles.momenta.size > 0
    np.testing.assert_array_equal(plain.particles.momenta, varied.particles.momenta)
    np.testing.assert_array_equal(plain.weights, varied.weights)
    assert plain.log_responses == {}
    assert varied.log_responses["v"].shape == (50, 2)


def test_densities_are_those_of_the_hard_process():
    """Which Pythia may draw from a set of its own; its ratio to the same set is one."""
    usual = [*PHOTONS, *QUICK]
    own = [*usual, "PDF:useHard = on", f"PDF:pHardSet = LHAGrid1:{SET}_0000.dat"]
    logs = [produced(lines, 5, PDF, n=50).log_responses["v"] for lines in (own, usual)]
    np.testing.assert_allclose(logs[0], 0.0, atol=1e-12)
    assert np.ptp(logs[1]) > 0.1


def test_responses_use_what_pythia_tells_of_the_event():
    """After shower and multiparton interactions, too: x f(x) of both partons at the scale told."""
    pythia = pythia8mc.Pythia("", False)
    for line in ["Print:quiet = on", "Beams:eCM = 13000.", *GLUON_FUSION]:
        assert pythia.readString(line)
    watch = hard.Watch(pythia)
    assert pythia.init()
    watch.add(pythia.nextBatch(20, "none").info, np.arange(20))
    watch.check()
    watch._columns[0]["Q2Fac"] *= 1.001
    with pytest.raises(hard.HardProcessError):
        watch.check()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["SoftQCD:nonDiffractive = on"], "non-diffractive is no hard process"),
        ([*PHOTONS, "PDF:pSetB = 8"], "two beams have different parton densities"),
        (
            [*PHOTONS, "SecondHard:generate = on", "SecondHard:TwoJets = on"],
            r"two hard processes \(SecondHard:generate\)",
        ),
    ],
)
def test_what_ratios_of_densities_do_not_tell_is_refused(lines, said):
    with pytest.raises(hard.HardProcessError, match=said):
        shower.hard_codes([*lines, "Beams:eCM = 13000."])


def test_processes_are_named():
    codes = shower.hard_codes([*PHOTONS, "Beams:eCM = 13000."])
    assert codes == {204: "f fbar -> gamma gamma", 205: "g g -> gamma gamma"}


def test_processes_of_events_are_known_where_showers_are_given_up():
    """The mass of the Higgs boson is the scale of all."""
    wanted = {"photons": {"number": 2, "pt_min": 15.0}, "jets": {"number": 2, "pt_min": 18.0}}
    lines = [*GLUON_FUSION, *BEAMS, "PartonLevel:MPI = off"]
    found = produced(lines, 7, scale("mur", 2.0), n=40, wanted=wanted)
    assert found.n_events > 1.2 * found.events[-1]
    coupling = StrongCoupling()
    expected = 2 * np.log(np.divide(*coupling(np.array([250.0, 125.0]) ** 2)))
    np.testing.assert_allclose(found.log_responses["v"][:, 0], expected, rtol=1e-3)
