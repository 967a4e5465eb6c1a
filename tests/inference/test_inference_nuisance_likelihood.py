"""The joint likelihood against its formula, finite differences, and that without nuisance."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.nuisance_models import random_joint
from steps.inference.nuisance.likelihood import Data

RATES = pytest.mark.parametrize("with_rate", [True, False])


def points(joint, n, seed=0):
    """Random parameters ``(n, d)``."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(*joint.region.T, (n, joint.p))
    return np.hstack([theta, rng.normal(0, 1, (n, joint.n_nuisance))])


def written_out(joint, theta, nu):
    """ln L row by row."""
    powers = joint.mixture.polynomial.exponents
    u = (theta - joint.mixture.polynomial.centre) / joint.mixture.polynomial.reach
    all_monomials = np.prod(u**powers, axis=1)
    share = joint.mixture.multiplicity / joint.mixture.multiplicity.sum()

    def density(rows, process, e, nu):
        m = all_monomials if rows.densities.shape[1] > 1 else np.ones(1)
        own = nu[process.numbers]
        exponent = rows.linear[e] @ own + rows.quadratic[e] @ own**2
        return rows.densities[e] @ m * np.exp(exponent)

    def mean(process, nu):
        return sum(w * density(process.rows, process, e, nu) for e, w in enumerate(share))

    def correction(process):
        m = all_monomials if len(process.rate) > 1 else np.ones(1)
        total, unit, zero = nu @ process.log_kappa, np.eye(len(nu)), np.zeros(len(nu))
        for k, (plus, minus) in zip(process.numbers, process.varied, strict=True):
            up, down = (
                np.log(varied @ m / (process.rate @ m))
                - np.log(mean(process, sign * unit[k]) / mean(process, zero))
                for varied, sign in ((plus, 1), (minus, -1))
            )
            total += 0.5 * (up - down) * nu[k] + 0.5 * (up + down) * nu[k] ** 2
        return np.exp(total)

    rates = [
        p.rate @ (all_monomials if len(p.rate) > 1 else np.ones(1)) for p in joint.mixture.processes
    ]
    norm = sum(mean(p, np.zeros(len(nu))) for p in joint.mixture.processes)
    scale = sum(rates) / norm
    factors = [correction(p) for p in joint.mixture.processes]
    expected = scale * sum(
        f * mean(p, nu) for f, p in zip(factors, joint.mixture.processes, strict=True)
    )
    rows = joint.data.rows or [p.rows for p in joint.mixture.processes]
    total = -0.5 * np.sum((nu - joint.data.auxiliary) ** 2)
    for e, n in enumerate(joint.data.counts):
        triples = zip(factors, rows, joint.mixture.processes, strict=True)
        row = scale * sum(f * density(of, p, e, nu) for f, of, p in triples)
        total += n * np.log(row if joint.with_rate else row / expected)
    return total - expected * joint.with_rate


@RATES
@pytest.mark.parametrize("observed", [True, False])
def test_likelihood_is_its_formula(with_rate, observed):
    joint = random_joint(1, with_rate=with_rate, observed=observed)
    at = points(joint, 4)
    expected = [written_out(joint, x[:2], x[2:]) for x in at]
    np.testing.assert_allclose(joint.value(at), expected, rtol=1e-11)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_parameters=st.integers(1, 3),
    with_rate=st.booleans(),
    observed=st.booleans(),
)
def test_derivatives_are_those_of_finite_differences(seed, n_parameters, with_rate, observed):
    joint = random_joint(seed, n_parameters, with_rate=with_rate, observed=observed)
    at, step = points(joint, 3, seed), 1e-5
    jet = joint.jet(at)
    np.testing.assert_allclose(jet.value, joint.value(at), rtol=1e-12)
    steps = step * np.eye(at.shape[1])
    slopes = [(joint.value(at + e) - joint.value(at - e)) / (2 * step) for e in steps]
    curvatures = [
        (joint.jet(at + e).gradient - joint.jet(at - e).gradient) / (2 * step) for e in steps
    ]
    scale = 1 + np.abs(jet.hessian).max()
    np.testing.assert_allclose(jet.gradient, np.stack(slopes, -1), atol=1e-6 * scale)
    np.testing.assert_allclose(jet.hessian, np.stack(curvatures, -1), atol=1e-6 * scale)


@RATES
@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_without_responses_it_is_the_likelihood_without_nuisance(with_rate, n_parameters):
    joint = random_joint(2, n_parameters, with_rate=with_rate, size=0.0)
    at = points(joint, 20)
    theta, nu = at[:, :n_parameters], at[:, n_parameters:]
    plain, constraint = joint.nominal(), -0.5 * np.sum(nu**2, axis=1)
    np.testing.assert_allclose(joint.value(at), plain(theta) + constraint, rtol=1e-12, atol=1e-12)
    for slope, one, shifts in zip(joint.jet(at).gradient, theta, nu, strict=True):
        np.testing.assert_allclose(slope, [*plain.gradient(one), *-shifts], atol=1e-10)


@RATES
def test_without_shifts_it_is_the_nominal_likelihood(with_rate):
    joint = random_joint(3, with_rate=with_rate)
    at = points(joint, 20)
    at[:, 2:] = 0
    np.testing.assert_allclose(joint.value(at), joint.nominal()(at[:, :2]), rtol=1e-12, atol=1e-12)


def test_other_rows_have_no_nominal_likelihood():
    with pytest.raises(ValueError, match="no rows of the mixture"):
        random_joint(1, observed=True).nominal()


@pytest.mark.parametrize("sign", [1, -1])
def test_processes_have_the_events_they_are_known_to_have(sign):
    joint = random_joint(4)
    at = points(joint, 1)[0]
    side = 0 if sign == 1 else 1
    for process in joint.mixture.processes:
        monomials = (
            joint.mixture.polynomial.weights(at[None, :2])[0] if len(process.rate) > 1 else 1.0
        )
        alone = replace(joint, mixture=replace(joint.mixture, processes=[process]))
        for column, k in enumerate(process.numbers):
            at[2:] = sign * np.eye(5)[k]
            expected = process.varied[column, side] @ np.atleast_1d(monomials)
            assert alone.expected(at).sum() == pytest.approx(expected, rel=1e-12)
        at[2:] = 1.7 * sign * np.eye(5)[4]
        kappa = np.exp(1.7 * sign * process.log_kappa[4])
        expected = kappa * process.rate @ np.atleast_1d(monomials)
        assert alone.expected(at).sum() == pytest.approx(expected, rel=1e-12)


def test_expected_data_have_their_maximum_at_the_truth():
    joint = random_joint(5)
    truth = points(joint, 1)[0]
    data = Data(joint.expected(truth), truth[2:])
    for with_rate in (True, False):
        slope = replace(joint, data=data, with_rate=with_rate).jet(truth[None]).gradient
        np.testing.assert_allclose(slope, 0, atol=1e-9)


def test_experiments_are_evaluated_each_with_its_own_data():
    joint, rng = random_joint(6), np.random.default_rng(1)
    counts, auxiliary = rng.poisson(3.0, (4, 30)).astype(float), rng.normal(0, 1, (4, 5))
    at = points(joint, 4)
    together = joint.of(Data(counts, auxiliary)).jet(at)
    for k in range(4):
        alone = joint.of(Data(counts[k], auxiliary[k])).jet(at[k : k + 1])
        np.testing.assert_allclose(together.value[k], alone.value[0], rtol=1e-12)
        np.testing.assert_allclose(together.hessian[k], alone.hessian[0], atol=1e-9)


def test_batches_are_of_no_effect(monkeypatch):
    joint, other = random_joint(7), random_joint(7, observed=True)
    at = points(joint, 2)
    whole = [of.jet(at) for of in (joint, other)]
    monkeypatch.setattr("steps.inference.nuisance.likelihood._MOST_NUMBERS", 14)
    for of, before in zip((joint, other), whole, strict=True):
        np.testing.assert_allclose(of.jet(at).value, before.value, rtol=1e-12)
        np.testing.assert_allclose(of.jet(at).hessian, before.hessian, atol=1e-9)
