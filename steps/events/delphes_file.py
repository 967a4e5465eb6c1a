"""Output of Delphes (arXiv:1307.6346) as the objects that the parametrised detector makes."""

from collections.abc import Mapping
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
import vector

from steps.events.species import ELECTRON, MASS, MUON, PHOTON

vector.register_awkward()

_TREE = "Delphes"
# Name of the branch, and PDG code.
_CLASSES = {"e": ("Electron", ELECTRON), "mu": ("Muon", MUON), "a": ("Photon", PHOTON)}
_TAGS = {"BTag": "b_tag", "TauTag": "tau_tag"}


class DelphesFileError(Exception):
    """A file is no output of Delphes, or not that of these events; one line."""


def read(path: Path) -> dict[str, ak.Array]:
    """Read the objects of all events.

    Objects that the Delphes card left out are absent from every event.

    Args:
        path: ROOT file with a tree ``Delphes`` and branches ``Jet.PT``, ``Electron.PT``, ...

    Returns:
        As :func:`steps.physics.detector.reconstruct`; jets have the tags that the card makes.

    Raises:
        DelphesFileError: The file has no such tree.
    """
    try:
        with uproot.open(path) as file:
            tree = file[_TREE]
            n_events = tree.num_entries
            objects = {name: _particles(tree, n_events, *how) for name, how in _CLASSES.items()}
            objects["j"] = _jets(tree, n_events)
            objects["met"] = _missing(tree, n_events)
    except Exception as error:
        # What uproot raises on broken files is of many kinds.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DelphesFileError(f"{path}: no file of Delphes ({reason})") from None
    return objects


def _columns(tree: uproot.TTree, branch: str, n_events: int, *names: str) -> list[ak.Array]:
    """Return leaves of a branch, jagged; without objects where the branch is absent."""
    if f"{branch}.PT" not in tree.keys(recursive=True, full_paths=False) and branch != "MissingET":
        return [_absent(n_events) for _ in names]
    return [ak.values_astype(tree[f"{branch}.{name}"].array(), np.float64) for name in names]


def _absent(n_events: int) -> ak.Array:
    return ak.unflatten(np.zeros(0), np.zeros(n_events, dtype=np.int64))


def _momenta(
    pt: ak.Array, eta: ak.Array, phi: ak.Array, mass: ak.Array | float
) -> dict[str, ak.Array]:
    pz = pt * np.sinh(eta)
    return {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pz,
        "E": np.sqrt(pt**2 + pz**2 + mass**2),
    }


def _sorted(fields: Mapping[str, ak.Array]) -> ak.Array:
    particles = ak.zip(fields, with_name="Momentum4D")
    return particles[ak.argsort(particles.pt, ascending=False)]


def _particles(tree: uproot.TTree, n_events: int, branch: str, pdg_id: int) -> ak.Array:
    pt, eta, phi = _columns(tree, branch, n_events, "PT", "Eta", "Phi")
    if pdg_id == PHOTON:
        charge, codes = 0.0 * pt, 0.0 * pt + pdg_id
    else:
        (charge,) = _columns(tree, branch, n_events, "Charge")
        codes = -pdg_id * charge
    labels = {"charge": charge, "pdgid": ak.values_astype(codes, np.int64)}
    return _sorted(_momenta(pt, eta, phi, MASS[pdg_id]) | labels)


def _jets(tree: uproot.TTree, n_events: int) -> ak.Array:
    pt, eta, phi, mass = _columns(tree, "Jet", n_events, "PT", "Eta", "Phi", "Mass")
    fields = _momenta(pt, eta, phi, mass)
    keys = tree.keys(recursive=True, full_paths=False)
    for leaf, name in _TAGS.items():
        if f"Jet.{leaf}" in keys:
            (tag,) = _columns(tree, "Jet", n_events, leaf)
            # Bits for working points; the first is the card's main one.
            fields[name] = ak.values_astype(ak.values_astype(tag, np.int64) & 1, np.float64)
    return _sorted(fields)


def _missing(tree: uproot.TTree, n_events: int) -> ak.Array:
    if "MissingET.MET" not in tree.keys(recursive=True, full_paths=False):
        px = py = np.zeros(n_events)
    else:
        met, phi = (
            ak.to_numpy(c[:, 0]) for c in _columns(tree, "MissingET", n_events, "MET", "Phi")
        )
        px, py = met * np.cos(phi), met * np.sin(phi)
    return ak.zip(
        {"px": px, "py": py, "pz": np.zeros(n_events), "E": np.hypot(px, py)},
        with_name="Momentum4D",
    )
