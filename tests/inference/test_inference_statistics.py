"""Grids, p-values and intervals against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from steps.inference.statistics import grid, intervals, limits, profile


def test_the_last_parameter_varies_fastest():
    points = grid([(0, 1), (10, 12), (5, 6)], [2, 3, 2])
    assert points[:4].tolist() == [[0, 10, 5], [0, 10, 6], [0, 11, 5], [0, 11, 6]]
    cube = points.reshape(2, 3, 2, 3)
    for axis, values in enumerate(([0, 1], [10, 11, 12], [5, 6])):
        np.testing.assert_array_equal(np.unique(cube[..., axis]), values)
        other = tuple(k for k in range(3) if k != axis)
        assert np.ptp(cube[..., axis], axis=other).max() == 0


finite = st.floats(-1, 1)


@given(centre=st.tuples(finite, finite), width=st.tuples(*[st.floats(0.1, 3)] * 2), offset=finite)
def test_gaussian_likelihood_gives_chi_squared_p_values(centre, width, offset):
    points = np.append(grid([(-2, 2), (-2, 2)], [9, 7]), [centre], axis=0)
    q = np.sum(((points - centre) / width) ** 2, axis=1)
    found = limits(1e4 * offset - q / 2, 2)
    np.testing.assert_allclose(points[found.best_fit], centre, atol=1e-5)
    np.testing.assert_allclose(found.p_values, np.exp(-q / 2), atol=1e-9)


@pytest.mark.parametrize(
    ("dof", "q", "p"), [(1, 1.0, 0.3173), (2, 2.2957, 0.3173), (2, 5.991, 0.05)]
)
def test_known_quantiles(dof, q, p):
    assert limits(np.array([0, -q / 2]), dof).p_values[1] == pytest.approx(p, abs=1e-4)


def test_intervals_of_a_gaussian():
    points = grid([(-3, 3), (-3, 3)], [301, 301])
    q = np.sum((points / [1.0, 0.5]) ** 2, axis=1)
    found = limits(-q / 2, 2).p_values.reshape(301, 301)
    reach = np.sqrt(chi2.isf(0.32, 2))
    expected = [(-reach, reach), (-reach / 2, reach / 2)]
    np.testing.assert_allclose(
        intervals(points.reshape(301, 301, 2), found, 0.32), expected, atol=0.021
    )


def test_profile_keeps_the_best_of_the_hidden_parameters():
    p_values = np.random.default_rng(1).uniform(size=(3, 4, 5))
    np.testing.assert_array_equal(profile(p_values, 2), p_values.max(axis=2))
    np.testing.assert_array_equal(profile(p_values, 1), p_values.max(axis=(1, 2)))
    np.testing.assert_array_equal(profile(p_values, 3), p_values)
