"""Coverage of profiled likelihoods in a toy whose shapes are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import expon, norm

from inference.nuisance_models import Source, histogram, random_joint
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.nuisance import toys
from steps.inference.nuisance.likelihood import Data
from steps.inference.pseudo_experiments import coverage

# A normal signal on an exponential background, in bins; theta is the signal's strength.
EDGES = np.linspace(0, 1, 21)
MIDDLES = 0.5 * (EDGES[1:] + EDGES[:-1])
SIGNAL = 120 * np.diff(norm(0.4, 0.1).cdf(EDGES))
BACKGROUND = 400 * np.diff(expon(scale=0.5).cdf(EDGES))
# Responses: of the background's number, its slope, and the signal's place.
LOG_KAPPA = np.log(1.2)
SLOPE = 0.3 * (MIDDLES - 0.5)
PLACE = 1.5 * (MIDDLES - 0.4)


def expected(theta, nu):
    """Numbers of events in closed form."""
    background = BACKGROUND * np.exp(LOG_KAPPA * nu[0] + SLOPE * nu[1])
    return theta * SIGNAL * np.exp(PLACE * nu[2]) + background


def linear(with_rate=True):
    """The toy's joint likelihood."""
    polynomial = Polynomial.of(np.array([[0], [1]]), np.array([[0.0, 2.0]]))
    # In the scaled parameter, theta = 1 + u.
    sources = [
        Source(SIGNAL[:, None] * [1.0, 1.0], {2: PLACE}),
        Source(BACKGROUND[:, None], {1: SLOPE}, {0: LOG_KAPPA}),
    ]
    data = Data(expected(1.0, np.zeros(3)), np.zeros(3))
    return histogram(polynomial, sources, data, with_rate=with_rate)


def truth(theta=1.0, nu=(0.0, 0.0, 0.0)):
    nu = np.array(nu)
    return toys.Truth(np.append(theta, nu), expected(theta, nu))


def rng(seed=1):
    return np.random.default_rng(seed)


def test_model_is_the_closed_form():
    for nu in ([0.0, 0.0, 0.0], [1.3, -0.7, 0.4]):
        parameters = np.array([0.8, *nu])
        np.testing.assert_allclose(linear().expected(parameters), expected(0.8, nu), rtol=1e-12)


@pytest.mark.parametrize("nu", [(0.0, 0.0, 0.0), (0.8, -1.2, 0.6)])
@pytest.mark.parametrize("with_rate", [True, False])
def test_profiled_intervals_cover(nu, with_rate):
    q = toys.experiments(linear(with_rate), truth(nu=nu), 5000, rng())
    covered, _ = coverage(q, 1.0)
    assert covered == pytest.approx(0.683, abs=0.015)
    covered, _ = coverage(q, 3.841)
    assert covered == pytest.approx(0.95, abs=0.01)


def test_without_nuisance_parameters_intervals_do_not_cover():
    """Of experiments whose nu are anywhere: it matters that they are profiled."""
    source = rng()
    counts = [source.poisson(expected(1.0, nu)) for nu in source.normal(0, 1, (2000, 3))]
    sources = [Source(SIGNAL[:, None] * [1.0, 1.0]), Source(BACKGROUND[:, None])]
    data = Data(np.array(counts, dtype=float), np.zeros(0))
    q = toys.q(histogram(linear().mixture.polynomial, sources, data), np.array([1.0]))
    assert coverage(q, 1.0)[0] < 0.55


def test_other_parameters_may_be_fitted_too():
    """q of one of two parameters has one degree of freedom, in a normal likelihood."""
    joint, many = random_joint(41, 2, size=0.3), 300.0
    processes = [
        replace(p, rate=many * p.rate, varied=many * p.varied) for p in joint.mixture.processes
    ]
    joint = replace(joint, mixture=replace(joint.mixture, processes=processes))
    at = np.array([0.2, -0.1, 0.3, 0.0, -0.5, 0.2, 0.1])
    made = toys.Truth(at, joint.expected(at))
    q = toys.experiments(joint, made, 1500, rng(), tested=np.array([True, False]))
    covered, error = coverage(q, 1.0)
    assert covered == pytest.approx(0.683, abs=3 * error)


def test_experiments_are_what_is_expected():
    made = truth(0.7, (0.5, -1.0, 2.0))
    data = toys.draw(made, 3, 20_000, rng())
    error = np.sqrt(made.expected / 20_000)
    assert (np.abs(data.counts.mean(axis=0) - made.expected) < 5 * error).all()
    assert (np.abs(data.auxiliary.mean(axis=0) - [0.5, -1.0, 2.0]) < 0.04).all()
    np.testing.assert_allclose(data.auxiliary.std(axis=0), 1, atol=0.03)


def test_some_rows_may_stand_for_all():
    joint = random_joint(42, n_rows=400)
    at = np.array([0.1, 0.2, *np.zeros(5)])
    size = joint.expected(at)
    fewer, rows = toys.thinned(joint, size, 100, rng())
    assert len(rows) == len(fewer.expected(at)) == pytest.approx(100, abs=1)
    assert fewer.expected(at).sum() == pytest.approx(size.sum(), rel=1e-12)
    at[2:] = np.eye(5)[3]
    totals = [of.expected(at).sum() for of in (fewer, joint)]
    assert totals[0] == pytest.approx(totals[1], rel=0.03)
    whole, rows = toys.thinned(joint, size, 1000, rng())
    np.testing.assert_array_equal(rows, np.arange(400))
    assert whole.expected(at).sum() == pytest.approx(totals[1])


def test_large_rows_are_among_few():
    """Rows of which ten have half of all events: their chance is one, and sums stay."""
    joint, n = random_joint(43, n_rows=500), 60
    size = np.where(np.arange(500) < 10, 49.0, 1.0)
    found = [toys.thinned(joint, size, n, rng(seed)) for seed in range(200)]
    assert all(set(range(10)) <= set(rows.tolist()) for _, rows in found)
    sums = [joint.mixture.multiplicity[:10].sum()] * 200
    np.testing.assert_allclose([of.mixture.multiplicity[:10].sum() for of, _ in found], sums)
    totals = np.array([of.mixture.multiplicity.sum() for of, _ in found])
    error = totals.std() / np.sqrt(200)
    assert totals.mean() == pytest.approx(joint.mixture.multiplicity.sum(), abs=4 * error)


def test_weights_of_rows_take_the_place_of_densities():
    """What is expected is the weight times the response, scaled to the process's number."""
    joint = random_joint(44, n_rows=50)
    source = rng()
    process = source.integers(0, 3, 50)
    c = len(joint.mixture.polynomial.exponents)
    weights = source.uniform(0.5, 1.5, (50, 1)) * np.where(
        joint.mixture.polynomial.exponents.sum(axis=1) == 0, 1.0, 0.0
    )
    assert weights.shape == (50, c)
    made = toys.of_weights(joint, weights, process, np.zeros(2))
    nominal = made.expected(np.zeros(7))
    for number, of in enumerate(joint.mixture.processes):
        own = process == number
        rate = (
            of.rate[0]
            if of.is_constant
            else of.rate @ joint.mixture.polynomial.weights(np.zeros((1, 2)))[0]
        )
        shares = weights[own].sum(axis=1) * joint.mixture.multiplicity[own]
        np.testing.assert_allclose(nominal[own], rate * shares / shares.sum())
    # A normalisation of all processes' own kappa.
    at = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    kappa = np.array([of.log_kappa[-1] for of in joint.mixture.processes])
    np.testing.assert_allclose(made.expected(at), nominal * np.exp(kappa)[process])
