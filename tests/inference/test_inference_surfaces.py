"""q between the points of a grid, against paraboloids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.inference.statistics import grid
from steps.inference.surfaces import LUMINOSITIES, Surface, refined

LUMINOSITY = 1e4
AT_68 = 2.2789
CENTRE, WIDTH = np.array([0.1, -0.3, 0.2]), np.array([0.2, 0.5, 0.3])
REGION = np.array([[-1.0, 1.2], [-2.0, 1.5], [-1.5, 1.6]])


def surface(n=2, error=None, correlation=0.0, resolutions=(13, 11, 12)):
    """Return the surface of a paraboloid of n parameters, the first two correlated."""
    points = grid(REGION[:n].tolist(), resolutions[:n])
    covariance = np.diag(WIDTH[:n] ** 2)
    if n > 1:
        covariance[0, 1] = covariance[1, 0] = correlation * WIDTH[0] * WIDTH[1]
    offset = points - CENTRE[:n]
    q = np.einsum("gi,ij,gj->g", offset, np.linalg.inv(covariance), offset)
    errors = np.full(len(points), np.nan) if error is None else error(q)
    return Surface.of(REGION[:n], resolutions[:n], 7.0 - q / 2, errors)


def constant(value):
    return lambda q: np.full_like(q, value)


def test_values_between_points_are_those_of_a_cubic():
    def cubic(points):
        x, y = points.T
        return 1 + x - 2 * y + x**3 * y - y**2

    coarse, fine = (grid(REGION[:2].tolist(), n) for n in ([6, 5], [201, 201]))
    found = refined(REGION[:2], [6, 5], cubic(coarse))
    np.testing.assert_allclose(found.ravel(), cubic(fine), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_best_fit_and_extent_of_a_paraboloid(n):
    made = surface(n)
    step = np.array([axis[1] - axis[0] for axis in made.axes])
    assert (np.abs(made.best_fit() - CENTRE[:n]) <= step / 2 + 1e-9).all()
    ends = np.array(made.extent(AT_68))
    expected = CENTRE[:n, None] + np.sqrt(AT_68) * WIDTH[:n, None] * [-1, 1]
    assert (np.abs(ends - expected) <= 1.5 * step[:, None]).all()


def test_size_is_that_of_an_ellipse_and_its_error_that_of_the_level():
    size, error = surface(2, constant(0.1)).size(AT_68)
    per_q = np.pi * WIDTH[0] * WIDTH[1]
    assert size == pytest.approx(AT_68 * per_q, rel=0.01)
    assert error == pytest.approx(0.1 * per_q, rel=0.1)
    assert np.isnan(surface(2).size(AT_68)[1])


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_projection_is_the_profile(correlation):
    made = surface(3, lambda q: 0.1 * q, correlation)
    projected = made.projected(1)
    expected = ((projected.axes[0] - CENTRE[0]) / WIDTH[0]) ** 2
    near = expected < 4
    # The others' best values are points of the fine grid.
    np.testing.assert_allclose(projected.q[near], expected[near], atol=0.05)
    np.testing.assert_allclose(projected.error[near], 0.1 * expected[near], atol=0.05)
    assert made.projected(3) is made
    assert made.projected(2).q.shape == (41, 41)


def test_error_at_the_contour_where_it_is_known():
    assert surface(2, constant(0.3)).error_at_contour() == pytest.approx(0.3, rel=1e-6)
    assert np.isnan(surface(2).error_at_contour())
    # Nothing is at the contour at a luminosity that is so small.
    assert np.isnan(surface(2, constant(0.3)).error_at_contour(1e-6))


def test_error_that_grows_as_the_distance_is_known_next_to_the_best_fit():
    """The error of a shifted parabola goes as |theta|: an edge, within one step of the grid."""
    made = surface(2, lambda q: 0.05 * np.sqrt(q))
    for scale in (1, 10, 100):
        mean = np.sqrt(2.5)
        expected = 0.05 * mean * np.sqrt(scale)
        assert made.error_at_contour(scale) == pytest.approx(expected, rel=0.05)
    assert made.supported() == pytest.approx((1 / (0.05 * mean)) ** 2, rel=0.2)
    assert np.isnan(surface(2).supported())


@pytest.mark.parametrize("n", [1, 2])
def test_intervals_shrink_with_the_root_of_the_luminosity(n):
    made = surface(n, lambda q: 0.05 * np.sqrt(q))
    found = made.intervals(LUMINOSITY)
    assert found.shape == (len(LUMINOSITIES), n, 5)
    for number in range(n):
        at, low, high, low_error, high_error = found[:, number].T
        np.testing.assert_allclose(at, LUMINOSITIES)
        known = np.isfinite(low)
        reach = WIDTH[number] * np.sqrt(LUMINOSITY / at)
        assert known[np.argmin(np.abs(at - LUMINOSITY))]
        for end, error, sign in ((low, low_error, -1), (high, high_error, 1)):
            expected = CENTRE[number] + sign * reach
            np.testing.assert_allclose(end[known], expected[known], atol=0.1 * reach[known].min())
            # dq = 0.05 sqrt(scale) at q = 1, and dq/dtheta = 2 / reach there.
            shift = 0.5 * reach * 0.05 * np.sqrt(at / LUMINOSITY)
            np.testing.assert_allclose(error[known], shift[known], rtol=0.2)
        # It leaves the region at small luminosities.
        outside = CENTRE[number] + reach > REGION[number, 1]
        assert not known[outside].any()


def test_luminosities_beyond_a_large_error_are_not_supported():
    """Whatever the error there: nearer to the best fit it is told by few points."""
    plain = surface(2, constant(0))
    ring = (plain.q > 0.05) & (plain.q < 0.3)
    made = Surface(plain.axes, plain.q, np.where(ring, 5.0, 0.0))
    assert made.error_at_contour(1.0) == made.error_at_contour(100.0) == 0
    # What is at the contour, from 1 / scale to 4 / scale, meets the ring.
    at = made.supported()
    assert at == pytest.approx(1 / 0.3, rel=0.15)
    known = np.isfinite(made.intervals(LUMINOSITY)[:, 1, 1])
    assert known.any()
    assert not known[at * LUMINOSITY < LUMINOSITIES].any()


def test_no_intervals_where_the_error_is_too_large():
    errors = (lambda q, e=e: e * np.sqrt(q) for e in (0.01, 5.0))
    small, large = (surface(2, error).intervals(LUMINOSITY) for error in errors)
    assert np.isfinite(small[..., 1]).any()
    assert not np.isfinite(large[..., 1]).any()


def test_intervals_without_errors_where_these_are_not_known():
    found = surface(2).intervals(LUMINOSITY)
    known = np.isfinite(found[..., 1])
    np.testing.assert_array_equal(
        known, np.isfinite(surface(2, constant(0)).intervals(1e4)[..., 1])
    )
    assert known.any()
    assert np.isnan(found[..., 3:]).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(0.05, 0.3))
def test_interval_of_one_parameter(centre, width):
    points = grid([(-1.5, 1.5)], [31])
    values = -((points[:, 0] - centre) ** 2) / (2 * width**2)
    made = Surface.of(np.array([[-1.5, 1.5]]), [31], values, np.zeros(31))
    row = np.argmin(np.abs(LUMINOSITIES - 1e4))
    low, high = made.intervals(1e4)[row, 0, 1:3]
    assert (low, high) == pytest.approx((centre - width, centre + width), abs=0.03 * width)
