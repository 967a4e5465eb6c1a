"""MadGraph's weights of scales and parton densities: what is asked for, and what is read."""

import ast

import numpy as np
import pytest

from steps.backends import madgraph
from steps.events import lhe
from steps.physics.partons import PdfSet
from steps.stage.errors import SettingError

SCALE = {"name": "s", "type": "scale", "scale": "mu", "value": [2.0, 0.5], "columns": 2}
PDF = {"name": "p", "type": "pdf", "value": ["Pairs"], "columns": 2}
SETS = {
    "Pairs": PdfSet("Pairs", ("0", "1", "2"), "hessian", 2.0, 1000),
    "One": PdfSet("One", ("0",), number=2000),
    "Shipped": PdfSet("Shipped", ("0",)),
}


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(madgraph, "find_set", SETS.__getitem__)

    def make(*systematics):
        return madgraph.Backend({"processes": [], "systematics": systematics})

    return make


def arguments(backend):
    return ast.literal_eval(backend._run_card()["systematics_arguments"])


def test_the_run_card_asks_for_what_is_wanted(backend):
    assert backend()._run_card() == {}
    assert backend({"name": "i", "type": "shower"})._run_card() == {}
    scales = ["--mur=0.5,1,2", "--muf=0.5,1,2", "--dyn=-1"]
    assert arguments(backend(SCALE)) == [*scales, "--pdf=central"]
    muf = SCALE | {"scale": "muf", "value": [2.0]}
    other = PDF | {"value": ["One"]}
    assert arguments(backend(muf, PDF, other)) == [
        *("--mur=1", "--muf=1,2", "--dyn=-1", "--pdf=Pairs,One@0"),
    ]


def test_sets_need_the_numbers_that_tell_their_weights(backend):
    backend().check_variations([SCALE, PDF])
    with pytest.raises(SettingError, match=r"p: value: 'Shipped' has no number .*LHAPDF_DATA_PATH"):
        backend().check_variations([PDF | {"value": ["Shipped"]}])


def test_weights_become_log_responses(backend, monkeypatch, tmp_path):
    weights = {
        lhe.Variation(2.0, 2.0): 0.9,
        lhe.Variation(0.5, 0.5): 1.2,
        lhe.Variation(pdf=1000): 1.1,
        lhe.Variation(pdf=1001): 1.3,
        lhe.Variation(pdf=1002): 1.0,
        lhe.Variation(pdf=2000): 1.4,
    }
    monkeypatch.setattr(
        lhe, "read_variations", lambda path, wanted: np.array([[weights[v] for v in wanted]])
    )
    other = PDF | {"name": "o", "value": ["One"], "columns": 1}
    found = backend().log_responses(tmp_path, "signal", [SCALE, PDF, other])
    np.testing.assert_allclose(found["s"], np.log([[0.9, 1.2]]))
    # The members against their own central one, at one standard deviation in place of two.
    np.testing.assert_allclose(found["p"], 0.5 * np.log([[1.3 / 1.1, 1.0 / 1.1]]))
    np.testing.assert_allclose(found["o"], np.log([[1.4]]))


def test_missing_weights_are_one_line(backend, tmp_path):
    (tmp_path / "e.lhe").write_text(
        '<LesHouchesEvents version="1.0">\n<init>\n2212 2212 6500 6500 0 0 0 0 3 1\n'
        "1.0 0.0 1.0 1\n</init>\n</LesHouchesEvents>\n"
    )
    with pytest.raises(SettingError, match=r"^systematics: MadGraph computed no weights"):
        backend().log_responses(tmp_path / "e.lhe", "signal", [SCALE])
