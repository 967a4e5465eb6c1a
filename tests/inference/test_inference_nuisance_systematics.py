"""Limits with systematic uncertainties of trained networks, against a closed form."""

import numpy as np
import pytest

from inference.processes import REGION, Mixture, learnt
from steps.inference import cross_fitted
from steps.inference.cross_fitted import Sample
from steps.inference.frames import Frame
from steps.inference.likelihood import Densities
from steps.inference.morphing.fit import Options
from steps.inference.nuisance import breakdown, systematics, tables
from steps.inference.nuisance.systematics import Model, Nuisance
from steps.inference.targets import Target

TOY = Mixture()
LUMINOSITY = 200.0
TARGET = Target(REGION, np.zeros(1), LUMINOSITY, (True, False))
NUISANCES = list(map(Nuisance.of, TOY.described))
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
def model():
    drawn = TOY.draw(6000)
    events = drawn.events() | drawn.variations().to_arrays()
    networks, _ = cross_fitted.train(events, TARGET, OPTIONS)
    fold = np.arange(len(events["x"])) % 4
    responses = learnt(events, fold).unseen(events["x"], fold)
    rates = systematics.rates_of_bags(events, networks.processes, networks.multiplicity)
    return Model(Sample.of(networks, events, responses), rates, NUISANCES)


@pytest.fixture(scope="module")
def found(model):
    frame = Frame(TARGET, [41])
    return systematics.limits(model, frame) | frame.arrays(600.0)


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


def test_a_source_that_is_left_out_is_of_no_effect(model, found):
    """A systematic that touches nothing leaves limits with all others as they are."""
    idle = [*NUISANCES[:2], Nuisance("energy", "energy", [], 0.0)]
    without = systematics.limits(Model(model.sample, model.rates, idle), Frame(TARGET, [41]))
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
