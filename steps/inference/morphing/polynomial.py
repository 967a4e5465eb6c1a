"""Weights of events as polynomials of the parameters, and as squares of amplitudes.

The weight of an event is w(theta) = P(theta) . a with the monomials P of the morphing and
coefficients a that its weights at the benchmarks fix. What an observation x leaves of it,
E[w(theta) | x], is a polynomial of the same monomials that is nowhere negative,
m(theta)^T M m(theta) with the monomials m of the amplitude and a positive semidefinite matrix M.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from steps.arrays import Array

# Relative error of a weight that rounding explains.
_ROUNDING = 1e-4
# Share of the sum of weights that may be negative, likewise.
_NEGATIVE = 1e-9


class FormError(ValueError):
    """Weights are not of the form that these networks have; one line."""


@dataclass(frozen=True)
class Polynomial:
    """Monomials of scaled parameters u = (theta - centre) / reach.

    Attributes:
        exponents: Powers of each parameter in each monomial of the weights, ``(c, p)``.
        centre: Centre of the region, ``(p,)``.
        reach: Half of its width, ``(p,)``.
    """

    exponents: Array
    centre: Array
    reach: Array

    @classmethod
    def of(cls, exponents: Array, region: Array) -> "Polynomial":
        """Return the polynomial of a morphing in a region.

        Args:
            exponents: Powers of each parameter in each monomial, ``(c, p)``.
            region: Lowest and highest value of each parameter, ``(p, 2)``.
        """
        low, high = np.asarray(region, dtype=float).T
        return cls(np.asarray(exponents, dtype=int), 0.5 * (low + high), 0.5 * (high - low))

    @cached_property
    def amplitude(self) -> Array:
        """Powers of the amplitude's monomials, whose products are those of the weights, ``(k, p)``.

        Raises:
            FormError: Weights with these monomials are no squares of amplitudes.
        """
        return _half(self.exponents)

    @property
    def region(self) -> Array:
        """Lowest and highest value of each parameter, ``(p, 2)``."""
        return np.stack([self.centre - self.reach, self.centre + self.reach], axis=-1)

    @property
    def average(self) -> Array:
        """Means of the weights' monomials over the region, ``(c,)``."""
        each = np.where(self.exponents % 2, 0.0, 1.0 / (self.exponents + 1))
        means: Array = each.prod(axis=1)
        return means

    def scaled(self, points: Array) -> Array:
        """Return parameter points ``(n, p)`` as the monomials take them."""
        scaled: Array = (np.asarray(points, dtype=float) - self.centre) / self.reach
        return scaled

    def weights(self, points: Array) -> Array:
        """Return the weights' monomials ``(n, c)`` at parameter points ``(n, p)``."""
        return monomials(self.scaled(points), self.exponents)

    def weight_gradients(self, point: Array) -> Array:
        """Return the derivatives ``(p, c)`` of the weights' monomials at one point ``(p,)``."""
        scaled = self.scaled(point)
        rows = []
        for axis, reach in enumerate(self.reach):
            powers = self.exponents[:, axis]
            lowered = self.exponents.copy()
            lowered[:, axis] = np.maximum(powers - 1, 0)
            rows.append(powers * monomials(scaled[None], lowered)[0] / reach)
        return np.stack(rows)

    def amplitudes(self, points: Array) -> Array:
        """Return the amplitude's monomials ``(n, k)`` at parameter points ``(n, p)``."""
        return monomials(self.scaled(points), self.amplitude)

    def coefficients(self, weights: Array, benchmarks: Array) -> Array:
        """Return the coefficients of events' weights.

        Args:
            weights: Weights at the benchmarks, ``(n, b)``.
            benchmarks: Parameter points of these, ``(b, p)``.

        Returns:
            Coefficients ``(n, c)`` with weights = coefficients . monomials.

        Raises:
            FormError: Weights are no polynomials of these monomials.
        """
        at_benchmarks = self.weights(benchmarks)
        if np.linalg.matrix_rank(at_benchmarks) < len(self.exponents):
            raise FormError(
                f"{len(benchmarks)} benchmarks do not fix {len(self.exponents)} monomials; "
                "use estimator: parameterized"
            )
        found: Array = weights @ np.linalg.pinv(at_benchmarks).T
        error = np.abs(found @ at_benchmarks.T - weights).max(axis=1)
        if (error > _ROUNDING * np.abs(weights).max(axis=1)).any():
            raise FormError(
                "weights at the benchmarks are no polynomials of the morphing's powers; check "
                "set_morphing, or use estimator: parameterized"
            )
        return found

    def combined(self, benchmarks: Array, monomials: Array) -> Callable[[Array], Array]:
        """Return a function of weights at benchmarks ``(n, b)``: at a point or averaged, ``(n,)``.

        Args:
            benchmarks: Parameter points of the benchmarks, ``(b, p)``.
            monomials: The weights' monomials at the point, or :attr:`average`, ``(c,)``.
        """

        def combination(weights: Array) -> Array:
            found: Array = self.coefficients(weights, benchmarks) @ monomials
            return found

        return combination

    def check_form(self, weights: Array) -> None:
        """Refuse weights ``(n, b)`` at benchmarks that are no squares of amplitudes.

        Raises:
            FormError: Weights are negative, or of odd powers.
        """
        if weights.min(initial=0.0) < 0 and -weights.clip(max=0).sum() > _NEGATIVE * weights.sum():
            raise FormError(
                "events have negative weights, which have no square root; "
                "use estimator: parameterized"
            )
        _half(self.exponents)

    def of_matrices(self, matrices: Array) -> Array:
        """Return the coefficients ``(..., c)`` of forms m^T M m of matrices ``(..., k, k)``."""
        flat = matrices.reshape(*matrices.shape[:-2], -1)
        coefficients: Array = flat @ self._sums.astype(matrices.dtype)
        return coefficients

    @cached_property
    def _places(self) -> Array:
        """Monomial of the weights that is the product of two of the amplitude, ``(k, k)``."""
        index = {tuple(e): i for i, e in enumerate(self.exponents.tolist())}
        return np.array([[index[tuple(a + b)] for b in self.amplitude] for a in self.amplitude])

    @cached_property
    def _sums(self) -> Array:
        return np.eye(len(self.exponents))[self._places.ravel()]

    def mean_matrix(self, coefficients: Array) -> Array:
        """Return a symmetric matrix ``(k, k)`` whose form has coefficients ``(c,)``."""
        shared = np.bincount(self._places.ravel(), minlength=len(self.exponents))
        matrix: Array = np.asarray(coefficients)[self._places] / shared[self._places]
        return matrix


def monomials(points: Array, exponents: Array) -> Array:
    """Return products of powers ``(n, c)`` of the columns of points ``(n, p)``."""
    values: Array = np.prod(points[:, None, :] ** exponents[None], axis=-1)
    return values


def _half(exponents: Array) -> Array:
    """Return the monomials of which all products of two are the given ones.

    Raises:
        FormError: There are none.
    """
    degree, highest = exponents.sum(axis=1).max(), exponents.max(axis=0)
    odd = "the morphing has odd powers, so weights are no squares; use estimator: parameterized"
    if degree % 2:
        raise FormError(odd)
    half = np.array(
        [
            powers
            for powers in product(*(range(h // 2 + 1) for h in highest))
            if sum(powers) <= degree // 2
        ]
    )
    half = half[np.argsort(half.sum(axis=1), kind="stable")]
    products = {tuple(a + b) for a in half for b in half}
    if products != {tuple(e) for e in exponents}:
        raise FormError(odd if (highest % 2).any() else odd.replace("odd", "mixed"))
    return half
