"""Parametrised detector: stable particles to photons, leptons, jets and missing momentum.

A fast particle-flow simulation with the ingredients and the numbers of the CMS parametrisation
published with Delphes 3 (arXiv:1307.6346; resolutions from arXiv:1405.6569, 1306.2016 and
1502.02701): tracking efficiency and momentum resolution, calorimeter towers with energy
resolution, identification efficiency, isolation, anti-kT jets of radius 0.5.  A charged particle
with a track is measured by the track alone; every other particle by the calorimeter.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import awkward as ak
import fastjet
import numpy as np
import vector
from particle import PDGID

from steps.arrays import Array
from steps.events.objects import scaled
from steps.events.particles import Particles
from steps.events.species import ELECTRON, INVISIBLE, MASS, MUON, PHOTON, Scales

vector.register_awkward()

_TRACKER_ETA, _CALORIMETER_ETA = 2.5, 5.0
_ISOLATION_RADIUS, _ISOLATION_PT_MIN = 0.5, 0.5
_ISOLATION_RATIO = {PHOTON: 0.12, ELECTRON: 0.12, MUON: 0.25}
JET_RADIUS = 0.5
_JET_PT_MIN = 20.0

# Tracking efficiency by |eta| < 1.5 and < 2.5, each below and above the pT edges.
_TRACK_EDGES = {"hadron": (0.1, 1.0), ELECTRON: (0.1, 1.0, 100.0), MUON: (0.1, 1.0)}
_TRACK_EFFICIENCY = {
    "hadron": ((0.0, 0.70, 0.95), (0.0, 0.60, 0.85)),
    ELECTRON: ((0.0, 0.73, 0.95, 0.99), (0.0, 0.50, 0.83, 0.90)),
    MUON: ((0.0, 0.75, 0.99), (0.0, 0.70, 0.98)),
}
# Relative momentum resolution sqrt(a^2 + (b pT)^2) by |eta| < 0.5, < 1.5 and < 2.5.
_TRACK_RESOLUTION = {
    "hadron": ((0.06, 1.3e-3), (0.10, 1.7e-3), (0.25, 3.1e-3)),
    ELECTRON: ((0.03, 1.3e-3), (0.05, 1.7e-3), (0.15, 3.1e-3)),
    MUON: ((0.01, 1.0e-4), (0.015, 1.5e-4), (0.025, 3.5e-4)),
}
# Identification efficiency above pT 10 GeV by |eta| < 1.5 and below the edge of acceptance.
_IDENTIFICATION = {
    PHOTON: (0.95, 0.85, 2.5),
    ELECTRON: (0.95, 0.85, 2.5),
    MUON: (0.95, 0.95, 2.4),
}
_IDENTIFICATION_PT_MIN = 10.0


def reconstruct(particles: Particles, rng: np.random.Generator) -> Mapping[str, ak.Array]:
    """Reconstruct events.

    Args:
        particles: Stable particles of ``n`` events.
        rng: Source of random numbers.

    Returns:
        By the names of MadMiner's observable definitions: jagged Momentum4D arrays ``j`` (jets),
        ``e``, ``mu`` and ``a`` (photons), each ordered by falling transverse momentum, with fields
        px, py, pz, E in GeV (``charge`` and ``pdgid`` for all but jets); and one Momentum4D per
        event for ``met``.
    """
    (objects,) = reconstruct_scaled(particles, rng, [{}])
    return objects


def reconstruct_scaled(
    particles: Particles, rng: np.random.Generator, scales: Sequence[Scales]
) -> list[Mapping[str, ak.Array]]:
    """Reconstruct events several times, with the same random numbers but other energy scales.

    Photons are scaled before the threshold of their identification, jets after they are found and
    before theirs; missing momentum balances both.

    Args:
        particles: Stable particles of ``n`` events.
        rng: Source of random numbers.
        scales: For each time factors on the energies of ``j`` and ``a``; none: nominal.

    Returns:
        For each time what :func:`reconstruct` returns.
    """
    n_events = particles.counts.size
    tracks, calorimeter = _tracks(particles, rng)
    photons = _towers(calorimeter, rng, electromagnetic=True)
    neutral_hadrons = _towers(calorimeter, rng, electromagnetic=False)
    flow = np.concatenate([tracks, photons, neutral_hadrons])

    lepton_track = np.isin(np.abs(tracks["pdgid"]), (ELECTRON, MUON))
    isolating = np.concatenate([tracks[~lepton_track], photons, neutral_hadrons])
    largest = {name: max([1.0, *(s.get(name, 1.0) for s in scales)]) for name in ("j", "a")}
    candidates = _candidates(photons, isolating, PHOTON, rng, largest["a"])
    leptons = {
        name: _ordered(_identified(_candidates(tracks, isolating, code, rng), code), n_events)
        for name, code in (("e", ELECTRON), ("mu", MUON))
    }
    jets = _jets(flow, n_events, _JET_PT_MIN / largest["j"])
    missing = _missing(flow, n_events)

    def scaled_by(factors: Scales) -> Mapping[str, ak.Array]:
        found = _identified(candidates, PHOTON, factors.get("a", 1.0))
        objects = {"a": _ordered(found, n_events), **leptons}
        hard = jets[jets.pt * factors.get("j", 1.0) >= _JET_PT_MIN]
        objects["j"] = _without_overlap(hard, list(objects.values()))
        objects["met"] = missing
        return scaled(objects, factors)

    return [scaled_by(factors) for factors in scales]


_COLUMNS = np.dtype(
    [("event", "i8"), ("pdgid", "i8"), ("charge", "f8")]
    + [(name, "f8") for name in ("pt", "eta", "phi", "mass")]
)


def _columns(event: Array, pdgid: Array, pt: Array, eta: Array, phi: Array) -> Array:
    columns = np.zeros(len(event), dtype=_COLUMNS)
    columns["event"], columns["pdgid"] = event, pdgid
    columns["pt"], columns["eta"], columns["phi"] = pt, eta, phi
    return columns


@cache
def _charge(pdg_id: int) -> float:
    return float(PDGID(pdg_id).charge or 0.0)


def _charges(pdg_id: Array) -> Array:
    codes, inverse = np.unique(pdg_id, return_inverse=True)
    return np.array([_charge(int(code)) for code in codes])[inverse]


def _tracks(particles: Particles, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return reconstructed tracks, and the particles left to the calorimeters (``pt`` is true)."""
    kind = np.abs(particles.pdg_id)
    visible = ~np.isin(kind, INVISIBLE)
    e, px, py, pz = particles.momenta[visible].astype(np.float64).T
    pt = np.hypot(px, py)
    true = _columns(
        particles.event[visible],
        particles.pdg_id[visible],
        pt,
        np.arcsinh(pz / np.maximum(pt, 1e-9)),
        np.arctan2(py, px),
    )
    true["charge"] = _charges(true["pdgid"])
    true["mass"] = np.sqrt(np.maximum(e**2 - pt**2 - pz**2, 0.0))

    eta = np.abs(true["eta"])
    central = (eta > 1.5).astype(int)
    efficiency, sigma = np.zeros(eta.size), np.ones(eta.size)
    kind = np.where(np.isin(kind[visible], (ELECTRON, MUON)), kind[visible], 0)
    for species, code in (("hadron", 0), (ELECTRON, ELECTRON), (MUON, MUON)):
        of = kind == code
        bin_ = np.searchsorted(_TRACK_EDGES[species], pt[of])
        efficiency[of] = np.array(_TRACK_EFFICIENCY[species])[central[of], bin_]
        constant, slope = np.array(_TRACK_RESOLUTION[species])[
            np.minimum(np.searchsorted((0.5, 1.5), eta[of]), 2)
        ].T
        sigma[of] = np.hypot(constant, slope * pt[of])
    tracked = (true["charge"] != 0) & (eta <= _TRACKER_ETA) & (rng.random(eta.size) < efficiency)
    tracks = true[tracked]
    tracks["pt"] = _smear(tracks["pt"], sigma[tracked] * tracks["pt"], rng)
    return tracks, true[~tracked & (kind != MUON) & (eta < _CALORIMETER_ETA)]


def _smear(value: Array, sigma: Array, rng: np.random.Generator) -> Array:
    """Smear positive values by a log-normal distribution of given mean and standard deviation."""
    variance = np.log1p((sigma / value) ** 2)
    return value * np.exp(np.sqrt(variance) * rng.standard_normal(value.size) - 0.5 * variance)


def _towers(deposits: Array, rng: np.random.Generator, *, electromagnetic: bool) -> Array:
    """Sum the deposits of particles in calorimeter towers and smear the towers' energies."""
    is_em = np.isin(np.abs(deposits["pdgid"]), (ELECTRON, PHOTON))
    deposits = deposits[is_em == electromagnetic]
    coarse = np.abs(deposits["eta"]) > (3.0 if electromagnetic else 1.74)
    cell = np.where(coarse, 0.175, 0.0174 if electromagnetic else 0.0872)
    i_eta = np.floor(deposits["eta"] / cell).astype(np.int64)
    i_phi = np.floor(deposits["phi"] / cell).astype(np.int64)
    key = ((deposits["event"] * 1024 + i_eta + 512) * 1024 + i_phi + 512) * 2 + coarse
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)

    energy = np.bincount(inverse, deposits["pt"] * np.cosh(deposits["eta"]), first.size)
    eta = (i_eta[first] + 0.5) * cell[first]
    phi = (i_phi[first] + 0.5) * cell[first]
    sigma = (_em_resolution if electromagnetic else _hadronic_resolution)(np.abs(eta), energy)
    measured = _smear(energy, sigma, rng)
    threshold, significance = (0.5, 2.0) if electromagnetic else (1.0, 1.0)
    seen = (measured > threshold) & (measured > significance * sigma)
    code = PHOTON if electromagnetic else 0
    pt = measured / np.cosh(eta)
    event = deposits["event"][first]
    return _columns(event, np.full(first.size, code), pt, eta, phi)[seen]


def _em_resolution(eta: Array, energy: Array) -> Array:
    fine = np.sqrt((0.008 * energy) ** 2 + 0.11**2 * energy + 0.40**2)
    forward = np.sqrt((0.107 * energy) ** 2 + 2.08**2 * energy)
    barrel, endcap = (1 + 0.64 * eta**2) * fine, (2.16 + 5.6 * (eta - 2) ** 2) * fine
    return np.select([eta <= 1.5, eta <= 2.5], [barrel, endcap], forward)


def _hadronic_resolution(eta: Array, energy: Array) -> Array:
    constant = np.where(eta <= 3.0, 0.050, 0.130)
    stochastic = np.where(eta <= 3.0, 1.50, 2.70)
    sigma: Array = np.sqrt((constant * energy) ** 2 + stochastic**2 * energy)
    return sigma


def _candidates(
    found: Array, isolating: Array, code: int, rng: np.random.Generator, scale: float = 1.0
) -> tuple[Array, Array]:
    """Return what of one species passes identification, and the activity around it.

    With the largest scale that is in question some candidates lie below the threshold.
    """
    inner, outer, eta_max = _IDENTIFICATION[code]
    eta = np.abs(found["eta"])
    efficiency = np.where(eta <= 1.5, inner, outer) * (eta <= eta_max)
    passing = (
        (np.abs(found["pdgid"]) == code)
        & (found["pt"] * scale > _IDENTIFICATION_PT_MIN)
        & (rng.random(eta.size) < efficiency)
    )
    return found[passing], _activity_around(found[passing], isolating)


def _identified(candidates: tuple[Array, Array], code: int, scale: float = 1.0) -> Array:
    """Return the candidates, not scaled, that are hard enough and isolated when they are."""
    found, activity = candidates
    pt = found["pt"] * scale
    selected: Array = found[
        (pt > _IDENTIFICATION_PT_MIN) & (activity < _ISOLATION_RATIO[code] * pt)
    ]
    selected["mass"] = MASS[code]
    return selected


def _activity_around(centres: Array, others: Array) -> Array:
    """Sum the pT of other objects around each centre, leaving out the centre itself."""
    others = others[others["pt"] > _ISOLATION_PT_MIN]
    others = others[np.argsort(others["event"], kind="stable")]
    begin = np.searchsorted(others["event"], centres["event"], side="left")
    size = np.searchsorted(others["event"], centres["event"], side="right") - begin
    centre = np.repeat(np.arange(size.size), size)
    pair = others[np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + begin[centre]]
    distance = np.hypot(
        pair["eta"] - centres["eta"][centre],
        (pair["phi"] - centres["phi"][centre] + np.pi) % (2 * np.pi) - np.pi,
    )
    # An identified object is among the others at distance zero with its own transverse momentum.
    own = (distance == 0) & (pair["pt"] == centres["pt"][centre])
    counted = (distance < _ISOLATION_RADIUS) & ~own
    return np.bincount(centre[counted], pair["pt"][counted], minlength=size.size)


def _ordered(columns: Array, n_events: int) -> ak.Array:
    """Turn flat columns into a jagged Momentum4D array ordered by falling pT within an event."""
    columns = columns[np.lexsort((-columns["pt"], columns["event"]))]
    momenta = _momenta(columns) | {"charge": columns["charge"], "pdgid": columns["pdgid"]}
    counts = np.bincount(columns["event"], minlength=n_events)
    return ak.unflatten(ak.zip(momenta, with_name="Momentum4D"), counts)


def _momenta(columns: Array) -> dict[str, Array]:
    pt, eta, phi = columns["pt"], columns["eta"], columns["phi"]
    pz = pt * np.sinh(eta)
    return {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pz,
        "E": np.sqrt(pt**2 + pz**2 + columns["mass"] ** 2),
    }


def _jets(flow: Array, n_events: int, pt_min: float) -> ak.Array:
    """Cluster particle-flow objects."""
    flow = flow[np.argsort(flow["event"], kind="stable")]
    inputs = ak.unflatten(
        ak.zip(_momenta(flow), with_name="Momentum4D"),
        np.bincount(flow["event"], minlength=n_events),
    )
    return cluster(inputs, pt_min)


def _without_overlap(jets: ak.Array, identified: list[ak.Array]) -> ak.Array:
    """Leave out jets that are identified photons or leptons; order by falling pT."""
    for others in identified:
        jet, other = ak.unzip(ak.cartesian([jets, others], nested=True))
        jets = jets[~ak.any(jet.deltaR(other) < JET_RADIUS, axis=-1)]
    return jets[ak.argsort(jets.pt, ascending=False)]


def cluster(inputs: ak.Array, pt_min: float) -> ak.Array:
    """Return the anti-kT jets above a transverse momentum.

    Args:
        inputs: What is clustered, by event, as jagged Momentum4D.
        pt_min: Least transverse momentum of a jet in GeV.
    """
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, JET_RADIUS)
    return ak.drop_none(fastjet.ClusterSequence(inputs, definition).inclusive_jets(min_pt=pt_min))


def _missing(flow: Array, n_events: int) -> ak.Array:
    """Return the transverse momentum that balances the event, as a massless Momentum4D."""
    momenta = _momenta(flow)
    px, py = (-np.bincount(flow["event"], momenta[c], minlength=n_events) for c in ("px", "py"))
    return ak.zip(
        {"px": px, "py": py, "pz": np.zeros(n_events), "E": np.hypot(px, py)},
        with_name="Momentum4D",
    )
