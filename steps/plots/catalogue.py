"""Every plot of the workflow, by name: a new one is a function and a row of ``PLOTS``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from steps.arrays import Array
from steps.plots import clipping, figures, impacts
from steps.plots.clipping import Scan
from steps.plots.figures import Comparison, Coverage, Evolution, Grid, Panel, Result
from steps.plots.impacts import Impacts

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Limits:
    """Limits of at most three parameters.

    Attributes:
        grid: Grid of one or two of them.
        results: Limits.
        background: Limits whose p-values are shaded behind the others.
        evolutions: What networks say at other luminosities.
        luminosity: That of the analysis in 1/pb.
    """

    grid: Grid
    results: Sequence[Result]
    background: Result
    evolutions: Sequence[Evolution]
    luminosity: float


@dataclass(frozen=True)
class Clipping:
    """Limits against an upper cut.

    Attributes:
        observable: What is cut on.
        truth: True value of each parameter, by name.
        scans: Limits of each likelihood.
    """

    observable: str
    truth: Mapping[str, float]
    scans: Sequence[Scan]


@dataclass(frozen=True)
class Report:
    """All that plots are drawn from.

    Attributes:
        limits: Limits; None for more than three parameters.
        coverages: How often limits hold the truth, where that was tried.
        confidence: What it should be, by confidence level in per cent.
        runs: By method the arrays of each of its evaluations.
        closures: By method its comparisons with histograms.
        options: Section ``plotting`` of the input file.
        pairs: Limits of each parameter and all pairs of more than three, by the name of a figure.
        clipping: Limits against an upper cut; None where none was made.
        impacts: What systematic uncertainties do, by the name of a figure.
    """

    limits: Limits | None
    coverages: Sequence[Coverage]
    confidence: Mapping[str, float]
    runs: Mapping[str, Sequence[Arrays]]
    closures: Mapping[str, Sequence[Comparison]]
    options: Mapping[str, Any]
    pairs: Mapping[str, Mapping[tuple[int, int], Panel]] = field(default_factory=dict)
    clipping: Clipping | None = None
    impacts: Mapping[str, Impacts] = field(default_factory=dict)


Figures = dict[str, Figure]


def draw(report: Report) -> Figures:
    """Return the figures that the input file asks for, by name."""
    made: Figures = {}
    for option, plot in PLOTS:
        if option is None or report.options[option]:
            made |= plot(report)
    return made


def _all_methods(report: Report) -> Figures:
    if report.limits is None:
        return {}
    grid, results = report.limits.grid, report.limits.results
    first = next(iter(grid.levels))
    figure = figures.all_methods(grid, results, report.limits.background, first)
    return {"all_methods": figure}


def _all_methods_separate(report: Report) -> Figures:
    if report.limits is None:
        return {}
    figure = figures.all_methods_separate(report.limits.grid, report.limits.results)
    return {"all_methods_separate": figure}


def _luminosity(report: Report) -> Figures:
    limits = report.limits
    if limits is None:
        return {}
    return {"luminosity": figures.luminosity(limits.grid, limits.evolutions, limits.luminosity)}


def _pairs(report: Report) -> Figures:
    return {name: figures.triangle(panels) for name, panels in report.pairs.items()}


def _clipping(report: Report) -> Figures:
    scan = report.clipping
    if scan is None:
        return {}
    return {"clipping": clipping.clipping(scan.observable, scan.truth, scan.scans)}


def _impacts(report: Report) -> Figures:
    return {name: impacts.impacts(found) for name, found in report.impacts.items()}


def _coverage(report: Report) -> Figures:
    if not report.coverages:
        return {}
    return {"coverage": figures.coverage(report.coverages, report.confidence)}


def _correlations(report: Report) -> Figures:
    made: Figures = {}
    for method in report.options["correlations_methods"]:
        made |= correlation(method, report.runs[method])
    return made


def _closures(report: Report) -> Figures:
    made: Figures = {}
    for method, comparisons in report.closures.items():
        made |= closure(method, report.runs[method], comparisons)
    return made


def _losses(report: Report) -> Figures:
    histories = {
        method.upper(): [r["losses"] for r in runs] for method, runs in report.runs.items()
    }
    return {"losses": figures.losses(histories)}


PLOTS: tuple[tuple[str | None, Callable[[Report], Figures]], ...] = (
    ("all_methods", _all_methods),
    ("all_methods_separate", _all_methods_separate),
    ("correlations", _correlations),
    (None, _luminosity),
    (None, _pairs),
    (None, _clipping),
    (None, _impacts),
    (None, _coverage),
    (None, _closures),
    (None, _losses),
)
"""Switch in section ``plotting`` of the input file (None: always made), and the plot."""


def correlation(method: str, runs: Sequence[Arrays]) -> Figures:
    """Return ``correlation_<METHOD>``, estimates against joint quantities, where these exist."""
    if "joint/truth" not in runs[0]:
        return {}
    truth, estimate = (
        np.concatenate([arrays[f"joint/{name}"] for arrays in runs])
        for name in ("truth", "estimate")
    )
    quantity = "log likelihood ratio"
    if truth.ndim == 2:
        truth, estimate, quantity = truth[:, 0], estimate[:, 0], "score"
    figure = figures.correlation(method, truth, estimate, quantity)
    return {f"correlation_{method.upper()}": figure}


def closure(method: str, runs: Sequence[Arrays], comparisons: Sequence[Comparison]) -> Figures:
    """Return ``closure_<METHOD>``, estimates against weighted histograms, where these exist."""
    if not comparisons:
        return {}
    if "closure/points" in runs[0]:
        quantity = "log likelihood ratio"
        labels = ["(" + ", ".join(f"{v:.2f}" for v in p) + ")" for p in runs[0]["closure/points"]]
    else:
        quantity, labels = "score", [f"component {k}" for k in range(len(comparisons))]
    figure = figures.closure(method, quantity, dict(zip(labels, comparisons, strict=True)))
    return {f"closure_{method.upper()}": figure}
