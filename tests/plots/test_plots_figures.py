"""Figures draw what they are given, without warnings, for one and two parameters."""

import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from steps.plots import figures

CONFIDENCE = {"68 % CL": 0.32, "95 % CL": 0.05}
TRUE = (0.25, -0.5)
# Widths of the region per parameter; in two dimensions p = exp(-q / 2).
WIDTH = np.array([0.3, 0.5])


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def drawn(figure, folder):
    """Return a figure after it has been drawn, as when it is saved."""
    figure.savefig(folder / "figure.png")
    return figure


def about(n_parameters):
    """Return a grid that differs in everything between the parameters."""
    axes = [np.linspace(-1, 1, 81), np.linspace(-2, 2, 121)][:n_parameters]
    return figures.Grid(axes, ["first", "second"][:n_parameters], TRUE[:n_parameters])


def paraboloid(grid, label, best, *, with_rate=True, color="red"):
    """Return gaussian p-values about a best fit."""
    cube = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1)
    best = np.array(best[: len(grid.axes)])
    q = np.sum(((cube - best) / WIDTH[: len(best)]) ** 2, axis=-1)
    return figures.Result(label, np.exp(-q / 2), best, with_rate, color)


def several(n_parameters):
    grid = about(n_parameters)
    made = [
        paraboloid(grid, "ALICE", (0.25, 0.5), color="red"),
        paraboloid(grid, "SALLY (kinematics)", (-0.1, 0.2), with_rate=False, color="dodgerblue"),
        paraboloid(grid, "rate", (0.0, -0.5), color="black"),
    ]
    return grid, made


def contours(ax):
    return [item for item in ax.collections if isinstance(item, ContourSet)]


def shades(ax):
    (image,) = [item for item in ax.collections if isinstance(item, QuadMesh)]
    return image


def points(ax, marker):
    """Return the points that are drawn with a marker."""
    lines = [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata())]
    return np.concatenate([line.get_xydata() for line in lines]) if lines else np.empty((0, 2))


def rgb(color):
    return mpl.colors.to_rgb(color)


def style(line):
    """Return dashes of a line or contour alike: no dashes for a solid one."""
    return {"-": "solid", "--": "dashed", ":": "dotted"}[line.get_linestyle()]


def assert_is_contour(path, result, level):
    """Every vertex is at the analytic radius, and the contour goes all the way round."""
    offset = (path.vertices - result.best_fit) / WIDTH
    np.testing.assert_allclose(np.hypot(*offset.T), np.sqrt(-2 * np.log(level)), rtol=0.01)
    angles = np.sort(np.arctan2(*offset.T))
    assert np.diff(angles).max() < 0.3


def test_contours_of_all_methods_lie_where_the_levels_are(tmp_path):
    grid, results = several(2)
    figure = drawn(figures.all_methods(grid, results, results[0], {"68 % CL": 0.32}), tmp_path)
    ax = figure.axes[0]
    sets = contours(ax)
    assert len(sets) == len(results)
    for found, result in zip(sets, results, strict=True):
        np.testing.assert_allclose(found.levels, [0.32])
        assert_is_contour(found.get_paths()[0], result, 0.32)
        assert rgb(found.get_edgecolor()[0]) == rgb(result.color)
        ((_, dashes),) = found.get_linestyle()
        assert (dashes is None) == result.with_rate


def test_each_panel_has_the_contours_of_its_result(tmp_path):
    grid, results = several(2)
    results.append(replace(results[0], label="CARL"))
    figure = drawn(figures.all_methods_separate(grid, results, CONFIDENCE), tmp_path)
    panels = [ax for ax in figure.axes if contours(ax)]
    assert [ax.get_title() for ax in panels] == [result.label for result in results]
    for ax, result in zip(panels, results, strict=True):
        (found,) = contours(ax)
        np.testing.assert_allclose(found.levels, [0.05, 0.32])
        # The contour of 68 % is the thicker one.
        widths = found.get_linewidth()
        assert widths[0] < widths[1]
        for path, level in zip(found.get_paths(), (0.05, 0.32), strict=True):
            assert_is_contour(path, result, level)
        np.testing.assert_allclose(points(ax, "*" if result.with_rate else "+"), [result.best_fit])
        np.testing.assert_allclose(points(ax, "x"), [TRUE])
    # Three columns: the other two places of the second row are empty, each panel has a colour bar.
    assert len(figure.axes) == 2 * len(results)


@pytest.mark.parametrize("separate", [False, True])
def test_shades_are_the_p_values_with_the_first_parameter_horizontal(tmp_path, separate):
    """Rows are the second parameter; swapped axes would have another shape and peak elsewhere."""
    grid, results = several(2)
    if separate:
        figure = figures.all_methods_separate(grid, results[:1], CONFIDENCE)
    else:
        figure = figures.all_methods(grid, results, results[0], CONFIDENCE)
    ax, bar = drawn(figure, tmp_path).axes
    image = shades(ax)
    p_values = np.asarray(image.get_array())
    assert p_values.shape == (121, 81)
    np.testing.assert_allclose(p_values, np.clip(results[0].p_values.T, 1e-3, 1))
    row, column = np.unravel_index(np.argmax(p_values), p_values.shape)
    centre = image.get_coordinates()[row : row + 2, column : column + 2].mean(axis=(0, 1))
    np.testing.assert_allclose(centre, results[0].best_fit, atol=1e-9)
    assert (image.norm.vmin, image.norm.vmax) == (1e-3, 1.0)
    assert isinstance(image.norm, mpl.colors.LogNorm)
    assert bar.get_ylabel() == "expected p-value (ALICE)"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first", "second")
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-2, 2))


@pytest.mark.parametrize("n_parameters", [1, 2])
def test_the_legend_names_all_results_and_the_truth(tmp_path, n_parameters):
    grid, results = several(n_parameters)
    figure = figures.all_methods(grid, results, results[0], {"68 % CL": 0.32})
    (legend,) = drawn(figure, tmp_path).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(result.label for result in results),
        "truth",
    ]
    handles = legend.get_lines()
    for handle, result in zip(handles, results, strict=False):
        assert rgb(handle.get_color()) == rgb(result.color)
        assert style(handle) == ("solid" if result.with_rate else "dashed")
    title = legend.get_title().get_text()
    assert title == ("68 % CL, best fit" if n_parameters == 2 else "")


def test_best_fits_and_truth_of_all_methods_are_marked(tmp_path):
    grid, results = several(2)
    figure = drawn(figures.all_methods(grid, results, results[0], CONFIDENCE), tmp_path)
    ax = figure.axes[0]
    np.testing.assert_allclose(points(ax, "*"), [results[0].best_fit, results[2].best_fit])
    np.testing.assert_allclose(points(ax, "+"), [results[1].best_fit])
    np.testing.assert_allclose(points(ax, "x"), [TRUE])


@pytest.mark.parametrize("separate", [False, True])
def test_one_parameter_draws_the_curves_and_the_levels(tmp_path, separate):
    grid, results = several(1)
    if separate:
        figure = figures.all_methods_separate(grid, results, CONFIDENCE)
        panels = [(ax, [result]) for ax, result in zip(figure.axes, results, strict=True)]
        assert [ax.get_title() for ax in figure.axes] == [result.label for result in results]
    else:
        figure = figures.all_methods(grid, results, results[0], CONFIDENCE)
        panels = [(figure.axes[0], results)]
    drawn(figure, tmp_path)
    for ax, shown in panels:
        curves = {line.get_label(): line for line in ax.lines if len(line.get_xdata()) == 81}
        assert list(curves) == [result.label for result in shown]
        for result in shown:
            curve = curves[result.label]
            np.testing.assert_array_equal(curve.get_xdata(), grid.axes[0])
            np.testing.assert_array_equal(curve.get_ydata(), result.p_values)
            assert rgb(curve.get_color()) == rgb(result.color)
            assert style(curve) == ("solid" if result.with_rate else "dashed")
        flat = [line for line in ax.lines if len(line.get_xdata()) == 2]
        heights = [line.get_ydata()[0] for line in flat if len(set(line.get_ydata())) == 1]
        assert set(heights) == set(CONFIDENCE.values())
        (truth,) = [line for line in flat if line.get_label() == "truth"]
        assert set(truth.get_xdata()) == {TRUE[0]}
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("first", "expected p-value")
        assert ax.get_xlim() == (-1, 1)
        assert ax.get_ylim() == (0, 1.05)


def test_colors_are_distinct_and_stable():
    labels = ["rate", "histogram", "alice", "alices", "sally"]
    color = figures.colors(labels)
    assert list(color) == labels
    assert len(set(color.values())) == len(labels)
    assert figures.colors([*labels, "rate"]) == color
    nine = figures.colors([f"m{k}" for k in range(11)])
    assert all(a != b for a, b in pairwise(nine.values()))


@pytest.mark.parametrize("quantity", ["log likelihood ratio", "score"])
def test_correlation_counts_events(tmp_path, quantity):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=5000)
    # Not symmetric in the two: estimates are shifted and half as wide.
    estimate = 0.5 * truth + 0.3 + rng.normal(0, 0.1, 5000)
    figure = drawn(figures.correlation("alice", truth, estimate, quantity), tmp_path)
    ax, bar = figure.axes
    coefficient = np.corrcoef(truth, estimate)[0, 1]
    assert ax.get_title() == f"ALICE: correlation {coefficient:.2f}"
    assert (ax.get_xlabel(), ax.get_ylabel()) == (f"joint {quantity}", f"estimated {quantity}")
    assert bar.get_ylabel() == "events"
    reach = np.quantile(np.abs(truth), 0.9)
    np.testing.assert_allclose([ax.get_xlim(), ax.get_ylim()], [(-reach, reach)] * 2)
    counts = np.ma.filled(shades(ax).get_array(), 0).reshape(50, 50)
    edges = np.linspace(-reach, reach, 51)
    expected, _, _ = np.histogram2d(truth, estimate, bins=(edges, edges))
    np.testing.assert_array_equal(counts, expected.T)
    (diagonal,) = ax.lines
    np.testing.assert_allclose(diagonal.get_xydata(), [(-reach, -reach), (reach, reach)])


def test_correlation_of_nothing_but_zeros(tmp_path):
    rng = np.random.default_rng(1)
    truth = np.where(np.arange(500) < 20, rng.normal(size=500), 0)
    figure = drawn(figures.correlation("carl", truth, truth), tmp_path)
    assert figure.axes[0].get_xlim()[1] == pytest.approx(1e-6)


@dataclass
class Comparison:
    truth: np.ndarray
    estimate: np.ndarray
    correlation: float
    slope: float


def test_closure_shows_every_bin_and_the_numbers(tmp_path):
    truth = np.linspace(-1, 2, 40)
    comparisons = {
        "(0.50, 0.00)": Comparison(truth, 0.9 * truth + 0.5, 0.9876, 0.9),
        "(0.00, 0.50)": Comparison(truth[:7], truth[:7] ** 2, 0.5, 1.234),
    }
    figure = drawn(figures.closure("alice", "score", comparisons), tmp_path)
    (ax,) = figure.axes
    *dots, diagonal = ax.lines
    for line, comparison in zip(dots, comparisons.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), comparison.truth)
        np.testing.assert_array_equal(line.get_ydata(), comparison.estimate)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "(0.50, 0.00): correlation 0.988, slope 0.90",
        "(0.00, 0.50): correlation 0.500, slope 1.23",
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("score of histograms", "score of ALICE")
    # One window for both axes, so that the diagonal is one, and every bin is in it.
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < -1
    assert ax.get_xlim()[1] > 0.9 * 2 + 0.5
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_losses_of_every_run(tmp_path):
    rng = np.random.default_rng(1)
    # The second training of ALICE diverged after two epochs.
    histories = {"ALICE": [rng.uniform(size=(n, 2)) for n in (5, 2, 5)], "SALLY": [np.ones((1, 2))]}
    figure = drawn(figures.losses(histories), tmp_path)
    assert [ax.get_title() for ax in figure.axes] == list(histories)
    for ax, runs in zip(figure.axes, histories.values(), strict=True):
        expected = [run[:, column] for column in (0, 1) for run in runs]
        assert len(ax.lines) == len(expected)
        for line, losses in zip(ax.lines, expected, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), losses)
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(losses) + 1))
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == ["training", "validation"]
        colors = [{line.get_color() for line in ax.lines[: len(runs)]}]
        colors.append({line.get_color() for line in ax.lines[len(runs) :]})
        assert colors == [{"C0"}, {"C1"}]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


@pytest.mark.parametrize("module", ["figures", "catalogue"])
def test_figures_need_no_estimators(module):
    """`plots` knows numbers alone: neither torch nor MadMiner is imported."""
    code = f"import sys, steps.plots.{module}; print({{'torch', 'madminer'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
