"""Grids and p-values against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.inference.statistics import grid, level, p_values


def test_the_last_parameter_varies_fastest():
    points = grid([(0, 1), (10, 12), (5, 6)], [2, 3, 2])
    assert points[:4].tolist() == [[0, 10, 5], [0, 10, 6], [0, 11, 5], [0, 11, 6]]
    cube = points.reshape(2, 3, 2, 3)
    for axis, values in enumerate(([0, 1], [10, 11, 12], [5, 6])):
        np.testing.assert_array_equal(np.unique(cube[..., axis]), values)
        other = tuple(k for k in range(3) if k != axis)
        assert np.ptp(cube[..., axis], axis=other).max() == 0


@given(st.lists(st.floats(0, 50), min_size=1))
def test_p_values_of_two_parameters_are_exponential(q):
    np.testing.assert_allclose(p_values(np.array(q), 2), np.exp(-np.array(q) / 2))


@pytest.mark.parametrize(
    ("dof", "q", "p"), [(1, 1.0, 0.3173), (2, 2.2957, 0.3173), (2, 5.991, 0.05), (3, 3.527, 0.3173)]
)
def test_known_quantiles(dof, q, p):
    assert p_values(np.array([q]), dof)[0] == pytest.approx(p, abs=1e-4)
    assert level(p, dof) == pytest.approx(q, abs=1e-3)
