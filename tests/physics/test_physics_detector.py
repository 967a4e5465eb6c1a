"""The parametrised detector: guns of single particles against the published numbers."""

import awkward as ak
import numpy as np
import pytest

from steps.events.particles import Particles
from steps.events.species import ELECTRON, MASS, MUON, PHOTON
from steps.physics import detector

PION, GAMMA, KAON_LONG, NEUTRINO = 211, PHOTON, 130, 12
MASSES = {PION: 0.13957, KAON_LONG: 0.4976, **MASS}


def gun(pdg_id, pt, eta, n, per_event=1, seed=0):
    """Particles of one kind, uniform in phi and, for a pair ``eta``, in pseudorapidity."""
    rng = np.random.default_rng(seed)
    size = n * per_event
    eta = rng.uniform(*eta, size) if isinstance(eta, tuple) else np.full(size, float(eta))
    phi = rng.uniform(-np.pi, np.pi, size)
    return particles([per_event] * n, np.full(size, pdg_id), np.full(size, float(pt)), eta, phi)


def particles(counts, pdg_id, pt, eta, phi):
    pt, eta, phi = map(np.asarray, (pt, eta, phi))
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    mass = np.array([MASSES.get(abs(code), 0.0) for code in pdg_id])
    energy = np.sqrt((p**2).sum(-1) + mass**2)
    momenta = np.concatenate([energy[:, None], p], -1).astype(np.float32)
    return Particles(np.array(counts, np.int32), np.array(pdg_id, np.int32), momenta)


def reconstruct(sample, seed=1):
    return detector.reconstruct(sample, np.random.default_rng(seed))


def within(found, n, efficiency):
    """Whether a binomial count is within five standard deviations of its efficiency."""
    return abs(found / n - efficiency) < 5 * np.sqrt(efficiency * (1 - efficiency) / n) + 1e-3


# Tracking efficiencies of the CMS parametrisation of Delphes 3.
@pytest.mark.parametrize(
    ("code", "pt", "eta", "efficiency"),
    [
        (PION, 5.0, (-1.5, 1.5), 0.95),
        (PION, 5.0, (1.55, 2.45), 0.85),
        (PION, 0.5, (-1.5, 1.5), 0.70),
        (-PION, 0.5, (-2.45, -1.55), 0.60),
        (PION, 5.0, (2.6, 4.0), 0.0),
        (PION, 0.05, (-1.0, 1.0), 0.0),
        (ELECTRON, 50.0, (-1.5, 1.5), 0.95),
        (ELECTRON, 150.0, (1.55, 2.45), 0.90),
        (MUON, 50.0, (-1.5, 1.5), 0.99),
        (-MUON, 50.0, (1.55, 2.35), 0.98),
        (KAON_LONG, 5.0, (-1.5, 1.5), 0.0),
    ],
)
def test_tracking_efficiency(code, pt, eta, efficiency):
    tracks, rest = detector._tracks(gun(code, pt, eta, 20_000), np.random.default_rng(2))
    assert within(len(tracks), 20_000, efficiency)
    expected = 0 if abs(code) == MUON else 20_000 - len(tracks)
    assert len(rest) == expected
    if len(tracks):
        assert tracks["pt"].mean() == pytest.approx(pt, rel=0.01)


@pytest.mark.parametrize(
    ("name", "code", "eta", "efficiency"),
    [
        ("a", GAMMA, (-1.45, 1.45), 0.95),
        ("a", GAMMA, (1.6, 2.4), 0.85),
        ("a", GAMMA, (2.6, 4.0), 0.0),
        ("e", ELECTRON, (-1.45, 1.45), 0.95 * 0.95),
        ("e", -ELECTRON, (1.6, 2.4), 0.83 * 0.85),
        ("mu", MUON, (-1.45, 1.45), 0.99 * 0.95),
        ("mu", -MUON, (2.42, 2.5), 0.0),
        ("a", PION, (-2.4, 2.4), 0.0),
        ("mu", PION, (-2.4, 2.4), 0.0),
        ("e", NEUTRINO, (-2.4, 2.4), 0.0),
    ],
)
def test_identification_efficiency(name, code, eta, efficiency):
    found = reconstruct(gun(code, 50.0, eta, 10_000))[name]
    assert within(ak.sum(ak.num(found)), 10_000, efficiency)
    if efficiency:
        assert set(ak.flatten(found.charge)) == {-np.sign(code) if code != GAMMA else 0}
        assert ak.mean(found.pt) == pytest.approx(50.0, rel=0.01)


def test_nothing_is_identified_below_threshold():
    assert ak.sum(ak.num(reconstruct(gun(GAMMA, 5.0, (-2, 2), 2000))["a"])) == 0


def test_photon_is_found_where_it_was():
    sample = gun(GAMMA, 60.0, (-2.4, 2.4), 5000)
    found = reconstruct(sample)["a"]
    event = np.repeat(np.arange(5000), ak.num(found))
    e, px, py, pz = sample.momenta[event].astype(float).T
    phi, eta = np.arctan2(py, px), np.arcsinh(pz / np.hypot(px, py))
    found = ak.flatten(found)
    found = {name: ak.to_numpy(getattr(found, name)) for name in ("eta", "phi", "E")}
    assert np.abs(found["eta"] - eta).max() < 0.01
    assert np.abs((found["phi"] - phi + np.pi) % (2 * np.pi) - np.pi).max() < 0.01
    central = np.abs(eta) < 1.4
    response = (found["E"] / e)[central]
    assert response.mean() == pytest.approx(1.0, abs=0.003)
    assert 0.01 < response.std() < 0.05


def test_photon_inside_activity_is_not_isolated():
    n = 2000
    ring = [0.2, 0.2, 0.2]
    eta, phi = np.tile([0.5, 0.5, 0.5, 0.7], n), np.tile([1.0, 1.2, 0.8, 1.0], n)
    pt = np.tile([50.0, 10.0, 10.0, 10.0], n)
    sample = particles([1 + len(ring)] * n, np.tile([GAMMA, PION, PION, PION], n), pt, eta, phi)
    assert ak.sum(ak.num(reconstruct(sample)["a"])) < 0.02 * n


def test_no_jet_on_an_identified_photon():
    # A photon of 50 GeV makes a jet wherever it is not identified, and only there.
    objects = reconstruct(gun(GAMMA, 50.0, (-1.4, 1.4), 4000))
    photons, jets = ak.num(objects["a"]), ak.num(objects["j"])
    assert ak.all(photons + jets == 1)
    assert 0 < ak.sum(jets) < 0.1 * 4000


@pytest.fixture(scope="module")
def dijets():
    """Back-to-back jets of 100 GeV with the usual shares of hadrons and photons."""
    n, rng = 3000, np.random.default_rng(3)
    codes = np.array([PION, -PION, PION, -PION, PION, -PION, GAMMA, GAMMA, GAMMA, KAON_LONG])
    share = np.array([25, 15, 10, 6, 4, 2, 12, 8, 5, 13]) / 100
    axis_eta, axis_phi = rng.uniform(-2, 2, (n, 2)), rng.uniform(-np.pi, np.pi, n)
    phi = np.stack([axis_phi, axis_phi + np.pi], 1)[..., None] + rng.normal(0, 0.07, (n, 2, 10))
    eta = axis_eta[..., None] + rng.normal(0, 0.07, (n, 2, 10))
    pt = np.broadcast_to(100 * share, eta.shape)
    sample = particles([20] * n, np.tile(codes, 2 * n), pt.ravel(), eta.ravel(), phi.ravel())
    return sample, axis_eta, axis_phi


def test_jet_energy_response(dijets):
    sample, axis_eta, _ = dijets
    jets = reconstruct(sample)["j"]
    assert ak.mean(ak.num(jets) == 2) > 0.95
    pair = jets[ak.num(jets) == 2]
    assert ak.mean(pair.pt) == pytest.approx(98, rel=0.04)
    # Particle flow: better than a calorimeter, worse than the tracker.
    assert 0.04 < ak.std(pair.pt) / 100 < 0.15
    assert ak.all(pair.pt > 20)
    np.testing.assert_allclose(
        np.median(np.sort(pair.eta, axis=1) - np.sort(axis_eta[ak.num(jets) == 2], axis=1)),
        0,
        atol=0.01,
    )


def test_missing_momentum_is_resolution_alone_in_balanced_events(dijets):
    objects = reconstruct(dijets[0])
    met = objects["met"]
    assert 3 < ak.mean(met.pt) < 20
    assert abs(ak.mean(met.px)) < 1
    assert ak.all(np.abs(met.pz) < 1e-9)


def test_missing_momentum_is_the_neutrino_s():
    n = 2000
    codes, pt = np.tile([NEUTRINO, GAMMA], n), np.full(2 * n, 80.0)
    phi = np.tile([0.5, 0.5 - np.pi], n)
    met = reconstruct(particles([2] * n, codes, pt, np.zeros(2 * n), phi))["met"]
    assert ak.mean(met.pt) == pytest.approx(80, rel=0.01)
    assert ak.mean(met.phi) == pytest.approx(0.5, abs=0.01)


def test_everything_is_ordered_by_transverse_momentum(dijets):
    rng = np.random.default_rng(4)
    counts = np.full(500, 8)
    codes = rng.choice([GAMMA, ELECTRON, -ELECTRON, MUON], 4000)
    pt, eta = rng.uniform(12, 90, 4000), rng.uniform(-2.4, 2.4, 4000)
    leptons = particles(counts, codes, pt, eta, rng.uniform(-np.pi, np.pi, 4000))
    for objects in (reconstruct(dijets[0]), reconstruct(leptons)):
        for name in ("j", "a", "e", "mu"):
            pt = objects[name].pt
            assert ak.all(pt[:, 1:] <= pt[:, :-1])
    assert min(ak.sum(ak.num(reconstruct(leptons)[name])) for name in ("a", "e", "mu")) > 200


def test_same_seed_same_objects(dijets):
    first, again, other = (reconstruct(dijets[0], seed) for seed in (5, 5, 6))
    for name, column in first.items():
        assert ak.array_equal(column.px, again[name].px)
    assert not ak.array_equal(first["j"].px, other["j"].px)


@pytest.mark.parametrize("counts", [[0], [0, 1, 0], [1, 0], []])
def test_empty_events_give_empty_objects(counts):
    n = sum(counts)
    objects = reconstruct(particles(counts, [GAMMA] * n, [40.0] * n, [0.3] * n, [1.0] * n))
    for name in ("j", "a", "e", "mu"):
        assert len(objects[name]) == len(counts)
        assert np.all(ak.to_numpy(ak.num(objects[name])) <= counts)
    assert ak.all(objects["met"].pt[np.array(counts) == 0] == 0)


def test_only_invisible_particles():
    objects = reconstruct(gun(NEUTRINO, 50.0, (-4, 4), 3))
    assert ak.sum(ak.num(objects["j"])) == 0
    assert objects["met"].pt.to_list() == [0, 0, 0]


def test_photons_are_one_in_phi_across_the_seam():
    # phi = pi is the edge of the last tower, not of the world.
    n = 400
    phi = np.tile([np.pi - 1e-3, -np.pi + 1e-3], n)
    sample = particles([2] * n, [GAMMA] * 2 * n, np.full(2 * n, 30.0), np.full(2 * n, 0.3), phi)
    objects = reconstruct(sample)
    assert ak.mean(ak.num(objects["j"], axis=1) + ak.num(objects["a"]) >= 1) > 0.99
    assert ak.sum(ak.num(objects["j"])) > 0
