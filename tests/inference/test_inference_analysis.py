"""Likelihoods of the expected data against the closed form and MadMiner's own limits."""

import numpy as np
import pytest
from madminer.limits import AsymptoticLimits

from inference.toys import analysed, quadrature, train
from steps.inference.analysis import Parts, log_likelihoods
from steps.inference.frames import Frame
from steps.inference.methods import METHODS
from steps.inference.statistics import grid, p_values
from steps.inference.targets import Target
from steps.madminer.events import Events

TRUE = (0.4, -0.2)
LUMINOSITY = 50.0
REGION = [(-0.8, 0.8), (-0.8, 0.8)]
POINTS = grid(REGION, [5, 9])
AT_TRUE = int(np.argmin(np.abs(POINTS - TRUE).sum(axis=1)))
SM = np.zeros(2)


@pytest.fixture(scope="module")
def analysis(toy):
    return analysed(toy, TRUE, POINTS, LUMINOSITY)


def relative(log_likelihood):
    return log_likelihood - log_likelihood[AT_TRUE]


def exact_ratio(toy):
    return lambda x, points: np.stack([toy.log_ratio(x, point) for point in points])


def n_expected(toy):
    return LUMINOSITY * toy.cross_section(TRUE)


# ------------------------------------------------------------------ the rate
def test_expected_events_and_rate(toy, analysis):
    monomials = analysis.simulation.polynomial.weights(POINTS)
    expected = analysis.simulation.rates(LUMINOSITY) @ monomials.T
    mean = LUMINOSITY * np.array([toy.cross_section(point) for point in POINTS])
    np.testing.assert_allclose(expected[0], mean, rtol=0.02)
    exact = mean[AT_TRUE] * np.log(mean / mean[AT_TRUE]) - mean + mean[AT_TRUE]
    (found,) = analysis.rate()
    np.testing.assert_allclose(relative(found), exact, atol=1.0, rtol=0.1)
    assert found.argmax() == AT_TRUE


def test_rate_scales_with_luminosity(toy, analysis):
    doubled = analysed(toy, TRUE, POINTS, 2 * LUMINOSITY).rate()[0]
    np.testing.assert_allclose(relative(doubled), 2 * relative(analysis.rate()[0]), atol=1e-9)


# ------------------------------------------------------------------ ratios
def exact_expectation(ratios, density):
    """Mean of log ratios ``(n_grid, n_cells)`` under a density, relative to the true point."""
    return relative(ratios @ (density / density.sum()))


@pytest.fixture(scope="module")
def exact(toy):
    """The likelihood of both observables by quadrature."""
    x, density = quadrature(toy, 201)
    ratios = exact_ratio(toy)(x, POINTS)
    return n_expected(toy) * exact_expectation(ratios, density * np.exp(ratios[AT_TRUE]))


@pytest.mark.parametrize("references", [[], [SM], [SM, np.array([0.5, 0.5])]])
def test_log_ratio_against_quadrature(toy, analysis, exact, references):
    """As it is; normalised; and relative to a mixture of two points."""

    def evaluate(x, points):
        below = np.logaddexp.reduce(exact_ratio(toy)(x, [*references] or [SM]), axis=0)
        return exact_ratio(toy)(x, points) - below

    (found,) = analysis.of_ratio(evaluate, references)
    assert found.argmax() == AT_TRUE
    np.testing.assert_allclose(relative(found), exact, atol=0.3, rtol=0.1)


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_a_factor_that_is_wrong_at_each_point_changes_nothing(toy, analysis, size):
    """The mean of a ratio over its denominator is one; without that a small error would count."""

    def wrong(x, points):
        factor = size * np.cos(3 * points).sum(axis=1) + 0.5 * size * points[:, 0]
        return exact_ratio(toy)(x, points) + factor[:, None]

    right = analysis.of_ratio(exact_ratio(toy), [SM])
    np.testing.assert_allclose(analysis.of_ratio(wrong, [SM]), right, atol=1e-9)
    as_it_is = relative(analysis.of_ratio(wrong, [])[0])
    error = as_it_is - relative(analysis.of_ratio(exact_ratio(toy), [])[0])
    assert np.abs(error).max() > 0.5 * size * n_expected(toy)


def test_events_without_a_logarithm_do_not_count(toy, analysis):
    def broken(x, points):
        log_r = exact_ratio(toy)(x, points)
        log_r[3, 0], log_r[5, 1] = np.nan, -np.inf
        return log_r

    for references in ([], [SM]):
        found = analysis.of_ratio(broken, references)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, analysis.of_ratio(exact_ratio(toy), references), atol=0.1)


def test_batches_of_events_change_nothing(toy, analysis, monkeypatch):
    whole = analysis.of_ratio(exact_ratio(toy), [SM])
    monkeypatch.setattr("steps.inference.analysis._MOST_NUMBERS", 1000 * len(POINTS))
    np.testing.assert_allclose(analysis.of_ratio(exact_ratio(toy), [SM]), whole, atol=1e-9)


# ------------------------------------------------------------------ scores
def test_histogram_of_a_score_against_quadrature(toy, analysis, exact):
    """The exact score at zero is linear in either observable: its bins are bins of these."""
    (found,) = analysis.of_score(toy.score)
    np.testing.assert_allclose(relative(found), exact, atol=0.4, rtol=0.12)


def test_histogram_of_one_component_against_quadrature(toy, analysis):
    """It knows what the first observable knows."""
    x = np.linspace(-5, 5, 2001) * np.sqrt(1 + toy.noise**2)
    ratios = np.stack([toy.log_ratio_first(x, point) for point in POINTS])
    density = np.exp(-(x**2) / 2 / (1 + toy.noise**2) + ratios[AT_TRUE])
    exact = n_expected(toy) * exact_expectation(ratios, density)
    (found,) = analysis.of_score(lambda x: toy.score(x)[:, :1])
    np.testing.assert_allclose(relative(found), exact, atol=0.3, rtol=0.1)


def test_a_score_that_says_nothing_sets_no_limits(analysis):
    drawn = np.random.default_rng(1).normal(size=(len(analysis.simulation.x), 1))
    # Of 48 000 events in 40 bins: chance, not knowledge.
    assert np.ptp(analysis.of_score(lambda x: drawn[: len(x)])) < 0.3


# ------------------------------------------------------------------ bags
def test_bags_are_likelihoods_of_resampled_events(toy):
    """The nominal one does not change, the others are about it."""
    points = POINTS[::4]
    without, bagged = (analysed(toy, TRUE, points, LUMINOSITY, n) for n in (0, 3))
    for evaluate in (
        lambda one: one.rate(),
        lambda one: one.of_ratio(exact_ratio(toy), [SM]),
        lambda one: one.of_score(toy.score),
        lambda one: one.of_projection(toy.score, SM),
    ):
        nominal, found = evaluate(without), evaluate(bagged)
        assert found.shape == (4, len(points))
        np.testing.assert_allclose(found[0], nominal[0])
        moved = (found - found[:, :1])[1:] - (found[0] - found[0, 0])
        assert 0 < np.abs(moved).max() < 6


# ------------------------------------------------------------------ MadMiner's own
@pytest.mark.parametrize("mode", ["rate", "ml"])
def test_agrees_with_madminer(small, tmp_path, monkeypatch, mode):
    points = POINTS[::4]
    weights = np.stack([Events(small.path).weighted(name)[1] for name in small.benchmarks], axis=-1)
    analysis = analysed(small, TRUE, points, LUMINOSITY, weights=weights)
    path, options = tmp_path / "model", {}
    if mode == "rate":
        (ours,) = analysis.rate()
    else:
        model, _, _ = train(small, "alice", 4000, num_epochs=2)
        model.save(path)
        options = {"model_file": str(path)}
        # It takes the ratio as it is.
        (ours,) = analysis.of_ratio(model.log_ratio, [])
    # MadMiner rounds the number of events, counts them in the test partition alone and draws
    # its data from the nearest benchmark's events unless told otherwise.
    madminer = AsymptoticLimits(small.path)
    monkeypatch.setattr(
        madminer, "_calculate_xsecs", lambda thetas, *_: madminer.xsecs(list(thetas))[0]
    )
    expected = LUMINOSITY * madminer.xsecs([np.array(TRUE)])[0][0]
    rounded = round(expected)
    _, theirs, best_fit, log_r, _, _ = madminer.expected_limits(
        mode=mode,
        theta_true=np.array(TRUE),
        include_xsec=mode == "rate",
        thetas_eval=points,
        grid_resolutions=None,
        luminosity=LUMINOSITY * rounded / expected,
        test_split=0.2,
        n_histo_toys=10**9,
        n_binning_toys=10**9,
        sample_only_from_closest_benchmark=False,
        **options,
    )
    np.testing.assert_allclose(p_values(2 * (ours.max() - ours), 2), theirs, atol=0.01)
    if mode != "rate":
        assert ours.argmax() == best_fit
        np.testing.assert_allclose(ours * rounded / expected, log_r, rtol=1e-5, atol=1e-3)


# ------------------------------------------------------------------ methods
@pytest.fixture(scope="module")
def sallino(toy):
    model, _, _ = train(toy, "sallino")
    return model


@pytest.mark.parametrize("truth", [(0.0, 0.0), (0.6, -0.3)])
def test_sallino_limits_contain_the_truth(toy, sallino, truth):
    analysis = analysed(toy, truth, POINTS, LUMINOSITY)
    (found,) = log_likelihoods(analysis, METHODS["sallino"], sallino, [SM])
    nearest = int(np.argmin(np.abs(POINTS - truth).sum(axis=1)))
    assert p_values(2 * (found.max() - found), 2)[nearest] > 0.32


@pytest.mark.parametrize("name", ["carl", "sally"])
def test_a_method_has_the_likelihood_of_its_kind(toy, analysis, name):
    class Exact:
        def log_ratio(self, x, points):
            return exact_ratio(toy)(x, points)

        def score(self, x, n_parameters):
            assert n_parameters == 2
            return toy.score(x)

    found = log_likelihoods(analysis, METHODS[name], Exact(), [SM])
    expected = {
        "carl": lambda: analysis.of_ratio(exact_ratio(toy), [SM]),
        "sally": lambda: analysis.of_score(toy.score),
    }
    np.testing.assert_array_equal(found, expected[name]())


# ------------------------------------------------------------------ which events serve what
@pytest.mark.parametrize("n_filling", [0, 100, 10**6])
def test_no_event_fills_and_is_expected(n_filling):
    parts = Parts.of(1000, 0.3, n_filling, np.random.default_rng(1))
    assert not np.intersect1d(parts.test, parts.filling).size
    assert len(parts.filling) == (n_filling if n_filling == 100 else 700)
    assert parts.filling.max() < 700 < parts.test.min() == 701
    assert parts.test.max() == 999


def test_results_share_what_they_are_expected_of():
    """Grid, region, truth, luminosity and events; the grid fills the region."""
    target = Target.of(
        {"region": REGION, "theta_true": TRUE, "luminosity": LUMINOSITY, "rates": [True]}
    )
    shared = Frame(target, [5, 9]).arrays(60.0)
    assert set(shared) == {
        f"expectation/{name}"
        for name in ("grid", "region", "theta_true", "luminosity", "n_expected")
    }
    np.testing.assert_array_equal(shared["expectation/grid"], POINTS)
    np.testing.assert_array_equal(shared["expectation/region"], REGION)
    assert shared["expectation/n_expected"] == 60.0
