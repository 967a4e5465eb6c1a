"""The figure of limits against a cut."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from steps.plots.clipping import Scan, clipping

CUTS = np.array([500.0, 1000.0, np.inf])
TRUTH = {"a": 0.0, "b": 0.1}


def rows(scale):
    """An interval of each of two parameters below each cut, the first up to the edge; the second
    parameter in two pieces without a cut."""
    found = [
        [place, number, -scale / (1 + place), scale, 0.01, 0.02, 0, place == 0]
        for place in range(3)
        for number in range(2)
    ]
    return np.array([*found, [2, 1, scale + 0.1, scale + 0.2, 0.01, 0.01, 0, 0]], dtype=float)


def scan(label, color, *, with_rate=True):
    pieces = {"68 % CL": rows(0.3), "95 % CL": rows(0.6)}
    return Scan(label, with_rate, color, CUTS, np.array([True, True, True]), pieces)


def bars(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_a_row_for_each_likelihood_and_a_column_for_each_parameter():
    made = clipping(
        "m_jj", TRUTH, [scan("X", "red"), scan("X (kinematics)", "red", with_rate=False)]
    )
    assert len(made.axes) == 4
    assert [ax.get_ylabel() for ax in made.axes] == ["a", "b", "a", "b"]
    assert made.axes[2].get_xlabel() == "only events with m_jj below"
    labels = [text.get_text() for text in made.axes[2].get_xticklabels()]
    assert labels == ["500", "1000", "no cut"]
    (legend,) = made.legends
    assert [text.get_text() for text in legend.get_texts()] == ["X"]


def test_bars_are_pieces_side_by_side():
    made = clipping("m_jj", TRUTH, [scan("X", "red"), scan("Y", "blue")])
    first, second = made.axes
    # Two methods, two levels, three cuts.
    assert len(bars(first)) == 12
    assert len(bars(second)) == 16
    spans = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars(first)]
    assert spans[0] == pytest.approx((-0.3, 0.3))
    assert spans[5] == pytest.approx((-0.2, 0.6))
    x, y = ({bar.get_x() for bar in bars(first)[k : k + 3]} for k in (0, 6))
    assert max(x) < max(y)
    assert not x & y


def test_what_is_not_reliable_is_hatched_and_gaps_stay():
    doubtful = replace(scan("X", "red"), reliable=np.array([False, True, True]))
    gone = {name: of[of[:, 0] != 1] for name, of in doubtful.pieces.items()}
    made = clipping("m_jj", TRUTH, [replace(doubtful, pieces=gone)])
    hatched = [bar for bar in bars(made.axes[0]) if bar.get_hatch()]
    assert len(hatched) == 2
    assert len(bars(made.axes[0])) == 4
    (legend,) = made.legends
    assert [text.get_text() for text in legend.get_texts()] == ["X", "not reliable"]


def test_edges_have_arrows():
    made = clipping("m_jj", TRUTH, [scan("X", "red")])
    up = [line for line in made.axes[0].lines if line.get_marker() == "^"]
    assert [line.get_ydata()[0] for line in up] == pytest.approx([0.3, 0.6])
    assert made.axes[0].get_ylim()[1] > 0.6


def test_limits_with_systematics_are_lighter():
    both = [scan("X", "red"), replace(scan("X", "red"), full=True)]
    made = clipping("m_jj", TRUTH, both)
    alphas = [bar.get_alpha() for bar in bars(made.axes[0])]
    assert alphas[:6] == [None] * 6
    assert max(alphas[6:]) < 1
    (legend,) = made.legends
    assert [text.get_text() for text in legend.get_texts()] == ["X", "with systematics"]
