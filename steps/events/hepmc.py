"""Stable particles as HepMC 3 in ASCII (arXiv:1912.08005), for programs that read it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyhepmc

from steps.events.particles import Particles

_PROTON, _BEAM, _STABLE = 2212, 4, 1


def write(
    path: Path,
    particles: Particles,
    beam_energy: float,
    progress: Callable[[int], None] = lambda n: None,
) -> None:
    """Write events whose stable particles all come from one vertex of the two beams.

    What came between, and with it the flavour of jets, is not in the file.

    Args:
        path: File to write.
        particles: Stable particles.
        beam_energy: Energy of either proton in GeV.
        progress: Called with the number of events so far.
    """
    ends = np.cumsum(particles.counts)
    with pyhepmc.open(str(path), "w") as file:
        for number, (end, count) in enumerate(zip(ends, particles.counts, strict=True)):
            event = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
            event.event_number = number
            vertex = pyhepmc.GenVertex()
            for sign in (1, -1):
                momentum = (0.0, 0.0, sign * beam_energy, beam_energy)
                vertex.add_particle_in(pyhepmc.GenParticle(momentum, _PROTON, _BEAM))
            rows = slice(end - count, end)
            for code, (e, px, py, pz) in zip(
                particles.pdg_id[rows].tolist(), particles.momenta[rows].tolist(), strict=True
            ):
                vertex.add_particle_out(pyhepmc.GenParticle((px, py, pz, e), code, _STABLE))
            event.add_vertex(vertex)
            file.write(event)
            progress(number + 1)
