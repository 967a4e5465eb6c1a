"""The figure of pulls and impacts."""

from dataclasses import replace

import numpy as np
from matplotlib.colors import to_rgb

from steps.plots.impacts import Impacts, impacts

FOUND = Impacts(
    label="ALICE",
    parameters=["a", "b"],
    names=["small", "large"],
    pulls=np.array([[0.1, 0.9], [-2.0, 0.6]]),
    shifts=np.array([[[0.1, -0.1, 0.2, -0.2], [0.0, 0.0, 0.0, 0.0]], [[0.5, -0.4, 0.8, -0.7]] * 2]),
)


def points(ax):
    return [line.lines[0].get_xdata().tolist() for line in ax.containers]


def labels(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_the_largest_impact_is_on_top_of_its_pull():
    first, *others = impacts(FOUND).axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["large", "small"]
    assert points(first) == [[-2.0, 0.1]]
    # The whole error is shown.
    assert first.get_xlim()[0] <= -2.6
    assert len(labels(first.figure)) == 2
    assert [ax.get_xlabel() for ax in others] == ["shift of a", "shift of b"]


def test_pulls_of_data_stand_above_those_expected():
    made = impacts(replace(FOUND, expected=np.array([[0.0, 1.0], [0.0, 0.7]]), data="data"))
    first = made.axes[0]
    assert points(first) == [[-2.0, 0.1], [0.0, 0.0]]
    heights = [line.lines[0].get_ydata()[0] for line in first.containers]
    assert heights[1] > heights[0]
    colors = [to_rgb(line.lines[0].get_color()) for line in first.containers]
    assert colors[0] == to_rgb("black") != colors[1]
    assert labels(made)[:2] == ["data", "expected"]
