"""Particles of many events as flat columns."""

from dataclasses import dataclass

import numpy as np

from steps.arrays import Array


@dataclass(frozen=True)
class Particles:
    """Particles of ``n`` events, those of one event after those of the one before.

    Attributes:
        counts: Particles in each event, ``(n,)``.
        pdg_id: PDG codes ``(m,)``, m being the sum of the counts.
        momenta: Four-momenta ``(m, 4)`` in GeV, ordered (E, px, py, pz).
    """

    counts: Array
    pdg_id: Array
    momenta: Array

    @property
    def event(self) -> Array:
        """Index of the event that each particle belongs to, ``(m,)``."""
        return np.repeat(np.arange(self.counts.size), self.counts)
