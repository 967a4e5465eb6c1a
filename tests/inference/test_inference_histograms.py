"""Histograms whose bins are polynomials, against a toy whose likelihood is known."""

import numpy as np
import pytest

from inference.toys import Toy
from steps.inference import histograms
from steps.inference.histograms import Histogram
from steps.inference.likelihood import q
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.simulation import Simulation

TOY = Toy(2)
SM = np.zeros(2)
REGION = np.array([[-1.0, 1.0]] * 2)
EXPONENTS = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])
POLYNOMIAL = Polynomial.of(EXPONENTS, REGION)
BENCHMARKS = np.array(list(TOY.benchmarks.values()), dtype=float)
POINTS = np.array([[0.2, 0.0], [-0.25, 0.1], [0.1, 0.3], [0.0, -0.35], [-0.3, -0.3]])
# Of a cross section of 1 pb: events expected.
LUMINOSITY = 50.0


def drawn(n, seed=1):
    """Return events of the toy at the first benchmark and at (1, 0), half and half."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(40 * n, 2))
    share = TOY._square(BENCHMARKS[1], z, 0.0) / TOY.cross_section(BENCHMARKS[1])
    mixture = 0.5 + 0.5 * share
    keep = np.flatnonzero(rng.uniform(0, mixture.max(), len(z)) < mixture)[:n]
    z, mixture = z[keep], mixture[keep]
    squares = np.stack([TOY._square(b, z, 0.0) for b in BENCHMARKS], axis=-1)
    weights = squares / mixture[:, None] / len(z)
    x = z + rng.normal(0, TOY.noise, z.shape)
    return x, POLYNOMIAL.coefficients(weights, BENCHMARKS)


def filled(x, coefficients, n_folds=4, multiplicity=None):
    multiplicity = np.ones((1, len(x))) if multiplicity is None else multiplicity
    return of_all(x, coefficients, np.arange(len(x)) % n_folds, multiplicity)


def of_all(x, coefficients, fold, multiplicity):
    """Return the histogram of all observables."""
    simulation = Simulation(x, coefficients, POLYNOMIAL, multiplicity)
    return Histogram.of(simulation, range(x.shape[1]), fold)


def nominal(histogram, *, with_rate=False, theta_true=SM):
    return histograms.likelihoods(histogram, REGION, theta_true, LUMINOSITY, with_rate=with_rate)[0]


def q_to_truth(likelihood, points):
    return q(likelihood, points, likelihood(SM[None])[0])


def exact_q(n_observables, points, *, with_rate=False):
    """Return the exact one of the expected data, by Gauss-Hermite quadrature."""
    nodes, share = np.polynomial.hermite_e.hermegauss(60)
    nodes, share = nodes * np.hypot(1, TOY.noise), share / share.sum()
    if n_observables == 1:
        logs = np.array([share @ TOY.log_ratio_first(nodes, point) for point in points])
    else:
        x = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
        both = np.outer(share, share).ravel()
        logs = np.array([both @ TOY.log_ratio(x, point) for point in points])
    rate = np.array([TOY.cross_section(point) for point in points])
    poisson = np.log(rate) - rate + 1 if with_rate else 0.0
    return -2 * LUMINOSITY * (logs + poisson)


@pytest.mark.parametrize("n_observables", [1, 2])
@pytest.mark.parametrize("with_rate", [False, True])
def test_it_is_the_exact_likelihood(n_observables, with_rate):
    x, coefficients = drawn(40_000)
    likelihood = nominal(filled(x[:, :n_observables], coefficients), with_rate=with_rate)
    exact = exact_q(n_observables, POINTS, with_rate=with_rate)
    np.testing.assert_allclose(q_to_truth(likelihood, POINTS), exact, atol=0.2, rtol=0.03)


def test_few_events_do_not_bias_it():
    exact = exact_q(2, POINTS, with_rate=True)
    samples = (drawn(1000, seed) for seed in range(10))
    found = [q_to_truth(nominal(filled(*sample), with_rate=True), POINTS) for sample in samples]
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - exact) < 0.1 + 0.15 * exact + 3 * error).all()


def test_gradient_is_that_of_the_likelihood():
    likelihood = nominal(filled(*drawn(2000)), with_rate=True)
    step = 1e-5
    shifts = np.concatenate([POINTS[0] + step * np.eye(2), POINTS[0] - step * np.eye(2)])
    up, down = likelihood(shifts).reshape(2, 2)
    np.testing.assert_allclose(likelihood.gradient(POINTS[0]), (up - down) / (2 * step), rtol=1e-5)


@pytest.mark.parametrize("n_folds", [2, 5])
def test_mean_over_the_mixture_is_one(n_folds):
    x, coefficients = drawn(3000)
    multiplicity = np.stack([np.ones(3000), np.random.default_rng(1).poisson(1.0, 3000)])
    histogram = filled(x, coefficients, n_folds, multiplicity)
    monomials = POLYNOMIAL.weights(POINTS)
    rho = (histogram.densities @ monomials.T) / (histogram.norms() @ monomials.T)[:, None, None]
    share = histogram.events / histogram.events.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(np.einsum("bkj,bkjp->bp", share, rho), 1.0, rtol=1e-12)
    assert (rho > 0).all()


def test_contents_are_the_weights_of_the_events():
    x, coefficients = drawn(3000)
    multiplicity = np.stack([np.ones(3000), np.random.default_rng(1).poisson(1.0, 3000)])
    histogram = filled(x, coefficients, multiplicity=multiplicity)
    total = histogram.contents.sum(axis=(1, 2))
    np.testing.assert_allclose(total, multiplicity @ coefficients, rtol=1e-9)
    nominal_, bag = histograms.likelihoods(histogram, REGION, SM, LUMINOSITY, with_rate=True)
    np.testing.assert_allclose(nominal_.rate, LUMINOSITY * coefficients.sum(axis=0), rtol=1e-9)
    size = 3000 / multiplicity[1].sum()
    expected = LUMINOSITY * size * (multiplicity[1] @ coefficients)
    np.testing.assert_allclose(bag.rate, expected, rtol=1e-9)
    at_truth = POLYNOMIAL.weights(SM[None])[0]
    np.testing.assert_allclose(bag.counts.sum(), bag.rate @ at_truth, rtol=1e-9)


def test_an_event_does_not_judge_itself():
    x, coefficients = drawn(3000)
    changed = coefficients.copy()
    changed[::4] *= 7
    before, after = filled(x, coefficients).densities, filled(x, changed).densities
    np.testing.assert_allclose(before[:, 0], after[:, 0], rtol=1e-9)
    assert not np.isclose(before[:, 1:], after[:, 1:], rtol=1e-2).all(axis=-1).any()


def test_observables_that_tell_nothing_leave_it_flat():
    x, _ = drawn(3000)
    coefficients = np.tile([1.0, 0.2, 0.3, -0.1, 0.1, 0.4], (3000, 1)) / 3000
    likelihood = nominal(filled(x, coefficients))
    np.testing.assert_allclose(q_to_truth(likelihood, POINTS), 0.0, atol=1e-9)


def test_the_expected_data_are_at_the_true_point():
    truth = np.array([0.3, -0.2])
    likelihood = nominal(filled(*drawn(20_000)), with_rate=True, theta_true=truth)
    np.testing.assert_allclose(likelihood.counts.sum(), 50 * TOY.cross_section(truth), rtol=0.03)
    assert np.abs(likelihood.gradient(truth)).max() < 0.2 * np.abs(likelihood.gradient(SM)).max()


def test_a_bag_is_the_sample_with_events_repeated():
    rng = np.random.default_rng(1)
    angles, coefficients = rng.uniform(-np.pi, np.pi, (2000, 1)), drawn(2000)[1]
    fold, counts = rng.integers(0, 4, 2000), rng.poisson(1.0, 2000)
    multiplicity = np.stack([np.ones(2000), counts])
    bag = of_all(angles, coefficients, fold, multiplicity)
    rows = np.repeat(np.arange(2000), counts)
    once = np.ones((1, len(rows)))
    same = of_all(angles[rows], coefficients[rows], fold[rows], once)
    np.testing.assert_allclose(bag.densities[1], same.densities[0], rtol=1e-9)
    np.testing.assert_allclose(bag.contents[1], same.contents[0], rtol=1e-9, atol=1e-15)


def test_bags_spread_as_samples_do():
    values, predicted = [], []
    for seed in range(12):
        x, coefficients = drawn(1500, seed)
        rng = np.random.default_rng(seed)
        multiplicity = np.concatenate([np.ones((1, 1500)), rng.poisson(1.0, (12, 1500))])
        histogram = filled(x, coefficients, multiplicity=multiplicity)
        each = [
            q_to_truth(bag, POINTS)
            for bag in histograms.likelihoods(histogram, REGION, SM, LUMINOSITY, with_rate=True)
        ]
        values.append(each[0])
        predicted.append(np.std(each[1:], axis=0, ddof=1))
    actual = np.sqrt(np.mean(np.var(values, axis=0, ddof=1)))
    assert np.sqrt(np.mean(np.square(predicted))) == pytest.approx(actual, rel=0.5)


def degenerate():
    x, coefficients = drawn(500)
    one_constant = np.column_stack([x[:, 0], np.ones(500)])
    return [
        pytest.param(x[:8], coefficients[:8], id="eight events"),
        pytest.param(x[:2], coefficients[:2], id="fewer events than folds"),
        pytest.param(np.full_like(x, 3.0), coefficients, id="constant"),
        pytest.param(one_constant, coefficients, id="one constant"),
        pytest.param(np.round(x), coefficients, id="integers"),
    ]


@pytest.mark.parametrize(("x", "coefficients"), degenerate())
def test_it_is_finite(x, coefficients):
    histogram = filled(x, coefficients)
    likelihood = nominal(histogram, with_rate=True)
    assert np.isfinite(likelihood(POINTS)).all()
    assert np.isfinite(likelihood.gradient(POINTS[0])).all()
    assert (histogram.densities @ POLYNOMIAL.weights(POINTS).T > 0).all()


def test_bins_follow_the_tails_and_angles_are_equal():
    rng = np.random.default_rng(1)
    tail = rng.pareto(2.0, 50_000) + 1
    angle = np.pi * np.tanh(rng.normal(size=50_000))
    index, (first, second) = histograms.bins(np.column_stack([tail, angle]))
    assert (first, second) == (20, 24)
    of_tail, of_angle = np.bincount(index // second), index % second
    np.testing.assert_allclose(of_tail[:16] / 50_000, 1 / 17, atol=1e-3)
    share = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8]) / 17
    np.testing.assert_allclose(of_tail[16:] / 50_000, share, atol=1e-3)
    np.testing.assert_array_equal(of_angle, np.floor((angle + np.pi) / (np.pi / 12)))


def test_three_observables_are_refused():
    x = np.ones((5, 3))
    with pytest.raises(ValueError, match="a histogram of 3 observables has too few") as caught:
        histograms.bins(x)
    assert "\n" not in str(caught.value)
