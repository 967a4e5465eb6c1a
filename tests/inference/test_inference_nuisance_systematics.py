"""Limits with systematic uncertainties of trained networks, against a closed form."""

import numpy as np
import pytest

from inference.processes import BENCHMARKS, EXPONENTS, NUISANCES, REGION, Mixture, learnt
from steps.inference import cross_fitted
from steps.inference.clipping import Cuts
from steps.inference.cross_fitted import Sample
from steps.inference.evaluation import Evaluated
from steps.inference.frames import Frame
from steps.inference.judging import Names
from steps.inference.likelihood import Densities
from steps.inference.morphing.fit import Options
from steps.inference.nuisance import breakdown, systematics, tables
from steps.inference.nuisance.systematics import Model, Nuisance
from steps.inference.observing import Data
from steps.inference.targets import Target

TOY = Mixture()
LUMINOSITY = 200.0
TARGET = Target(REGION, np.zeros(1), LUMINOSITY, (True, False))
FRAME = Frame(TARGET, [41])
NAMES = Names(["theta"], ["x"], ["zero", "one", "minus"])
OPTIONS = Options(
    alpha=1.0,
    n_folds=3,
    n_bags=3,
    num_epochs=12,
    batch_size=256,
    n_points=8,
    hidden_layers=(32, 32),
    learning_rate=0.01,
    seed=1,
)


@pytest.fixture(scope="module")
def events():
    drawn = TOY.draw(6000)
    return drawn.events() | drawn.variations().to_arrays()


@pytest.fixture(scope="module")
def networks(events):
    trained, _ = cross_fitted.train(events, TARGET, OPTIONS)
    return trained


@pytest.fixture(scope="module")
def responses(events):
    fold = np.arange(len(events["x"])) % 4
    return learnt(events, fold), fold


@pytest.fixture(scope="module")
def model(networks, events, responses):
    of, fold = responses
    sample = Sample.of(networks, events, of.unseen(events["x"], fold))
    return Model(sample, rates(networks, events), NUISANCES)


def rates(networks, events):
    return systematics.rates_of_bags(events, networks.processes, networks.multiplicity)


@pytest.fixture(scope="module")
def evaluated(model, events):
    return Evaluated(model.sample, events["x"], BENCHMARKS, FRAME, NAMES)


def limits(model, evaluated):
    return systematics.limits(model, evaluated, 0, lambda *purpose: np.random.default_rng(1))


@pytest.fixture(scope="module")
def found(model, evaluated):
    return limits(model, evaluated) | FRAME.arrays(600.0)


@pytest.mark.parametrize("name", ["with_rate", "kinematics"])
def test_limits_are_those_of_the_closed_form(found, name):
    joint = TOY.joint(LUMINOSITY, with_rate=name == "with_rate")
    right = breakdown.fit(joint, np.zeros(1))
    split = breakdown.split(joint, right, {each.source: [k] for k, each in enumerate(NUISANCES)})
    best, _, parts = breakdown.from_arrays(found, name)
    np.testing.assert_allclose(parts.total, split.total, rtol=0.08)
    np.testing.assert_allclose(parts.statistics, split.statistics, rtol=0.08)
    np.testing.assert_allclose(best.pulls[:, 1], right.pulls[:, 1], atol=0.05)
    for source, errors in split.groups.items():
        np.testing.assert_allclose(parts.groups[source], errors, atol=0.1 * split.total.max())
    # The same interval as that of the likelihood of theta alone.
    ends = found[f"intervals/systematics/{name}/profiled/68"]
    inner = ends[np.argmin(np.abs(ends[:, 1:3].mean(axis=1)))]
    middle = float(best.parameters[0])
    np.testing.assert_allclose(
        [middle - inner[1], inner[2] - middle], parts.total[0], rtol=0.02, atol=0.005
    )


def test_other_events_are_judged_by_the_mean_over_folds(networks, events, model, responses):
    x, known = events["x"], model.sample
    seen = Data.of(networks, x, responses[0](x))
    assert list(seen.parts) == list(TOY.names)
    constant = EXPONENTS.sum(axis=1) == 0
    total = seen.parts["signal"] + constant * seen.parts["background"]
    np.testing.assert_allclose(seen.densities, total, rtol=1e-12)
    at = networks.polynomial.weights(np.array([[0.0], [0.5]]))
    means = [of @ at.T for of in (seen.densities, known.events.densities)]
    # A fold of three differs from their mean where events are few.
    np.testing.assert_allclose(np.median(means[0] / means[1], axis=1), 1.0, atol=0.03)
    assert known.response is not None
    assert seen.response is not None
    away = seen.response.linear - known.response.linear
    assert np.sqrt(np.mean(away**2)) < 0.01


def test_systematics_widen_limits(model, found):
    for name in ("with_rate", "kinematics"):
        _, _, parts = breakdown.from_arrays(found, name)
        assert (parts.total >= parts.statistics).all()
    (statistical, *_) = cross_fitted.likelihoods(
        model.sample, REGION, np.zeros(1), LUMINOSITY, with_rate=True
    )
    assert isinstance(statistical, Densities)
    joint = model.joint(statistical, 0, LUMINOSITY)
    points = np.linspace(-0.9, 0.9, 7)[:, None]
    np.testing.assert_allclose(joint.nominal()(points), statistical(points), rtol=1e-6)


def test_a_source_that_is_left_out_is_of_no_effect(model, evaluated, found):
    """A systematic that touches nothing leaves limits with all others as they are."""
    idle = [*NUISANCES[:2], Nuisance("energy", "energy", [], 0.0)]
    without = limits(Model(model.sample, model.rates, idle), evaluated)
    _, shifts, parts = breakdown.from_arrays(without, "with_rate")
    np.testing.assert_allclose(shifts[2], 0.0, atol=1e-9)
    np.testing.assert_allclose(parts.groups["energy"], 0.0, atol=1e-4)
    _, _, every = breakdown.from_arrays(found, "with_rate")
    assert (parts.total <= every.total + 1e-6).all()
    # Those held are at their best values, which networks are not exact enough to have at zero.
    np.testing.assert_allclose(parts.statistics, every.statistics, rtol=0.03)


def test_tables_name_all_that_moves_limits(found):
    told = tables.read([found], "with_rate", [41])
    assert told is not None
    made = tables.table(told, ["theta"])
    assert list(made["pulls"]) == ["scale", "norm", "energy"]
    sources = {"all", "statistics", "energy", "norm", "scale"}
    assert set(made["errors_by_source"]["theta"]) == sources
    assert set(made["impacts"]["theta"]) == {"scale", "norm", "energy"}
    assert tables.read([{}], "with_rate", [41]) is None


# ------------------------------------------------------------------------------------ below a cut
@pytest.mark.parametrize("cut", [0.3, 1.2])
def test_rates_below_a_cut_are_those_of_the_closed_form(networks, events, cut):
    """Events that a shift moves across the cut count where they end."""
    (nominal, *bags) = rates(networks, systematics.below(events, 0, cut))
    x = np.linspace(TOY.cut, cut, 4001)
    at = np.exp([[TOY.response(x, k, s) for s in (1, -1)] for k in range(3)])
    for number, (name, density) in enumerate(zip(TOY.names, TOY.total(x, 0.0), strict=True)):
        own = nominal[name]
        # Of theta = 0 the constant alone.
        total, varied = own.nominal[0], own.varied[:, :, 0]
        if name == "signal":
            monomials = networks.polynomial.weights(np.zeros((1, 1)))[0]
            total, varied = own.nominal @ monomials, own.varied @ monomials
        assert total == pytest.approx(np.trapezoid(density, x), rel=0.04)
        exact = np.trapezoid(at[:, :, number] * density, x) / np.trapezoid(density, x)
        np.testing.assert_allclose(varied / total, exact, rtol=0.01)
    assert len(bags) == OPTIONS.n_bags


def test_a_process_without_events_below_a_cut_has_no_response(networks, events):
    """All of the background fails; what a shift lets in is not infinitely more."""
    none = np.where(events["processes"] == 1, 10.0, events["x"][:, 0])
    moved = {**events, "x": none[:, None]}
    (nominal, *_) = rates(networks, systematics.below(moved, 0, 1.0))
    assert nominal["background"].nominal.tolist() == [0.0]
    assert not nominal["background"].varied.any()
    assert nominal["signal"].varied.any()


def test_no_cut_are_the_limits_of_all_events(networks, model, events, evaluated, found):
    cuts = Cuts.of({"observable": "x", "values": [0.8]}, REGION)
    scanned = systematics.clipped(
        model,
        evaluated,
        cuts,
        lambda cut: rates(networks, systematics.below(events, 0, cut)),
    )
    for name in ("with_rate", "kinematics"):
        key = f"intervals/systematics/{name}/profiled/68"
        np.testing.assert_allclose(scanned[f"clip/1/{key}"], found[key], rtol=1e-6)
        widths = [np.ptp(of[:, 1:3]) for of in (scanned[f"clip/0/{key}"], found[key])]
        assert widths[0] > widths[1]
        assert f"clip/0/findings/systematics/{name}" in scanned
