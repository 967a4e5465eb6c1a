"""What limits are told with: a table, lines for people, numbers of the figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from steps.arrays import Array
from steps.recasting.limits import LEVEL, SIGMAS, Limits, Tested
from steps.recasting.model import Expectation


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
    def label(self) -> str:
        """Name of the signal and its point."""
        point = ", ".join(f"{k} = {v:g}" for k, v in self.signal.get("theta", {}).items())
        name = self.signal.get("name", "signal")
        return f"{name} ({point})" if point else str(name)

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
