"""Simulated events, and bags of them whose spread is the uncertainty from finite simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference.morphing.polynomial import Polynomial


@dataclass(frozen=True)
class Simulation:
    """Events of the mixture.

    Attributes:
        x: Observations, ``(n, n_observables)``.
        coefficients: Coefficients of the weights in pb, ``(n, c)``.
        polynomial: Their monomials.
        multiplicity: How often each event counts, nominally and in each bag, ``(1 + n_bags, n)``.
    """

    x: Array
    coefficients: Array
    polynomial: Polynomial
    multiplicity: Array

    @classmethod
    def of(
        cls, events: Mapping[str, Array], region: Array, n_bags: int, rng: np.random.Generator
    ) -> Self:
        """Return events with bags.

        Args:
            events: See :func:`steps.inference.samples.mixture`.
            region: Lowest and highest value of each parameter, ``(p, 2)``.
            n_bags: Number of bags.
            rng: Source of what is random.
        """
        polynomial, n = Polynomial.of(events["exponents"], region), len(events["x"])
        multiplicity = np.ones((1 + n_bags, n), dtype=np.int16)
        multiplicity[1:] = rng.poisson(1.0, (n_bags, n))
        coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
        return cls(events["x"], coefficients, polynomial, multiplicity)

    def weights(self, points: Array) -> Array:
        """Return the events' weights at parameter points ``(g, p)`` in pb, ``(g, n)``."""
        weights: Array = self.polynomial.weights(points) @ self.coefficients.T
        return weights

    def rates(self, luminosity: float) -> Array:
        """Return the expected numbers of events, nominally and in each bag.

        Args:
            luminosity: Integrated luminosity in 1/pb.

        Returns:
            Coefficients ``(1 + n_bags, c)``; every bag is a sample of the same size.
        """
        counts = self.multiplicity.astype(float)
        counts *= luminosity * counts.shape[1] / counts.sum(axis=1, keepdims=True)
        rates: Array = counts @ self.coefficients
        return rates
