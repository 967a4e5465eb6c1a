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
from steps.inference.nuisance.jets import TINY
from steps.inference.nuisance.likelihood import Data, Joint, Mixture

# Experiments times rows that are held at once.
_MOST_NUMBERS = 1_000_000
# Points of the region, for each parameter, of which the best is one of the starts.
_SCANNED = 8
# Chance of a row of no size to be among a few, in units of that of one of mean size.
_SMALLEST = 0.25


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


def thinned(joint: Joint, size: Array, most: int, rng: np.random.Generator) -> tuple[Joint, Array]:
    """Return it with some of the mixture's rows, and their numbers; data are to be drawn anew.

    Rows are chosen the likelier the larger they are, and count the more in means the less likely
    they are, so that few stand for all where weights differ.

    Args:
        joint: The joint log likelihood.
        size: Size of each row, the number of events expected in it for instance, ``(n,)``.
        most: Greatest number of rows.
        rng: Source of randomness.
    """
    mixture, chance = joint.mixture, _chances(size, most)
    # Evenly along the sum of the chances: as many rows as that, to one.
    steps = np.floor(np.append(0.0, np.cumsum(chance)) + rng.uniform())
    rows = np.flatnonzero(np.diff(steps) > 0)
    processes = [replace(of, rows=of.rows.taken(rows)) for of in mixture.processes]
    fewer = Mixture(mixture.polynomial, processes, mixture.multiplicity[rows] / chance[rows])
    data = Data(np.zeros(len(rows)), np.zeros(joint.n_nuisance))
    return replace(joint, mixture=fewer, data=data), rows


def _chances(size: Array, most: int) -> Array:
    """Return chances that rows are chosen, of the sum ``most``, one for all if these are fewer."""
    n = len(size)
    if n <= most:
        return np.ones(n)
    # Small rows may be large elsewhere.
    wanted = np.maximum(size, 0.0) / np.mean(size) + _SMALLEST
    chance: Array = wanted * (most / wanted.sum())
    # Those of the largest are one; the others share what is left.
    while (chance > 1).any():
        sure = chance >= 1
        rest = most - np.count_nonzero(sure)
        chance = np.where(sure, 1.0, wanted * (rest / wanted[~sure].sum()))
    return chance


def of_weights(joint: Joint, coefficients: Array, process: Array, theta: Array) -> Joint:
    """Return it with the rows' own weights in place of their densities.

    What it expects of rows are these weights, which do not depend on the networks of densities,
    times the responses; what it expects of each process is right at a point of theta.

    Args:
        joint: The joint log likelihood, whose data are of no effect.
        coefficients: Coefficients of the rows' weights, in any unit, ``(n, c)``.
        process: Number of the process that each is of, ``(n,)``.
        theta: The point, ``(p,)``.
    """
    mixture = joint.mixture
    monomials = mixture.polynomial.weights(theta[None])[0]
    processes = []
    for number, of in enumerate(mixture.processes):
        own, at = coefficients, monomials
        if of.is_constant:
            own, at = (coefficients @ monomials)[:, None], np.ones(1)
        own = np.where((process == number)[:, None], own, 0.0)
        share = (of.rate @ at) / max(mixture.shares @ own @ at, TINY)
        processes.append(replace(of, rows=replace(of.rows, densities=share * own)))
    return replace(joint, mixture=replace(mixture, processes=processes))


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

    Args:
        joint: The joint log likelihood of T experiments.
        parameters: theta, and the nu to begin with, ``(d,)``.
        tested: Which thetas are fixed, ``(p,)``; None for all.
    """
    fixed = np.ones(joint.p, dtype=bool) if tested is None else tested
    starts = np.tile(parameters, (len(joint.data.counts), 1))
    free = np.append(~fixed, np.ones(joint.n_nuisance, dtype=bool))
    there = climb_highest(joint, starts, free)
    values: Array = 2 * np.maximum(best(joint, there).values - there.values, 0.0)
    return values


def best(joint: Joint, starts: Maxima) -> Maxima:
    """Return the best fits of experiments.

    They are the best of what is reached from a start and from the best point of a coarse scan.

    Args:
        joint: The joint log likelihood of T experiments.
        starts: Where to begin, T points.
    """
    everything = np.ones(starts.parameters.shape[1], dtype=bool)
    near = climb_highest(joint, starts.parameters, everything)
    far = climb_highest(joint, _scanned(joint, starts), everything)
    is_far = far.values > near.values
    return Maxima(
        np.where(is_far[:, None], far.parameters, near.parameters),
        np.maximum(far.values, near.values),
    )


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
