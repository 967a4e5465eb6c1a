"""Every figure is drawn without warnings, for one and two parameters, from numbers alone."""

import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from steps.plots import figures


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def saved(figure, folder):
    assert isinstance(figure, Figure)
    figure.savefig(folder / "figure.png")
    assert (folder / "figure.png").stat().st_size > 1000


def limits(n_parameters, n_results=3):
    """Return axes and gaussian p-values around a different best fit each."""
    axes = [np.linspace(-1, 1, 9), np.linspace(-2, 2, 7)][:n_parameters]
    cube = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    color = figures.colors([f"m{k}" for k in range(n_results)])
    results = []
    for k, name in enumerate(color):
        best = np.array([0.25 * k, 0.0][:n_parameters])
        p_values = np.exp(-np.sum((cube - best) ** 2, axis=-1) / 0.3)
        results.append(figures.Result(name, p_values, best, k % 2 == 0, color[name]))
    return axes, ["a", "b"][:n_parameters], [0.0, 0.0][:n_parameters], results


@pytest.mark.parametrize("n_results", [1, 4])
@pytest.mark.parametrize("n_parameters", [1, 2])
def test_limits(tmp_path, n_parameters, n_results):
    *about, results = limits(n_parameters, n_results)
    saved(figures.all_methods(*about, results, results[0]), tmp_path)
    separate = figures.all_methods_separate(*about, results)
    titles = [ax.get_title() for ax in separate.axes if ax.get_title()]
    assert titles == [result.label for result in results]
    saved(separate, tmp_path)


def test_one_parameter_draws_the_curve_and_the_levels():
    axes, names, true, results = limits(1, 1)
    ax = figures.all_methods_separate(axes, names, true, results).axes[0]
    curve = next(line for line in ax.lines if len(line.get_xdata()) == 9)
    np.testing.assert_array_equal(curve.get_ydata(), results[0].p_values)
    heights = {line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2}
    assert {0.32, 0.05} <= heights


def test_colors_are_distinct_and_stable():
    labels = ["rate", "histogram", "alice", "alices", "sally"]
    color = figures.colors(labels)
    assert list(color) == labels
    assert len(set(color.values())) == len(labels)
    nine = figures.colors([f"m{k}" for k in range(11)])
    assert all(a != b for a, b in pairwise(nine.values()))


@pytest.mark.parametrize("quantity", ["log likelihood ratio", "score"])
def test_quality(tmp_path, quantity):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=500)
    estimate = truth + rng.normal(0, 0.3, 500)
    figure = figures.correlation("alice", truth, estimate, quantity)
    assert f"correlation {np.corrcoef(truth, estimate)[0, 1]:.2f}" in figure.axes[0].get_title()
    saved(figure, tmp_path)
    comparisons = [{"truth": truth[:40], "estimate": estimate[:40]}] * 2
    saved(figures.closure("alice", quantity, ["p", "q"], comparisons, [(0.99, 1.0)] * 2), tmp_path)
    saved(
        figures.losses({"ALICE": [rng.uniform(size=(5, 2))] * 3, "SALLY": [np.ones((1, 2))]}),
        tmp_path,
    )


def test_figures_need_no_estimators():
    """`plots` knows numbers alone: neither torch nor MadMiner is imported."""
    code = "import sys, steps.plots.figures; print({'torch', 'madminer'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"
