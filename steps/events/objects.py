"""Reconstructed objects of many events, as observable definitions see them."""

from collections.abc import Mapping

import awkward as ak
import vector

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
