"""Likelihoods of the expected data against the closed form and MadMiner's own limits."""

import numpy as np
import pytest

from inference.toys import train
from steps.inference.analysis import Analysis, log_likelihood
from steps.inference.methods import METHODS
from steps.inference.statistics import grid, limits
from steps.madminer.library import AsymptoticLimits

TRUE = (0.4, -0.2)
TEST_SPLIT = 0.2
LUMINOSITY = 50.0
REGION = [(-0.8, 0.8), (-0.8, 0.8)]
POINTS = grid(REGION, [5, 9])
AT_TRUE = int(np.argmin(np.abs(POINTS - TRUE).sum(axis=1)))


@pytest.fixture(scope="module")
def analysis(toy):
    return Analysis(toy.path, TRUE, POINTS, LUMINOSITY, TEST_SPLIT)


def relative(log_likelihood):
    return log_likelihood - log_likelihood[AT_TRUE]


def test_expected_events_and_rate(toy, analysis):
    cross_sections = np.array([toy.cross_section(point) for point in POINTS])
    np.testing.assert_allclose(analysis.cross_sections, cross_sections, rtol=0.02)
    assert analysis.n_expected == pytest.approx(LUMINOSITY * toy.cross_section(TRUE), rel=0.02)
    mean = LUMINOSITY * cross_sections
    exact = mean[AT_TRUE] * np.log(mean / mean[AT_TRUE]) - mean + mean[AT_TRUE]
    np.testing.assert_allclose(relative(analysis.rate()), exact, atol=1.0, rtol=0.1)
    assert limits(analysis.rate(), 2).best_fit == AT_TRUE
    assert analysis.weights.sum() == pytest.approx(1)


def test_rate_scales_with_luminosity(toy, analysis):
    doubled = Analysis(toy.path, TRUE, POINTS, 2 * LUMINOSITY, TEST_SPLIT)
    np.testing.assert_allclose(relative(doubled.rate()), 2 * relative(analysis.rate()), atol=1e-9)
    assert doubled.n_expected == pytest.approx(2 * analysis.n_expected)


def exact_expectation(ratios, density):
    """Mean of log ratios ``(n_grid, n_cells)`` under a density, relative to the true point."""
    expected = ratios @ (density / density.sum())
    return expected - expected[AT_TRUE]


def test_log_ratio_against_quadrature(toy, analysis):
    side = np.linspace(-5, 5, 201) * np.sqrt(1 + toy.noise**2)
    x = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    ratios = np.stack([toy.log_ratio(x, point) for point in POINTS])
    density = np.exp(-np.sum(x**2, axis=1) / 2 / (1 + toy.noise**2) + ratios[AT_TRUE])
    exact = analysis.n_expected * exact_expectation(ratios, density)
    found = analysis.from_log_ratio(
        lambda x, points: np.stack([toy.log_ratio(x, point) for point in points])
    )
    assert limits(found, 2).best_fit == AT_TRUE
    np.testing.assert_allclose(relative(found), exact, atol=0.3, rtol=0.1)


def test_histogram_against_quadrature(toy, analysis):
    x = np.linspace(-5, 5, 2001) * np.sqrt(1 + toy.noise**2)
    ratios = np.stack([toy.log_ratio_first(x, point) for point in POINTS])
    density = np.exp(-(x**2) / 2 / (1 + toy.noise**2) + ratios[AT_TRUE])
    exact = analysis.n_expected * exact_expectation(ratios, density)
    found = analysis.from_histogram(["x0"])
    np.testing.assert_allclose(relative(found), exact, atol=0.3, rtol=0.1)


def test_events_without_a_logarithm_do_not_count(toy, analysis):
    def broken(x, points):
        log_r = np.stack([toy.log_ratio(x, point) for point in points])
        log_r[3, 0], log_r[5, 1] = np.nan, -np.inf
        return log_r

    assert np.isfinite(analysis.from_log_ratio(broken)).all()


@pytest.mark.parametrize("mode", ["rate", "histo", "ml", "sally"])
def test_agrees_with_madminer(small, tmp_path, monkeypatch, mode):
    points = POINTS[::4]
    analysis = Analysis(small.path, TRUE, points, LUMINOSITY, TEST_SPLIT)
    path, options = tmp_path / "model", {}
    if mode == "rate":
        ours = analysis.rate()
    elif mode == "histo":
        ours, options = analysis.from_histogram(["x0"]), {"hist_vars": ["x0"]}
    else:
        method = METHODS["sally" if mode == "sally" else "alice"]
        model, _, _ = train(small, method.name, 4000, num_epochs=2)
        model.save(path)
        options = {"model_file": str(path)}
        ours = log_likelihood(analysis, method, model, path, "sm")
    # MadMiner rounds the number of events, counts them in the test partition alone and draws
    # its data from the nearest benchmark's events unless told otherwise.
    madminer = AsymptoticLimits(small.path)
    monkeypatch.setattr(
        madminer, "_calculate_xsecs", lambda thetas, *_: madminer.xsecs(list(thetas))[0]
    )
    rounded = round(analysis.n_expected)
    luminosity = LUMINOSITY * rounded / analysis.n_expected
    _, p_values, best_fit, log_r, _, _ = madminer.expected_limits(
        mode=mode,
        theta_true=np.array(TRUE),
        include_xsec=mode == "rate",
        thetas_eval=points,
        grid_resolutions=None,
        luminosity=luminosity,
        test_split=TEST_SPLIT,
        n_histo_toys=10**9,
        n_binning_toys=10**9,
        sample_only_from_closest_benchmark=False,
        **options,
    )
    found = limits(ours, 2)
    np.testing.assert_allclose(found.p_values, p_values, atol=0.01)
    if mode != "rate":
        assert found.best_fit == best_fit
        scaled = ours * rounded / analysis.n_expected
        np.testing.assert_allclose(scaled, log_r, rtol=1e-5, atol=1e-3)


@pytest.fixture(scope="module")
def sallino(toy):
    model, _, _ = train(toy, "sallino")
    return model


@pytest.mark.parametrize("truth", [(0.0, 0.0), (0.6, -0.3)])
def test_sallino_limits_contain_the_truth(toy, sallino, tmp_path, truth):
    analysis = Analysis(toy.path, truth, POINTS, LUMINOSITY, TEST_SPLIT)
    found = limits(log_likelihood(analysis, METHODS["sallino"], sallino, tmp_path, "sm"), 2)
    nearest = int(np.argmin(np.abs(POINTS - truth).sum(axis=1)))
    assert found.p_values[nearest] > 0.32


def test_batches_of_events_change_nothing(toy, analysis, monkeypatch):
    def evaluate(x, points):
        return np.stack([toy.log_ratio(x, point) for point in points])

    whole = analysis.from_log_ratio(evaluate)
    monkeypatch.setattr("steps.inference.analysis.MOST_NUMBERS", 1000 * len(POINTS))
    np.testing.assert_allclose(analysis.from_log_ratio(evaluate), whole, rtol=1e-9)


def test_results_share_what_they_are_expected_of(toy, analysis):
    """Grid, truth, luminosity and events; any of them changed is told."""
    shared = analysis.expectation()
    assert set(shared) == {
        f"expectation/{name}"
        for name in ("grid", "theta_true", "luminosity", "n_expected", "n_events")
    }
    np.testing.assert_array_equal(shared["expectation/grid"], POINTS)
    assert shared["expectation/n_events"] == len(analysis.x)

    def told(*, true=TRUE, points=POINTS, luminosity=LUMINOSITY, test_split=TEST_SPLIT):
        other = Analysis(toy.path, true, points, luminosity, test_split).expectation()
        return {
            name.removeprefix("expectation/")
            for name, value in shared.items()
            if not np.array_equal(other[name], value)
        }

    assert told() == set()
    assert told(true=(0.2, 0.1)) == {"theta_true", "n_expected"}
    assert told(points=POINTS[:9]) == {"grid"}
    assert told(luminosity=2 * LUMINOSITY) == {"luminosity", "n_expected"}
    assert told(test_split=0.1) == {"n_events"}
