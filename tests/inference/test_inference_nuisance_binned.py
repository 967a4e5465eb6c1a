"""Limits of the rate, of histograms and of scores with systematic uncertainties, against exact."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from inference.processes import (
    BENCHMARKS,
    EXPONENTS,
    REGION,
    Mixture,
    averaged,
    given,
    learnt,
    observe,
)
from steps.inference import clipping, histograms
from steps.inference.analysis import Analysis, Parts
from steps.inference.clipping import Cuts, Scanned
from steps.inference.cross_fitted import Rates
from steps.inference.frames import Frame
from steps.inference.histograms import Histogram
from steps.inference.judging import Case, Names
from steps.inference.likelihood import Densities
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import Part, Processes
from steps.inference.morphing.responses import Response
from steps.inference.morphing.variations import Nominal
from steps.inference.nuisance import binned, breakdown, scores
from steps.inference.nuisance.binned import Responding
from steps.inference.nuisance.likelihood import Data
from steps.inference.nuisance.scores import Scores
from steps.inference.nuisance.systematics import Limits, Nuisance
from steps.inference.references import References
from steps.inference.responding import Varied
from steps.inference.simulation import Simulation
from steps.inference.targets import Target

TOY = Mixture()
LUMINOSITY = 200.0
SM = np.zeros(1)
TARGET = Target(REGION, SM, LUMINOSITY, (True, False))
FRAME = Frame(TARGET, [41])
NUISANCES = list(map(Nuisance.of, TOY.described))
GROUPS = {each.source: [k] for k, each in enumerate(NUISANCES)}
NAMES = {True: "with_rate", False: "kinematics"}


@pytest.fixture(scope="module")
def made():
    drawn = TOY.draw(8000)
    events = drawn.events() | drawn.variations().to_arrays()
    fold = np.random.default_rng(3).permutation(len(events["x"])) % 4
    simulation = Simulation.of(events, REGION, 2, np.random.default_rng(2))
    response = learnt(events, fold).unseen(events["x"], fold)
    nominal = Varied.of(events, averaged, fold).nominal
    return events, Responding.of(simulation, events, nominal, response, NUISANCES)


@pytest.fixture(scope="module")
def responding(made):
    return made[1]


@pytest.fixture(scope="module")
def references(responding):
    columns = {"histogram": [0], "reference": [0]}
    return References(responding.simulation, responding.nominal.fold, columns)


@pytest.fixture(scope="module")
def histogram(responding):
    return Histogram.of(responding.simulation, [0], responding.nominal.fold)


def statistical(histogram, *, with_rate):
    return histograms.likelihoods(histogram, REGION, SM, LUMINOSITY, with_rate=with_rate)


def rate_alone(responding, luminosity=LUMINOSITY):
    """The likelihoods of the number of events, as those of one bin."""
    polynomial = responding.simulation.polynomial
    return [
        Densities(polynomial, REGION, polynomial.weights(SM[None]) @ rate, rate[None], rate, rate)
        for rate in responding.simulation.rates(luminosity)
    ]


# ------------------------------------------------------------------ histograms
@pytest.mark.parametrize("with_rate", [True, False])
def test_at_nu_zero_it_is_the_likelihood_without(responding, histogram, with_rate):
    points = np.linspace(-0.9, 0.9, 9)[:, None]
    model = responding.of_histogram(histogram)
    for bag, plain in enumerate(statistical(histogram, with_rate=with_rate)):
        found = model.joint(plain, bag, LUMINOSITY).value(np.hstack([points, np.zeros((9, 3))]))
        expected = plain(points)
        np.testing.assert_allclose(found - found[4], expected - expected[4], atol=1e-6)


@pytest.mark.parametrize("with_rate", [True, False])
def test_histogram_limits_are_those_of_the_closed_form(responding, histogram, with_rate):
    """Errors are those of 8000 events of each process; bins lose little."""
    plain = statistical(histogram, with_rate=with_rate)
    found = Limits.of(responding.of_histogram(histogram), FRAME, NAMES[with_rate], plain).arrays
    joint = TOY.joint(LUMINOSITY, with_rate=with_rate)
    right = breakdown.fit(joint, SM)
    split = breakdown.split(joint, right, GROUPS)
    best, _, parts = breakdown.from_arrays(found, NAMES[with_rate])
    np.testing.assert_allclose(parts.total, split.total, rtol=0.08)
    np.testing.assert_allclose(parts.statistics, split.statistics, rtol=0.08)
    np.testing.assert_allclose(best.pulls[:, 1], right.pulls[:, 1], atol=0.05)
    for source, errors in split.groups.items():
        np.testing.assert_allclose(parts.groups[source], errors, atol=0.1 * split.total.max())
    key = f"systematics/{NAMES[with_rate]}"
    assert np.isfinite(found[f"uncertainty/{key}"]).all()
    assert found[f"spline_error/{NAMES[with_rate]}"] < 0.02


# ------------------------------------------------------------------ the rate
def test_the_rate_is_one_bin_of_the_simulated_cross_sections(responding):
    """Profiled by hand: N ln S - S - |nu|^2 / 2 with S = sum_p S_p(theta) exp(a nu + b nu^2)."""
    plain = rate_alone(responding)
    found = Limits.of(responding.of_rate(), FRAME, "rate", plain).arrays
    polynomial, rates = responding.simulation.polynomial, responding.rates[0]

    def expected(theta, nu):
        monomials = polynomial.weights(np.array([[theta]]))[0]
        total = 0.0
        for of in rates.values():
            at = monomials if len(of.nominal) > 1 else np.ones(1)
            logs = np.log(of.varied @ at / (of.nominal @ at))
            exponent = logs @ [0.5, -0.5] @ nu + logs @ [0.5, 0.5] @ nu**2
            total += LUMINOSITY * (of.nominal @ at) * np.exp(exponent)
        return total

    n = expected(0.0, np.zeros(3))

    def poisson(s):
        return 2 * (s - n - n * np.log(s / n))

    def q(theta):
        return minimize(lambda nu: poisson(expected(theta, nu)) + nu @ nu, np.zeros(3)).fun

    high = brentq(lambda theta: q(theta) - 1, 0.01, 0.9)
    pieces = found["intervals/systematics/rate/profiled/68"]
    # theta = 0 is next to the least rate: the interval reaches from beyond that.
    assert pieces[-1, 2] == pytest.approx(high, abs=0.003)
    alone = brentq(lambda theta: poisson(expected(theta, np.zeros(3))) - 1, 0.01, 0.9)
    assert high > 1.2 * alone


def test_a_normalisation_adds_in_quadrature(responding):
    """error^2 = (S + (S_b ln kappa)^2) / S'^2 of many events and a small kappa."""
    luminosity, log_kappa = 1e7, 1e-3
    idle = [replace(each, processes=[]) for each in NUISANCES]
    norm = replace(NUISANCES[1], log_kappa=log_kappa)
    model = replace(responding.of_rate(), nuisances=[idle[0], norm, idle[2]])
    frame = Frame(replace(TARGET, luminosity=luminosity), [5])
    found = Limits.of(model, frame, "rate", rate_alone(responding, luminosity)).arrays
    _, _, parts = breakdown.from_arrays(found, "rate")
    polynomial, total = responding.simulation.polynomial, responding.simulation.rates(luminosity)[0]
    slope = polynomial.weight_gradients(SM)[0] @ total
    count = polynomial.weights(SM[None])[0] @ total
    background = luminosity * responding.rates[0]["background"].nominal[0] * log_kappa
    np.testing.assert_allclose(parts.statistics, np.sqrt(count) / slope, rtol=0.01)
    np.testing.assert_allclose(parts.groups["norm"], background / slope, rtol=0.01)
    np.testing.assert_allclose(parts.total, np.hypot(np.sqrt(count), background) / slope, rtol=0.01)


# ------------------------------------------------------------------ observed events
def seen(nu, seed=3, luminosity=LUMINOSITY, theta=0.0):
    return observe(TOY, luminosity, theta, nu, np.random.default_rng(seed))


def quiet(_done):
    pass


@pytest.mark.parametrize("with_rate", [True, False])
def test_observed_at_nu_zero_it_is_the_likelihood_without(responding, histogram, with_rate):
    points, x = np.linspace(-0.9, 0.9, 9)[:, None], seen((0, 0, 0))[:, None]
    model = responding.of_histogram(histogram)
    data = binned.seen(model, histogram, x)
    options = (x, REGION, LUMINOSITY)
    plain = histograms.observed_likelihoods(histogram, *options, with_rate=with_rate)
    for bag, each in enumerate(plain):
        joint = model.joint(each, bag, LUMINOSITY, data)
        found = joint.value(np.hstack([points, np.zeros((9, 3))]))
        expected = each(points)
        np.testing.assert_allclose(found - found[4], expected - expected[4], atol=1e-6)


@pytest.mark.parametrize("nu", [(0, 0, 1), (1, -1, 0)])
def test_a_histogram_pulls_injected_nu_as_the_closed_form_does(responding, references, nu):
    """2 400 events in 32 bins, of a simulation of six times as many."""
    luminosity = 4 * LUMINOSITY
    target = replace(TARGET, luminosity=luminosity, rates=(True,))
    x = seen(nu, seed=5, luminosity=luminosity)
    curves = references.observed_likelihoods(target, x[:, None])
    found = binned.limits(responding, references, Frame(target, [5]), curves, x[:, None], quiet)
    best, _, parts = breakdown.from_arrays(found, "observed/reference/with_rate")
    joint = given(TOY, x, (0, 0, 0), luminosity)
    right = breakdown.fit(joint, SM)
    np.testing.assert_allclose(best.pulls[:, 0], right.pulls[:, 0], atol=0.35)
    np.testing.assert_allclose(best.pulls[:, 1], right.pulls[:, 1], atol=0.08)
    np.testing.assert_allclose(parts.total, breakdown.split(joint, right, GROUPS).total, rtol=0.15)
    q, p_value, by_toys, n_toys = found["truth/systematics/observed/reference/with_rate"]
    assert p_value == pytest.approx(chi2.sf(q, df=1))
    assert q >= 0
    assert np.isnan(by_toys)
    assert n_toys == 0


def test_the_rate_is_pulled_by_the_number_of_observed_events(responding, references):
    """What theta cannot explain, as the rate has a minimum; see the rate above."""
    target = replace(TARGET, rates=(True,))
    few = seen((0, 0, 0))[::2, None]
    curves = references.observed_likelihoods(target, few)
    found = binned.limits(responding, references, FRAME, curves, few, quiet)
    best, _, _ = breakdown.from_arrays(found, "observed/rate")
    (plain, *_) = rate_alone(responding)
    joint = responding.of_rate().joint(plain, 0, LUMINOSITY)
    fewest = joint.of(Data(np.array([float(len(few))]), np.zeros(3)))
    right = breakdown.fit(fewest, SM)
    np.testing.assert_allclose(best.pulls, right.pulls, atol=1e-3)
    assert best.pulls[1, 0] < -1


# ------------------------------------------------------------------ below a cut
CUT = 1.0


def scanned(responding, references):
    names = Names(["theta"], ["x"], ["zero", "one", "minus"])
    simulation = responding.simulation
    return Scanned(
        Case(FRAME, REGION, simulation.weights, names),
        simulation.x[:, 0],
        simulation.multiplicity,
        lambda kept: references.taken(kept).likelihoods(TARGET),
    )


def test_limits_below_a_cut_are_those_of_the_closed_form_there(made, references):
    """Shifts of the energy move events across the cut."""
    events, responding = made
    below = responding.below(events, 0, CUT)
    part = references.taken(responding.simulation.x[:, 0] < CUT)
    model = binned.models(below, part)["reference"]
    plain = part.likelihoods(TARGET)["reference/with_rate"]
    found = Limits.of(model, FRAME, "cut", plain).arrays
    joint = TOY.joint(LUMINOSITY, with_rate=True, below=CUT)
    split = breakdown.split(joint, breakdown.fit(joint, SM), GROUPS)
    _, _, parts = breakdown.from_arrays(found, "cut")
    np.testing.assert_allclose(parts.total, split.total, rtol=0.1)
    np.testing.assert_allclose(parts.statistics, split.statistics, rtol=0.1)
    for source, errors in split.groups.items():
        np.testing.assert_allclose(parts.groups[source], errors, atol=0.1 * split.total.max())


def test_a_scan_has_limits_with_systematics_and_is_wider(made, references):
    events, responding = made
    cuts = Cuts("x", np.array([CUT, np.inf]), np.stack([REGION] * 2))
    plain = scanned(responding, references)
    alone = clipping.scan(plain, cuts)
    found = binned.clipped(responding, references, events, plain, cuts, 0)
    whole = Limits.of(
        responding.of_histogram(references.filled["reference"]),
        FRAME,
        "all",
        references.likelihoods(TARGET)["reference/with_rate"],
    ).arrays
    key = "clip/1/intervals/systematics/reference/with_rate/profiled/68"
    np.testing.assert_allclose(
        found[key], whole["intervals/systematics/all/profiled/68"], atol=1e-4
    )
    names = ("rate", "reference/with_rate", "histogram/kinematics")
    for name, number, level in product(names, range(2), ("68", "95")):
        end = f"clip/{number}/intervals/{{}}{name}/profiled/{level}"
        low, high = found[end.format("systematics/")][0, 1:3]
        least, most = alone[end.format("")][0, 1:3]
        assert high - low >= most - least - 1e-3


# ------------------------------------------------------------------ scores
@pytest.fixture(scope="module")
def analysis(responding):
    simulation = responding.simulation
    n = len(simulation.x)
    # All events fill bins and are expected, so that one sample's noise is in both.
    return Analysis(simulation, Parts(np.arange(n), np.arange(n)), TARGET, FRAME.points)


def exact_scores(x):
    """Scores of theta and nu at zero of all events."""

    def density(theta):
        return TOY.total(x, theta).sum(axis=0)

    fine = np.linspace(TOY.cut, 8, 4000)
    sigma = [TOY.total(fine, theta).sum() for theta in (0.01, -0.01)]
    theta = np.log(density(0.01) / density(-0.01)) / 0.02 - np.log(sigma[0] / sigma[1]) / 0.02
    shares = TOY.total(x, 0.0) / density(0.0)
    linear = [(TOY.response(x, k, 1) - TOY.response(x, k, -1)) / 2 for k in range(3)]
    nu = np.stack([(shares * each).sum(axis=0) for each in linear], axis=-1)
    return Scores(theta[:, None], nu, SM)


@pytest.mark.parametrize("name", ["with_rate", "kinematics"])
def test_limits_of_the_hardened_score_are_those_of_the_closed_form(responding, analysis, name):
    """In one observable its bins are bins of x: near zero nothing is lost."""
    found = scores.limits(analysis, responding, exact_scores(analysis.scored[:, 0]), FRAME)
    _, _, parts = breakdown.from_arrays(found, name)
    joint = TOY.joint(LUMINOSITY, with_rate=name == "with_rate")
    right = breakdown.split(joint, breakdown.fit(joint, SM), GROUPS)
    assert (parts.total > parts.statistics).all()
    np.testing.assert_allclose(parts.total, right.total, rtol=0.12)
    np.testing.assert_allclose(parts.statistics, right.statistics, rtol=0.12)


def test_hardening_keeps_what_nu_would_take():
    """t_theta = x + y, t_nu = s y, of standard normal x, y and N events.

    In bins of x + y the information is 2 N / (1 + N s^2 / 2): theta and nu do the same; the
    hardened score has all of it, 2 N - N^2 s^2 / (1 + N s^2).
    """
    n, count, s = 40_000, 400.0, 0.3
    x = np.random.default_rng(5).normal(size=(n, 2))
    polynomial = Polynomial.of(EXPONENTS, REGION)
    amplitude = 1 + BENCHMARKS.T * x.sum(axis=1, keepdims=True) / 2
    coefficients = polynomial.coefficients(amplitude**2 / n, BENCHMARKS)
    simulation = Simulation(x, coefficients, polynomial, np.ones((1, n)))
    ratios = np.exp(s * x[:, 1:] * [1, -1])
    rates = {"signal": Rates(coefficients.sum(axis=0), (ratios.T @ coefficients)[None])}
    responding = Responding(
        simulation,
        Nominal(x, np.full(n, 1 / n), Part.alone(n), np.arange(n) % 2),
        Response(s * x[None, :, 1:], np.zeros((1, n, 1))),
        Processes(polynomial, {"signal": True}),
        [rates],
        [Nuisance("tilt", "tilt", None, 0.0)],
    )
    target = Target(REGION, SM, count, (False,))
    rows = np.arange(n)
    analysis = Analysis(simulation, Parts(rows, rows), target, SM[None])
    at = analysis.scored
    exact = Scores(at.sum(axis=1, keepdims=True), s * at[:, 1:], SM)
    information = s**2 * count
    for scored, right in (
        (exact, 2 * count - count * information / (1 + information)),
        (replace(exact, nu=0 * exact.nu), 2 * count / (1 + information / 2)),
    ):
        found = scores.limits(analysis, responding, scored, Frame(target, [5]))
        _, _, parts = breakdown.from_arrays(found, "kinematics")
        np.testing.assert_allclose(parts.total.mean(), right**-0.5, rtol=0.07)


def test_bins_of_scores_without_nu_are_the_likelihood_without(responding, analysis):
    bins = analysis.bins(exact_scores(analysis.scored[:, 0]).theta)
    model = responding.of_scores(analysis, bins)
    points = np.linspace(-0.9, 0.9, 9)[:, None]
    for bag, plain in enumerate(analysis.binned(bins)):
        found = model.joint(plain, bag, LUMINOSITY).value(np.hstack([points, np.zeros((9, 3))]))
        expected = plain(points)
        np.testing.assert_allclose(found - found[4], expected - expected[4], atol=1e-6)
