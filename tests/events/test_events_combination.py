"""Mixture weights on a toy whose densities and cross sections are known."""

import numpy as np
import pytest

from steps.events.combination import mixture_weights, morphed, pooled_norms, shares

# Benchmarks: normal distributions of these means and widths; the second leaves a gap at the first.
MEANS, WIDTHS = np.array([0.0, 2.5, -1.0]), np.array([1.0, 0.7, 1.5])
CROSS_SECTIONS = np.array([2.0, 0.5, 3.0])
DRAWN = np.array([4000, 2000, 6000])


def toy(rng, drawn=DRAWN, overweight=None):
    """Events drawn at each benchmark with weights sigma_i p_i / (N_b p_b), times a factor."""
    sampled = np.repeat(np.arange(3), drawn)
    x = rng.normal(MEANS[sampled], WIDTHS[sampled])
    z = (x[:, None] - MEANS) / WIDTHS
    density = np.exp(-0.5 * z**2) / WIDTHS
    own = np.take_along_axis(density, sampled[:, None], 1)
    with np.errstate(divide="ignore"):
        norms = np.where(drawn > 0, CROSS_SECTIONS / drawn, np.inf)
    weights = CROSS_SECTIONS * density / own / drawn[sampled][:, None]
    if overweight is not None:
        weights *= overweight(x)[:, None]
    return x, weights, sampled, norms


def effective_size(weights):
    return weights.sum(0) ** 2 / (weights**2).sum(0)


@pytest.mark.parametrize("drawn", [DRAWN, np.array([4000, 0, 8000]), np.array([0, 9000, 3000])])
def test_cross_sections_are_unbiased(drawn):
    _, weights, sampled, norms = toy(np.random.default_rng(1), drawn)
    mixed = mixture_weights(weights, sampled, norms)
    error = np.sqrt((mixed**2).sum(0))
    np.testing.assert_array_less(np.abs(mixed.sum(0) - CROSS_SECTIONS), 4 * error)


def test_weights_are_the_density_over_the_mixture_s():
    x, weights, sampled, norms = toy(np.random.default_rng(2))
    density = np.exp(-0.5 * ((x[:, None] - MEANS) / WIDTHS) ** 2) / WIDTHS
    expected = CROSS_SECTIONS * density / (density @ DRAWN)[:, None]
    np.testing.assert_allclose(mixture_weights(weights, sampled, norms), expected)


def test_distributions_are_those_of_each_benchmark():
    x, weights, sampled, norms = toy(np.random.default_rng(3))
    mixed = mixture_weights(weights, sampled, norms)
    error = np.sqrt((mixed**2).sum(0)) / CROSS_SECTIONS
    np.testing.assert_array_less(np.abs(x @ mixed / mixed.sum(0) - MEANS), 8 * error)


def test_effective_sample_is_not_smaller_than_that_of_shares():
    _, weights, sampled, norms = toy(np.random.default_rng(4))
    shares = weights * (DRAWN / DRAWN.sum())[sampled][:, None]  # what MadMiner does
    mixed = effective_size(mixture_weights(weights, sampled, norms))
    assert np.all(mixed >= effective_size(shares))
    # Nor than that of the events drawn at the benchmark itself, nearly.
    assert np.all(mixed > 0.9 * DRAWN)


def test_no_weight_exceeds_those_of_its_own_benchmark():
    _, weights, sampled, norms = toy(np.random.default_rng(5))
    mixed = mixture_weights(weights, sampled, norms)
    assert np.all(mixed <= np.where(DRAWN > 0, CROSS_SECTIONS / DRAWN, 0) * (1 + 1e-12))
    assert weights.max() > 10 * mixed.max()


def test_one_benchmark_alone_keeps_its_weights():
    _, weights, sampled, norms = toy(np.random.default_rng(6), np.array([500, 0, 0]))
    np.testing.assert_allclose(mixture_weights(weights, sampled, norms), weights)


def test_overweight_events_keep_their_factor():
    # Events above x = 1 were drawn half as often as they should and carry twice the weight.
    rng = np.random.default_rng(7)
    x, weights, sampled, norms = toy(rng, overweight=lambda x: np.where(x > 1, 2.0, 1.0))
    plain = toy(np.random.default_rng(7))
    mixed, expected = mixture_weights(weights, sampled, norms), mixture_weights(*plain[1:])
    factor = np.where(x > 1, 2.0, 1.0)[:, None]
    np.testing.assert_allclose(mixed, factor * expected)
    kept = (x <= 1) | (rng.random(x.size) < 0.5)
    total = mixed[kept].sum(0)
    error = np.sqrt((mixed[kept] ** 2).sum(0))
    np.testing.assert_array_less(np.abs(total - CROSS_SECTIONS), 4 * error)


def test_jobs_of_a_benchmark_are_interchangeable():
    _, weights, sampled, norms = toy(np.random.default_rng(8))
    order = np.random.default_rng(9).permutation(len(sampled))
    whole = mixture_weights(weights, sampled, norms)
    np.testing.assert_allclose(mixture_weights(weights[order], sampled[order], norms), whole[order])


# ------------------------------------------------------------------ jobs
# Three jobs at benchmark 0, one at 2, two at 3, none at 1.
JOB_AT = np.array([0, 2, 0, 3, 0, 3])
JOB_EVENTS = np.array([100, 50, 100, 30, 40, 10])


def test_a_job_s_share_is_of_the_events_at_its_benchmark():
    expected = [100 / 240, 1, 100 / 240, 30 / 40, 40 / 240, 10 / 40]
    np.testing.assert_allclose(shares(JOB_AT, JOB_EVENTS), expected)


def test_one_job_keeps_its_weights_to_the_last_digit():
    assert (shares(np.array([1, 0]), np.array([3, 7])) == 1).all()
    norms = pooled_norms(np.array([1, 0]), np.array([3, 7]), np.array([0.1, 0.2]), 2)
    assert list(norms) == [0.2 / 7, 0.1 / 3]


def test_norms_are_of_all_jobs():
    found = pooled_norms(JOB_AT, JOB_EVENTS, np.array([2.0, 5, 2, 1, 2, 3]), 5)
    third = (30 * 1 + 10 * 3) / 40
    np.testing.assert_allclose(found, [2 / 240, np.inf, 5 / 50, third / 40, np.inf])


def test_jobs_of_any_size_pool_to_the_weights_of_one():
    _, weights, sampled, norms = toy(np.random.default_rng(8))
    job = np.random.default_rng(9).choice(9, len(weights), p=np.arange(1, 10) / 45)
    # Each job is of one benchmark; it knows its own number of events alone.
    job = 9 * sampled + job
    jobs, job, n_events = np.unique(job, return_inverse=True, return_counts=True)
    at = jobs // 9
    own = weights * (DRAWN[sampled] / n_events[job])[:, None]
    pooled = shares(at, n_events)[job][:, None] * own
    np.testing.assert_allclose(pooled, weights)
    np.testing.assert_allclose(pooled_norms(at, n_events, CROSS_SECTIONS[at], 3), norms)


# ------------------------------------------------------------------ benchmarks outside the basis
def test_morphing_is_exact_for_squares_of_amplitudes():
    rng = np.random.default_rng(10)
    exponents = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
    amplitudes = rng.normal(size=(3, 50, 2))

    def square(points):
        c = np.column_stack([np.ones(len(points)), points])
        return (np.einsum("pk,knd->npd", c, amplitudes) ** 2).sum(-1)

    basis, points = rng.uniform(-1.5, 1.5, (6, 2)), rng.uniform(-1.5, 1.5, (4, 2))
    found = morphed(square(basis), basis, points, exponents)
    np.testing.assert_allclose(found, square(points), rtol=1e-8)
    # The basis gives itself back.
    np.testing.assert_allclose(morphed(square(basis), basis, basis, exponents), square(basis))
