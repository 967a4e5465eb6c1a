"""Reconstructed objects of many events, as observable definitions see them."""

from collections.abc import Mapping

import awkward as ak
import numpy as np
import vector

from steps.events.species import Scales

vector.register_awkward()

_COMPONENTS = ("px", "py", "pz", "E")


def with_sums(objects: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    """Add the objects that derive from others.

    Args:
        objects: Jagged Momentum4D arrays ``j``, ``e``, ``mu``, ``a`` and one ``met`` per event.

    Returns:
        The objects with ``l`` (electrons and muons by falling transverse momentum), ``visible``
        (sum of jets, leptons and photons) and ``all`` (visible and missing), as MadMiner names
        them.
    """
    leptons = ak.concatenate([objects["e"], objects["mu"]], axis=1)
    leptons = leptons[ak.argsort(leptons.pt, ascending=False)]
    visible = {
        c: sum(ak.sum(objects[name][c], axis=1) for name in ("j", "e", "mu", "a"))
        for c in _COMPONENTS
    }
    everything = {c: visible[c] + objects["met"][c] for c in _COMPONENTS}
    return dict(objects) | {
        "l": leptons,
        "visible": ak.zip(visible, with_name="Momentum4D"),
        "all": ak.zip(everything, with_name="Momentum4D"),
    }


def scaled(objects: Mapping[str, ak.Array], scales: Scales) -> dict[str, ak.Array]:
    """Scale the momenta of reconstructed objects; missing momentum takes the difference.

    Args:
        objects: Jagged Momentum4D arrays ``j``, ``e``, ``mu``, ``a`` and one ``met`` per event.
        scales: Factors by the name of the object.
    """
    found = dict(objects)
    for name, factor in scales.items():
        particles = objects[name]
        momenta = {c: factor * particles[c] for c in _COMPONENTS}
        others = {f: particles[f] for f in particles.fields if f not in _COMPONENTS}
        found[name] = ak.zip(momenta | others, with_name="Momentum4D")
        px, py = (
            found["met"][c] - (factor - 1.0) * ak.sum(particles[c], axis=1) for c in ("px", "py")
        )
        met = {"px": px, "py": py, "pz": 0.0 * px, "E": np.hypot(px, py)}
        found["met"] = ak.zip(met, with_name="Momentum4D")
    return found
