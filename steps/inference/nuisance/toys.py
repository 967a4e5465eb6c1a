"""Pseudo-experiments with nuisance parameters: how q is distributed, nu at their best values.

An experiment is a Poisson number of events in each row, as is expected at a point theta, nu, and
auxiliary measurements a_k that are normal about nu_k with unit error. q = -2 ln(L / L_best) at
theta is that of the fit of nu alone, less that of all parameters.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import qmc

from steps.arrays import Array
from steps.inference.nuisance.climbing import Maxima, climb_highest
from steps.inference.nuisance.likelihood import Data, Joint, Mixture

# Experiments times rows that are held at once.
_MOST_NUMBERS = 1_000_000
# Points of the region, for each parameter, of which the best is one of the starts.
_SCANNED = 8


@dataclass(frozen=True)
class Truth:
    """What experiments are made of.

    Attributes:
        parameters: theta and nu, ``(d,)``.
        expected: Number of events expected in each row of the mixture there, ``(n,)``: as the
            likelihood says, see :meth:`~steps.inference.nuisance.likelihood.Joint.expected`, or as
            the events' own weights do.
    """

    parameters: Array
    expected: Array


def thinned(joint: Joint, most: int, rng: np.random.Generator) -> Joint:
    """Return it with a random choice of the mixture's rows; data are to be drawn anew.

    Means over the mixture are those of the rows chosen, so numbers of events stay what they are.

    Args:
        joint: The joint log likelihood.
        most: Greatest number of rows.
        rng: Source of randomness.
    """
    mixture, n = joint.mixture, len(joint.mixture.multiplicity)
    rows = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
    processes = [replace(of, rows=of.rows.taken(rows)) for of in mixture.processes]
    fewer = Mixture(mixture.polynomial, processes, mixture.multiplicity[rows])
    data = Data(np.zeros(len(rows)), np.zeros(joint.n_nuisance))
    return replace(joint, mixture=fewer, data=data)


def draw(truth: Truth, n_nuisance: int, n_toys: int, rng: np.random.Generator) -> Data:
    """Return the data of so many experiments.

    Args:
        truth: What they are made of.
        n_nuisance: Number K of nuisance parameters.
        n_toys: Number of experiments.
        rng: Source of randomness.
    """
    # Squares that vanish may be negative by rounding.
    counts = rng.poisson(np.maximum(truth.expected, 0.0), (n_toys, len(truth.expected)))
    nu = truth.parameters[len(truth.parameters) - n_nuisance :]
    return Data(counts.astype(float), rng.normal(nu, 1.0, (n_toys, n_nuisance)))


def experiments(
    joint: Joint,
    truth: Truth,
    n_toys: int,
    rng: np.random.Generator,
    tested: Array | None = None,
) -> Array:
    """Return q of experiments at their true theta, ``(n_toys,)``, never negative.

    Args:
        joint: The joint log likelihood, whose data are of no effect.
        truth: What experiments are made of.
        n_toys: Number of experiments.
        rng: Source of randomness.
        tested: Which thetas are at the truth, ``(p,)``; the others are fitted too. None for all.
    """
    size = max(1, _MOST_NUMBERS // len(truth.expected))
    found = []
    for begin in range(0, n_toys, size):
        data = draw(truth, joint.n_nuisance, min(size, n_toys - begin), rng)
        found.append(q(joint.of(data), truth.parameters, tested))
    return np.concatenate(found)


def q(joint: Joint, parameters: Array, tested: Array | None = None) -> Array:
    """Return q of experiments at a theta, ``(T,)``.

    The best fit is the best of what is reached from theta and from the best point of a coarse scan.

    Args:
        joint: The joint log likelihood of T experiments.
        parameters: theta, and the nu to begin with, ``(d,)``.
        tested: Which thetas are fixed, ``(p,)``; None for all.
    """
    fixed = np.ones(joint.p, dtype=bool) if tested is None else tested
    starts = np.tile(parameters, (len(joint.data.counts), 1))
    everything = np.ones(len(parameters), dtype=bool)
    there = climb_highest(joint, starts, np.append(~fixed, everything[joint.p :]))
    near = climb_highest(joint, there.parameters, everything)
    far = climb_highest(joint, _scanned(joint, there), everything)
    best = np.maximum(near.values, far.values)
    values: Array = 2 * np.maximum(best - there.values, 0.0)
    return values


def _scanned(joint: Joint, found: Maxima) -> Array:
    """Return the best points of a scan of theta at the nu found, ``(T, d)``."""
    unit = qmc.Halton(joint.p, scramble=False).random(_SCANNED * joint.p)
    low, high = joint.region.T
    best, values = found.parameters.copy(), np.full(len(found.values), -np.inf)
    for theta in low + unit * (high - low):
        at = found.parameters.copy()
        at[:, : joint.p] = theta
        here = joint.value(at)
        best = np.where((here > values)[:, None], at, best)
        values = np.maximum(here, values)
    return best
