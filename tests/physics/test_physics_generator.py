"""Phase space, cross sections and events of the built-in generator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.physics import amplitude, generator, phase_space
from steps.physics.phase_space import Cuts

PARTNER = {2: 1, 4: 3}
PARTNER |= {down: up for up, down in PARTNER.items()}
PARTNER |= {-a: -b for a, b in PARTNER.items()}
CHARGE = {q: sign * c for sign in (1, -1) for q, c in ((sign * 1, -1), (sign * 2, 2))}
CHARGE |= {q + 2 * np.sign(q): c for q, c in CHARGE.items()}


def pt_eta_phi(p):
    pt = np.hypot(p[..., 1], p[..., 2])
    return pt, np.arcsinh(p[..., 3] / pt), np.arctan2(p[..., 2], p[..., 1])


def delta_phi(first, second):
    return (first - second + np.pi) % (2 * np.pi) - np.pi


@given(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 6), st.sampled_from([7e3, 13e3, 1e5]))
def test_phase_space_conserves_momentum_on_shell(u, energy):
    kin = phase_space.kinematics(np.array([u]), energy, 125.0, Cuts(pt_min=10.0))
    incoming, outgoing = kin.pa + kin.pb, kin.p3 + kin.p4 + kin.higgs
    scale = outgoing[0, 0]
    np.testing.assert_allclose(incoming, outgoing, atol=1e-12 * scale)
    for p, mass in ((kin.pa, 0), (kin.pb, 0), (kin.p3, 0), (kin.p4, 0), (kin.higgs, 125.0)):
        assert abs(amplitude.minkowski(p, p)[0] - mass**2) < 1e-12 * p[0, 0] ** 2
    inside = (0 < kin.x1[0] < 1) and (0 < kin.x2[0] < 1)
    assert (kin.measure[0] > 0) == inside
    assert np.isfinite(kin.measure).all()


def test_rotation_turns_about_the_beam():
    p = np.array([[9.0, 1.0, 2.0, 3.0]] * 2)
    turned = phase_space.rotate(p, np.array([0.0, np.pi / 2]))
    np.testing.assert_allclose(turned, [[9, 1, 2, 3], [9, -2, 1, 3]], atol=1e-15)


@pytest.fixture(scope="module")
def cut_events(densities):
    cuts = Cuts(pt_min=25.0, eta_max=4.0, delta_r_min=0.8, m_jj_min=200.0)
    process = generator.Process(densities, 13e3, 1.0, cuts)
    rng = np.random.default_rng(3)
    grid = generator.adapt(process, {}, rng, evaluations=5000, iterations=5)
    return cuts, generator.generate(process, grid, {}, 3000, rng)


def test_cuts_are_respected(cut_events):
    cuts, events = cut_events
    p3, p4 = events.momenta[:, 2], events.momenta[:, 3]
    (pt3, eta3, phi3), (pt4, eta4, phi4) = pt_eta_phi(p3), pt_eta_phi(p4)
    assert min(pt3.min(), pt4.min()) >= cuts.pt_min * (1 - 1e-12)
    assert max(np.abs(eta3).max(), np.abs(eta4).max()) < cuts.eta_max
    assert np.hypot(eta3 - eta4, delta_phi(phi3, phi4)).min() > cuts.delta_r_min * (1 - 1e-9)
    assert np.sqrt(2 * amplitude.minkowski(p3, p4)).min() > cuts.m_jj_min * (1 - 1e-9)
    # They bite: events lie close to each.
    assert np.sqrt(2 * amplitude.minkowski(p3, p4)).min() < 1.2 * cuts.m_jj_min
    assert pt4.min() < 1.1 * cuts.pt_min


def test_events_conserve_momentum_and_energy_is_the_proton_s(sm_events):
    p = sm_events.momenta
    total = p[:, 0] + p[:, 1] - p[:, 2] - p[:, 3] - p[:, 4]
    np.testing.assert_allclose(total / p[:, :2, 0].sum(1)[:, None], 0, atol=1e-12)
    assert p[:, :2, 0].max() < 6500
    assert np.all(p[:, 0, 3] > 0)
    assert np.all(p[:, 1, 3] < 0)


def test_flavours_conserve_charge_on_diagonal_lines(sm_events):
    codes = sm_events.pdg_id
    assert np.all(codes[:, 4] == 25)
    for incoming, outgoing in ((0, 2), (1, 3)):
        assert np.array_equal([PARTNER[c] for c in codes[:, incoming]], codes[:, outgoing])
    charge = np.vectorize(CHARGE.get)(codes[:, :4])
    assert np.array_equal(charge[:, 0] + charge[:, 1], charge[:, 2] + charge[:, 3])
    # Either line emits a W of the other's opposite charge, and every channel is populated.
    emitted = charge[:, 0] - charge[:, 2]
    assert set(emitted) == {-3, 3}
    assert len(np.unique(codes[:, :2], axis=0)) == 32


def test_flavours_follow_the_parton_densities(sm_events):
    codes = sm_events.pdg_id[:, :2]
    valence = np.isin(codes, (1, 2)).all(1).mean()
    antiquarks = (codes < 0).all(1).mean()
    assert valence > 0.3
    assert antiquarks < 0.1
    # The proton has more u than d, and both beams are protons.
    ud, du = (np.all(codes == pair, axis=1).sum() for pair in ((2, 1), (1, 2)))
    assert abs(ud - du) < 5 * np.sqrt(ud + du)


@pytest.mark.parametrize("n_events", [1, 7, 1000])
def test_makes_exactly_as_many_events(process, sm_grid, n_events):
    seen = []
    rng = np.random.default_rng(n_events)
    events = generator.generate(process, sm_grid, {}, n_events, rng, seen.append)
    assert all(len(column) == n_events for column in vars(events).values())
    assert seen[-1] == n_events


def test_same_seed_same_events(process, sm_grid):
    first, again, other = (
        generator.generate(process, sm_grid, {}, 200, np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    for name, column in vars(first).items():
        np.testing.assert_array_equal(column, getattr(again, name))
    assert not np.array_equal(first.momenta, other.momenta)


def test_same_seed_same_grid(process):
    first, again = (
        generator.adapt(process, {}, np.random.default_rng(5), 2000, 3) for _ in range(2)
    )
    assert first.cross_section == again.cross_section
    assert first.max_weight == again.max_weight
    for edges, expected in zip(again.edges, first.edges, strict=True):
        np.testing.assert_array_equal(edges, expected)


@pytest.fixture(scope="module")
def inclusive(densities):
    process = generator.Process(densities, 13e3, 1.0, Cuts(pt_min=1.0))
    return generator.adapt(process, {}, np.random.default_rng(4), evaluations=60_000)


def test_sm_cross_section(inclusive):
    assert inclusive.error < 0.005 * inclusive.cross_section
    assert inclusive.cross_section == pytest.approx(2.67, rel=0.02)


def test_agrees_with_pythia_s_w_fusion(inclusive):
    import pythia8mc

    ckm = {"ud": 1, "us": 0, "ub": 0, "cd": 0, "cs": 1, "cb": 0, "td": 0, "ts": 0, "tb": 1}
    pythia = pythia8mc.Pythia("", False)
    settings = [
        "Print:quiet = on",
        "Beams:eCM = 13000",
        "PDF:pSet = LHAGrid1:NNPDF31_lo_as_0130_0000.dat",
        "HiggsSM:ff2Hff(t:WW) = on",
        # Scale 6 is the fixed one; the process with three final particles has its own options.
        *(f"SigmaProcess:{kind}Scale3VV = 6" for kind in ("renorm", "factor")),
        *(f"SigmaProcess:{kind}FixScale = 15625" for kind in ("renorm", "factor")),
        "SigmaProcess:alphaEMorder = 0",
        f"StandardModel:alphaEM0 force= {amplitude.ALPHA_EW}",
        f"StandardModel:sin2thetaW = {amplitude.SIN2_THETA_W}",
        f"24:m0 = {amplitude.M_W}",
        f"24:mWidth = {amplitude.WIDTH_W}",
        "25:m0 = 125",
        "25:doForceWidth = on",
        "25:mWidth = 0.001",
        *(f"StandardModel:V{element} force= {value}" for element, value in ckm.items()),
        "PartonLevel:all = off",
        "HadronLevel:all = off",
        "Random:setSeed = on",
        "Random:seed = 1",
    ]
    refused = [line for line in settings if not pythia.readString(line)]
    assert not refused
    assert pythia.init()
    for _ in range(40_000):
        pythia.next()
    cross_section = 1e9 * pythia.infoPython().sigmaGen()
    assert inclusive.cross_section == pytest.approx(cross_section, rel=0.02)


POINTS = [{"CWL2": 8.0}, {"CPWL2": 12.0}, {"CWL2": -6.0, "CPWL2": -8.0}]


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_reweighted_and_integrated_cross_sections_agree(process, sm_grid, sm_events, point):
    n = len(sm_events.weight)
    weights = generator.benchmark_weights(sm_events, sm_grid.cross_section, n, {}, [{}, point])
    # The sampled point's own weights are the cross section, shared out.
    np.testing.assert_allclose(weights[:, 0], sm_events.weight * sm_grid.cross_section / n)
    direct = generator.adapt(process, point, np.random.default_rng(7))
    statistical = np.sqrt(n) * weights[:, 1].std()
    error = np.hypot(np.hypot(statistical, direct.error), 0.003 * direct.cross_section)
    assert error < 0.05 * direct.cross_section
    assert abs(weights[:, 1].sum() - direct.cross_section) < 4 * error
    # The point matters: the Standard Model's cross section is not this one.
    assert abs(sm_grid.cross_section - direct.cross_section) > 4 * error


def test_jobs_share_the_weight_of_their_benchmark(sm_events):
    whole, half = (
        generator.benchmark_weights(sm_events, 2.5, n, {}, [{}]).sum() for n in (40_000, 80_000)
    )
    assert whole == pytest.approx(2 * half)
    assert whole == pytest.approx(2.5, rel=2e-3)


def test_overweight_events_are_rare_and_mean_one(sm_events):
    weight = sm_events.weight
    assert weight.mean() == pytest.approx(1.0, abs=2e-3)
    assert 0 < np.mean(weight > 1) < 0.02
    assert weight.min() > 0.99


def test_cp_odd_coupling_makes_the_signed_angle_asymmetric(sm_events):
    (_, eta3, phi3), (_, eta4, phi4) = (pt_eta_phi(sm_events.momenta[:, i]) for i in (2, 3))
    sign = np.sign(np.sin(delta_phi(phi3, phi4)) * np.where(eta3 > eta4, 1, -1))
    points = [{"CPWL2": c} for c in (-10.0, 0.0, 10.0)]
    weights = generator.benchmark_weights(sm_events, 1.0, len(sign), {}, points)
    asymmetry = sign @ weights / weights.sum(0)
    error = np.sqrt((weights**2).sum(0)) / weights.sum(0)
    assert abs(asymmetry[1]) < 4 * error[1]
    assert abs(asymmetry[2]) > 8 * error[2]
    assert asymmetry[0] == pytest.approx(-asymmetry[2], abs=4 * np.hypot(error[0], error[2]))


def test_unweighted_events_follow_the_weighted_distribution(process, sm_grid, sm_events):
    u = np.random.default_rng(8).random((400_000, 6))
    # Importance sampling by hand: uniform in the cube, flattened in log pT by a square.
    u[:, :2] **= 1.5
    jacobian = np.prod(1.5 * u[:, :2] ** (1 / 3), axis=1)
    sample = generator._differential(process, u)
    weight = sample.weight(amplitude.monomials([{}])[0]) * jacobian / len(u)
    assert weight.sum() == pytest.approx(sm_grid.cross_section, rel=0.05)

    def observables(p3, p4):
        pt3, eta3, phi3 = pt_eta_phi(p3)
        pt4, eta4, phi4 = pt_eta_phi(p4)
        return np.maximum(pt3, pt4), np.abs(eta3 - eta4), np.abs(delta_phi(phi3, phi4))

    drawn = observables(sm_events.momenta[:, 2], sm_events.momenta[:, 3])
    exact = observables(sample.kinematics.p3, sample.kinematics.p4)
    for values, reference in zip(drawn, exact, strict=True):
        edges = np.quantile(values, np.linspace(0, 1, 13))
        edges[0], edges[-1] = -np.inf, np.inf
        counts = np.histogram(values, edges, weights=sm_events.weight)[0] / len(values)
        expected = np.histogram(reference, edges, weights=weight)[0]
        variance = np.histogram(reference, edges, weights=weight**2)[0]
        total = expected.sum()
        variance = variance / total**2 + counts / len(values)
        chi2 = np.sum((counts - expected / total) ** 2 / variance)
        assert chi2 < 35, f"chi2 {chi2:.1f} for 11 degrees of freedom"


def test_unknown_parton_densities_are_refused():
    from steps.physics.partons import PartonDensities

    with pytest.raises(ValueError, match="NoSuchSet"):
        PartonDensities("NoSuchSet", 125.0)


def test_parton_densities_obey_the_valence_sum_rules(densities):
    x = np.geomspace(1e-6, 0.9999, 4000)
    f = densities(x)
    for quark, number in ((2, 2), (1, 1), (3, 0)):
        valence = np.trapezoid((f[quark] - f[-quark]) * x, np.log(x))
        assert valence == pytest.approx(number, abs=0.08)
    momentum = sum(np.trapezoid(f[q] * x * x, np.log(x)) for q in f)
    assert 0.4 < momentum < 0.7
