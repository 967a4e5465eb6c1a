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
from matplotlib.collections import FillBetweenPolyCollection, QuadMesh
from matplotlib.contour import ContourSet

from steps.plots import figures
from steps.plots.figures import Role

LEVELS = {"68 % CL": 2.28, "95 % CL": 5.99}
TRUE = (0.25, -0.5)
# Widths of the likelihood per parameter; in two dimensions p = exp(-q / 2).
WIDTH = np.array([0.3, 0.5])
ERROR = 0.4


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
    axes = [np.linspace(-2, 2, 161), np.linspace(-3, 3, 181)][:n_parameters]
    names = ["first", "second"][:n_parameters]
    return figures.Grid(axes, names, TRUE[:n_parameters], LEVELS)


def paraboloid(grid, label, best, **options):
    """Return q about a best fit."""
    cube = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1)
    best = np.array(best[: len(grid.axes)])
    q = np.sum(((cube - best) / WIDTH[: len(best)]) ** 2, axis=-1)
    options = {"role": Role.NETWORK, "with_rate": True, "color": "red"} | options
    return figures.Result(
        label=label,
        q=q,
        error=np.full_like(q, ERROR),
        p_values=np.exp(-q / 2),
        best_fit=best,
        **options,
    )


def several(n_parameters):
    grid = about(n_parameters)
    blue = {"with_rate": False, "color": "dodgerblue"}
    made = [
        paraboloid(grid, "rate", (0.0, -0.5), role=Role.OTHER, color="sienna"),
        paraboloid(grid, "reference", (0.2, 0.4), role=Role.REFERENCE, color="black"),
        paraboloid(grid, "ALICE", (0.25, 0.5)),
        paraboloid(grid, "SALLY (kinematics)", (-0.1, 0.2), **blue),
        paraboloid(grid, "CARL", (-0.2, 0.2), color="magenta", reliable=False),
    ]
    return grid, made


def sets(ax, *, filled):
    return [i for i in ax.collections if isinstance(i, ContourSet) and i.filled == filled]


def shades(ax):
    (image,) = [item for item in ax.collections if isinstance(item, QuadMesh)]
    return image


def points(ax, marker):
    """Return the points that are drawn with a marker."""
    lines = [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata())]
    return np.concatenate([line.get_xydata() for line in lines]) if lines else np.empty((0, 2))


def rgb(color):
    return mpl.colors.to_rgb(color)


def radius(vertices, result):
    """Return q of a paraboloid at points ``(n, 2)``."""
    return (((vertices - result.best_fit) / WIDTH) ** 2).sum(axis=-1)


def assert_is_contour(found, result, level):
    """Every vertex is at the analytic radius, and the contour goes all the way round."""
    (path,) = found.get_paths()
    np.testing.assert_allclose(radius(path.vertices, result), level, rtol=0.02)
    angles = np.sort(np.arctan2(*((path.vertices - result.best_fit) / WIDTH).T))
    assert np.diff(angles).max() < 0.3
    assert rgb(found.get_edgecolor()[0]) == rgb(result.color)


def test_styles_tell_what_is_what():
    _, (rate, reference, alice, sally, carl) = several(2)
    assert [rate.style, alice.style, sally.style] == ["solid", "solid", "dashed"]
    assert carl.style == "dotted"
    assert carl.name == "CARL (not reliable)"
    assert alice.name == "ALICE"
    bare = replace(reference, with_rate=False)
    assert len({str(r.style) for r in (reference, bare, alice, sally, carl)}) == 5
    assert reference.order > alice.order
    assert [r.marker for r in (alice, sally)] == ["*", "+"]


def test_contours_of_all_methods_lie_where_the_levels_are(tmp_path):
    grid, results = several(2)
    ax = drawn(figures.all_methods(grid, results, results[2], "68 % CL"), tmp_path).axes[0]
    lines = sets(ax, filled=False)
    assert len(lines) == len(results)
    for found, result in zip(lines, results, strict=True):
        assert_is_contour(found, result, LEVELS["68 % CL"])
    # The reference is on top of the others, dashed.
    assert max(lines, key=lambda item: item.get_zorder()) is lines[1]
    dashes = [found.get_linestyle()[0][1] for found in lines]
    assert [each is None for each in dashes] == [True, False, True, False, False]
    assert len({str(each) for each in dashes}) == 4


@pytest.mark.parametrize("observed", [False, True])
def test_limits_with_systematics_are_thin_lines_beside_the_others(tmp_path, observed):
    grid, results = several(2)
    grid = replace(grid, data="data" if observed else "")
    alice = results[2]
    wide = replace(alice, q=alice.q / 2)
    if observed:
        wide = replace(alice, look=figures.Look.ALONE)
        seen = replace(alice, full=replace(alice, q=alice.q / 2))
        alice = replace(wide, observed=seen)
    else:
        alice = replace(alice, full=wide)
    figure = drawn(figures.all_methods(grid, [alice], alice, "68 % CL"), tmp_path)
    lines = sets(figure.axes[0], filled=False)
    assert len(lines) == 3 if observed else 2
    assert_is_contour(lines[0], alice, LEVELS["68 % CL"])
    assert_is_contour(lines[-1], alice, 2 * LEVELS["68 % CL"])
    assert lines[-1].get_linewidth()[0] < lines[0].get_linewidth()[0]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels.count("with systematics") == 1
    assert labels.count("ALICE") == 1
    panel = drawn(figures.all_methods_separate(grid, [alice]), tmp_path).axes[0]
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert labels[-1] == "with systematics"


def test_bands_around_networks_are_where_q_is_within_its_error(tmp_path):
    grid, results = several(2)
    results[3] = replace(results[3], error=np.full_like(results[3].q, np.nan))
    ax = drawn(figures.all_methods(grid, results, results[2], "68 % CL"), tmp_path).axes[0]
    bands = sets(ax, filled=True)
    # Not around the rate and the reference, nor where the error is not known.
    for band, result in zip(bands, [results[2], results[4]], strict=True):
        (path,) = band.get_paths()
        q = radius(path.vertices, result)
        inner = np.abs(q - LEVELS["68 % CL"] + ERROR) < 0.05
        outer = np.abs(q - LEVELS["68 % CL"] - ERROR) < 0.05
        assert (inner | outer).all()
        assert inner.any()
        assert outer.any()
        assert rgb(band.get_facecolor()[0]) == rgb(result.color)


def test_each_panel_has_the_contours_of_its_result(tmp_path):
    grid, results = several(2)
    figure = drawn(figures.all_methods_separate(grid, results), tmp_path)
    panels = [ax for ax in figure.axes if sets(ax, filled=False)]
    assert [ax.get_title() for ax in panels] == [result.name for result in results]
    for ax, result in zip(panels, results, strict=True):
        inner, outer = sets(ax, filled=False)
        assert_is_contour(inner, result, LEVELS["68 % CL"])
        assert_is_contour(outer, result, LEVELS["95 % CL"])
        # The contour of 68 % is the thicker one.
        assert inner.get_linewidth()[0] > outer.get_linewidth()[0]
        assert len(sets(ax, filled=True)) == 2
        np.testing.assert_allclose(points(ax, "*" if result.with_rate else "+"), [result.best_fit])
        np.testing.assert_allclose(points(ax, "x"), [TRUE])
    # Three columns: the last place of the second row is empty, each panel has a colour bar.
    assert len(figure.axes) == 2 * len(results)


def test_neyman_contours_are_thin_lines_beside_the_others(tmp_path):
    grid, results = several(2)
    higher = {label: np.full_like(results[2].q, level + 1) for label, level in LEVELS.items()}
    results = [replace(results[2], thresholds=higher), results[3]]
    figure = drawn(figures.all_methods_separate(grid, results), tmp_path)
    with_toys, without = (ax for ax in figure.axes if sets(ax, filled=False))
    lines = sets(with_toys, filled=False)
    for found, level in zip(lines[2:], LEVELS.values(), strict=True):
        assert_is_contour(found, results[0], level + 1)
        assert found.get_linewidth()[0] < lines[1].get_linewidth()[0]
    names = [text.get_text() for text in with_toys.get_legend().get_texts()]
    assert names == ["chi-squared", "Neyman"]
    assert len(sets(without, filled=False)) == 2
    assert without.get_legend() is None


@pytest.mark.parametrize("separate", [False, True])
def test_shades_are_the_p_values_with_the_first_parameter_horizontal(tmp_path, separate):
    """Rows are the second parameter; swapped axes would have another shape and peak elsewhere."""
    grid, results = several(2)
    result = results[2]
    if separate:
        figure = figures.all_methods_separate(grid, [result])
    else:
        figure = figures.all_methods(grid, results, result, "68 % CL")
    ax, bar = drawn(figure, tmp_path).axes
    image = shades(ax)
    p_values = np.asarray(image.get_array())
    assert p_values.shape == (181, 161)
    np.testing.assert_allclose(p_values, np.clip(result.p_values.T, 1e-3, 1))
    row, column = np.unravel_index(np.argmax(p_values), p_values.shape)
    centre = image.get_coordinates()[row : row + 2, column : column + 2].mean(axis=(0, 1))
    np.testing.assert_allclose(centre, result.best_fit, atol=0.02)
    assert (image.norm.vmin, image.norm.vmax) == (1e-3, 1.0)
    assert isinstance(image.norm, mpl.colors.LogNorm)
    assert bar.get_ylabel() == ("expected p-value" if separate else "expected p-value (ALICE)")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("first", "second")


def test_the_window_holds_the_regions_of_reference_and_networks():
    grid, (rate, reference, *_) = several(2)
    wide = replace(rate, q=np.zeros_like(rate.q))
    reach = np.sqrt(LEVELS["95 % CL"]) * WIDTH
    expected = [(best - 1.3 * r, best + 1.3 * r) for best, r in zip((0.2, 0.4), reach, strict=True)]
    np.testing.assert_allclose(grid.window([wide, reference]), expected, atol=0.05)
    # It ends where the grid does, and is that of other limits where there are none of networks.
    assert grid.window([replace(reference, q=wide.q)]) == [(-2, 2), (-3, 3)]
    assert grid.window([wide]) == [(-2, 2), (-3, 3)]


def test_limits_are_shown_where_the_window_is(tmp_path):
    grid, results = several(2)
    figure = drawn(figures.all_methods(grid, results, results[2], "68 % CL"), tmp_path)
    window = grid.window(results)
    assert [figure.axes[0].get_xlim(), figure.axes[0].get_ylim()] == window
    assert -2 < window[0][0] < window[0][1] < 2


def test_flat_likelihoods_have_no_contours(tmp_path):
    """The number of events may not depend on the parameters at all."""
    grid, results = several(2)
    flat = replace(results[0], q=np.zeros_like(results[0].q), error=np.zeros_like(results[0].q))
    figure = drawn(figures.all_methods(grid, [flat, results[2]], flat, "68 % CL"), tmp_path)
    assert len(sets(figure.axes[0], filled=False)) == 1
    drawn(figures.all_methods_separate(grid, [flat]), tmp_path)


@pytest.mark.parametrize("n_parameters", [1, 2])
def test_the_legend_names_all_results_and_the_truth(tmp_path, n_parameters):
    grid, results = several(n_parameters)
    figure = figures.all_methods(grid, results, results[2], "68 % CL")
    (legend,) = drawn(figure, tmp_path).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(result.name for result in results),
        "truth",
    ]
    for handle, result in zip(legend.get_lines(), results, strict=False):
        assert rgb(handle.get_color()) == rgb(result.color)
    title = legend.get_title().get_text()
    assert title == ("68 % CL (2 d.o.f.), best fit" if n_parameters == 2 else "")


def test_the_legend_counts_all_parameters(tmp_path):
    """Where a third one is profiled, too."""
    grid, results = several(2)
    grid = replace(grid, names=["first", "second", "third"], theta_true=(*TRUE, 0.0))
    (legend,) = drawn(figures.all_methods(grid, results, results[2], "68 % CL"), tmp_path).legends
    assert legend.get_title().get_text() == "68 % CL (3 d.o.f.), best fit"


def test_best_fits_and_truth_of_all_methods_are_marked(tmp_path):
    grid, results = several(2)
    ax = drawn(figures.all_methods(grid, results, results[2], "68 % CL"), tmp_path).axes[0]
    stars = [result.best_fit for result in results if result.with_rate]
    np.testing.assert_allclose(points(ax, "*"), stars)
    np.testing.assert_allclose(points(ax, "+"), [results[3].best_fit])
    np.testing.assert_allclose(points(ax, "x"), [TRUE])


@pytest.mark.parametrize("separate", [False, True])
def test_one_parameter_draws_q_and_the_levels(tmp_path, separate):
    grid, results = several(1)
    if separate:
        figure = figures.all_methods_separate(grid, results)
        panels = [(ax, [result]) for ax, result in zip(figure.axes, results, strict=True)]
        assert [ax.get_title() for ax in figure.axes] == [result.name for result in results]
    else:
        figure = figures.all_methods(grid, results, results[2], "68 % CL")
        panels = [(figure.axes[0], results)]
    drawn(figure, tmp_path)
    for ax, shown in panels:
        curves = {line.get_label(): line for line in ax.lines if len(line.get_xdata()) == 161}
        assert list(curves) == [result.name for result in shown]
        for result in shown:
            curve = curves[result.name]
            np.testing.assert_array_equal(curve.get_xdata(), grid.axes[0])
            np.testing.assert_array_equal(curve.get_ydata(), result.q)
            assert rgb(curve.get_color()) == rgb(result.color)
        bands = [i for i in ax.collections if isinstance(i, FillBetweenPolyCollection)]
        assert len(bands) == (1 if separate else 3)
        flat = [line for line in ax.lines if len(line.get_xdata()) == 2]
        heights = [line.get_ydata()[0] for line in flat if len(set(line.get_ydata())) == 1]
        assert set(heights) == set(LEVELS.values())
        assert [text.get_text() for text in ax.texts] == list(LEVELS)
        (truth,) = [line for line in flat if line.get_label() == "truth"]
        assert set(truth.get_xdata()) == {TRUE[0]}
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("first", r"$q = -2 \ln (L / L_{best})$")
        assert [ax.get_xlim()] == grid.window(results)
        assert ax.get_ylim()[0] == 0
        assert ax.get_ylim()[1] > LEVELS["95 % CL"]


def test_one_parameter_draws_the_band_and_thresholds(tmp_path):
    grid, results = several(1)
    threshold = LEVELS["68 % CL"] + 0.1 * grid.axes[0]
    result = replace(results[2], thresholds={"68 % CL": threshold})
    (ax,) = drawn(figures.all_methods_separate(grid, [result]), tmp_path).axes
    (band,) = [i for i in ax.collections if isinstance(i, FillBetweenPolyCollection)]
    x, y = band.get_paths()[0].vertices.T
    q = ((x - result.best_fit[0]) / WIDTH[0]) ** 2
    assert np.isclose(np.maximum(q - ERROR, 0), y).any()
    assert np.isclose(q + ERROR, y).any()
    drawn_thresholds = [i for i in ax.lines if np.array_equal(i.get_ydata(), threshold)]
    assert len(drawn_thresholds) == 1


# ------------------------------------------------------------------ luminosity
AT = np.geomspace(1e2, 3e6, 46)


def evolution(result, n_parameters=2, error=0.1):
    """Return intervals that shrink with the root of the luminosity, known from 1/fb on."""
    reach = np.sqrt(1e4 / AT)
    rows = np.stack([AT, -reach, 2 * reach, error * reach, 2 * error * reach], axis=-1)
    rows[AT < 1e3, 1:] = np.nan
    return figures.Evolution(result, np.stack([rows] * n_parameters, axis=1))


@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_intervals_against_luminosity(tmp_path, n_parameters):
    grid, results = several(min(n_parameters, 2))
    truth = [0.25, -0.5, 0.0][:n_parameters]
    grid = replace(grid, names=["a", "b", "c"][:n_parameters], theta_true=truth)
    shown = [evolution(results[2], n_parameters), evolution(results[4], n_parameters)]
    figure = drawn(figures.luminosity(grid, shown, 2e4), tmp_path)
    assert [ax.get_ylabel() for ax in figure.axes] == grid.names
    for ax, true in zip(figure.axes, truth, strict=True):
        assert ax.get_xscale() == "log"
        np.testing.assert_allclose(ax.get_xlim(), (0.1, 3000))
        assert ax.get_xlabel() == "luminosity in 1/fb"
        curves = [line for line in ax.lines if len(line.get_xdata()) == len(AT)]
        for k, each in enumerate(shown):
            for line, column in zip(curves[2 * k : 2 * k + 2], (1, 2), strict=True):
                np.testing.assert_allclose(line.get_xdata(), AT / 1000)
                np.testing.assert_array_equal(line.get_ydata(), each.intervals[:, 0, column])
                assert rgb(line.get_color()) == rgb(each.result.color)
        lines = {line.get_label(): line for line in ax.lines}
        assert set(lines["this analysis"].get_xdata()) == {20.0}
        assert set(lines["truth"].get_ydata()) == {true}
        bands = [i for i in ax.collections if isinstance(i, FillBetweenPolyCollection)]
        assert [len(band.get_paths()) for band in bands] == [1] * 4
        assert min(path.vertices[:, 0].min() for band in bands for path in band.get_paths()) >= 1
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["ALICE", "CARL (not reliable)", "this analysis", "truth"]


def test_intervals_whose_errors_are_not_known_have_no_band(tmp_path):
    grid, results = several(2)
    shown = evolution(results[2], error=np.nan)
    ax = drawn(figures.luminosity(grid, [shown], 2e4), tmp_path).axes[0]
    assert sum(len(band.get_paths()) for band in ax.collections) == 0
    assert np.isfinite(ax.lines[0].get_ydata()).any()


def test_no_interval_at_any_luminosity_is_told(tmp_path):
    grid, results = several(2)
    nothing = evolution(results[2])
    nothing.intervals[..., 1:] = np.nan
    figure = drawn(figures.luminosity(grid, [nothing], 2e4), tmp_path)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names[0] == "ALICE: not known"


def test_coverage_is_shown_point_by_point(tmp_path):
    places = np.array([[0.0, 0.0], [0.375, -0.5], [0.0, 1.0]])
    edges = [(edge, each) for edge in ("chi-squared", "Neyman") for each in ("68", "95")]
    parts = {
        key: np.array([[0.6 + 0.05 * k, 0.01], [0.65, 0.01], [0.7, 0.02]])
        for k, key in enumerate(edges)
    }
    found = [figures.Coverage(label, places, parts) for label in ("ALICE", "ALICE (kinematics)")]
    figure = drawn(figures.coverage(found, {"68": 0.68, "95": 0.95}), tmp_path)
    assert [ax.get_title() for ax in figure.axes] == ["ALICE", "ALICE (kinematics)"]
    for ax in figure.axes:
        nominal = [line for line in ax.lines if len(line.get_xdata()) == 2]
        assert [line.get_ydata()[0] for line in nominal] == [0.68, 0.95]
        assert [text.get_text() for text in ax.get_xticklabels()] == [
            "(0, 0)",
            "(0.38, -0.5)",
            "(0, 1)",
        ]
        assert len(ax.containers) == 4
        for container, (key, expected) in zip(ax.containers, parts.items(), strict=True):
            data, _, (bars,) = container.lines
            np.testing.assert_array_equal(data.get_ydata(), expected[:, 0])
            np.testing.assert_allclose(np.round(data.get_xdata()), [0, 1, 2])
            lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
            np.testing.assert_allclose(lengths, 2 * expected[:, 1])
            assert container.get_label() == f"{key[1]} % CL, {key[0]}"


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
