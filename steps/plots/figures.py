"""Figures of limits and of the networks' quality, from numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import cycle
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

mpl.use("Agg")
import mplhep

from steps.arrays import Array

mplhep.style.use([mplhep.style.ROOT, {"font.size": 15, "figure.dpi": 80, "axes.labelsize": 17}])

# Told apart on the grey shades of the p-values, and by most colour-blind readers.
_PALETTE = ["black", "sienna", "darkorange", "red", "dodgerblue", "limegreen", "magenta", "gold"]
_P_RANGE = (1e-3, 1.0)
# Part of the 95 % contours' extent that is shown around them.
_ROOM = 0.15
# Lines of expected limits beside observed ones, and their widths relative to those.
_DASHES = (0, (5, 2))
_THIN = 0.6
# Lines of limits with systematic uncertainties, and of such that are not reliable.
_DASH_DOTS, _FEW_DOTS = (0, (7, 1.5, 1, 1.5)), (0, (1, 4))
# Luminosities are told in 1/pb.
_PER_FB = 1e3
# On the vertical axis q goes so many times as high as its highest level.
_ABOVE = 1.6


class Role(Enum):
    """What a likelihood is shown as."""

    REFERENCE = "reference"
    NETWORK = "network"
    OTHER = "other"


class Look(Enum):
    """How limits are drawn: first of all, or beside others."""

    ALONE = "alone"
    OBSERVED = "observed"
    EXPECTED = "expected beside observed ones"
    SYSTEMATICS = "with systematics beside those of statistics"

    @property
    def is_beside(self) -> bool:
        """Whether they are lines beside others."""
        return self in (Look.EXPECTED, Look.SYSTEMATICS)


@dataclass(frozen=True)
class Result:
    """q = -2 ln(L / L_best) of one likelihood.

    Attributes:
        label: Name in legends.
        role: What it is shown as.
        with_rate: Whether the number of events is part of the likelihood.
        color: Colour of the method.
        q: q on the grid, ``(n_0,)`` or ``(n_0, n_1)``.
        error: Its standard deviation, likewise; NaN where that is not known.
        p_values: Its p-values, likewise.
        best_fit: Best-fit point, ``(1,)`` or ``(2,)``.
        reliable: Whether nothing speaks against it.
        thresholds: q at the edge of Neyman's region at each point of the grid, by the label of a
            confidence level, where pseudo-experiments were made.
        observed: The same given observed events; None where there are none.
        full: The same with systematic uncertainties; None where these are not known.
        look: How it is drawn.
    """

    label: str
    role: Role
    with_rate: bool
    color: str
    q: Array
    error: Array
    p_values: Array
    best_fit: Array
    reliable: bool = True
    thresholds: Mapping[str, Array] = field(default_factory=dict)
    observed: "Result | None" = None
    full: "Result | None" = None
    look: Look = Look.ALONE

    @property
    def shown(self) -> "list[Result]":
        """What is drawn of it, what matters most first."""
        found, full = [self], (self.observed or self).full
        if self.observed:
            found = [replace(self.observed, look=Look.OBSERVED), replace(self, look=Look.EXPECTED)]
        return [*found, replace(full, look=Look.SYSTEMATICS)] if full else found

    @property
    def name(self) -> str:
        """Label that tells whether it is reliable."""
        return self.label if self.reliable else f"{self.label} (not reliable)"

    @property
    def style(self) -> Any:
        """Style of its lines, as matplotlib has them."""
        if self.look is Look.SYSTEMATICS:
            return _DASH_DOTS if self.reliable else _FEW_DOTS
        if not self.reliable:
            return "dotted"
        if self.look is not Look.ALONE:
            return "solid" if self.look is Look.OBSERVED else _DASHES
        if self.role is Role.REFERENCE:
            return (0, (5, 2)) if self.with_rate else (0, (5, 2, 1, 2))
        return "solid" if self.with_rate else "dashed"

    @property
    def marker(self) -> str:
        """Marker of its best fit."""
        return "*" if self.with_rate else "+"

    @property
    def order(self) -> float:
        """What it is drawn above: the reference is on top."""
        return 4.0 if self.role is Role.REFERENCE else 3.0


def colors(labels: Sequence[str]) -> dict[str, str]:
    """Return one colour for each method; the first, the reference, is black."""
    palette = cycle(_PALETTE)
    return {label: next(palette) for label in dict.fromkeys(labels)}


@dataclass(frozen=True)
class Grid:
    """Where limits are drawn.

    Attributes:
        axes: Values of the first one or two parameters.
        names: Names of all parameters.
        theta_true: True point, ``(p,)``.
        levels: q at the edge of the joint region of all parameters, by confidence level.
        data: What observed events are called, ``pseudo-data`` for instance; empty without any.
        drawn: Of pseudo-data the point that they were drawn at, ``(p,)``; None of others.
    """

    axes: Sequence[Array]
    names: Sequence[str]
    theta_true: Sequence[float]
    levels: Mapping[str, float]
    data: str = ""
    drawn: Sequence[float] | None = None

    def window(self, results: Sequence[Result]) -> list[tuple[float, float]]:
        """Return what part to show: the largest regions of the reference and the networks."""
        level = max(self.levels.values())
        found = [result.q < level for result in results if result.role is not Role.OTHER]
        inside = np.any(found or [result.q < level for result in results], axis=0)
        ends = []
        for number, axis in enumerate(self.axes):
            there = axis[inside.any(axis=tuple(k for k in range(inside.ndim) if k != number))]
            there = there if there.size else axis
            room = _ROOM * (there.max() - there.min())
            ends.append((max(axis[0], there.min() - room), min(axis[-1], there.max() + room)))
        return ends


@dataclass(frozen=True)
class Panel:
    """Limits of one parameter or two, the others at their best values.

    Attributes:
        grid: Their grid, names and true values.
        results: The limits there.
    """

    grid: Grid
    results: Sequence[Result]


@dataclass(frozen=True)
class Evolution:
    """What a likelihood says at other luminosities.

    Attributes:
        result: The likelihood.
        intervals: Profiled 68 % intervals of each parameter, ``(n_luminosities, p, 5)``: the
            luminosity in 1/pb, low, high and their errors; NaN where these are not known.
    """

    result: Result
    intervals: Array


@dataclass(frozen=True)
class Coverage:
    """How often regions hold the point that pseudo-experiments were made at.

    Attributes:
        label: Name of the likelihood.
        points: Where they were made, ``(n, p)``.
        parts: By the edge of the regions (``chi-squared``, ``Neyman``) and the confidence level in
            per cent: the part that holds the point, and its error, ``(n, 2)``.
    """

    label: str
    points: Array
    parts: Mapping[tuple[str, str], Array]


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
    grid: Grid, results: Sequence[Result], background: Result, confidence: str
) -> Figure:
    """Draw the contours of all methods over the p-values of one, or q of one parameter.

    Args:
        grid: Grid of the limits.
        results: Limits to draw, those of networks with the error of q as a band; where events are
            observed or there are systematic uncertainties too, those with the number of events, if
            there are any.
        background: Limits whose p-values are shaded (two parameters only).
        confidence: Label of the contours' confidence level.
    """
    figure, ax = plt.subplots(figsize=(10.5, 10), layout="constrained")
    if len(grid.axes) == 2:
        _shade(figure, ax, grid, background.shown[0], f"{_kind(grid)} p-value ({background.label})")
    drawn = _flat(_fewer(results))
    for result in drawn:
        _draw(ax, grid, result, [confidence], with_band=result.role is Role.NETWORK)
    _finish(ax, grid, drawn)
    n = len(grid.names)
    title = f"{confidence} ({n} d.o.f.), best fit" if len(grid.axes) == 2 else None
    options: dict[str, Any] = {"fontsize": 13, "title_fontsize": 13, "handlelength": 3}
    figure.legend(loc="outside lower center", ncols=2, title=title, **options)
    return figure


def all_methods_separate(grid: Grid, results: Sequence[Result]) -> Figure:
    """Draw p-values with the contours of all confidence levels, one panel for each result."""
    figure, panels = _panels(len(results), (7, 5.6))
    for ax, result in zip(panels, results, strict=True):
        first = result.shown[0]
        if len(grid.axes) == 2:
            _shade(figure, ax, grid, first, f"{_kind(grid)} p-value")
        for one in result.shown:
            _draw(ax, grid, one, list(grid.levels), with_band=True)
        _draw_neyman(ax, grid, first)
        _finish(ax, grid, _flat(results))
        _explain(ax, grid, result.shown)
        ax.set_title(first.name, fontsize=16)
    return figure


def triangle(panels: Mapping[tuple[int, int], Panel]) -> Figure:
    """Draw contours of all pairs of parameters, and q of each parameter on the diagonal.

    Args:
        panels: By the numbers of two parameters, the lower first; twice the same for one alone.
    """
    size = 1 + max(number for pair in panels for number in pair)
    figure, axes = plt.subplots(
        size, size, figsize=(4.5 * size, 4.2 * size), squeeze=False, layout="constrained"
    )
    windows = _windows(panels)
    for (row, column), ax in zip(np.ndindex(size, size), axes.flat, strict=True):
        if column > row:
            ax.remove()
            continue
        panel = panels[column, row]
        drawn = _flat(panel.results)
        for result in drawn:
            _draw(ax, panel.grid, result, list(panel.grid.levels), with_band=False)
        _finish(ax, panel.grid, drawn)
        ax.set(xlim=windows[column])
        if column < row:
            ax.set(ylim=windows[row])
            ax.label_outer()
        elif row < size - 1:
            ax.set(xlabel="")
    handles, labels = axes.flat[size].get_legend_handles_labels()
    levels = ", ".join(panels[0, 1].grid.levels)
    title = f"{levels} (2 d.o.f.), others profiled; best fit"
    options: dict[str, Any] = {"fontsize": 15, "title_fontsize": 15, "handlelength": 3}
    figure.legend(handles, labels, loc="outside lower center", ncols=2, title=title, **options)
    return figure


def _windows(panels: Mapping[tuple[int, int], Panel]) -> dict[int, tuple[float, float]]:
    """Return what part of each parameter to show: all that a panel does."""
    shown: dict[int, tuple[float, float]] = {}
    for numbers, panel in panels.items():
        window = panel.grid.window(_flat(panel.results))
        for number, (low, high) in zip(numbers, window, strict=False):
            before = shown.get(number, (low, high))
            shown[number] = (min(low, before[0]), max(high, before[1]))
    return shown


def _flat(results: Sequence[Result]) -> list[Result]:
    """Return all that is drawn, what is observed on top of what is expected."""
    return [one for result in results for one in result.shown]


def _fewer(results: Sequence[Result]) -> Sequence[Result]:
    """Return results of which some are drawn twice, without half of them if that can be."""
    if not any(len(result.shown) > 1 for result in results):
        return results
    return [result for result in results if result.with_rate] or results


def _kind(grid: Grid) -> str:
    return grid.data or "expected"


def _panels(n: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return so many panels of a size, up to three beside each other."""
    columns = min(3, n)
    rows = -(-n // columns)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        squeeze=False,
        layout="constrained",
    )
    for ax in panels.flat[n:]:
        ax.remove()
    return figure, list(panels.flat[:n])


def _shade(figure: Figure, ax: Axes, grid: Grid, result: Result, label: str) -> None:
    # The grid's first index runs along the horizontal axis; images want rows for the vertical.
    image = ax.pcolormesh(
        *grid.axes,
        np.clip(result.p_values.T, *_P_RANGE),
        norm=mpl.colors.LogNorm(*_P_RANGE),
        cmap="Greys_r",
        shading="nearest",
        rasterized=True,
    )
    figure.colorbar(image, ax=ax, label=label)


def _draw(
    ax: Axes, grid: Grid, result: Result, confidence: Sequence[str], *, with_band: bool
) -> None:
    beside = result.look.is_beside
    band = with_band and not beside and bool(np.isfinite(result.error).all())
    if len(grid.axes) == 1:
        _draw_curve(ax, grid, result, band)
        return
    color, style, marker = result.color, result.style, result.marker
    # Wider regions have thinner lines.
    for label, usual in zip(confidence, (2.4, 1.3), strict=False):
        width = usual * _THIN if beside else usual
        excess = result.q - grid.levels[label]
        if band:
            _draw_band(ax, grid, result, excess)
        _draw_contour(ax, grid, result, excess, linewidths=width, linestyles=[style])
    if beside:
        return
    ax.plot(*result.best_fit, marker, color=color, markersize=12, linestyle="none", zorder=5)
    ax.plot([], [], color=color, linestyle=style, marker=marker, label=result.name)


def _draw_curve(ax: Axes, grid: Grid, result: Result, band: bool) -> None:
    (axis,) = grid.axes
    if band:
        ends = (np.maximum(result.q + sign * result.error, 0) for sign in (-1, 1))
        ax.fill_between(axis, *ends, color=result.color, alpha=0.2, linewidth=0)
    ax.plot(
        axis,
        result.q,
        color=result.color,
        linestyle=result.style,
        label=None if result.look.is_beside else result.name,
        zorder=result.order,
    )


def _draw_band(ax: Axes, grid: Grid, result: Result, excess: Array) -> None:
    """Fill where q is nearer to a level than its error."""
    gap = (np.abs(excess) - result.error).T
    if gap.min() < 0:
        ax.contourf(*grid.axes, gap, levels=[gap.min(), 0], colors=[result.color], alpha=0.25)


def _draw_contour(ax: Axes, grid: Grid, result: Result, excess: Array, **options: Any) -> None:
    """Draw where q exceeds what it is compared to, unless that is nowhere."""
    if excess.min() < 0 < excess.max():
        ax.contour(
            *grid.axes,
            excess.T,
            levels=[0],
            colors=[result.color],
            zorder=result.order,
            **options,
        )


def _draw_neyman(ax: Axes, grid: Grid, result: Result) -> None:
    """Draw the edges of Neyman's regions as thin lines."""
    thin, color = 0.9, result.color
    for threshold in result.thresholds.values():
        if len(grid.axes) == 1:
            ax.plot(grid.axes[0], threshold, color=color, linewidth=thin)
        else:
            _draw_contour(ax, grid, result, result.q - threshold, linewidths=thin)


def _explain(ax: Axes, grid: Grid, results: Sequence[Result]) -> None:
    """Tell the lines of a panel apart: thresholds, data, and systematic uncertainties."""
    first, lines = results[0], []
    color = first.color
    if first.thresholds:
        lines = [
            Line2D([], [], color=color, linewidth=2.4, linestyle=first.style, label="chi-squared"),
            Line2D([], [], color=color, linewidth=0.9, label="Neyman"),
        ]
    lines += _lines(grid, results, color)
    if lines:
        ax.legend(handles=lines, fontsize=12, loc="upper right", frameon=True)


def _lines(grid: Grid, results: Sequence[Result], color: str) -> list[Line2D]:
    """Return lines that tell apart limits that are drawn beside each other."""
    looks = {result.look for result in results}
    styles: dict[str, Any] = {}
    if Look.OBSERVED in looks:
        styles = {grid.data: "solid", "expected at the truth": _DASHES}
    if Look.SYSTEMATICS in looks:
        styles["with systematics"] = _DASH_DOTS
    return [
        Line2D([], [], color=color, linestyle=style, label=label) for label, style in styles.items()
    ]


def _finish(ax: Axes, grid: Grid, results: Sequence[Result]) -> None:
    truth, window = grid.theta_true, grid.window(results)
    for line in _lines(grid, results, "grey"):
        ax.add_line(line)
    ax.set(xlabel=grid.names[0], xlim=window[0])
    if len(window) == 2:
        ax.plot(*truth[:2], "x", color="black", markersize=9, mew=2, label="truth", zorder=6)
        if grid.drawn is not None:
            ax.plot(*grid.drawn[:2], "P", color="black", markersize=9, label="drawn at", zorder=6)
        ax.set(ylabel=grid.names[1], ylim=window[1])
        return
    left, _ = window[0]
    for label, level in grid.levels.items():
        ax.axhline(level, color="grey", linewidth=0.8)
        ax.annotate(label, (left, level), (16, 3), textcoords="offset points", fontsize=11)
    ax.axvline(truth[0], color="black", linestyle="dotted", label="truth")
    if grid.drawn is not None:
        ax.axvline(grid.drawn[0], color="black", linestyle="dashdot", label="drawn at")
    ax.set(ylabel=r"$q = -2 \ln (L / L_{best})$", ylim=(0, _ABOVE * max(grid.levels.values())))


def luminosity(grid: Grid, evolutions: Sequence[Evolution], analysed: float) -> Figure:
    """Draw the profiled 68 % intervals of each parameter against luminosity.

    Args:
        grid: Names of the parameters, and the true point.
        evolutions: Intervals of each likelihood.
        analysed: Luminosity of the analysis in 1/pb.
    """
    figure, panels = _panels(len(grid.names), (7, 6))
    for number, (ax, name) in enumerate(zip(panels, grid.names, strict=True)):
        for evolution in evolutions:
            _draw_evolution(ax, evolution.result, evolution.intervals[:, number])
        ax.axvline(analysed / _PER_FB, color="grey", linewidth=0.8, label="this analysis")
        ax.axhline(grid.theta_true[number], color="black", linestyle="dotted", label="truth")
        at = evolutions[0].intervals[[0, -1], number, 0] / _PER_FB
        ax.set(xscale="log", xlim=at, xlabel="luminosity in 1/fb", ylabel=name)
    panels[0].legend(fontsize=13, title="68 % CL, others profiled", title_fontsize=13)
    return figure


def _draw_evolution(ax: Axes, result: Result, intervals: Array) -> None:
    at, low, high, low_error, high_error = intervals.T
    known = np.isfinite(low).any()
    name = result.name if known else f"{result.name}: not known"
    for end, error, label in ((low, low_error, None), (high, high_error, name)):
        band = (end - error, end + error)
        ax.fill_between(at / _PER_FB, *band, color=result.color, alpha=0.25, linewidth=0)
        ax.plot(at / _PER_FB, end, color=result.color, linestyle=result.style, label=label)


def coverage(found: Sequence[Coverage], nominal: Mapping[str, float]) -> Figure:
    """Draw how often regions hold the true point, at some points.

    Args:
        found: What was found for each likelihood.
        nominal: What it should be, by confidence level in per cent.
    """
    figure, panels = _panels(len(found), (7, 6))
    color = {confidence: f"C{k}" for k, confidence in enumerate(nominal)}
    for ax, each in zip(panels, found, strict=True):
        for confidence, part in nominal.items():
            ax.axhline(part, color=color[confidence], linewidth=0.8)
        for (edge, confidence), parts in each.parts.items():
            is_neyman = edge == "Neyman"
            # Beside each other.
            at = np.arange(len(parts)) + (0.07 if is_neyman else -0.07)
            ax.errorbar(
                at,
                parts[:, 0],
                parts[:, 1],
                fmt="o" if is_neyman else "s",
                mfc=color[confidence] if is_neyman else "white",
                color=color[confidence],
                label=f"{confidence} % CL, {edge}",
            )
        labels = ["(" + ", ".join(f"{v:.2g}" for v in point) + ")" for point in each.points]
        ax.set_xticks(np.arange(len(labels)), labels, rotation=30, ha="right", fontsize=12)
        ax.set_xticks([], minor=True)
        ax.set(ylabel="part of regions with the truth", ylim=(min(0.5, ax.get_ylim()[0]), 1.0))
        ax.set_title(each.label, fontsize=16)
    panels[0].legend(fontsize=12, loc="lower left")
    return figure


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
