"""Which showered events can pass an analysis: a filter on stable particles, before the detector."""

from collections.abc import Mapping

import awkward as ak
import numpy as np
import vector

from steps.arrays import Array
from steps.events.particles import Particles
from steps.events.species import ELECTRON, INVISIBLE, MUON, PHOTON
from steps.physics.detector import JET_RADIUS, cluster

vector.register_awkward()

OBJECTS = {"photons": (PHOTON,), "leptons": (ELECTRON, MUON)}
"""What a filter calls photons and leptons."""

# An isolated photon or lepton has more than this share of the jet that it makes.
_SHARE_OF_JET = 0.8

Wanted = Mapping[str, Mapping[str, float]]
"""Of ``photons``, ``leptons`` (electrons and muons) and ``jets`` the least ``number`` above
``pt_min`` (GeV), and if given ``eta_max``, and ``mass_min`` and ``mass_max`` (GeV), between which
the mass of some pair of them lies."""


def passing(particles: Particles, wanted: Wanted) -> Array:
    """Return which events pass a filter.

    Photons and leptons are all stable ones, also of hadron decays. Jets are those of the detector,
    of all visible particles; a jet that is a photon or lepton of the filter does not count.

    Args:
        particles: Stable particles of ``n`` events.
        wanted: The filter; empty for all.

    Returns:
        Booleans ``(n,)``.
    """
    n = particles.counts.size
    passed = np.ones(n, dtype=bool)
    found = {}
    for kind in OBJECTS.keys() & wanted.keys():
        of = np.isin(np.abs(particles.pdg_id), OBJECTS[kind])
        found[kind] = _kept(_momenta(particles, of), wanted[kind])
        passed &= _enough(found[kind], wanted[kind])
    if "jets" in wanted and passed.any():
        # Jets take most of the time.
        of = np.repeat(passed, particles.counts) & ~np.isin(np.abs(particles.pdg_id), INVISIBLE)
        jets = cluster(_momenta(particles, of)[passed], wanted["jets"]["pt_min"])
        for others in found.values():
            jets = _without(jets, others[passed])
        passed[passed] = _enough(_kept(jets, wanted["jets"]), wanted["jets"])
    return passed


def _momenta(particles: Particles, of: Array) -> ak.Array:
    """Return the momenta of some particles by event, as jagged Momentum4D."""
    energy, px, py, pz = particles.momenta[of].astype(np.float64).T
    flat = ak.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D")
    counts = np.bincount(particles.event[of], minlength=particles.counts.size)
    return ak.unflatten(flat, counts)


def _kept(objects: ak.Array, wanted: Mapping[str, float]) -> ak.Array:
    objects = objects[objects.pt > wanted["pt_min"]]
    return objects[np.abs(objects.eta) < wanted.get("eta_max", np.inf)]


def _enough(objects: ak.Array, wanted: Mapping[str, float]) -> Array:
    enough: Array = ak.to_numpy(ak.num(objects) >= wanted["number"])
    low, high = wanted.get("mass_min", -np.inf), wanted.get("mass_max", np.inf)
    if np.isfinite([low, high]).any():
        first, second = ak.unzip(ak.combinations(objects, 2))
        mass = (first + second).mass
        enough &= ak.to_numpy(ak.any((mass > low) & (mass < high), axis=-1))
    return enough


def _without(jets: ak.Array, others: ak.Array) -> ak.Array:
    """Leave out the jets that are little more than one of the others."""
    jet, other = ak.unzip(ak.cartesian([jets, others], nested=True))
    same = (jet.deltaR(other) < JET_RADIUS) & (other.pt > _SHARE_OF_JET * jet.pt)
    return jets[~ak.any(same, axis=-1)]
