"""Delphes' ROOT files, as uproot writes them with Delphes' branches."""

import awkward as ak
import numpy as np
import pytest
import uproot

from steps.events import delphes_file
from steps.events.measurement import measure
from steps.events.objects import with_sums

N = 4
LEAVES = {
    "Jet": ("PT", "Eta", "Phi", "Mass", "BTag", "TauTag"),
    "Electron": ("PT", "Eta", "Phi", "Charge"),
    "Muon": ("PT", "Eta", "Phi", "Charge"),
    "Photon": ("PT", "Eta", "Phi", "E"),
    "MissingET": ("MET", "Eta", "Phi"),
    "Event": ("Number", "Weight"),
    "Weight": ("Weight",),
    "Particle": ("PID", "PT"),
}
COUNTS = {
    "Jet": [2, 0, 1, 3],
    "Electron": [0, 1, 0, 0],
    "Muon": [0, 0, 2, 0],
    "Photon": [2, 2, 0, 2],
}


def write(path, without=(), tree="Delphes"):
    """Write a file with Delphes' names; return what each branch holds."""
    rng = np.random.default_rng(1)
    content, types = {}, {}
    for branch, leaves in LEAVES.items():
        if branch in without:
            continue
        counts = np.array(COUNTS.get(branch, [1] * N))
        for leaf in leaves:
            values = rng.uniform(20, 100, counts.sum())
            if leaf in ("Eta", "Phi"):
                values = rng.uniform(-2.5, 2.5, counts.sum())
            if leaf == "Charge":
                values = rng.choice([-1, 1], counts.sum())
            if leaf in ("BTag", "TauTag"):
                values = rng.choice([0, 1, 2, 3], counts.sum())
            whole = leaf in ("Charge", "BTag", "TauTag", "PID", "Number")
            values = values.astype(np.int32 if whole else np.float32)
            content[f"{branch}.{leaf}"] = ak.unflatten(values, counts)
            types[f"{branch}.{leaf}"] = f"var * {values.dtype}"
    with uproot.recreate(path) as file:
        file.mktree(tree, types)
        file[tree].extend(content)
    return content


def test_objects_are_those_of_the_file(tmp_path):
    content = write(tmp_path / "delphes.root")
    objects = delphes_file.read(tmp_path / "delphes.root")
    assert set(objects) == {"j", "e", "mu", "a", "met"}
    for name, branch in (("j", "Jet"), ("e", "Electron"), ("mu", "Muon"), ("a", "Photon")):
        assert ak.num(objects[name]).tolist() == COUNTS[branch]
        order = ak.argsort(content[f"{branch}.PT"], ascending=False)
        for ours, leaf in (("pt", "PT"), ("eta", "Eta"), ("phi", "Phi")):
            expected = ak.flatten(content[f"{branch}.{leaf}"][order])
            np.testing.assert_allclose(
                ak.flatten(getattr(objects[name], ours)), expected, rtol=1e-5
            )
    np.testing.assert_allclose(objects["met"].pt, ak.flatten(content["MissingET.MET"]), rtol=1e-5)
    jets, order = objects["j"], ak.argsort(content["Jet.PT"], ascending=False)
    np.testing.assert_allclose(
        ak.flatten(jets.mass), ak.flatten(content["Jet.Mass"][order]), rtol=1e-4
    )
    assert ak.all(jets.b_tag == (content["Jet.BTag"][order] & 1))
    assert ak.all(objects["e"].pdgid == -11 * objects["e"].charge)
    assert ak.all(objects["a"].pdgid == 22)
    assert ak.all(objects["a"].charge == 0)


@pytest.mark.parametrize("branch", ["Jet", "Electron", "Muon", "Photon", "MissingET"])
def test_objects_that_a_card_leaves_out_are_absent(tmp_path, branch):
    write(tmp_path / "delphes.root", without=[branch])
    objects = delphes_file.read(tmp_path / "delphes.root")
    name = {"Jet": "j", "Electron": "e", "Muon": "mu", "Photon": "a", "MissingET": "met"}[branch]
    if name == "met":
        assert objects["met"].pt.tolist() == [0.0] * N
    else:
        assert ak.num(objects[name]).tolist() == [0] * N
    observables = [
        {"name": "n_j", "definition": "len(j)", "required": True, "default": None},
        {"name": "pt", "definition": "j[0].pt + met.pt", "required": False, "default": -1.0},
        {"name": "l", "definition": "l[0].charge", "required": False, "default": 0.0},
    ]
    measured = measure(with_sums(objects), observables, [])
    assert measured.observations.shape == (N, 3)
    assert np.isfinite(measured.observations).all()


@pytest.mark.parametrize("kind", ["text", "other tree", "absent"])
def test_other_files_are_refused_in_one_line(tmp_path, kind):
    path = tmp_path / "delphes.root"
    if kind == "text":
        path.write_text("no ROOT file")
    elif kind == "other tree":
        write(path, tree="Events")
    with pytest.raises(delphes_file.DelphesFileError, match="no file of Delphes") as error:
        delphes_file.read(path)
    assert "\n" not in str(error.value)
