"""Figures of the reinterpretation: limits on the strength, events in bins, scaling."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steps.arrays import Array

_FONT = 13
# Bands of one and two standard deviations, by custom in these colours.
_ONE, _TWO = "#00a000", "#f5d800"
# Light enough for lines on it.
_BAND = "#a5dba5"
_STACK = ("#9ecae1", "#fdd0a2", "#c7e9c0", "#dadaeb")
_SIGNAL = "#c0392b"
_LOWEST = 1e-4
# The ratio is shown this far from one, at least and at most.
_RATIO = (0.25, 5.0)
_LIKELIHOOD = "#08306b"
# -2 ln lambda at 68 and 95 % CL, of one and of two parameters.
_HEIGHTS = ((0.9889, 3.8415), (2.2789, 5.9915))


def limits(scan: tuple[Array, Array], upper: Array, level: float, signal: str, data: str) -> Figure:
    """Draw CLs against the strength of a signal, with the bands that are expected without it.

    Args:
        scan: Strengths ``(m,)`` and CLs at each, observed and expected at -2, -1, 0, 1, 2 standard
            deviations, ``(m, 6)``.
        upper: Upper limits, likewise, ``(6,)``; infinite where there are none.
        level: CLs of the limits.
        signal: What the signal is called.
        data: What the data are called.
    """
    strengths, values = scan
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    axes = figure.subplots()
    # Strength zero is never excluded.
    mu = np.concatenate([[0.0], strengths])
    observed, *expected = np.maximum(np.vstack([np.ones(6), values]), _LOWEST / 10).T
    axes.fill_between(mu, expected[0], expected[4], color=_TWO, label="expected ± 2σ", lw=0)
    axes.fill_between(mu, expected[1], expected[3], color=_ONE, label="expected ± 1σ", lw=0)
    axes.plot(mu, expected[2], "k--", label=_limit("expected", upper[3]))
    axes.plot(mu, observed, "k-", lw=2, label=_limit(f"observed ({data})", upper[0]))
    axes.axhline(level, color=_SIGNAL, lw=1)
    axes.annotate(
        f"{1 - level:.0%} CL",
        (1, level),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        color=_SIGNAL,
        fontsize=_FONT,
    )
    axes.set(yscale="log", ylim=(_LOWEST, 1.0), xlim=(0, mu[-1]))
    axes.set_xlabel("signal strength μ", fontsize=_FONT)
    axes.set_ylabel("CLs", fontsize=_FONT)
    axes.set_title(signal, fontsize=_FONT)
    axes.legend(fontsize=_FONT - 2, loc="lower left", framealpha=0.9)
    return figure


def _limit(what: str, value: float) -> str:
    return f"{what}: μ < {value:.3g}" if np.isfinite(value) else f"{what}: no limit"


def results(
    edges: Array,
    observed: Array,
    parts: Mapping[str, Array],
    errors: Array,
    signal: tuple[str, Array],
    names: tuple[str, str],
) -> Figure:
    """Draw data, background and signal, and their ratio to the background.

    Args:
        edges: Edges of the bins, ``(n + 1,)``.
        observed: Observed events, ``(n,)``.
        parts: What is expected without the signal, by name, ``(n,)`` each.
        errors: Errors of their sum, ``(n,)``.
        signal: What the signal is called, and all events that are expected with it.
        names: What observable and data are called.
    """
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    label, total = signal
    base = np.sum(list(parts.values()), axis=0)
    bottom = np.zeros(len(observed))
    for (name, values), colour in zip(parts.items(), _STACK, strict=False):
        above.stairs(bottom + values, edges, baseline=bottom, fill=True, color=colour, label=name)
        bottom = bottom + values
    _band(above, edges, base, errors, "errors before the fit")
    above.stairs(total, edges, color=_SIGNAL, lw=2, label=f"with {label}")
    middles, halves = (edges[:-1] + edges[1:]) / 2, np.diff(edges) / 2
    bars = {"fmt": "ko", "ms": 4, "xerr": halves, "elinewidth": 1}
    above.errorbar(middles, observed, yerr=np.sqrt(observed), label=names[1], **bars)
    lowest = 0.3 * max(min(base.min(), total.min()), 0.1)
    above.set(yscale="log", ylim=(lowest, 30 * max(base.max(), observed.max(), total.max())))
    above.set_ylabel("events", fontsize=_FONT)
    above.legend(fontsize=_FONT - 2, loc="upper right")
    _band(below, edges, np.ones(len(base)), errors / base, "")
    below.stairs(total / base, edges, baseline=None, color=_SIGNAL, lw=2)
    below.errorbar(middles, observed / base, yerr=np.sqrt(observed) / base, **bars)
    below.axhline(1, color="black", lw=0.8)
    far = np.concatenate([total / base, (observed + np.sqrt(observed)) / base]) - 1
    room = np.clip(1.2 * np.abs(far).max(), *_RATIO)
    below.set(ylim=(max(1 - room, 0), 1 + room), xlim=(edges[0], edges[-1]))
    below.set_ylabel("ratio", fontsize=_FONT)
    below.set_xlabel(names[0], fontsize=_FONT)
    figure.align_ylabels()
    return figure


def _band(axes: Axes, edges: Array, middle: Array, errors: Array, label: str) -> None:
    axes.stairs(
        middle + errors,
        edges,
        baseline=np.maximum(middle - errors, 0),
        fill=False,
        hatch="////",
        color="#555555",
        lw=0,
        label=label or None,
    )


def exclusion(
    parameters: Sequence[tuple[str, Array]],
    cls: Array,
    deviance: Array,
    level: float,
    names: tuple[str, str],
    standard_model: Sequence[float],
) -> Figure:
    """Draw which points of one or two parameters are excluded.

    Args:
        parameters: Name and values of each of ``d`` parameters.
        cls: CLs, observed and expected at -2, -1, 0, 1, 2 standard deviations, ``(6, ...)``.
        deviance: -2 ln lambda, observed and expected, ``(2, ...)``.
        level: CLs of limits.
        names: What signal and data are called.
        standard_model: Where the Standard Model is, in each of the parameters.
    """
    signal, data = names
    if len(parameters) == 1:
        figure = Figure(figsize=(7.5, 7.0), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        [(name, values)] = parameters
        _line_of_cls(axes, values, np.maximum(cls, _LOWEST / 10), level, data)
        _line_of_deviance(below, values, deviance)
        below.set_xlabel(name, fontsize=_FONT)
    else:
        figure = Figure(figsize=(7.5, 6.5), layout="constrained")
        axes = figure.subplots()
        _plane(axes, parameters, np.log(cls / level), deviance, data)
        axes.plot(*standard_model, marker="+", color="black", ms=12, ls="none")
    axes.set_title(f"{signal}: excluded at {1 - level:.0%} CL", fontsize=_FONT)
    return figure


def _line_of_cls(axes: Axes, values: Array, cls: Array, level: float, data: str) -> None:
    observed, *expected = cls
    axes.fill_between(values, expected[0], expected[4], color=_TWO, label="expected ± 2σ", lw=0)
    axes.fill_between(values, expected[1], expected[3], color=_ONE, label="expected ± 1σ", lw=0)
    axes.plot(values, expected[2], "k--", label="expected")
    axes.plot(values, observed, "k-", lw=2, label=f"observed ({data})")
    axes.axhline(level, color=_SIGNAL, lw=1)
    axes.set(yscale="log", ylim=(_LOWEST, 1.5), xlim=(values[0], values[-1]))
    axes.set_ylabel("CLs", fontsize=_FONT)
    axes.legend(fontsize=_FONT - 2, loc="lower center", framealpha=0.9)


def _line_of_deviance(axes: Axes, values: Array, deviance: Array) -> None:
    for style, each, what in zip(("-", "--"), deviance, ("observed", "expected"), strict=True):
        axes.plot(values, each, style, color=_LIKELIHOOD, label=what)
    for height in _HEIGHTS[0]:
        axes.axhline(height, color="black", lw=0.8, ls=":")
    axes.set(ylim=(0, 3 * _HEIGHTS[0][-1]))
    axes.set_ylabel("−2 ln λ", fontsize=_FONT)
    axes.legend(fontsize=_FONT - 2, loc="upper center")


def _plane(
    axes: Axes, parameters: Sequence[tuple[str, Array]], logs: Array, deviance: Array, data: str
) -> None:
    """Draw contours; ``logs`` are logarithms of CLs over its level."""
    (x_name, x), (y_name, y) = parameters
    observed, _, narrow, expected, wide, _ = (each.T for each in logs)
    # What is excluded one standard deviation up is a part of what is excluded one down.
    for surface, color in ((narrow, _BAND), (wide, "white")):
        axes.contourf(x, y, surface, [-np.inf, 0], colors=[color])
    axes.contourf(x, y, observed, [-np.inf, 0], colors=["none"], hatches=["//"])
    axes.contour(x, y, expected, [0], colors="black", linestyles="--", linewidths=1.5)
    axes.contour(x, y, observed, [0], colors="black", linewidths=2)
    for style, each in zip(("-", "--"), deviance, strict=True):
        axes.contour(
            x, y, each.T, _HEIGHTS[1], colors=_LIKELIHOOD, linestyles=style, linewidths=1.6
        )
    handles = [
        Patch(facecolor="white", edgecolor="black", hatch="//", label=f"excluded ({data})"),
        Line2D([], [], ls="--", lw=1.5, label="expected", color="black"),
        Patch(facecolor=_BAND, label="expected ± 1σ"),
        Line2D([], [], label=f"68 %, 95 % of −2 ln λ ({data})", color=_LIKELIHOOD),
        Line2D([], [], ls="--", label="the same, expected", color=_LIKELIHOOD),
    ]
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.legend(handles=handles, fontsize=_FONT - 2, loc="outside lower center", ncols=2)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.set_xlabel(x_name, fontsize=_FONT)
    axes.set_ylabel(y_name, fontsize=_FONT)


def scaling(edges: Array, before: Array, after: Array) -> Figure:
    """Draw a histogram of weights before ``(n,)`` and after its scaling to events ``(n,)``."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, values, what in zip(
        figure.subplots(1, 2), (before, after), ("sum of weights", "expected events"), strict=True
    ):
        axes.stairs(values, edges, color="black")
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
        axes.set_ylabel(what, fontsize=_FONT)
        axes.set_title(f"{values.sum():.4g} in all", fontsize=_FONT)
    return figure
