"""Limits given observed events: injected points are recovered, good fits are good."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2 as distribution
from scipy.stats import kstest

from inference.exact import exact_sample
from inference.toys import Toy, analysed
from steps.inference import (
    cross_fitted,
    goodness,
    histograms,
    intervals,
    observing,
    pseudo_data,
    pseudo_experiments,
)
from steps.inference.frames import Frame
from steps.inference.goodness import Expected, Fit, Quantity
from steps.inference.histograms import Histogram
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.observing import Data, Experiment
from steps.inference.pseudo_experiments import Model
from steps.inference.simulation import Simulation
from steps.inference.statistics import grid
from steps.inference.targets import Target

REGION = np.array([[-1.0, 1.0]] * 2)
INJECTED = np.array([0.3, -0.2])
LUMINOSITY = 50.0


@pytest.fixture(scope="module")
def exact(toy):
    """Events of the toy as networks that know the density have them."""
    return exact_sample(toy)


def densities(sample, rows):
    return sample.events.densities[:, rows]


def observed(sample, rows, with_rate):
    """Return the likelihood given events of the simulation."""
    (found,) = cross_fitted.observed_likelihoods(
        sample, densities(sample, rows), REGION, LUMINOSITY, with_rate=with_rate
    )
    return found


def p_values(sample, n, with_rate, rng, injected=INJECTED):
    """Return p-values of the injected point in pseudo-experiments, by toys."""
    weights = sample.weights(injected[None])[0]
    axes = [np.linspace(-1, 1, 25)] * 2
    likelihood = replace(
        observed(sample, np.arange(len(weights)), with_rate), counts=np.ones(len(weights))
    )
    model = Model(likelihood, axes, lambda theta: LUMINOSITY * sample.weights(theta[None])[0])
    toys = pseudo_experiments.experiments(model.table, model.at(injected), 2000, rng)
    found = []
    for _ in range(n):
        rows = pseudo_data.draw_from(weights, LUMINOSITY, rng).rows
        given = observed(sample, rows, with_rate)
        best, _ = intervals.best_fit(given)
        q, _ = observing.distance(given, best, injected)
        found.append(np.mean(toys >= q))
    return np.array(found)


@pytest.mark.parametrize("with_rate", [True, False])
def test_injected_points_are_recovered(exact, with_rate):
    p = p_values(exact[0], 60, with_rate, np.random.default_rng(1))
    assert kstest(p, "uniform").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("with_rate", [True, False])
@pytest.mark.parametrize("injected", [(0.0, 0.0), (0.3, -0.2), (-0.4, 0.1)])
def test_p_values_of_the_truth_are_uniform(exact, with_rate, injected):
    """Over 500 pseudo-experiments, that are fitted otherwise than the toys."""
    p = p_values(exact[0], 500, with_rate, np.random.default_rng(2), np.array(injected))
    # One of six, of which the least is compared: 18 others were as uniform as they should be.
    assert kstest(p, "uniform").pvalue > 0.001


def test_a_point_that_is_far_is_excluded(exact):
    sample, rng = exact[0], np.random.default_rng(3)
    weights = sample.weights(np.array([[0.8, 0.4]]))[0]
    given = observed(sample, pseudo_data.draw_from(weights, 3 * LUMINOSITY, rng).rows, True)
    best, _ = intervals.best_fit(given)
    q, p = observing.distance(given, best, np.zeros(2))
    assert q > 10
    assert p < 0.01


def test_observed_events_as_expected_give_the_expected_limits(exact):
    """As many events as a large luminosity expects are the expected data, nearly."""
    sample, rng = exact[0], np.random.default_rng(4)
    weights = sample.weights(np.zeros((1, 2)))[0]
    rows = rng.choice(len(weights), 20_000, p=weights / weights.sum())
    luminosity = 20_000 / weights.sum()
    points = grid(0.05 * REGION, [5, 5])
    for with_rate in (True, False):
        (expected,) = cross_fitted.likelihoods(
            sample, REGION, np.zeros(2), luminosity, with_rate=with_rate
        )
        (given,) = cross_fitted.observed_likelihoods(
            sample, densities(sample, rows), REGION, luminosity, with_rate=with_rate
        )
        widths = []
        for likelihood in (expected, given):
            found = intervals.intervals([likelihood], [0.0, 0.0])
            widths.append([e.pieces["68"][0].high - e.pieces["68"][0].low for e in found.profiled])
        np.testing.assert_allclose(widths[1], widths[0], rtol=0.03)
        # Within the fluctuation of so many events.
        best, _ = intervals.best_fit(given)
        assert observing.distance(given, best, np.zeros(2))[0] < 9
        assert np.isfinite(given(points)).all()


# ------------------------------------------------------------------------------ goodness of fit


def experiment(sample, x, rows, n_toys):
    frame = Frame(Target(REGION, np.zeros(2), LUMINOSITY, (True, False)), [9, 9])
    data = Data(x[rows], densities(sample, rows))
    return Experiment(sample, x, ["x0", "x1"], frame, data, n_toys)


def fitted(sample, x, rows, with_rate, rng, n_toys=100):
    given = observed(sample, rows, with_rate)
    best, _ = intervals.best_fit(given)
    return observing.toys(experiment(sample, x, rows, n_toys), given, best, rng)


@pytest.fixture(scope="module")
def tested(small):
    """P-values of the truth and of the fit in pseudo-experiments that the theory made."""
    (sample, x), rng = exact_sample(small), np.random.default_rng(5)
    weights = sample.weights(INJECTED[None])[0]
    found = []
    for _ in range(40):
        rows = pseudo_data.draw_from(weights, LUMINOSITY, rng).rows
        _, told = fitted(sample, x, rows, True, rng)
        found.append({name: row[-1] for name, row in told.items()})
    return found


@pytest.mark.parametrize("name", ["x0", "x1", observing.OUTPUT, goodness.ALL])
def test_p_values_of_good_fits_are_uniform(tested, name):
    p = [each[name] for each in tested]
    assert min(p) > 0
    assert kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("with_rate", [True, False])
def test_a_distorted_observable_is_no_good_fit(small, with_rate):
    (sample, x), rng = exact_sample(small), np.random.default_rng(6)
    rows = pseudo_data.draw_from(sample.weights(np.zeros((1, 2)))[0], LUMINOSITY, rng).rows
    wrong = x.copy()
    wrong[rows, 1] = 0.2 * wrong[rows, 1]
    given = observed(sample, rows, with_rate)
    best, _ = intervals.best_fit(given)
    made = experiment(sample, x, rows, 200)
    made = replace(made, data=replace(made.data, x=wrong[rows]))
    p_truth, told = observing.toys(made, given, best, rng)
    assert 0 < p_truth <= 1
    assert told["x1"][-1] < 0.02
    assert told[goodness.ALL][-1] < 0.05
    assert told["x0"][-1] > 0.01


def test_chi2_is_that_of_baker_and_cousins():
    """Two bins, by hand: 10 and 10 expected, 14 and 9 observed."""
    simulated = np.repeat([0.0, 1.0], 100)
    polynomial = exact_polynomial()
    coefficients = np.zeros((200, 6))
    # The constant, wherever it stands.
    coefficients[:, polynomial.exponents.sum(axis=1) == 0] = 0.1
    values = Quantity(simulated, np.repeat([0.0, 1.0], [14, 9]))
    zero = np.zeros(2)
    rng = np.random.default_rng(1)
    for with_rate, nu in ((True, 10.0), (False, 11.5)):
        told = goodness.test(
            {"a": values},
            Expected(polynomial, coefficients),
            Fit(zero, zero),
            1000,
            rng,
            with_rate=with_rate,
        )
        chi2 = 2 * (2 * nu - 23 + 14 * np.log(14 / nu) + 9 * np.log(9 / nu))
        assert told["a"][0] == pytest.approx(chi2)
        assert told["a"][1] == 2
        expected = distribution.sf(chi2, df=2 if with_rate else 1)
        assert told["a"][2] == pytest.approx(expected, abs=0.06)
    none = goodness.test(
        {"a": values}, Expected(polynomial, coefficients), Fit(zero, zero), 0, rng, with_rate=True
    )
    assert np.isnan(none["a"][2])
    assert np.isnan(none[goodness.ALL][-1])


def exact_polynomial():
    exponents = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])
    return Polynomial.of(exponents, REGION)


# ----------------------------------------------------------------------------- other likelihoods


def test_histograms_given_simulated_events_say_what_they_expect(toy):
    """Events drawn as often as they are expected give the expected likelihood, nearly."""
    sample, x = exact_sample(toy, n_bags=2)
    simulation = Simulation(
        x, sample.coefficients, sample.events.polynomial, sample.events.multiplicity
    )
    histogram = Histogram.of(simulation, [0, 1], np.arange(len(x)) % 4)
    weights, rng = sample.weights(np.zeros((1, 2)))[0], np.random.default_rng(7)
    rows = rng.choice(len(x), 20_000, p=weights / weights.sum())
    luminosity = 20_000 / weights.sum()
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, -0.1]])
    for with_rate in (True, False):
        options = (REGION, luminosity)
        expected = histograms.likelihoods(
            histogram, REGION, np.zeros(2), luminosity, with_rate=with_rate
        )
        given = histograms.observed_likelihoods(histogram, x[rows], *options, with_rate=with_rate)
        assert len(given) == len(expected) == 3
        for one, other in zip(expected, given, strict=True):
            a, b = one(points), other(points)
            # Relative to a q of some hundreds.
            np.testing.assert_allclose(b - b[0], a - a[0], rtol=0.25, atol=15)


def test_ratio_networks_judge_observed_events_as_expected_ones(toy):
    """Of the test events themselves, unweighted, nothing but their counts differs."""
    points = grid(REGION * 0.5, [5, 5])
    analysis = analysed(toy, [0.0, 0.0], points, n_bags=2)
    known = Toy(2)
    seen = analysis.simulation.x[analysis.parts.test][:40]
    both = replace(analysis, observed=seen)

    def log_ratio(x, at):
        return np.stack([known.log_ratio(x, theta) for theta in at])

    alone, found = (each.of_ratio(log_ratio, [np.zeros(2)]) for each in (analysis, both))
    np.testing.assert_allclose(found[:3], alone, rtol=1e-10, atol=1e-10)
    direct = log_ratio(seen, points).sum(axis=1)
    # The norm of an exact ratio is one.
    np.testing.assert_allclose(found[3], direct, atol=40 * 0.03)
    rates = both.rate()
    np.testing.assert_array_equal(rates[:3], analysis.rate())
    expected = analysis.simulation.rates(50.0)[0] @ analysis.simulation.polynomial.weights(points).T
    np.testing.assert_allclose(rates[3], 40 * np.log(expected) - expected)
    for name in ("of_score", "of_projection"):
        more = [np.zeros(2)] if name == "of_projection" else []
        alone, found = (getattr(each, name)(known.score, *more) for each in (analysis, both))
        assert found.shape == (6, 25)
        np.testing.assert_allclose(found[:3], alone, rtol=1e-10)
        best = points[found[3].argmax()]
        assert np.abs(best).max() <= 0.5


# ----------------------------------------------------------------------------------- pseudo-data


def test_pseudo_data_are_poisson_and_as_the_weights():
    rng = np.random.default_rng(8)
    weights = rng.uniform(0, 1, 50_000) / 50_000
    counts, drawn_at = [], np.zeros(2)
    for _ in range(400):
        drawn = pseudo_data.draw_from(weights, 60.0, rng)
        counts.append(len(drawn.rows))
        assert len(np.unique(drawn.rows)) == len(drawn.rows)
        drawn_at += np.bincount(weights[drawn.rows] > 0.5 / 50_000, minlength=2)
    assert np.mean(counts) == pytest.approx(30, abs=4 * np.sqrt(30 / 400))
    assert np.var(counts) == pytest.approx(30, rel=0.3)
    # Three quarters of the weight is in the heavier half.
    assert drawn_at[1] / drawn_at.sum() == pytest.approx(0.75, abs=0.02)


def test_pseudo_data_are_of_kept_events_where_these_are_enough():
    rng = np.random.default_rng(9)
    weights = np.full(10_000, 1e-4)
    drawn = pseudo_data.draw(weights, 100.0, rng)
    assert drawn.kept
    assert drawn.enough
    assert drawn.expected == pytest.approx(100.0)
    assert drawn.rows.min() >= 8_000
    drawn = pseudo_data.draw(weights, 500.0, rng)
    assert (drawn.kept, drawn.enough) == (False, True)
    drawn = pseudo_data.draw(weights, 2000.0, rng)
    assert (drawn.kept, drawn.enough) == (False, False)


@pytest.mark.parametrize(
    ("luminosity", "message"), [(2e4, "only 10000 are simulated"), (0.0, "no event is expected")]
)
def test_pseudo_data_that_cannot_be(luminosity, message):
    with pytest.raises(ValueError, match=message):
        pseudo_data.draw(np.full(10_000, 1e-4), luminosity, np.random.default_rng(1))
