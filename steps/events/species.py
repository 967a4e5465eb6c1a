"""The particles that a detector identifies: PDG codes, and the masses that it takes for granted."""

ELECTRON, MUON, PHOTON = 11, 13, 22
# In GeV.
MASS = {ELECTRON: 0.000511, MUON: 0.10566, PHOTON: 0.0}
