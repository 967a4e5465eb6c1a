"""What required, default and cut mean, in particular for undefined values."""

import awkward as ak
import numpy as np
import pytest
import vector

from steps.events.expressions import ExpressionError
from steps.events.measurement import measure
from steps.events.objects import with_sums

vector.register_awkward()


def jets(*events):
    """Jets along x of the given transverse momenta, per event."""
    pt = ak.Array([[float(v) for v in event] for event in events])
    pt = pt if len(ak.flatten(pt)) else ak.values_astype(pt, float)
    return ak.zip({"px": pt, "py": pt * 0, "pz": pt * 0, "E": pt}, with_name="Momentum4D")


OBJECTS = {"j": jets([50, 40], [60], [], [30, 20])}


def observable(definition, *, required=False, default=None, name="x"):
    return {"name": name, "definition": definition, "required": required, "default": default}


def cut(expression, *, required=False):
    return {"expression": expression, "required": required}


def test_optional_takes_its_default():
    result = measure(OBJECTS, [observable("j[1].pt", default=-1.0)], [])
    np.testing.assert_allclose(result.observations[:, 0], [40, -1, -1, 20])
    assert result.selected.tolist() == [True] * 4
    assert result.flow == {}


def test_required_rejects_even_with_a_default():
    result = measure(OBJECTS, [observable("j[1].pt", required=True, default=0.0)], [])
    assert result.selected.tolist() == [True, False, False, True]
    assert result.flow == {"x is defined": 2}


def test_optional_without_default_stays_undefined_and_selected():
    result = measure(OBJECTS, [observable("j[1].pt")], [])
    assert np.isnan(result.observations[:, 0]).tolist() == [False, True, True, False]
    assert result.selected.all()


def test_result_not_finite_counts_as_undefined():
    x = observable("1. / len(j)", required=True)
    assert measure(OBJECTS, [x], []).selected.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("required", "passing"), [(False, [True, False, False, False]), (True, [True] * 3 + [False])]
)
def test_undefined_cut_rejects_unless_required_as_in_madminer(required, passing):
    result = measure(OBJECTS, [observable("len(j)")], [cut("j[1].pt > 30.", required=required)])
    assert result.selected.tolist() == passing


def test_cuts_see_observables_with_their_defaults():
    result = measure(OBJECTS, [observable("j[0].pt", default=99.0)], [cut("x > 55.")])
    assert result.selected.tolist() == [False, True, True, False]


def test_cut_sees_objects_and_observables_together():
    result = measure(OBJECTS, [observable("j[0].pt", default=0.0)], [cut("x - j[0].pt < len(j)")])
    assert result.selected.tolist() == [True, True, False, True]


def test_flow_is_cumulative_and_ordered():
    observables = [
        observable("j[0].pt", required=True, name="a"),
        observable("j[1].pt", required=True, name="b"),
    ]
    result = measure(OBJECTS, observables, [cut("a > 35."), cut("b > 100.")])
    assert list(result.flow.items()) == [
        ("a is defined", 3),
        ("b is defined", 2),
        ("a > 35.", 1),
        ("b > 100.", 0),
    ]
    assert result.observations.shape == (4, 2)


def test_no_requirement_selects_every_event():
    assert measure(OBJECTS, [observable("len(j)")], []).selected.shape == (4,)


def test_no_events():
    result = measure({"j": OBJECTS["j"][:0]}, [observable("j[0].pt", required=True)], [cut("x>1")])
    assert result.observations.shape == (0, 1)
    assert result.selected.shape == (0,)


@pytest.mark.parametrize(
    ("observables", "cuts"),
    [
        ([observable("j[0].")], []),
        ([observable("len(j)")], [cut("y > 1.")]),
        ([observable("__import__('os')")], []),
    ],
)
def test_bad_definitions_are_refused(observables, cuts):
    with pytest.raises(ExpressionError):
        measure(OBJECTS, observables, cuts)


def test_sums_and_leptons():
    empty = jets([], [])
    objects = with_sums(
        {
            "j": jets([50, 40], [60]),
            "e": jets([10], []),
            "mu": jets([20, 5], [7]),
            "a": empty,
            "met": ak.zip(dict.fromkeys(("px", "py", "pz", "E"), ak.Array([1.0, 2.0])))[[0, 1]],
        }
    )
    assert objects["l"].pt.to_list() == [[20, 10, 5], [7]]
    assert objects["visible"].pt.to_list() == [125, 67]
    assert objects["all"].px.to_list() == [126, 69]
