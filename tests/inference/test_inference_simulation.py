"""Simulated events, their weights everywhere, and bags of them."""

import numpy as np
import pytest

from inference.toys import analysed
from steps.inference import samples
from steps.inference.simulation import Simulation
from steps.inference.statistics import grid

REGION = np.array([[-1.0, 1.0], [-1.0, 1.0]])
POINTS = grid(REGION.tolist(), [3, 4])


@pytest.fixture(scope="module")
def events(small):
    return samples.mixture(small.path)


@pytest.fixture(scope="module")
def simulation(events):
    return Simulation.of(events, REGION, 200, np.random.default_rng(1))


def test_weights_are_those_of_the_benchmarks(events, simulation):
    weights = simulation.weights(events["benchmarks"])
    for column, found in zip(events["weights"].T, weights, strict=True):
        np.testing.assert_allclose(found, column, rtol=1e-6, atol=1e-9 * column.max())


def test_the_region_changes_no_weight(events, simulation):
    far = Simulation.of(events, 20 * REGION, 0, np.random.default_rng(1))
    np.testing.assert_allclose(
        far.weights(POINTS), simulation.weights(POINTS), rtol=1e-6, atol=1e-12
    )


def test_rates_are_cross_sections_times_luminosity(small, simulation):
    rates = simulation.rates(30.0)
    expected = rates @ simulation.polynomial.weights(POINTS).T
    exact = [30.0 * small.cross_section(point) for point in POINTS]
    np.testing.assert_allclose(expected[0], exact, rtol=0.05)
    np.testing.assert_allclose(simulation.rates(60.0), 2 * rates)


def test_bags_count_events_as_poisson_does(simulation):
    counts = simulation.multiplicity
    assert counts.shape == (201, 8000)
    np.testing.assert_array_equal(counts[0], 1)
    assert counts[1:].mean() == pytest.approx(1, abs=0.005)
    assert counts[1:].var() == pytest.approx(1, abs=0.01)
    assert (counts[1:] == 0).mean() == pytest.approx(np.exp(-1), abs=0.003)
    # Events and bags are independent of each other.
    one, two = counts[1:101].astype(float), counts[101:].astype(float)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.01


def test_bags_spread_as_a_mean_of_so_many_events_does(simulation):
    """Every bag is a sample of the same size: its number of events is no source of spread."""
    for point in POINTS:
        weights = simulation.weights(point[None])[0]
        found = simulation.rates(1.0)[1:] @ simulation.polynomial.weights(point[None])[0]
        expected = weights.std() * np.sqrt(len(weights))
        assert found.std() == pytest.approx(expected, rel=0.2)
        assert found.mean() == pytest.approx(weights.sum(), abs=4 * expected / np.sqrt(200))


def test_no_bags_are_the_nominal_sample_alone(events):
    alone = Simulation.of(events, REGION, 0, np.random.default_rng(1))
    assert alone.multiplicity.shape == (1, 8000)
    assert alone.rates(1.0).shape == (1, 6)


def test_bags_of_a_seed_are_the_same(events, simulation):
    again = Simulation.of(events, REGION, 200, np.random.default_rng(1))
    np.testing.assert_array_equal(again.multiplicity, simulation.multiplicity)
    other = Simulation.of(events, REGION, 200, np.random.default_rng(2))
    assert not np.array_equal(other.multiplicity, simulation.multiplicity)


def test_the_bags_spread_of_q_is_that_of_other_samples(tmp_path_factory):
    """Of the exact ratio, where nothing is trained: eight samples against the bags of each."""
    from inference.toys import Toy

    points = grid([(-0.6, 0.6)] * 2, [3, 3])
    truth = int(np.argmin((points**2).sum(axis=1)))

    def log_ratio(toy):
        return lambda x, thetas: np.stack([toy.log_ratio(x, theta) for theta in thetas])

    nominal, spreads = [], []
    for seed in range(8):
        toy = Toy(2).write(tmp_path_factory.mktemp("sample"), 1000, seed)
        analysis = analysed(toy, (0.0, 0.0), points, 30.0, n_bags=30)
        found = analysis.of_ratio(log_ratio(toy), [np.zeros(2)]) + analysis.rate()
        q = -2 * (found - found[:, truth : truth + 1])
        nominal.append(q[0])
        spreads.append(q[1:].std(axis=0))
    others = np.arange(len(points)) != truth
    actual, predicted = np.std(nominal, axis=0, ddof=1)[others], np.mean(spreads, axis=0)[others]
    assert 0.6 < np.mean(predicted) / np.mean(actual) < 1.6
