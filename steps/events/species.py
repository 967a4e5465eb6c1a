"""Particles that a detector identifies or misses, by PDG code, and the masses that it takes."""

from collections.abc import Mapping

ELECTRON, MUON, PHOTON = 11, 13, 22
INVISIBLE = (12, 14, 16)
# In GeV.
MASS = {ELECTRON: 0.000511, MUON: 0.10566, PHOTON: 0.0}

Scales = Mapping[str, float]
"""Factors on the energies of reconstructed objects, by their names; of all others 1."""
