"""Responses to nuisance parameters by networks, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from inference.processes import BENCHMARKS, Mixture
from steps.inference import cross_fitted, responding
from steps.inference.hardened import hardened
from steps.inference.morphing.features import Features
from steps.inference.morphing.processes import Processes
from steps.inference.morphing.responses import Settings, fit
from steps.inference.morphing.variations import Nominal, Pairs, Shifted, Variations
from steps.inference.responding import Learnt, Varied

MIXTURE = Mixture()
SETTINGS = Settings(num_epochs=5, seed=1)
SIGNS = {0: 1, 1: -1}


def weighted(weights):
    """Weights at theta = 0."""
    return weights[:, 0]


def problem(drawn, variations=None):
    """Nominal events, what they are at nu = +-1, and features."""
    events = drawn.events()
    fold = np.random.default_rng(1).permutation(len(events["x"])) % 3
    nominal = Nominal(events["x"], weighted(events["weights"]), drawn.part(), fold)
    variations = variations or drawn.variations()
    return nominal, variations.weighted(weighted), Features.of(events["x"])


@pytest.fixture(scope="module")
def drawn():
    return MIXTURE.draw(5000)


@pytest.fixture(scope="module")
def learnt(drawn):
    nominal, variations, features = problem(drawn)
    return fit(nominal, variations, features, SETTINGS), nominal, variations


def within(x, weights):
    """Mean square over a process."""
    return np.sqrt(np.average(x**2, weights=weights))


@pytest.mark.parametrize("k", range(3))
def test_responses_are_those_of_the_closed_form(learnt, k):
    responses, _, _ = learnt
    x = np.linspace(-1.2, 2.2, 100)
    found = responses(x[:, None]).logs()[:, :, k]
    for side, sign in SIGNS.items():
        exact, density = MIXTURE.response(x, k, sign), MIXTURE.total(x, 0.0)
        for p in range(2):
            spread = np.sqrt(np.cov(exact[p], aweights=density[p]))
            assert within(found[p, :, side] - exact[p], density[p]) < 0.01 + 0.2 * spread


def test_a_pure_normalisation_is_constant_exactly(learnt):
    responses, nominal, _ = learnt
    found = responses.unseen(nominal.x, nominal.fold)
    np.testing.assert_allclose(found.linear[1, :, 1], np.log(MIXTURE.kappa_b), rtol=1e-6)
    np.testing.assert_allclose(found.quadratic[1, :, 1], 0, atol=1e-9)
    # What a process does not feel is nothing.
    np.testing.assert_array_equal(found.logs()[0, :, 1], 0)
    np.testing.assert_array_equal(found.logs()[1, :, 0], 0)
    assert responses.shaped.tolist() == [[True, False, True], [False, False, True]]


def test_noise_does_not_pretend_to_be_shape(drawn):
    """Weights that scatter by 30 %, whatever x."""
    nominal, variations, features = problem(drawn)
    for seed in range(3):
        noise = np.exp(0.3 * np.random.default_rng(seed).normal(size=variations.ratios.shape))
        noisy = Variations(variations.names, noise, variations.events, {})
        found = fit(nominal, noisy, features, replace(SETTINGS, num_epochs=2))
        assert found.shaped.mean() < 0.35
        shapes = found.unseen(nominal.x, nominal.fold).logs().std(axis=1)
        assert shapes.max() < 0.02


def test_changes_of_the_cross_section_are_exact(learnt):
    """The mean of w e^u over the events of a process is that of varied weights."""
    responses, nominal, variations = learnt
    found = responses.unseen(nominal.x, nominal.fold).logs()
    sums = Pairs.of(nominal, variations).sums(2)
    for p in range(2):
        own = nominal.part.number == p
        means = np.einsum("e,eks->ks", nominal.weights[own], np.exp(found[p, own]))
        np.testing.assert_allclose(means.ravel(), sums[p, 1:], rtol=1e-5)


def test_a_sample_generated_anew_at_nu_is_described(learnt):
    """Closure in bins of x: events never seen, with scale and energy at +1 and -1."""
    responses, _, _ = learnt
    fresh = MIXTURE.draw(20_000, seed=9)
    edges = np.quantile(fresh.x, np.linspace(0.1, 0.9, 9))
    nominal, variations, _ = problem(fresh)
    logs = responses(nominal.x).logs()
    for k, side in ((0, 0), (0, 1), (2, 0), (2, 1)):
        for p in range(2):
            own = nominal.part.number == p
            given = nominal.weights[own]
            estimate = _sums(nominal.x[own, 0], given * np.exp(logs[p, own, k, side]), edges)
            if k == 2:
                shifted = variations.shifted[2][side]
                of = shifted.process == p
                x, weights = shifted.x[of, 0], shifted.weights[of]
            else:
                x, weights = nominal.x[own, 0], given * variations.ratios[own, k, side]
            exact = _sums(x, weights, edges)
            error = np.sqrt(_sums(x, weights**2, edges))
            # Shifts are sampled anew by this sample's own noise; 2 % are what training leaves.
            np.testing.assert_array_less(np.abs(estimate - exact), 3 * error + 0.02 * exact)


def _sums(x, weights, edges):
    return np.bincount(np.searchsorted(edges, x), weights, len(edges) + 1)


def test_events_and_their_shifted_versions_are_in_one_fold(drawn):
    nominal, variations, _ = problem(drawn)
    pairs = Pairs.of(nominal, variations)
    where = {number: k for k, number in enumerate(variations.events.tolist())}
    of = np.concatenate([variations.events, *(s.events for s in variations.shifted[2])])
    assert (pairs.version == [[0, 0], [0, 0], [1, 2]]).all()
    for row, weight, fold in zip(pairs.row, pairs.weights, pairs.fold, strict=True):
        (number,) = set(of[row].tolist())
        assert (number in where) == (weight > 0)
        if weight:
            assert fold == nominal.fold[where[number]]
    # Events that only one detector sees are there, too.
    assert (pairs.weights == 0).any()
    seen = pairs.varied[:, 2, 0] > 0
    assert (~seen & (pairs.weights > 0)).any() or (~(pairs.varied[:, 2, 1] > 0)).any()


def test_some_of_the_events_keep_the_shifted_cross_section(drawn):
    variations = drawn.variations()
    index = np.sort(np.random.default_rng(2).choice(len(variations.events), 3000, replace=False))
    some = variations.of_rows(index)
    for before, after in zip(variations.shifted[2], some.shifted[2], strict=True):
        assert len(after.x) < len(before.x)
        np.testing.assert_allclose(after.weights.sum(0), before.weights.sum(0), rtol=0.05)


def test_arrays_hold_all(drawn):
    variations = drawn.variations()
    again = Variations.of(variations.to_arrays())
    assert again.names == variations.names
    np.testing.assert_array_equal(again.ratios, variations.ratios)
    for one, other in zip(again.shifted[2], variations.shifted[2], strict=True):
        for name in vars(Shifted(*[0] * 4)):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert Variations.of({"x": np.zeros(3)}) is None


def test_what_was_learnt_is_in_plain_arrays(learnt):
    responses, nominal, _ = learnt
    made = Learnt(responses, MIXTURE.names, np.arange(len(nominal.x) + 7) % 3)
    again = Learnt.of(made.to_arrays() | {"rate": np.zeros(3)})
    index = np.array([5, 3, 8])
    np.testing.assert_array_equal(again.responses(nominal.x).logs(), responses(nominal.x).logs())
    np.testing.assert_array_equal(
        again.of_rows(nominal.x[:3], index, MIXTURE.names).logs(),
        responses.unseen(nominal.x[:3], np.array([2, 0, 2])).logs(),
    )
    assert again.responses.names == list(MIXTURE.nuisances)
    # Processes are found by their names; one that is not known responds to nothing.
    other = again(nominal.x, ["background", "new"]).linear
    np.testing.assert_array_equal(other[0], responses(nominal.x).linear[1])
    assert not other[1].any()
    assert Learnt.of({"rate": np.zeros(3)}) is None


def test_rates_are_sums_of_weights(drawn):
    """Where events count twice, so do their shifted versions, but not those with no nominal one."""
    variations = drawn.variations()
    events = drawn.events() | variations.to_arrays()
    polynomial = MIXTURE.polynomial()
    coefficients = polynomial.coefficients(events["weights"], BENCHMARKS)
    processes = Processes.of(polynomial, coefficients, drawn.part())
    once = cross_fitted.rates(events, processes)
    assert [rate.nominal.shape for rate in once.values()] == [(3,), (1,)]
    for number, (depends, rate) in enumerate(zip((True, False), once.values(), strict=True)):
        own = events["processes"] == number
        monomials = polynomial.weights(BENCHMARKS[1:2])[0] if depends else np.ones(1)
        assert rate.nominal @ monomials == pytest.approx(events["weights"][own, 1].sum())
        for side in (0, 1):
            scaled = events["weights"][own, 1] @ variations.ratios[own, 0, side]
            assert rate.varied[0, side] @ monomials == pytest.approx(scaled)
            shifted = variations.shifted[2][side]
            moved = shifted.weights[shifted.process == number, 1].sum()
            assert rate.varied[2, side] @ monomials == pytest.approx(moved)
    twice = cross_fitted.rates(events, processes, 2 * np.ones(len(events["x"])))
    for one, two in zip(once.values(), twice.values(), strict=True):
        np.testing.assert_allclose(two.varied[0], 2 * one.varied[0])
    for side, shifted in enumerate(variations.shifted[2]):
        paired = np.isin(shifted.events, variations.events) & (shifted.process == 1)
        more = twice["background"].varied[2, side] - once["background"].varied[2, side]
        assert more == pytest.approx(shifted.weights[paired, 0].sum())
    alone = cross_fitted.rates(drawn.events(), processes)
    assert alone["signal"].varied.shape == (0, 2, 3)


# ------------------------------------------------------------------ bins
@pytest.mark.parametrize("k", range(3))
def test_responses_of_bins_are_those_of_the_closed_form(learnt, k):
    responses, nominal, _ = learnt
    at_events = responses.unseen(nominal.x, nominal.fold)
    edges = np.quantile(nominal.x, np.linspace(0, 1, 21)[1:-1])
    place = np.searchsorted(edges, nominal.x[:, 0])
    found = responding.in_bins(nominal, at_events, place, 20).logs()[:, :, k]
    fine = np.linspace(MIXTURE.cut, 5, 20_000)
    at = np.searchsorted(edges, fine)
    density = MIXTURE.total(fine, 0.0)
    for side, sign in SIGNS.items():
        exact = np.exp(MIXTURE.response(fine, k, sign))
        for p in range(2):
            nominal_bins, varied = (
                np.bincount(at, density[p] * factor) for factor in (1.0, exact[p])
            )
            error = found[p, :, side] - np.log(varied / nominal_bins)
            assert within(error, nominal_bins) < 0.015


def test_the_rate_responds_as_the_cross_section(learnt):
    responses, nominal, variations = learnt
    at_events = responses.unseen(nominal.x, nominal.fold)
    everywhere = np.zeros(len(nominal.x), dtype=int)
    # The last of three bins has no event.
    found = responding.in_bins(nominal, at_events, everywhere, 3)
    totals = Pairs.of(nominal, variations).totals(2)
    assert found.linear.shape == (2, 3, 3)
    for number in (0, 2):
        np.testing.assert_allclose(found.logs()[:, number], totals, atol=1e-5)


def test_closure_tells_right_from_wrong(learnt):
    responses, nominal, variations = learnt
    found = responses.unseen(nominal.x, nominal.fold)
    right = responding.closures(nominal, variations, found)
    assert len(right) == 2 * 3 * 2
    assert min(c.p_value for c in right) > 1e-4
    flat = replace(found, linear=0 * found.linear + found.linear.mean(axis=1, keepdims=True))
    wrong = {
        (c.process, c.nuisance): c.p_value for c in responding.closures(nominal, variations, flat)
    }
    assert wrong["signal", "scale"] < 1e-6
    assert wrong["background", "energy"] < 1e-6
    assert wrong["background", "norm"] == 1.0


# ------------------------------------------------------------------ scores
def test_the_hardened_score_does_not_change_with_nu():
    """Of Gaussian scores: uncorrelated with t_nu where data are many, t_theta where few."""
    rng = np.random.default_rng(1)
    nuisance = rng.normal(size=(5000, 2))
    scores = rng.normal(size=(5000, 1)) + nuisance @ [[0.8], [-0.3]]
    many, few = np.full(5000, 100.0), np.full(5000, 1e-9)
    strong = hardened(scores, nuisance, many, with_rate=True)
    np.testing.assert_allclose(strong.T @ nuisance / 5000, 0, atol=1e-4)
    np.testing.assert_allclose(hardened(scores, nuisance, few, with_rate=True), scores, atol=1e-4)


def test_its_information_is_that_of_the_profiled_likelihood():
    """In the Gaussian case: I_tt - I_tn (I_nn + 1)^-1 I_nt."""
    rng = np.random.default_rng(2)
    nuisance, counts = rng.normal(0.3, 1, (4000, 2)), rng.uniform(0, 0.01, 4000)
    scores = rng.normal(size=(4000, 1)) + nuisance @ [[0.5], [0.2]]
    found = hardened(scores, nuisance, counts, with_rate=True)
    both = np.hstack([scores, nuisance])
    whole = (both * counts[:, None]).T @ both + np.diag([0, 1, 1])
    profiled = 1 / np.linalg.inv(whole)[0, 0]
    assert ((found * counts[:, None]).T @ scores).item() == pytest.approx(profiled)
    shapes = hardened(scores, nuisance, counts, with_rate=False)
    np.testing.assert_allclose(counts @ shapes, 0, atol=1e-9)


def test_the_score_of_all_events_is_their_response_as_one_process(drawn):
    events = drawn.events() | drawn.variations().to_arrays()
    fold = np.arange(len(events["x"])) % 3
    whole = Varied.of(events, weighted, fold).merged()
    found = whole.learn(None, 1).unseen(events["x"], fold).linear
    assert found.shape == (1, len(events["x"]), 3)
    x = events["x"][:, 0]
    density = MIXTURE.total(x, 0.0)
    shares = density / density.sum(axis=0)
    for k in range(3):
        linear = (MIXTURE.response(x, k, 1) - MIXTURE.response(x, k, -1)) / 2
        exact = (shares * linear).sum(axis=0)
        assert (
            within(found[0, :, k] - exact, weighted(events["weights"])) < 0.01 + 0.1 * exact.std()
        )
    assert Varied.of(drawn.events(), weighted, fold) is None
