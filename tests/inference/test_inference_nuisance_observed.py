"""Limits with systematic uncertainties given observed events, against a closed form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from inference.processes import (
    BENCHMARKS,
    NUISANCES,
    REGION,
    Mixture,
    exact_data,
    exact_model,
    given,
    observe,
)
from steps.inference import cross_fitted, goodness
from steps.inference.evaluation import Evaluated
from steps.inference.frames import Frame
from steps.inference.judging import Names
from steps.inference.nuisance import breakdown, experiments, systematics
from steps.inference.nuisance.profiling import Profiled
from steps.inference.observing import Experiment
from steps.inference.targets import Target

TOY = Mixture()
LUMINOSITY = 200.0
TRUTH = np.zeros(1)
FRAME = Frame(Target(REGION, TRUTH, LUMINOSITY, (True, False)), [21])


@pytest.fixture(scope="module")
def made():
    """Events as networks that know densities and responses have them."""
    return exact_model(TOY, 4000, n_bags=2)


def joint(model, seen, with_rate=True, luminosity=LUMINOSITY):
    options = (REGION, luminosity)
    (statistical, *_) = cross_fitted.observed_likelihoods(
        model.sample, seen.densities, *options, with_rate=with_rate
    )
    return model.joint(statistical, 0, luminosity, seen)


def drawn(nu, seed, luminosity=LUMINOSITY, theta=0.0):
    return observe(TOY, luminosity, theta, nu, np.random.default_rng(seed))


@pytest.mark.parametrize("with_rate", [True, False])
def test_expected_counts_of_the_events_give_the_expected_likelihood(made, with_rate):
    model, x = made
    options = (REGION, TRUTH, LUMINOSITY)
    expected = cross_fitted.likelihoods(model.sample, *options, with_rate=with_rate)
    seen = exact_data(TOY, x[:, 0], n_bags=2)
    points = np.random.default_rng(2).uniform(-1, 1, (5, 4))
    for bag, statistical in enumerate(expected):
        own = model.joint(statistical, bag, LUMINOSITY)
        other = model.joint(statistical, bag, LUMINOSITY, seen)
        assert other.data.rows is not None
        np.testing.assert_allclose(other.value(points), own.value(points), rtol=1e-9)


@pytest.mark.parametrize(
    ("nu", "auxiliary"), [((0, 0, 1), (0, 0, 0)), ((0, 0, 1), (0, 0, 1)), ((1, -1, 0), (0, 0, 0))]
)
def test_injected_nu_are_pulled_as_the_closed_form_says(made, nu, auxiliary):
    """Of one experiment of 6 000 events, which know the energy scale better than a measurement."""
    model, _ = made
    luminosity = 10 * LUMINOSITY
    x = drawn(nu, 3, luminosity)
    found = joint(model, exact_data(TOY, x, 2), luminosity=luminosity)
    found = found.of(replace(found.data, auxiliary=np.array(auxiliary, dtype=float)))
    fit = breakdown.fit(found, TRUTH)
    right = breakdown.fit(given(TOY, x, auxiliary, luminosity), TRUTH)
    # The simulation is not much larger than the data: half an error.
    np.testing.assert_allclose(fit.pulls[:, 0], right.pulls[:, 0], atol=0.3)
    np.testing.assert_allclose(fit.pulls[:, 1], right.pulls[:, 1], atol=0.05)
    np.testing.assert_allclose(fit.errors[0], right.errors[0], rtol=0.1)
    energy, error = fit.pulls[2]
    assert error < 0.5
    assert energy == pytest.approx(nu[2], abs=4 * error)


def test_profiled_intervals_of_observed_events_cover(made):
    """Each experiment has its own nu, and measurements about it."""
    model, _ = exact_model(TOY, 1000)
    rng, q = np.random.default_rng(4), []
    for _ in range(80):
        nu = np.zeros(3)
        seen = exact_data(TOY, observe(TOY, 50.0, 0.0, nu, rng))
        found = joint(model, seen, luminosity=50.0)
        found = found.of(replace(found.data, auxiliary=rng.normal(nu, 1.0)))
        best = breakdown.fit(found, TRUTH)
        q.append(2 * (best.value - Profiled(found)(TRUTH[None])[0]))
    assert min(q) > -1e-3
    assert kstest(chi2.sf(np.maximum(q, 0.0), df=1), "uniform").pvalue > 0.01


# ------------------------------------------------------------------------ what the stage is told
def evaluated(made, seen):
    model, x = made
    names = Names(["theta"], ["x"], ["zero", "one", "minus"])
    return Evaluated(model.sample, x, BENCHMARKS, FRAME, names, seen)


@pytest.fixture(scope="module")
def told(made):
    seen = exact_data(TOY, drawn((0, 0, 0), 5), 2)
    return systematics.limits(
        made[0], evaluated(made, seen), 40, lambda *purpose: np.random.default_rng(6)
    )


def test_observed_limits_have_all_that_expected_ones_have(told):
    expected = {key for key in told if "observed" not in key and "coverage" not in key}
    observed = {
        key.replace("systematics/observed/", "systematics/")
        .replace("nuisance/observed/", "nuisance/")
        .replace("spline_error/observed/", "spline_error/")
        for key in told
        if "observed" in key
    }
    assert expected - {"nuisance/names"} <= observed
    for name in ("with_rate", "kinematics"):
        q, wilks, p, n_toys = told[f"truth/systematics/observed/{name}"]
        assert wilks == pytest.approx(chi2.sf(q, df=1))
        assert 0 < p <= 1
        assert n_toys == 40
        assert told[f"goodness/systematics/observed/{name}/{goodness.ALL}"][-1] > 0.02
        (row,) = told[f"coverage/systematics/{name}"]
        assert row[1] == pytest.approx(0.68, abs=0.25)
        assert np.isnan(row[5:]).all()
        _, shifts, parts = breakdown.from_arrays(told, f"observed/{name}")
        assert shifts.shape == (3, 1, 4)
        assert (parts.total >= parts.statistics).all()


@pytest.mark.parametrize(("nu", "luminosity"), [(0.0, 40.0), (2.0, LUMINOSITY)])
def test_fits_are_good_with_nu_and_not_with_another_shape(made, nu, luminosity):
    """A scale that is off by two of its errors is no bad fit; an observable that is squeezed is."""
    model, x = made
    rng = np.random.default_rng(7)
    at = drawn((0, 0, nu), 8, luminosity)
    for values, is_good in ((at, True), (np.where(np.abs(at - 0.4) < 0.3, 0.4, at), False)):
        seen = exact_data(TOY, values, 2)
        found = joint(model, seen, luminosity=luminosity)
        best = breakdown.fit(found, TRUTH)
        experiment = Experiment(model.sample, x, ["x"], FRAME, seen, 60)
        _, tested = experiments.observed(experiment, found, best, rng)
        assert bool(tested["x"][-1] > 0.02) is is_good


def test_without_experiments_p_values_are_not_known(made):
    model, x = made
    seen = exact_data(TOY, drawn((0, 0, 0), 9), 2)
    found = joint(model, seen)
    experiment = Experiment(model.sample, x, ["x"], FRAME, seen, 0)
    truth, tested = experiments.observed(
        experiment, found, breakdown.fit(found, TRUTH), np.random.default_rng(1)
    )
    assert np.isfinite(truth[:2]).all()
    assert np.isnan([truth[2], tested[goodness.ALL][-1]]).all()
    assert len(NUISANCES) == found.n_nuisance
