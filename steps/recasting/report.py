"""What limits are told with: a table, lines for people, numbers of the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from steps.arrays import Array
from steps.recasting.hepdata import Column, Table
from steps.recasting.limits import LEVEL, SIGMAS, Limits, Tested
from steps.recasting.model import Expectation
from steps.recasting.scanning import Scan
from steps.recasting.surfaces import crossings, finer


@dataclass(frozen=True)
class About:
    """What the limits are of.

    Attributes:
        signal: What is known of the signal: ``name``, ``theta``, ``cross_section`` and more.
        pseudo: Where data are pseudo-data, what they were drawn at; empty for others.
        against_standard_model: Whether strength zero is the Standard Model with its part of the
            signal.
    """

    signal: Mapping[str, Any]
    pseudo: Mapping[str, Any]
    against_standard_model: bool

    @classmethod
    def of(
        cls, signal: Mapping[str, Any], data: Mapping[str, Any], *, against_standard_model: bool
    ) -> Self:
        """Take what the files of signal and data say."""
        return cls(signal.get("signal", {}), data.get("pseudo", {}), against_standard_model)

    @property
    def name(self) -> str:
        """Name of the signal."""
        return str(self.signal.get("name", "signal"))

    @property
    def label(self) -> str:
        """Name of the signal and its point."""
        point = ", ".join(f"{k} = {v:g}" for k, v in self.signal.get("theta", {}).items())
        return f"{self.name} ({point})" if point else self.name

    @property
    def observable(self) -> str:
        """Name of the observable."""
        return str(self.signal.get("observable", "observable"))

    @property
    def data(self) -> str:
        """What the data are called."""
        return "pseudo-data" if self.pseudo else "data"


@dataclass(frozen=True)
class Events:
    """Events in bins, for a figure.

    Attributes:
        edges: Edges of the bins, ``(n + 1,)``.
        observed: Events that are observed, ``(n,)``.
        parts: What is expected at strength zero, by name.
        errors: The errors of their sum before the fit, simulation and nuisance parameters.
        signal: What is expected at strength one, of all.
    """

    edges: Array
    observed: Array
    parts: Mapping[str, Array]
    errors: Array
    signal: Array


def events(expectation: Expectation) -> Events:
    """Return the events that are expected and observed."""
    named = {"background": expectation.background, "Standard Model": expectation.reference}
    templates = {name: template for name, template in named.items() if template is not None}
    squares = np.sum([t.nominal.variances for t in templates.values()], axis=0)
    for name in dict.fromkeys(n for t in templates.values() for n in t.variations):
        sides = [sum(t.side(name, side) for t in templates.values()) for side in (0, 1)]
        squares = squares + ((sides[0] - sides[1]) / 2) ** 2
    base = expectation.background_and_reference()
    return Events(
        expectation.signal.nominal.edges,
        expectation.observed,
        {name: template.nominal.values for name, template in templates.items()},
        np.sqrt(squares),
        base + expectation.change(),
    )


def table(limits: Mapping[str, Limits], about: About) -> dict[str, Any]:
    """Return what ``limits.yml`` says; null where no strength is excluded."""
    return {
        "signal": dict(about.signal),
        "tested_against": "Standard Model" if about.against_standard_model else "background",
        "data": about.data,
        **({"pseudo": dict(about.pseudo)} if about.pseudo else {}),
        "best_strength": limits["asymptotic"].best,
        **{
            how: {
                "CLs": _named(found.tested.all),
                "upper_limit": _named(found.upper),
                "excluded": bool(found.tested.observed < _EXCLUDED),
            }
            for how, found in limits.items()
        },
    }


_EXCLUDED = LEVEL


def _named(six: Array) -> dict[str, Any]:
    values = [float(value) if np.isfinite(value) else None for value in six]
    return {
        "observed": values[0],
        "expected": {
            f"{sigma:+d} sigma" if sigma else "median": value
            for sigma, value in zip(SIGMAS, values[1:], strict=True)
        },
    }


def lines(limits: Limits, about: About) -> list[str]:
    """Return lines for people."""
    tested: Tested = limits.tested
    against = "the Standard Model" if about.against_standard_model else "background alone"
    return [
        f"{about.label} against {against}: CLs {tested.observed:.3g} "
        f"({tested.expected[2]:.3g} expected)",
        f"strength below {limits.upper[0]:.3g} at 95 % CL ({limits.upper[3]:.3g} expected, "
        f"{limits.upper[2]:.3g} to {limits.upper[4]:.3g} within one standard deviation); "
        f"{about.data}",
    ]


def plane(scan: Scan, names: Sequence[str]) -> tuple[list[tuple[str, Array]], Array, Array]:
    """Return the surfaces of a scan on a fine grid.

    Args:
        scan: The scan.
        names: Names of the parameters.

    Returns:
        Name and values of each scanned parameter, ``d`` of them; CLs ``(6, ...)`` and -2 ln lambda
        ``(2, ...)``, with ``d`` axes more each.
    """
    scanned = scan.grid.scanned
    axes = [scan.grid.axes[number] for number in scanned]
    shape = tuple(len(axis) for axis in axes)
    # Far out CLs falls like a Gaussian, its logarithm like a parabola.
    logs = np.log(np.maximum(scan.cls, _SMALLEST)).T.reshape(-1, *shape)
    deviance = scan.deviance.T.reshape(-1, *shape)
    cls = [np.exp(np.minimum(finer(axes, one)[1], 0.0)) for one in logs]
    fine, _ = finer(axes, logs[0])
    labels = [(names[number], axis) for number, axis in zip(scanned, fine, strict=True)]
    return labels, np.array(cls), np.array([finer(axes, one)[1] for one in deviance])


_SMALLEST = 1e-12


def scan_table(scan: Scan, names: Sequence[str], about: About) -> dict[str, Any]:
    """Return what ``scan.yml`` says.

    Args:
        scan: The scan.
        names: Names of the parameters.
        about: What it is of.
    """
    labels, cls, _ = plane(scan, names)
    ends = {}
    if len(labels) == 1:
        [(name, axis)] = labels
        # Where CLs crosses the level: the points beyond, or between, are excluded.
        ends = {
            "crossings": {
                name: {what: _short(crossings(axis, each, LEVEL)) for what, each in named(cls)}
            }
        }
    return {
        "signal": about.name,
        "tested_against": "Standard Model" if about.against_standard_model else "background",
        "data": about.data,
        **({"pseudo": dict(about.pseudo)} if about.pseudo else {}),
        **ends,
        "points": [
            {
                "theta": dict(zip(names, map(float, point), strict=True)),
                "CLs": dict(zip((what for what, _ in named(cls)), _short(six), strict=True)),
                "minus_2_ln_lambda": dict(
                    zip(("observed", "expected"), _short(two.tolist()), strict=True)
                ),
                "excluded": bool(six[0] < LEVEL),
            }
            for point, six, two in zip(scan.grid.points, scan.cls, scan.deviance, strict=True)
        ],
    }


def named(six: Array) -> list[tuple[str, Array]]:
    """Return what is observed and expected, by name."""
    names = ["observed", *(f"expected {sigma:+d} sigma" for sigma in SIGMAS)]
    return list(zip(names, six, strict=True))


def _short(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def tables(limits: Mapping[str, Limits], events: Events, about: About) -> list[Table]:
    """Return the tables of limits and events for HEPData."""
    bins = np.stack([events.edges[:-1], events.edges[1:]], axis=-1)
    found = [
        Table(
            "Events",
            f"Events in bins of {about.observable}, with {about.data}.",
            [
                Column(about.observable, bins, is_axis=True),
                Column(about.data, events.observed),
                *(Column(name, values) for name, values in events.parts.items()),
                Column(
                    "expected without signal",
                    np.sum(list(events.parts.values()), axis=0),
                    errors={"simulation and systematics": events.errors},
                ),
                Column(f"expected with {about.label}", events.signal),
            ],
        )
    ]
    for how, of in limits.items():
        found += [
            Table(
                f"CLs ({how})",
                f"CLs against the strength of {about.label}.",
                [
                    Column("signal strength", of.strengths, is_axis=True),
                    *(Column(f"CLs {what}", each) for what, each in named(of.scan.T)),
                ],
            ),
            Table(
                f"Upper limits ({how})",
                f"Upper limits on the strength of {about.label} at 95% CL.",
                [
                    Column("confidence level", np.array([1 - LEVEL]), is_axis=True),
                    *(
                        Column(f"limit {what}", np.atleast_1d(each))
                        for what, each in named(of.upper)
                    ),
                ],
            ),
        ]
    return found


def tables_of_scan(scan: Scan, names: Sequence[str], about: About) -> list[Table]:
    """Return the tables of a scan for HEPData."""
    points = scan.grid.points.T
    axes = [Column(name, each, is_axis=True) for name, each in zip(names, points, strict=True)]
    observed, expected = scan.deviance.T
    return [
        Table(
            "CLs of parameter points",
            f"CLs of {about.name} at points of the parameters, with {about.data}.",
            [*axes, *(Column(f"CLs {what}", each) for what, each in named(scan.cls.T))],
        ),
        Table(
            "Likelihood of parameter points",
            f"-2 ln of the profile likelihood ratio of {about.name}, with {about.data}.",
            [
                *axes,
                Column("-2 ln lambda observed", observed),
                Column("-2 ln lambda expected", expected),
            ],
        ),
    ]
