"""A small analysis: signal, background, two nuisance parameters."""

import numpy as np

from steps.recasting.model import Expectation
from steps.recasting.templates import Histogram, Template

EDGES = np.linspace(0.0, 6.0, 7)
SIGNAL = np.array([20.0, 30.0, 35.0, 30.0, 25.0, 20.0])
BACKGROUND = np.array([300.0, 200.0, 120.0, 80.0, 50.0, 30.0])


def histogram(values: np.ndarray, error: float = 0.0) -> Histogram:
    """A histogram whose bins have a relative error."""
    return Histogram(EDGES, np.asarray(values, dtype=float), (error * np.asarray(values)) ** 2)


def template(values: np.ndarray, error: float, norm: float, slope: float) -> Template:
    """A template with an uncertain norm, and an uncertain slope."""
    tilt = slope * (np.arange(len(values)) - 2.5) / 2.5
    return Template(
        histogram(values, error),
        {
            "norm": (histogram(values * (1 + norm)), histogram(values / (1 + norm))),
            "tilt": (histogram(values * (1 + tilt)), histogram(values * (1 - tilt))),
        },
    )


def expectation(observed: np.ndarray | None = None) -> Expectation:
    """What is expected, and observed without a signal unless it is given."""
    return Expectation(
        template(SIGNAL, 0.03, 0.02, 0.0),
        None,
        template(BACKGROUND, 0.03, 0.05, 0.04),
        BACKGROUND if observed is None else observed,
    )
