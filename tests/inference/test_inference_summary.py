"""Tables and numbers that sum up evaluations, and the loss by which settings are compared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.inference import quality, summary
from steps.inference.frames import Frame
from steps.inference.methods import METHODS
from steps.inference.statistics import level
from steps.inference.summary import Curve
from steps.inference.surfaces import Surface
from steps.inference.targets import Target

RNG = np.random.default_rng(1)
LOG_R = RNG.normal(0, 1, 2000)
# The joint ratio scatters about the ratio that observables know: E[r(x, z) | x] = r(x).
JOINT = np.exp(LOG_R + RNG.normal(0, 0.3, LOG_R.size) - 0.045)
SAMPLE = {"r_xz": JOINT[:, None]}


def loss(estimate: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(quality, "_at_own_points", lambda model, sample: estimate)
    return quality.held_out_loss(METHODS["alices"], None, SAMPLE)


@pytest.mark.parametrize("wrong", [LOG_R + 0.3, 0.7 * LOG_R, 1.3 * LOG_R, 0 * LOG_R])
def test_loss_is_least_for_the_truth(wrong, monkeypatch):
    assert loss(LOG_R, monkeypatch) < loss(wrong, monkeypatch)


def test_loss_of_nothing_known_is_that_of_a_coin(monkeypatch):
    assert loss(0 * LOG_R, monkeypatch) == pytest.approx(np.log(2))


def test_loss_ignores_events_without_a_ratio(monkeypatch):
    monkeypatch.setitem(SAMPLE, "r_xz", np.where(np.arange(2000) < 5, -1, JOINT)[:, None])
    assert np.isfinite(loss(LOG_R, monkeypatch))


# ------------------------------------------------------------------ curves
WIDTH = np.array([0.3, 0.5])
RESOLUTIONS = [11, 13]


def evaluated(centre, bags=(), width=WIDTH, name="k"):
    """Return what an evaluation writes of a paraboloid, and of bags at other centres."""
    region = np.array([[-2.0, 2.0], [-3.0, 3.0]])
    frame = Frame(Target(region, np.zeros(2), 1e4, [True]), RESOLUTIONS)
    likelihoods = [
        frame.interpolated(-0.5 * (((frame.points - each) / width) ** 2).sum(axis=1))
        for each in (centre, *bags)
    ]
    return frame.arrays(50.0) | frame.curve(name, likelihoods)


@pytest.fixture(scope="module")
def runs():
    """Two evaluations whose best fits differ by 0.2 in the first parameter."""
    bags = [(0.02, 0.0), (-0.02, 0.0), (0.0, 0.03)]
    shifted = [(x + 0.2, y) for x, y in bags]
    return [evaluated((0.0, 0.0), bags), evaluated((0.2, 0.0), shifted)]


def test_runs_are_averaged(runs):
    curve = Curve.read(runs, "k", RESOLUTIONS)
    assert curve.n_parameters == 2
    np.testing.assert_allclose(curve.surface.best_fit(), [0.1, 0.0], atol=0.02)
    values = [arrays["log_likelihood/k"] for arrays in runs]
    alone = [Curve.read([arrays], "k", RESOLUTIONS).surface for arrays in runs]
    expected = Surface.of(
        runs[0]["expectation/region"], RESOLUTIONS, np.mean(values, axis=0), np.zeros(143)
    )
    np.testing.assert_allclose(curve.surface.q, expected.q, atol=1e-9)
    # They share the simulation: the error of the mean is no less than theirs.
    errors = np.sqrt(np.mean([surface.error**2 for surface in alone], axis=0))
    np.testing.assert_allclose(curve.surface.error, errors, atol=1e-9)
    numbers = summary.limit_numbers("k", curve, ["a", "b"])
    assert numbers["k_best_fit/a"] == pytest.approx(0.1, abs=1e-4)
    assert numbers["k_68/a_low"] == pytest.approx(0.1 - 0.3, abs=1e-4)


def test_findings_are_those_of_all_runs_once(runs):
    def judged(*lines):
        return {"findings/k": np.array(lines, "S")}

    curve = Curve.read(runs, "k", RESOLUTIONS)
    assert curve.findings is None
    assert curve.reliable
    assert summary.table(curve, ["a", "b"])["reliable"] == "not judged"
    fine = Curve.read([arrays | judged() for arrays in runs], "k", RESOLUTIONS)
    assert fine.findings == []
    table = summary.table(fine, ["a", "b"])
    assert table["reliable"] is True
    assert "why" not in table
    both = [runs[0] | judged("one; two", "three; four"), runs[1] | judged("one; two")]
    bad = Curve.read(both, "k", RESOLUTIONS)
    table = summary.table(bad, ["a", "b"])
    assert table["reliable"] is False
    assert table["why"] == ["one; two", "three; four"]
    assert summary.limit_numbers("k", bad, ["a", "b"])["k_reliable"] == 0
    assert summary.limit_numbers("k", fine, ["a", "b"])["k_reliable"] == 1
    assert "k_reliable" not in summary.limit_numbers("k", curve, ["a", "b"])


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.4, 0.4), st.floats(0.3, 0.6))
def test_table_of_a_paraboloid(centre, width):
    arrays = evaluated((centre, 0.0), width=np.array([width, 0.5]))
    table = summary.table(Curve.read([arrays], "k", RESOLUTIONS), ["a", "b"])
    assert table["best_fit"]["a"]["value"] == pytest.approx(centre, abs=1e-3)
    assert table["best_fit"]["a"]["error"] == "not known: fewer than two bags"
    for kind in ("others profiled", "others at truth"):
        for confidence, reach in (("68 % CL", 1.0), ("95 % CL", 1.95996)):
            (piece,) = table["intervals"]["a"][kind][confidence]
            assert piece["low"] == pytest.approx(centre - reach * width, abs=1e-3)
            assert piece["high"] == pytest.approx(centre + reach * width, abs=1e-3)
    joint = table["joint_contours_of_2_parameters"]
    for confidence, p_value in (("68 % CL", 0.32), ("95 % CL", 0.05)):
        q = level(p_value, 2)
        expected = centre + np.sqrt(q) * width * np.array([-1, 1])
        extent = joint[confidence]["extent"]["a"]
        assert [extent["low"], extent["high"]] == pytest.approx(expected, abs=1e-3)
        area = joint[confidence]["area"]
        assert area["value"] == pytest.approx(q * np.pi * width * 0.5, rel=0.02)


def test_intervals_at_the_edge_say_so():
    table = summary.table(Curve.read([evaluated((1.9, 0.0))], "k", RESOLUTIONS), ["a", "b"])
    (piece,) = table["intervals"]["a"]["others profiled"]["68 % CL"]
    assert piece["high"] == 2.0
    assert piece["high_error"] == "none: the edge of the region"
    extent = table["joint_contours_of_2_parameters"]["68 % CL"]["extent"]["a"]
    assert extent["high_error"] == "none: the edge of the region"
    assert isinstance(extent["low"], float)


def test_errors_are_those_of_the_bags(runs):
    table = summary.table(Curve.read(runs[:1], "k", RESOLUTIONS), ["a", "b"])
    assert table["best_fit"]["a"]["error"] == pytest.approx(np.std([0.02, -0.02, 0], ddof=1))
    numbers = summary.limit_numbers("k", Curve.read(runs[:1], "k", RESOLUTIONS), ["a", "b"])
    assert numbers["k_68/a_low_error"] == pytest.approx(0.02, rel=0.1)
    assert numbers["k_uncertainty_of_q"] == pytest.approx(table["uncertainty_of_q"], abs=1e-4)
    assert np.isfinite(list(numbers.values())).all()


def test_numbers_are_those_of_the_table(runs):
    curve = Curve.read(runs[:1], "k", RESOLUTIONS)
    numbers, table = summary.limit_numbers("k", curve, ["a", "b"]), summary.table(curve, ["a", "b"])
    for name in ("a", "b"):
        for each in ("68", "95"):
            (piece,) = table["intervals"][name]["others profiled"][f"{each} % CL"]
            joint = table["joint_contours_of_2_parameters"][f"{each} % CL"]["extent"][name]
            for end in ("low", "high"):
                assert numbers[f"k_{each}/{name}_{end}"] == pytest.approx(piece[end], abs=1e-4)
                found = numbers[f"k_joint_{each}/{name}_{end}"]
                assert found == pytest.approx(joint[end], abs=1e-4)


def test_more_parameters_than_a_grid_has_leave_the_contours_out(runs):
    """The intervals remain; there is no likelihood on a grid that could be read."""
    tables = {
        key: np.concatenate([array, array]) if key.endswith("best_fit") else with_two_more(array)
        for key, array in runs[0].items()
        if key.startswith("intervals/")
    }
    curve = Curve.read([tables], "k", [5] * 4)
    assert curve.surface is None
    assert curve.n_parameters == 4
    names = ["a", "b", "c", "d"]
    table = summary.table(curve, names)
    assert table["intervals"]["c"] == table["intervals"]["a"]
    assert not any(key.startswith(("joint", "uncertainty")) for key in table)
    numbers = summary.limit_numbers("k", curve, names)
    assert numbers["k_95/d_high"] == numbers["k_95/b_high"]
    assert not any("joint" in key for key in numbers)
    assert curve.projected_thresholds(2) == {}


def with_two_more(rows):
    return np.concatenate([rows, rows + np.eye(1, rows.shape[1]) * 2])


def test_thresholds_and_coverage_are_read_and_averaged(runs):
    rows = np.array([[0.0, 0.5, *[0.7, 0.3, 0.9, 0.1] * 2], [1.0, 0.5, *[0.6, 0.3, 0.9, 0.1] * 2]])
    other = rows.copy()
    other[:, 2::2] += 0.02
    other[:, 3::2] = 0.0
    more = [{"coverage/k": rows}, {"coverage/k": other}]
    flat = [{"thresholds/k/68": np.full(143, 2.0 + n)} for n in (0, 1)]
    curve = Curve.read([a | b | c for a, b, c in zip(runs, more, flat, strict=True)], "k", [11, 13])
    assert set(curve.thresholds) == {"68"}
    np.testing.assert_allclose(curve.thresholds["68"], 2.5)
    np.testing.assert_allclose(curve.coverage[:, :2], rows[:, :2])
    np.testing.assert_allclose(curve.coverage[0, 2:4], [0.71, 0.3 / np.sqrt(2)])
    plain = Curve.read(runs, "k", RESOLUTIONS)
    assert plain.coverage is None
    assert plain.thresholds == {}


def test_neyman_region_of_one_parameter_holds_what_any_value_of_the_other_holds(runs):
    arrays = runs[0]
    x, y = arrays["expectation/grid"].T
    curve = Curve.read([arrays | {"thresholds/k/95": 3 + x + 0.2 * y}], "k", RESOLUTIONS)
    np.testing.assert_allclose(curve.projected_thresholds(2)["95"], curve.thresholds["95"])
    surface, values = curve.surface, curve.projected_thresholds(1)["95"]
    inside = (surface.q < curve.thresholds["95"]).any(axis=1)
    np.testing.assert_array_equal(surface.projected(1).q < values, inside)


def test_supported_luminosity_or_why_there_is_none(runs):
    surface = Curve.read(runs, "k", RESOLUTIONS).surface
    assert summary.supported_luminosity(surface, 10.0)["value"] == pytest.approx(
        10 * surface.supported(), rel=0.01
    )
    unknown = Curve.read([evaluated((0.0, 0.0))], "k", RESOLUTIONS).surface
    assert summary.supported_luminosity(unknown, 10.0) == "not known: fewer than two bags"
    bad = Surface(surface.axes, surface.q, 2.0 + surface.q)
    assert summary.supported_luminosity(bad, 1.0).startswith("none")


# ------------------------------------------------------------------ numbers
def test_closure_numbers():
    arrays = {
        "held_out_loss": np.array(0.5),
        "closure/correlation": np.array([0.9, 1.0]),
        "closure/slope": np.array([1.0, 0.8]),
        "joint/truth": np.array([0.0, 1.0, np.nan, 2.0]),
        "joint/estimate": np.array([1.0, 2.0, 9.0, 3.0]),
    }
    numbers = summary.closure_numbers(arrays)
    assert numbers["correlation_least"] == pytest.approx(0.9)
    assert numbers["slope_mean"] == pytest.approx(0.9)
    assert numbers["joint_correlation"] == pytest.approx(1.0)


def test_fisher_numbers_name_each_element_once():
    numbers = summary.fisher_numbers(np.array([[1.0, 2.0], [2.0, 3.0]]), ["a", "b"])
    assert numbers == {f"fisher_information/{k}": v for k, v in
                       {"a_a": 1.0, "a_b": 2.0, "b_b": 3.0}.items()}  # fmt: skip
