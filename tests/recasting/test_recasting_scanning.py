"""Grids of parameter points, and surfaces over them."""

import numpy as np
import pytest

from steps.recasting.analysis import Grid
from steps.recasting.surfaces import crossings, finer
from steps.stage.errors import SettingError

NAMES = ["a", "b", "c"]


def test_points_are_all_pairs_the_others_held() -> None:
    grid = Grid.read(" -1, 1, 5; 0.5;0,2,6", NAMES)
    assert grid is not None
    assert grid.scanned == [0, 2]
    assert grid.points.shape == (30, 3)
    np.testing.assert_allclose(grid.points[:7, 2], [0, 0.4, 0.8, 1.2, 1.6, 2, 0])
    assert set(grid.points[:, 1]) == {0.5}


def test_nothing_is_no_scan() -> None:
    assert Grid.read("  ", NAMES) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("-1,1,5", "scan: '-1,1,5' has no range for each of a, b, c; give 3"),
        ("0;0;0", "scan: '0;0;0' scans 0 parameters"),
        ("0,1,5;0,1,5;0,1,5", "scan: '0,1,5;0,1,5;0,1,5' scans 3 parameters"),
        ("0,1,4;0;0", "scan: '0,1,4' is no range of a"),
        ("0;1,0,9;0", "scan: '1,0,9' is no range of b"),
        ("0;0;0,1", "scan: '0,1' is no range of c"),
        ("0;0;0,1,9,9", "scan: '0,1,9,9' is no range of c"),
        ("0;0,inf,9;0", "scan: '0,inf,9' is no range of b"),
        ("x;0,1,9;0", "scan: 'x' is no range of a"),
        ("0;0,1,9.5;0", "scan: '0,1,9.5' is no range of b"),
        ("0,1,-5;0;0", "scan: '0,1,-5' is no range of a"),
    ],
)
def test_mistakes_are_one_line(text: str, error: str) -> None:
    with pytest.raises(SettingError) as raised:
        Grid.read(text, NAMES)
    assert str(raised.value).startswith(error)
    assert "\n" not in str(raised.value)


def test_splines_know_a_cubic_between_its_points() -> None:
    x, y = np.linspace(-1, 2, 6), np.linspace(0, 1, 5)

    def cubic(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u**3 - 2 * u * v**2 + v - 1

    (fine_x, fine_y), found = finer([x, y], cubic(*np.meshgrid(x, y, indexing="ij")))
    assert (fine_x[0], fine_x[-1], fine_y[-1]) == (-1, 2, 1)
    expected = cubic(*np.meshgrid(fine_x, fine_y, indexing="ij"))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_crossings_are_where_a_curve_meets_the_level() -> None:
    x = np.linspace(-2, 2, 2001)
    np.testing.assert_allclose(crossings(x, np.exp(-(x**2)), 0.5), [-0.832555, 0.832555], rtol=1e-5)
    assert crossings(x, x, 5.0) == []
