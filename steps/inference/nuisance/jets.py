"""Functions with their first and second derivatives, at many points at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference.morphing.polynomial import Polynomial, monomials

# What is less has the logarithm of this, whose derivatives vanish.
TINY = 1e-12


@dataclass(frozen=True)
class Jet:
    """Values of functions at points with their derivatives in d parameters.

    Attributes:
        value: ``(...)``.
        gradient: First derivatives, ``(..., d)``.
        hessian: Second derivatives, ``(..., d, d)``.
    """

    value: Array
    gradient: Array
    hessian: Array

    @classmethod
    def zero(cls, n_points: int, d: int) -> Self:
        """Return zero at so many points with derivatives in d parameters."""
        return cls(np.zeros(n_points), np.zeros((n_points, d)), np.zeros((n_points, d, d)))

    @classmethod
    def sum(cls, jets: Sequence["Jet"]) -> "Jet":
        """Return the sum of functions of one shape."""
        return cls(
            np.sum([jet.value for jet in jets], axis=0),
            np.sum([jet.gradient for jet in jets], axis=0),
            np.sum([jet.hessian for jet in jets], axis=0),
        )

    def __add__(self, other: "Jet") -> "Jet":
        """Return the sum."""
        return Jet(
            self.value + other.value,
            self.gradient + other.gradient,
            self.hessian + other.hessian,
        )

    def __sub__(self, other: "Jet") -> "Jet":
        """Return the difference."""
        return self + other.scaled(-1.0)

    def __mul__(self, other: "Jet") -> "Jet":
        """Return the product."""
        mixed = self.gradient[..., :, None] * other.gradient[..., None, :]
        return Jet(
            self.value * other.value,
            self.value[..., None] * other.gradient + other.value[..., None] * self.gradient,
            self.value[..., None, None] * other.hessian
            + other.value[..., None, None] * self.hessian
            + mixed
            + np.swapaxes(mixed, -1, -2),
        )

    def scaled(self, factor: Array | float) -> "Jet":
        """Return it times factors without derivatives, ``(...)`` or a number."""
        of = np.asarray(factor)
        return Jet(
            of * self.value, of[..., None] * self.gradient, of[..., None, None] * self.hessian
        )

    def total(self) -> "Jet":
        """Return the sum over the last axis of functions ``(..., k)``."""
        return Jet(self.value.sum(-1), self.gradient.sum(-2), self.hessian.sum(-3))

    def at(self, index: tuple[int | slice | Array, ...]) -> "Jet":
        """Return some of the functions."""
        return Jet(self.value[index], self.gradient[index], self.hessian[index])

    def where(self, chosen: Array, other: "Jet") -> "Jet":
        """Return it where chosen, ``(...)``, and another elsewhere."""
        return Jet(
            np.where(chosen, self.value, other.value),
            np.where(chosen[..., None], self.gradient, other.gradient),
            np.where(chosen[..., None, None], self.hessian, other.hessian),
        )

    def exp(self) -> "Jet":
        """Return the exponential."""
        return Jet(np.ones_like(self.value), self.gradient, self.hessian + self._square()).scaled(
            np.exp(self.value)
        )

    def log(self) -> "Jet":
        """Return the logarithm, constant where there is none."""
        inverse = np.where(self.value > TINY, 1 / np.maximum(self.value, TINY), 0.0)
        slope = inverse[..., None] * self.gradient
        curvature = inverse[..., None, None] * self.hessian
        relative = Jet(np.log(np.maximum(self.value, TINY)), slope, curvature)
        return Jet(relative.value, slope, curvature - relative._square())

    def _square(self) -> Array:
        square: Array = self.gradient[..., :, None] * self.gradient[..., None, :]
        return square

    def placed(self, places: Array, d: int) -> "Jet":
        """Return it as a function of d parameters, of which its own are the given ones.

        Args:
            places: Numbers of its own parameters.
            d: Number of all.
        """
        gradient = np.zeros((*self.value.shape, d))
        hessian = np.zeros((*self.value.shape, d, d))
        gradient[..., places] = self.gradient
        hessian[..., places[:, None], places] = self.hessian
        return Jet(self.value, gradient, hessian)


@dataclass(frozen=True)
class Monomials:
    """Monomials at T points with their derivatives in some of the p parameters.

    Attributes:
        values: ``(T, c)``.
        slopes: ``(T, p, c)``.
        curvatures: ``(T, p, p, c)``.
    """

    values: Array
    slopes: Array
    curvatures: Array

    @classmethod
    def of(cls, polynomial: Polynomial, points: Array, *, derivatives: bool = True) -> Self:
        """Return those of a polynomial at points ``(T, p)``; without derivatives p is 0."""
        scaled = polynomial.scaled(points)
        values = monomials(scaled, polynomial.exponents)
        axes = range(scaled.shape[1] if derivatives else 0)
        shape = (len(scaled), len(axes), len(axes), values.shape[1])
        slopes, curvatures = np.zeros((shape[0], *shape[2:])), np.zeros(shape)
        for i in axes:
            factor, lowered = _lowered(polynomial.exponents, i)
            factor = factor / polynomial.reach[i]
            slopes[:, i] = factor * monomials(scaled, lowered)
            for j in axes[: i + 1]:
                again, twice = _lowered(lowered, j)
                again = factor * again / polynomial.reach[j]
                curvatures[:, i, j] = curvatures[:, j, i] = again * monomials(scaled, twice)
        return cls(values, slopes, curvatures)

    @property
    def n_axes(self) -> int:
        """Number of parameters p of the derivatives."""
        return int(self.slopes.shape[1])

    def constant(self) -> "Monomials":
        """Return the constant alone, c = 1."""
        return Monomials(
            np.ones((len(self.values), 1)),
            np.zeros((*self.slopes.shape[:2], 1)),
            np.zeros((*self.curvatures.shape[:3], 1)),
        )

    def jet(self, coefficients: Array) -> Jet:
        """Return polynomials with coefficients ``(..., c)``, as functions of shape ``(T, ...)``."""
        along = (-1, -1)
        slopes = np.tensordot(self.slopes, coefficients, along)
        curvatures = np.tensordot(self.curvatures, coefficients, along)
        return Jet(
            np.tensordot(self.values, coefficients, along),
            np.moveaxis(slopes, 1, -1),
            np.moveaxis(curvatures, (1, 2), (-2, -1)),
        )


def _lowered(exponents: Array, axis: int) -> tuple[Array, Array]:
    """Return the factors ``(c,)`` and exponents ``(c, p)`` of derivatives of monomials."""
    lowered = exponents.copy()
    lowered[:, axis] = np.maximum(exponents[:, axis] - 1, 0)
    return exponents[:, axis].astype(float), lowered
