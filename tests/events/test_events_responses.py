"""Responses as nuisance parameters, and MadGraph's weights of variations."""

import numpy as np
import pytest

from steps.events.lhe import Variation, WeightsError, read_incoming, read_variations
from steps.events.responses import (
    Form,
    at_plus_and_minus_one,
    kept_variance,
    parameters,
    principal,
)


def test_names_of_parameters():
    assert parameters("a", Form.PAIRS, 2) == ["a"]
    assert parameters("a", Form.PAIRS, 4) == ["a_1", "a_2"]
    assert parameters("a", Form.ONE_SIDED, 3) == ["a_1", "a_2", "a_3"]
    assert parameters("a", Form.REPLICAS, 100, 2) == ["a_1", "a_2"]
    assert parameters("a", Form.SHIFTED, 0) == ["a"]


def test_pairs_and_single_variations():
    logs = np.array([[0.1, -0.2, 0.3, 50.0]])
    pairs = at_plus_and_minus_one(Form.PAIRS, logs, np.ones(1), 0)
    np.testing.assert_allclose(pairs, [[[0.1, -0.2], [0.3, 10.0]]])
    single = at_plus_and_minus_one(Form.ONE_SIDED, logs[:, :2], np.ones(1), 0)
    np.testing.assert_allclose(single, [[[0.1, -0.1], [-0.2, np.log(2 - np.exp(-0.2))]]])


def test_replicas_become_components_of_their_covariance():
    """Three directions with gaussian strengths: components give back the covariance."""
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(50, 3)) * [0.05, 0.02, 0.01]
    replicas = 1 + directions @ rng.normal(size=(3, 40))
    weights = rng.uniform(0.5, 1.5, 50)
    logs = np.log(replicas)
    found = np.expm1(principal(logs, weights, 3))
    np.testing.assert_allclose(found @ found.T, np.cov(replicas), atol=1e-12)
    assert np.all(weights @ found > 0)
    variances = weights @ found**2
    assert variances[0] > variances[1] > variances[2]
    assert kept_variance(logs, weights, 3) == pytest.approx(1.0)
    assert kept_variance(logs, weights, 1) == pytest.approx(variances[0] / variances.sum())


HEAD = """<LesHouchesEvents version="3.0">
<header>
<initrwgt>
<weightgroup name="Central scale variation" combine="envelope">
<weight id="1" MUR="0.5" MUF="0.5" PDF="263000" > MUR=0.5 MUF=0.5 </weight>
<weight id="2" MUR="2.0" MUF="0.5" PDF="263000" > MUR=2.0 MUF=0.5 </weight>
<weight id="3" MUR="0.5" MUF="0.5" DYN_SCALE="1" PDF="263000" > dynamic </weight>
<weight id="4" MUR="2.0" MUF="2.0" PDF="263000" > MUR=2.0 MUF=2.0 </weight>
</weightgroup>
<weightgroup name="NNPDF30_lo_as_0130" combine="replicas">
<weight id="5" MUR="1.0" MUF="1.0" PDF="263001" > PDF=263000 MemberID=1 </weight>
<weight id="6" MUR="1.0" MUF="1.0" PDF="263002" > PDF=263000 MemberID=2 </weight>
</weightgroup>
<weightgroup name="mg_reweighting">
<weight id="w">set param_card dim6 2 1.0</weight>
</weightgroup>
</initrwgt>
</header>
<init>
2212 2212 6500. 6500. 0 0 263000 263000 3 1
1.0 0.0 1.0 1
</init>
"""
EVENT = """<event>
4 1 {w} 91.0 -1 -1
2 -1 0 0 501 0 0 0 250 250 0 0 9
-2 -1 0 0 0 501 0 0 -100 100 0 0 9
11 1 1 2 0 0 10 0 75 175 0 0 9
-11 1 1 2 0 0 -10 0 75 175 0 0 9
<rwgt>
{weights}</rwgt>
</event>
"""


def write(path, rows):
    events = "".join(
        EVENT.format(w=own, weights="".join(f"<wgt id='{k}'> {v} </wgt>\n" for k, v in of.items()))
        for own, of in rows
    )
    path.write_text(f"{HEAD}{events}</LesHouchesEvents>\n")
    return path


def test_weights_of_madgraph_are_told_by_scales_and_densities(tmp_path):
    of = {"1": 2.2, "2": 2.4, "3": 9.0, "4": 1.8, "5": 2.1, "6": 1.9, "w": 7.0}
    path = write(tmp_path / "events.lhe", [(2.0, of), (-1.0, {k: -v for k, v in of.items()})])
    wanted = [
        *(Variation(2.0, 2.0), Variation(0.5, 0.5), Variation(0.5, 2.0)),
        *(Variation(pdf=263000), Variation(pdf=263001), Variation(pdf=263002)),
    ]
    ratios = read_variations(path, wanted)
    np.testing.assert_allclose(ratios[0], [0.9, 1.1, 1.2, 1.0, 1.05, 0.95])
    np.testing.assert_allclose(ratios[1], [1.8, 2.2, 2.4, 1.0, 2.1, 1.9])
    with pytest.raises(WeightsError, match=r"MUF=3, MUR=1; .*LHAPDF"):
        read_variations(path, [Variation(3.0, 1.0)])
    with pytest.raises(WeightsError, match="PDF=25000"):
        read_variations(path, [Variation(pdf=25000)])
    pdg_id, energy = read_incoming(path)
    np.testing.assert_array_equal(pdg_id, [[2, -2]] * 2)
    np.testing.assert_array_equal(energy, [[250, 100]] * 2)
