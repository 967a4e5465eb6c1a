"""Limits of many parameters, as a triangle of panels."""

import numpy as np
import pytest
from matplotlib import pyplot

from steps.plots import figures
from steps.plots.figures import Grid, Panel, Result, Role

NAMES = ["a", "b", "c"]
WIDTHS = np.array([0.1, 0.2, 0.3])
AXIS = np.linspace(-1, 1, 101)


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def panel(*numbers: int) -> Panel:
    """Return parabolas of one parameter or two."""
    axes = [AXIS] * len(numbers)
    points = np.meshgrid(*axes, indexing="ij")
    q = sum((values / WIDTHS[k]) ** 2 for values, k in zip(points, numbers, strict=True))
    names = [NAMES[number] for number in numbers]
    grid = Grid(axes, names, [0.0] * len(numbers), {"68 %": 1.0, "95 %": 4.0})
    best = np.zeros(len(numbers))
    unknown = np.full(q.shape, np.nan)
    return Panel(grid, [Result("X", Role.NETWORK, True, "red", q, unknown, q, best)])


@pytest.fixture
def drawn():
    pairs = {(i, j): panel(i, j) for i in range(3) for j in range(i + 1, 3)}
    return figures.triangle(pairs | {(i, i): panel(i) for i in range(3)})


def test_a_panel_for_each_pair_and_parameter(drawn):
    assert len(drawn.axes) == 6
    bottom = [ax.get_xlabel() for ax in drawn.axes[3:]]
    assert bottom == NAMES
    assert [drawn.axes[k].get_ylabel() for k in (1, 3)] == ["b", "c"]
    assert drawn.axes[4].get_ylabel() == ""


def test_panels_of_a_parameter_show_the_same_part(drawn):
    first, pair_ab, second, pair_ac, pair_bc, third = drawn.axes
    assert first.get_xlim() == pair_ab.get_xlim() == pair_ac.get_xlim()
    assert second.get_xlim() == pair_bc.get_xlim() == pair_ab.get_ylim()
    assert third.get_xlim() == pair_ac.get_ylim() == pair_bc.get_ylim()
    # Both contours, and not much else.
    assert 0.2 < first.get_xlim()[1] < 0.35


def test_contours_lie_where_q_is_at_the_level(drawn):
    pair_ab = drawn.axes[1]
    reaches = [
        np.abs(path.vertices).max(axis=0)
        for collection in pair_ab.collections
        for path in collection.get_paths()
        if len(path.vertices)
    ]
    assert reaches[0] == pytest.approx([0.1, 0.2], abs=0.01)
    assert reaches[1] == pytest.approx([0.2, 0.4], abs=0.01)


def test_the_diagonal_shows_q(drawn):
    [line] = [line for line in drawn.axes[2].lines if line.get_label() == "X"]
    assert line.get_ydata() == pytest.approx((AXIS / 0.2) ** 2)


def test_a_contour_that_no_point_is_in_leaves_its_panel_empty():
    grid = panel(0, 1).grid
    [result] = panel(0, 1).results
    far = Result("X", Role.NETWORK, True, "red", result.q + 9, result.error, result.q, np.zeros(2))
    panels = {(0, 1): Panel(grid, [far]), (0, 0): panel(0), (1, 1): panel(1)}
    assert figures.triangle(panels).axes[1].get_xlim() == (-1.0, 1.0)
