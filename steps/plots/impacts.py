"""The figure of nuisance parameters: their pulls, and their impacts on each parameter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steps.arrays import Array

# Nuisance parameters that are shown: those of the greatest impact.
_MOST = 20
_INCHES = 0.45
# Pulls are shown this far at least; those expected stand below those of data.
_ROOM, _BESIDE = 2.2, 0.25


@dataclass(frozen=True)
class Impacts:
    """What nuisance parameters do to the limits of one likelihood.

    Attributes:
        label: Name of the likelihood.
        parameters: Names of the theory's parameters.
        names: Names of the nuisance parameters.
        pulls: Best values and errors of these after the fit, ``(K, 2)``.
        shifts: Shifts of the best parameters for a nuisance parameter fixed at its best value plus
            and minus its error after the fit, then plus and minus that before, ``(K, p, 4)``.
        expected: Where these are of observed events, the pulls by expected ones, ``(K, 2)``.
        data: What observed events are called.
    """

    label: str
    parameters: Sequence[str]
    names: Sequence[str]
    pulls: Array
    shifts: Array
    expected: Array | None = None
    data: str = ""


def impacts(found: Impacts) -> Figure:
    """Draw pulls and impacts, the greatest impact on any parameter, in units of all, on top."""
    size = np.abs(found.shifts[..., :2]).max(axis=-1)
    scale = np.maximum(size.max(axis=0), np.finfo(float).tiny)
    order = np.argsort((size / scale).max(axis=1), kind="stable")[::-1][:_MOST]
    n = len(found.parameters)
    figure = Figure(figsize=(4.5 + 4.5 * n, 2.2 + _INCHES * len(order)), layout="constrained")
    axes = figure.subplots(1, 1 + n, sharey=True, squeeze=False)[0]
    rows = np.arange(len(order))
    _draw_pulls(axes[0], rows, found, order)
    axes[0].set_yticks(rows, [found.names[k] for k in order])
    axes[0].tick_params(axis="y", which="minor", left=False, right=False)
    axes[0].set_ylim(len(order) - 0.4, -0.6)
    for number, (ax, name) in enumerate(zip(axes[1:], found.parameters, strict=True)):
        _draw_shifts(ax, rows, found.shifts[order, number])
        ax.set_xlabel(f"shift of {name}", fontsize=13)
    shown = [axes[1]] if found.expected is None else axes[:2]
    handles = [handle for ax in shown for handle in ax.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, fontsize=11, loc="outside lower center", ncols=len(handles))
    figure.suptitle(found.label, fontsize=14)
    return figure


def _draw_pulls(ax: Axes, rows: Array, found: Impacts, order: Array) -> None:
    ax.axvspan(-1, 1, color="0.9")
    ax.axvline(0, color="0.5", linewidth=0.8)
    reach = _draw_points(ax, rows, found.pulls[order], found.data, "black")
    if found.expected is not None:
        _draw_points(ax, rows + _BESIDE, found.expected[order], "expected", "0.6")
    ax.set_xlim(-max(_ROOM, reach), max(_ROOM, reach))
    ax.set_xlabel("pull, errors before the fit", fontsize=13)


def _draw_shifts(ax: Axes, rows: Array, shifts: Array) -> None:
    ax.axvline(0, color="0.5", linewidth=0.8)
    for column, (color, sign) in enumerate((("tab:blue", "+"), ("tab:orange", "−"))):
        before, after = shifts[:, 2 + column], shifts[:, column]
        ax.barh(rows, before, 0.75, fill=False, edgecolor=color, linewidth=0.8)
        label = f"ν = best {sign} error (open: {sign} 1)"
        ax.barh(rows, after, 0.5, alpha=0.8, label=label, color=color)


def _draw_points(ax: Axes, rows: Array, pulls: Array, label: str, color: str) -> float:
    """Draw pulls with their errors; return how far these reach."""
    value, error = pulls.T
    ax.errorbar(value, rows, xerr=error, fmt="o", markersize=5, label=label or None, color=color)
    return float((np.abs(value) + error).max(initial=0.0))
