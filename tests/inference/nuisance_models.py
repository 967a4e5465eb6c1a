"""Joint likelihoods with nuisance parameters: random ones, and histograms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from steps.inference.morphing.polynomial import Polynomial
from steps.inference.nuisance.likelihood import Data, Joint, Mixture, Process, Rows


def quadratic(n_parameters: int, reach: float = 1.0, centre: float = 0.0) -> Polynomial:
    """Return all monomials up to second order."""
    powers = [e for e in product(range(3), repeat=n_parameters) if sum(e) <= 2]
    region = np.array([[centre - reach, centre + reach]] * n_parameters)
    return Polynomial.of(np.array(powers), region)


def random_joint(
    seed: int,
    n_parameters: int = 2,
    n_rows: int = 30,
    *,
    with_rate: bool = True,
    observed: bool = False,
    size: float = 1.0,
) -> Joint:
    """Return a signal and two backgrounds with five nuisance parameters, the last a normalisation.

    Data are those expected at theta = 0, nu = 0; or else other rows and auxiliary measurements.
    """
    rng, k = np.random.default_rng(seed), 5
    polynomial = quadratic(n_parameters)
    multiplicity = rng.integers(1, 4, n_rows).astype(float)

    def rows(n: int, numbers: Sequence[int], constant: bool) -> Rows:
        if constant:
            densities = rng.uniform(0.2, 1.5, (n, 1))
        else:
            m = len(polynomial.amplitude)
            roots = np.tril(rng.normal(0, 0.3, (n, m, m)))
            roots[:, 0, 0] += 1
            densities = polynomial.of_matrices(roots @ np.swapaxes(roots, 1, 2))
        a, b = (rng.normal(0, size * width, (n, len(numbers))) for width in (0.2, 0.03))
        return Rows(densities, a, b)

    processes, other = [], []
    for numbers, constant in (((0, 1, 3), False), ((1, 2), True), ((), True)):
        own = rows(n_rows, numbers, constant)
        other.append(rows(9, numbers, constant))
        rate = 40 * multiplicity @ own.densities / multiplicity.sum() * rng.uniform(0.9, 1.1)
        shift, bend = (size * rng.normal(0, width, (len(numbers), 1)) for width in (0.08, 0.02))
        varied = rate * np.exp(np.stack([bend + shift, bend - shift], axis=1))
        log_kappa = np.append(np.zeros(k - 1), size * rng.uniform(0.02, 0.2))
        processes.append(Process(own, np.array(numbers, dtype=int), rate, varied, log_kappa))
    data = Data(np.ones(n_rows), np.zeros(k))
    if observed:
        data = Data(rng.integers(0, 9, 9).astype(float), rng.normal(0, 0.7, k), other)
    mixture = Mixture(polynomial, processes, multiplicity)
    joint = Joint(mixture, polynomial.region, data, with_rate)
    if observed:
        return joint
    return joint.of(Data(joint.expected(np.zeros(n_parameters + k)), np.zeros(k)))


@dataclass(frozen=True)
class Source:
    """A process in bins.

    Attributes:
        contents: Coefficients of the expected numbers, ``(n_bins, c)``.
        log_responses: Those at nu = 1, opposite at nu = -1, by number of the nuisance parameter.
        log_kappa: Of normalisations, likewise.
    """

    contents: np.ndarray
    log_responses: dict[int, np.ndarray] = field(default_factory=dict)
    log_kappa: dict[int, float] = field(default_factory=dict)


def histogram(
    polynomial: Polynomial, sources: Sequence[Source], data: Data, *, with_rate: bool = True
) -> Joint:
    """Return the joint likelihood of bins."""

    def process(source: Source) -> Process:
        n_bins, c = source.contents.shape
        numbers = np.array(list(source.log_responses), dtype=int)
        a = np.array(list(source.log_responses.values())).reshape(-1, n_bins).T
        varied = [[np.exp(s * row) @ source.contents for s in (1, -1)] for row in a.T]
        kappa = np.zeros(data.auxiliary.shape[-1])
        kappa[list(source.log_kappa)] = list(source.log_kappa.values())
        return Process(
            Rows(source.contents, a, np.zeros_like(a)),
            numbers,
            source.contents.sum(axis=0),
            np.array(varied).reshape(-1, 2, c),
            kappa,
        )

    n_bins = len(sources[0].contents)
    processes = tuple(map(process, sources))
    mixture = Mixture(polynomial, processes, np.ones(n_bins))
    return Joint(mixture, polynomial.region, data, with_rate)
