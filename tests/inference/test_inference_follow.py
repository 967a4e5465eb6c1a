"""Where the likelihood lives is found in regions that are much larger."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.inference.follow import effective_events, focus, reach

NEAR = 20.0
"""q up to which points are of interest."""


@dataclass(frozen=True)
class Normal:
    """A sum of normal likelihoods of equal widths ``(p,)`` about centres ``(m, p)``."""

    centres: np.ndarray
    width: np.ndarray

    @classmethod
    def at(cls, centre, width):
        return cls(np.atleast_2d(centre), np.asarray(width, dtype=float))

    def __call__(self, points):
        away = (points[:, None] - self.centres) / self.width
        return np.logaddexp.reduce(-0.5 * (away**2).sum(axis=-1), axis=1)

    def reach(self):
        """Ends ``(p, 2)`` of what is near about the centres."""
        reach = np.sqrt(NEAR) * self.width
        return np.stack([self.centres.min(0) - reach, self.centres.max(0) + reach], axis=-1)


def box(reach, p):
    return np.array([[-reach, reach]] * p, dtype=float)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("width", [0.02, 0.3])
def test_a_small_likelihood_is_found_in_a_large_region(p, width):
    """One point in a thousand or less is near it, of forty units across."""
    centre = np.array([0.7, -0.4, 0.2])[:p]
    likelihood = Normal.at(centre, [width] * p)
    found = focus([likelihood], box(20, p), centre)
    low, high = likelihood.reach().T
    # Points are few, so that the very corners may be missed, but not by much.
    assert (found[:, 0] < low + 0.35 * (centre - low)).all()
    assert (found[:, 1] > high - 0.35 * (high - centre)).all()
    assert (np.ptp(found, axis=1) < 1.4 * (high - low)).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_wherever_it_is_and_however_narrow(seed):
    rng = np.random.default_rng(seed)
    centre, width = rng.uniform(-15, 15, 2), 10 ** rng.uniform(-2, 0, 2)
    found = focus([Normal.at(centre, width)], box(20, 2), centre)
    assert (found[:, 0] < centre - 2.5 * width).all()
    assert (found[:, 1] > centre + 2.5 * width).all()
    assert (np.ptp(found, axis=1) < 15 * width).all()


def test_both_of_two_minima_are_kept():
    """As far apart as fifty widths."""
    likelihood = Normal(np.array([[-3.0, 1.0], [2.0, 1.5]]), np.array([0.1, 0.1]))
    found = focus([likelihood], box(20, 2), np.array([2.0, 1.5]))
    low, high = found.T
    assert (low < likelihood.centres - 0.25).all()
    assert (high > likelihood.centres + 0.25).all()
    assert (np.ptp(found, axis=1) < [7.5, 3]).all()


def test_the_true_point_is_kept_wherever_the_likelihood_is():
    truth = np.array([5.0, -7.0])
    found = focus([Normal.at([0.0, 0.0], [0.2, 0.2])], box(20, 2), truth)
    assert (found[:, 0] <= truth).all()
    assert (truth <= found[:, 1]).all()
    assert (found[:, 0] < [-0.4, -7]).all()
    assert (found[:, 1] > [5, 0.4]).all()


def test_every_likelihood_counts():
    """What one constrains and the other does not; and one that is elsewhere."""
    wide, narrow = Normal.at([0.0, 0.0], [0.5, 3.0]), Normal.at([0.0, 0.0], [0.2, 0.2])
    found = focus([narrow, wide], box(20, 2), np.zeros(2))
    alone = focus([wide], box(20, 2), np.zeros(2))
    np.testing.assert_allclose(found, alone, rtol=0.15)
    other = Normal.at([4.0, -6.0], [0.2, 0.2])
    both = focus([narrow, other], box(20, 2), np.zeros(2))
    assert (both[:, 0] < [-0.4, -6.4]).all()
    assert (both[:, 1] > [4.4, 0.4]).all()


def test_a_likelihood_that_fills_the_region_leaves_it():
    region = np.array([[-1.0, 1.0], [-0.5, 2.0]])
    np.testing.assert_array_equal(
        focus([Normal.at([0.0, 0.0], [5.0, 5.0])], region, np.zeros(2)), region
    )
    # One that constrains one parameter alone leaves the other.
    found = focus([Normal.at([0.0, 0.0], [0.01, 50.0])], region, np.zeros(2))
    np.testing.assert_array_equal(found[1], region[1])
    assert np.ptp(found[0]) < 0.15


def test_the_box_never_leaves_the_region():
    region = np.array([[0.0, 20.0], [-20.0, 1.0]])
    found = focus([Normal.at([0.0, 1.0], [0.3, 0.3])], region, np.array([0.0, 1.0]))
    assert found[0, 0] == 0.0
    assert found[1, 1] == 1.0
    assert (found[:, 0] >= region[:, 0]).all()
    assert (found[:, 1] <= region[:, 1]).all()


def test_the_same_likelihood_has_the_same_box():
    likelihood = Normal.at([0.7, -0.4], [0.1, 0.2])
    one, two = (focus([likelihood], box(20, 2), np.zeros(2)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_effective_events():
    assert effective_events(np.full(50, 0.3)) == pytest.approx(50)
    assert effective_events(np.append(np.zeros(9), 2.0)) == pytest.approx(1)
    assert effective_events(np.array([1.0, 3.0])) == pytest.approx(1.6)


def test_noise_of_few_simulated_events_is_waited_for():
    """A point at q = 20 that noise 2 sqrt(q t) + t moves down is still near."""
    weights = np.full(50, 0.01)
    assert reach(weights, 1e-10) == pytest.approx(NEAR, rel=1e-4)
    for t in (0.1, 1.0, 10.0):
        far = reach(weights, 100 * t)
        assert far - 2 * np.sqrt(far * t) - t == pytest.approx(NEAR)
    likelihood = Normal.at([0.0, 0.0], [0.2, 0.2])
    wide = focus([likelihood], box(20, 2), np.zeros(2), reach(weights, 100.0))
    assert (np.ptp(wide, axis=1) > np.ptp(focus([likelihood], box(20, 2), np.zeros(2)))).all()
