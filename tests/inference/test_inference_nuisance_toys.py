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
    fewer = toys.thinned(joint, 100, rng())
    at = np.array([0.1, 0.2, *np.zeros(5)])
    assert len(fewer.expected(at)) == 100
    assert fewer.expected(at).sum() == pytest.approx(joint.expected(at).sum(), rel=1e-12)
    at[2:] = np.eye(5)[3]
    totals = [of.expected(at).sum() for of in (fewer, joint)]
    assert totals[0] == pytest.approx(totals[1], rel=0.03)
    assert toys.thinned(joint, 1000, rng()).expected(at).sum() == pytest.approx(totals[1])
