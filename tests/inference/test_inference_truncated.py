"""Linear terms alone beside all terms, in bins of the optimal observable."""

import numpy as np
import pytest
from scipy.optimize import brentq

from inference.exact import exact_sample
from inference.toys import made
from steps.inference import cross_fitted, intervals, summary, truncated
from steps.inference.truncated import Bins


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Two parameters; exact scores, two bags."""
    found, _ = exact_sample(made(tmp_path_factory, 2, 8_000), n_bags=2)
    return found


def test_one_bin_by_its_formula():
    """n = 5 (1 + theta + theta^2 / 2), or without the last term."""
    counted = Bins(lambda v: 5 * (1 + v + v**2 / 2)[:, None], np.array([5.0]), 1.0)

    def q(value, squared):
        ratio = 1 + value + squared * value**2
        return 10 * (ratio - 1 - np.log(ratio)) - 1.0

    low, high = truncated.ends(counted, "linear", 1.0)
    assert low == pytest.approx(brentq(lambda v: q(v, 0.0), -0.999, 0))
    assert high == pytest.approx(brentq(lambda v: q(v, 0.0), 0, 5))
    assert counted.meaningful() == (-1.0, np.inf)
    low, high = truncated.ends(counted, "quadratic", 1.0)
    # The same number of events as at zero is expected at -2.
    assert low == pytest.approx(brentq(lambda v: q(v, 0.5), -5, -2))
    assert high == pytest.approx(brentq(lambda v: q(v, 0.5), 0, 5))


def test_without_linear_terms_there_is_no_end():
    counted = Bins(lambda v: 5 * (1 + v**2)[:, None], np.zeros(1), 1.0)
    assert truncated.ends(counted, "linear", 1.0) == (-np.inf, np.inf)
    assert counted.meaningful() == (-np.inf, np.inf)
    low, high = truncated.ends(counted, "quadratic", 1.0)
    assert -low == pytest.approx(high)
    assert 10 * (high**2 - np.log(1 + high**2)) == pytest.approx(1.0)


@pytest.mark.parametrize("number", [0, 1])
def test_many_events_give_the_fisher_information(sample, number):
    """Near zero linear terms suffice, and the bins lose little."""
    luminosity = 1e5
    information = cross_fitted.information(sample, np.zeros(2), luminosity)[0]
    error = 1 / np.sqrt(information[number, number])
    counted = truncated.bins(sample, luminosity, number)
    for terms in truncated.TERMS:
        low, high = truncated.ends(counted, terms, 1.0)
        assert 0.5 * (high - low) == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize("luminosity", [30.0, 1000.0])
def test_all_terms_agree_with_the_unbinned_likelihood(sample, luminosity):
    region = sample.events.polynomial.region
    likelihoods = cross_fitted.likelihoods(sample, region, np.zeros(2), luminosity, with_rate=True)
    [first, second] = intervals.intervals(likelihoods[:1], [0.0, 0.0]).fixed
    table = truncated.to_arrays(sample, luminosity)["truncation/quadratic"]
    for estimate, row in zip((first, second), table, strict=True):
        [piece] = estimate.pieces["68"]
        assert row[1:3] == pytest.approx([piece.low, piece.high], rel=0.03, abs=0.003)


def test_bins_hold_all_events(sample):
    """Their numbers are those of the cross section, at any value."""
    counted = truncated.bins(sample, 10.0, 0)
    values = np.array([-0.7, 0.0, 0.4])
    points = np.stack([values, np.zeros(3)], axis=-1)
    assert counted.at(values).sum(axis=1) == pytest.approx(10 * sample.weights(points).sum(axis=1))
    shares = counted.at_zero / counted.at_zero.sum()
    assert shares[[0, -1]] == pytest.approx([0.01, 0.01], abs=0.003)
    step = 1e-5
    slopes = np.diff(counted.at(np.array([-step, step])), axis=0)[0] / (2 * step)
    assert counted.slopes == pytest.approx(slopes, rel=1e-4, abs=1e-6)


def test_few_events_reach_where_linear_terms_have_no_meaning(sample):
    counted = truncated.bins(sample, 2.0, 0)
    low, high = counted.meaningful()
    assert counted.linear(np.array([low, high])).min(axis=1) == pytest.approx([0, 0], abs=1e-9)
    found = truncated.ends(counted, "linear", intervals.LEVELS["95"])
    assert low < found[0] < 0 < found[1] < high
    arrays = truncated.to_arrays(sample, 2.0)
    assert arrays["truncation/linear"][0, -2:].tolist() == [low, high]
    table = summary.terms([arrays], ["a", "b"])["a"]
    assert table["linear"]["no_meaning_beyond"]["low"] == pytest.approx(low, abs=1e-4)
    assert table["linear"]["95 % CL"]["low_error"].startswith("none: beyond this linear terms")
    assert "no_meaning_beyond" not in table["quadratic"]
    # All terms allow what linear ones cannot even describe.
    assert table["quadratic"]["95 % CL"]["low"] < low


def test_errors_are_the_spread_of_bags(sample):
    arrays = truncated.to_arrays(sample, 100.0)
    assert arrays["truncation/linear"].shape == (2, 7)
    error = arrays["truncation_error/linear"]
    ends = [
        truncated.ends(truncated.bins(sample, 100.0, 1, bag), "linear", 1.0)[0] for bag in (1, 2)
    ]
    assert error[1, 1] == pytest.approx(np.std(ends, ddof=1))
    assert error[:, 0].tolist() == [0, 1]


def test_errors_are_not_known_without_bags(tmp_path_factory):
    found, _ = exact_sample(made(tmp_path_factory, 2, 8_000))
    error = truncated.to_arrays(found, 100.0)["truncation_error/quadratic"]
    assert np.isnan(error[:, 1:]).all()


def test_runs_are_averaged(sample):
    arrays = truncated.to_arrays(sample, 100.0)
    moved = {name: value + 0.01 * ("error" not in name) for name, value in arrays.items()}
    one, both = summary.terms([arrays], ["a", "b"]), summary.terms([arrays, moved], ["a", "b"])
    low = one["b"]["quadratic"]["95 % CL"]["low"]
    assert both["b"]["quadratic"]["95 % CL"]["low"] == pytest.approx(low + 0.005, abs=1e-4)
    assert summary.terms([arrays, {}], ["a", "b"]) == {}
