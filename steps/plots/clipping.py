"""The figure of limits against an upper cut on an observable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from steps.arrays import Array

# Width of all bars at a cut; cuts are one apart.
_SPREAD = 0.7
# Widths of the bars of confidence levels in ascending order, in units of the methods' distance.
_WIDTHS = (0.7, 0.25)
_INCHES_PER_CUT = 1.6
# Limits with systematic uncertainties beside those without.
_LIGHT = 0.45
_TITLES = {True: "with the number of events", False: "kinematics alone"}


@dataclass(frozen=True)
class Scan:
    """Limits of one likelihood against a cut.

    Attributes:
        label: Name in legends.
        with_rate: Whether the number of events is part of the likelihood.
        color: Colour of the method.
        cuts: The cuts, ``(k,)``, infinite for none.
        reliable: Whether nothing speaks against the limits, ``(k,)``.
        pieces: Pieces of profiled intervals, by the label of a confidence level in ascending order:
            rows of number of the cut, number of the parameter, low, high, their errors, whether
            they are edges of the region, ``(m, 8)``.
        full: Whether these are limits with systematic uncertainties.
    """

    label: str
    with_rate: bool
    color: str
    cuts: Array
    reliable: Array
    pieces: Mapping[str, Array]
    full: bool = False


def clipping(observable: str, truth: Mapping[str, float], scans: Sequence[Scan]) -> Figure:
    """Draw the intervals of each parameter, the others profiled, against the cut.

    Args:
        observable: What is cut on.
        truth: True value of each parameter, by name.
        scans: Limits of each likelihood; those with and without the number of events get panels of
            their own.
    """
    rates = sorted({scan.with_rate for scan in scans}, reverse=True)
    shown = {rate: [scan for scan in scans if scan.with_rate == rate] for rate in rates}
    step = _SPREAD / max(len(these) for these in shown.values())
    n_cuts = max(len(scan.cuts) for scan in scans)
    size = (max(6.5, _INCHES_PER_CUT * n_cuts) * len(truth), 5 * len(rates))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rates), len(truth), squeeze=False, sharex=True, sharey="col")
    for row, rate in zip(axes, rates, strict=True):
        for number, (ax, (name, value)) in enumerate(zip(row, truth.items(), strict=True)):
            # Room beyond bars that reach the edge of the region.
            ax.use_sticky_edges = False
            ax.axhline(value, color="black", linestyle="dotted", linewidth=1)
            for place, scan in enumerate(shown[rate]):
                _draw(ax, scan, number, (place - 0.5 * (len(shown[rate]) - 1)) * step, step)
            ax.set(ylabel=name)
            ax.set_title(_TITLES[rate], fontsize=15)
    ticks = [f"{cut:g}" if np.isfinite(cut) else "no cut" for cut in scans[0].cuts]
    for ax in axes[-1]:
        ax.set_xticks(np.arange(n_cuts), ticks)
        ax.set_xticks([], minor=True)
        ax.set(xlabel=f"only events with {observable} below", xlim=(-0.6, n_cuts - 0.4))
    _legend(figure, scans)
    return figure


def _draw(ax: Axes, scan: Scan, number: int, offset: float, step: float) -> None:
    """Draw a bar for each piece; hatched if not reliable, with an arrow where it has no end."""
    for rows, width in zip(scan.pieces.values(), _WIDTHS, strict=False):
        for place, _, low, high, *errors, low_is_edge, high_is_edge in rows[rows[:, 1] == number]:
            x, reliable = place + offset, scan.reliable[int(place)]
            ax.bar(
                x,
                high - low,
                width * step,
                low,
                facecolor=scan.color if reliable else "none",
                edgecolor=scan.color,
                hatch=None if reliable else "////",
                linewidth=1,
                alpha=_LIGHT if scan.full else None,
                zorder=3,
            )
            ax.errorbar([x, x], [low, high], errors, fmt="none", ecolor="grey", zorder=4)
            for end, is_edge, marker in ((low, low_is_edge, "v"), (high, high_is_edge, "^")):
                if is_edge:
                    ax.plot(x, end, marker, color=scan.color, markersize=7, clip_on=False, zorder=5)


def _legend(figure: Figure, scans: Sequence[Scan]) -> None:
    colors: dict[str, str] = {}
    for scan in scans:
        # One for both rows: names of the lower one say that they are of kinematics.
        if scan.color not in colors.values():
            colors[scan.label] = scan.color
    handles = [Patch(color=color, label=label) for label, color in colors.items()]
    if any(scan.full for scan in scans):
        handles.append(Patch(color="grey", alpha=_LIGHT, label="with systematics"))
    if not all(scan.reliable.all() for scan in scans):
        handles.append(
            Patch(facecolor="none", edgecolor="grey", hatch="////", label="not reliable")
        )
    levels = " (thick), ".join(scans[0].pieces)
    title = f"{levels} (thin), others profiled; arrows: the edge of the region"
    options: dict[str, Any] = {"fontsize": 13, "title_fontsize": 13}
    figure.legend(handles=handles, loc="outside lower center", ncols=3, title=title, **options)
