"""Figures of limits and of the networks' quality, from numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")
import mplhep

from steps.arrays import Array

mplhep.style.use([mplhep.style.ROOT, {"font.size": 15, "figure.dpi": 80, "axes.labelsize": 17}])

# Told apart on the grey shades of the p-values, and by most colour-blind readers.
_PALETTE = ["black", "limegreen", "darkorange", "red", "dodgerblue", "magenta", "gold", "sienna"]
_P_RANGE = (1e-3, 1.0)


@dataclass(frozen=True)
class Result:
    """Limits of one method.

    Attributes:
        label: Name in legends.
        p_values: p-values on the grid, ``(n_0,)`` or ``(n_0, n_1)``.
        best_fit: Best-fit point, ``(1,)`` or ``(2,)``.
        with_rate: Whether the number of events is part of the likelihood.
        color: Colour of the method.
    """

    label: str
    p_values: Array
    best_fit: Array
    with_rate: bool
    color: str


def colors(labels: Sequence[str]) -> dict[str, str]:
    """Return one colour for each method."""
    palette = cycle(_PALETTE)
    return {label: next(palette) for label in dict.fromkeys(labels)}


@dataclass(frozen=True)
class Grid:
    """Where limits are drawn.

    Attributes:
        axes: Values of one or two parameters.
        names: Names of the parameters.
        theta_true: True point.
    """

    axes: Sequence[Array]
    names: Sequence[str]
    theta_true: Sequence[float]


class Comparison(Protocol):
    """An estimate against the truth, bin by bin: ``truth`` and ``estimate`` are ``(n_bins,)``."""

    @property
    def truth(self) -> Array: ...
    @property
    def estimate(self) -> Array: ...
    @property
    def correlation(self) -> float: ...
    @property
    def slope(self) -> float: ...


def all_methods(
    grid: Grid, results: Sequence[Result], background: Result, confidence: Mapping[str, float]
) -> Figure:
    """Draw the contours of all methods over the p-values of one.

    Args:
        grid: Grid of the limits.
        results: Limits to draw; solid with rate, dashed without.
        background: Limits whose p-values are shaded (two parameters only).
        confidence: p-value of each contour by its label.
    """
    figure, ax = plt.subplots(figsize=(12.5, 8), layout="constrained")
    if len(grid.axes) == 2:
        _shade(figure, ax, grid, background)
    for result in results:
        _draw(ax, grid, result, confidence)
    _finish(ax, grid)
    title = ", ".join([*confidence, "best fit"]) if len(grid.axes) == 2 else None
    figure.legend(fontsize=13, loc="outside right upper", title=title)
    return figure


def all_methods_separate(
    grid: Grid, results: Sequence[Result], confidence: Mapping[str, float]
) -> Figure:
    """Draw p-values with the contours of all confidence levels, one panel for each result."""
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(7 * columns, 5.6 * rows), squeeze=False, layout="constrained"
    )
    for ax in panels.flat[len(results) :]:
        ax.remove()
    for ax, result in zip(panels.flat, results, strict=False):
        if len(grid.axes) == 2:
            _shade(figure, ax, grid, result)
        _draw(ax, grid, result, confidence)
        _finish(ax, grid)
        ax.set_title(result.label, fontsize=16)
    return figure


def _shade(figure: Figure, ax: Axes, grid: Grid, result: Result) -> None:
    # The grid's first index runs along the horizontal axis; images want rows for the vertical.
    image = ax.pcolormesh(
        *grid.axes,
        np.clip(result.p_values.T, *_P_RANGE),
        norm=mpl.colors.LogNorm(*_P_RANGE),
        cmap="Greys_r",
        shading="nearest",
        rasterized=True,
    )
    figure.colorbar(image, ax=ax, label=f"expected p-value ({result.label})")


def _draw(ax: Axes, grid: Grid, result: Result, confidence: Mapping[str, float]) -> None:
    style = "solid" if result.with_rate else "dashed"
    color, label = result.color, result.label
    if len(grid.axes) == 1:
        ax.plot(grid.axes[0], result.p_values, color=color, linestyle=style, label=label)
        for level in confidence.values():
            ax.axhline(level, color="grey", linewidth=0.8)
        return
    levels = sorted(confidence.values())
    widths = [1.3, 2.4][-len(levels) :]
    ax.contour(
        *grid.axes,
        result.p_values.T,
        levels=levels,
        colors=[color],
        linestyles=style,
        linewidths=widths,
    )
    marker = "*" if result.with_rate else "+"
    ax.plot(*result.best_fit, marker, color=color, markersize=12, linestyle="none", zorder=5)
    ax.plot([], [], color=color, linestyle=style, marker=marker, label=label)


def _finish(ax: Axes, grid: Grid) -> None:
    axes, truth = grid.axes, grid.theta_true
    ax.set_xlabel(grid.names[0])
    ax.set_xlim(axes[0][0], axes[0][-1])
    if len(axes) == 1:
        ax.axvline(truth[0], color="black", linestyle="dotted", label="truth")
        ax.set(ylabel="expected p-value", ylim=(0, 1.05))
    else:
        ax.plot(*truth[:2], "x", color="black", markersize=9, mew=2, label="truth", zorder=6)
        ax.set_ylabel(grid.names[1])
        ax.set_ylim(axes[1][0], axes[1][-1])


def correlation(
    method: str, truth: Array, estimate: Array, quantity: str = "log likelihood ratio"
) -> Figure:
    """Draw an estimate against the joint quantity, which knows the hidden momenta.

    Args:
        method: Name of the method.
        truth: Joint log ratios or one component of joint scores, ``(n,)``.
        estimate: Estimates for the same events, ``(n,)``.
        quantity: What is compared.
    """
    figure, ax = plt.subplots(figsize=(8, 7), layout="constrained")
    reach = max(float(np.quantile(np.abs(truth), 0.9)), 1e-6)
    window = (-reach, reach)
    _, _, _, image = ax.hist2d(
        truth, estimate, bins=50, range=(window, window), cmap="Greens", norm="log"
    )
    figure.colorbar(image, ax=ax, label="events")
    ax.plot(window, window, color="grey", linestyle="dashed")
    ax.set(xlabel=f"joint {quantity}", ylabel=f"estimated {quantity}", xlim=window, ylim=window)
    coefficient = np.corrcoef(truth, estimate)[0, 1]
    ax.set_title(f"{method.upper()}: correlation {coefficient:.2f}", fontsize=16)
    return figure


def closure(method: str, quantity: str, comparisons: Mapping[str, Comparison]) -> Figure:
    """Draw an estimate against weighted histograms of all events, bin by bin.

    Args:
        method: Name of the method.
        quantity: What is compared.
        comparisons: Well-filled bins of each comparison, by its name.
    """
    figure, ax = plt.subplots(figsize=(9, 8), layout="constrained")
    for label, found in comparisons.items():
        text = f"{label}: correlation {found.correlation:.3f}, slope {found.slope:.2f}"
        ax.plot(found.truth, found.estimate, ".", alpha=0.7, label=text)
    limits = [*ax.get_xlim(), *ax.get_ylim()]
    window = (min(limits), max(limits))
    ax.plot(window, window, color="grey", linestyle="dashed")
    ax.set(xlabel=f"{quantity} of histograms", ylabel=f"{quantity} of {method.upper()}")
    ax.set(xlim=window, ylim=window)
    ax.legend(fontsize=12, loc="upper left")
    return figure


def losses(histories: Mapping[str, Sequence[Array]]) -> Figure:
    """Draw training and validation losses ``(n_epochs, 2)`` of each run, by method."""
    figure, panels = plt.subplots(
        1, len(histories), figsize=(6.5 * len(histories), 5.5), squeeze=False, layout="constrained"
    )
    for ax, (label, runs) in zip(panels.flat, histories.items(), strict=True):
        for column, name in enumerate(("training", "validation")):
            # One by one: a training that diverges has fewer epochs.
            for run, history in enumerate(runs):
                epochs, shown = np.arange(1, len(history) + 1), None if run else name
                ax.plot(epochs, history[:, column], color=f"C{column}", label=shown)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.set_title(label, fontsize=16)
        ax.legend()
    return figure
