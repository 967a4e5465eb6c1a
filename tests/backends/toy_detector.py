"""A detector that sees electrons alone, and these as they are, for the tests."""

import awkward as ak
import numpy as np
import vector

vector.register_awkward()


class Backend:
    def __init__(self, settings):
        assert settings == {"backend": "toy"}

    @staticmethod
    def complete(section, card):
        return {"backend": section["backend"]}

    def find_programs(self):
        pass

    def reconstruct(self, particles, rng, folder):
        hard = (np.abs(particles.pdg_id) == 11) & (particles.momenta[:, 0] > 50.0)
        n_events = len(particles.counts)
        counts = np.bincount(particles.event[hard], minlength=n_events)
        columns = dict(zip(("E", "px", "py", "pz"), particles.momenta[hard].T, strict=True))
        electrons = ak.unflatten(ak.zip(columns, with_name="Momentum4D"), counts)
        nothing, zero = electrons[electrons.pt < 0], np.zeros(n_events)
        met = ak.zip(dict.fromkeys(columns, zero), with_name="Momentum4D")
        electrons = electrons[ak.argsort(electrons.pt, ascending=False)]
        return {"e": electrons, "mu": nothing, "a": nothing, "j": nothing, "met": met}
