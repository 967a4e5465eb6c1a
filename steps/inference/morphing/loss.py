"""The loss of networks that know the polynomial, and its derivative in closed form.

For events of the mixture, each counting once, rho_e(theta) = w_e(theta) / <w(theta)> is an unbiased
estimate of p(z|theta) / p_mix(z). The cross entropy of ALICE (arXiv:1808.00973) with both classes
summed exactly, (rho + 1) log(1 + rho_hat) - rho log rho_hat, is least for rho_hat = E[rho_e | x];
ALICES adds alpha rho |t_e - grad log rho_hat|^2 with the exact score t_e = grad log rho_e.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import Processes

# Smallest density, one being the mean at the centre of the region; single precision has no more.
_LEAST = 1e-6
_TINY = 1e-9


@dataclass(frozen=True)
class Points:
    """Monomials of the weights at parameter points, of scaled parameters.

    Attributes:
        values: ``(points, c)``.
        gradients: Their derivatives, ``(p, points, c)``.
    """

    values: torch.Tensor
    gradients: torch.Tensor


@dataclass(frozen=True)
class Targets:
    """What networks shall learn.

    Attributes:
        coefficients: Coefficients of the events' weights, ``(n_networks, n, c)``.
        means: Their means over all events of each network, ``(n_networks, c)``.
    """

    coefficients: torch.Tensor
    means: torch.Tensor


class Loss:
    """The loss of entries of lower-triangular matrices L, whose density is m^T L L^T m.

    A density is linear in products of two entries of L, and all that the loss needs is linear in
    densities. So its derivative takes few multiplications and no logarithms: automatic
    differentiation of the same loss takes more time than the networks.
    """

    def __init__(self, polynomial: Polynomial, alpha: float) -> None:
        """Prepare.

        Args:
            polynomial: The monomials.
            alpha: Weight of the score; 0 for ALICE.
        """
        self._alpha = alpha
        self._exponents = torch.as_tensor(polynomial.exponents)
        k = len(polynomial.amplitude)
        # (L L^T)_ij is a sum over l of L_il L_jl.
        triples = [(i, j, m) for i in range(k) for j in range(i + 1) for m in range(j + 1)]
        # Entries are numbered row by row.
        self._left = torch.tensor([i * (i + 1) // 2 + m for i, _, m in triples])
        self._right = torch.tensor([j * (j + 1) // 2 + m for _, j, m in triples])
        units = np.zeros((len(triples), k, k))
        for unit, (i, j, _) in zip(units, triples, strict=True):
            unit[i, j] = unit[j, i] = 1
        self._sums = torch.as_tensor(polynomial.of_matrices(units), dtype=torch.float32)
        self._to_left = torch.eye(k * (k + 1) // 2)[self._left]
        self._to_right = torch.eye(k * (k + 1) // 2)[self._right]

    def random_points(self, n: int) -> Points:
        """Return points that are uniform in the region."""
        return _random_points(self._exponents, n)

    def __call__(self, entries: torch.Tensor, targets: Targets, at: Points) -> torch.Tensor:
        """Return the mean loss of each network, ``(n_networks,)``.

        Args:
            entries: Entries of L of events, row by row, ``(n_networks, n, k (k + 1) / 2)``.
            targets: What the networks shall learn of these events.
            at: Parameter points.
        """
        products = entries[..., self._left] * entries[..., self._right] @ self._sums
        mean = (targets.means @ at.values.T)[:, None].clamp_min(_LEAST)
        form = (products @ at.values.T).clamp_min(_LEAST)
        weights = targets.coefficients @ at.values.T
        rho, estimate = weights / mean, form / mean
        loss = (rho + 1) * torch.log1p(estimate) - rho * torch.log(estimate)
        if self._alpha:
            for gradient in at.gradients:
                exact = targets.coefficients @ gradient.T / (weights + _TINY)
                loss = loss + self._alpha * rho * (products @ gradient.T / form - exact) ** 2
        return loss.mean((1, 2))

    def derivative(self, entries: torch.Tensor, targets: Targets, at: Points) -> torch.Tensor:
        """Return the derivative of the sum of the networks' losses by the entries, of their shape.

        Args:
            entries: As for the loss itself, as all arguments.
            targets: What the networks shall learn.
            at: Parameter points.
        """
        n_networks, n, _ = entries.shape
        n_points = len(at.values)
        # Values, and derivatives by the parameters, of densities and of weights.
        all_monomials = torch.cat([at.values, *(at.gradients if self._alpha else ())])
        to_forms = self._sums @ all_monomials.T
        left, right = entries[..., self._left], entries[..., self._right]
        forms = (left * right) @ to_forms
        exact = targets.coefficients @ all_monomials.T
        mean = (targets.means @ at.values.T)[:, None].clamp_min(_LEAST)
        form, weights = forms[..., :n_points].clamp_min(_LEAST), exact[..., :n_points]
        by_forms = (form - weights) / (form * (mean + form))
        if self._alpha:
            by_axis = (n_networks, n, -1, n_points)
            score = forms[..., n_points:].view(by_axis) / form[:, :, None]
            error = score - exact[..., n_points:].view(by_axis) / (weights + _TINY)[:, :, None]
            by_slopes = error * (2 * self._alpha * weights / (mean * form))[:, :, None]
            by_forms = by_forms - (by_slopes * score).sum(2)
            by_forms = torch.cat([by_forms, by_slopes.flatten(2)], dim=-1)
        by_products = by_forms @ to_forms.T / (n * n_points)
        return (by_products * right) @ self._to_left + (by_products * left) @ self._to_right


class MixtureLoss:
    """The sum of the losses of several processes, each with a polynomial of its own.

    Targets are of one process after another; an event has none of the others'.
    """

    def __init__(self, processes: Processes, alpha: float) -> None:
        """Prepare.

        Args:
            processes: The processes.
            alpha: Weight of the score; 0 for ALICE. A background has none.
        """
        polynomials, self._dependent = processes.polynomials, list(processes.dependent.values())
        self._losses = [
            Loss(polynomial, alpha if depends else 0.0)
            for polynomial, depends in zip(polynomials, self._dependent, strict=True)
        ]
        self._sizes = processes.sizes
        self._lengths = [len(polynomial.exponents) for polynomial in polynomials]
        self._exponents = torch.as_tensor(processes.polynomial.exponents)
        # The density of a background is the same at all of them.
        self._anywhere = Points(torch.ones(1, 1), torch.zeros(self._exponents.shape[1], 1, 1))

    def random_points(self, n: int) -> Points:
        """Return points that are uniform in the region."""
        return _random_points(self._exponents, n)

    def __call__(self, entries: torch.Tensor, targets: Targets, at: Points) -> torch.Tensor:
        """Return the mean loss of each network, ``(n_networks,)``; see :class:`Loss`."""
        each = [loss(*given) for loss, given in self._each(entries, targets, at)]
        return torch.stack(each).sum(0)

    def derivative(self, entries: torch.Tensor, targets: Targets, at: Points) -> torch.Tensor:
        """Return the derivative of the sum of the networks' losses by the entries, likewise."""
        each = [loss.derivative(*given) for loss, given in self._each(entries, targets, at)]
        return torch.cat(each, dim=-1)

    def _each(
        self, entries: torch.Tensor, targets: Targets, at: Points
    ) -> Iterator[tuple[Loss, tuple[torch.Tensor, Targets, Points]]]:
        parts = zip(
            torch.split(entries, self._sizes, dim=-1),
            torch.split(targets.coefficients, self._lengths, dim=-1),
            torch.split(targets.means, self._lengths, dim=-1),
            strict=True,
        )
        for loss, depends, part in zip(self._losses, self._dependent, parts, strict=True):
            own, coefficients, means = part
            yield loss, (own, Targets(coefficients, means), at if depends else self._anywhere)


def _random_points(exponents: torch.Tensor, n: int) -> Points:
    u = 2 * torch.rand(n, exponents.shape[1]) - 1
    gradients = []
    for axis in range(exponents.shape[1]):
        lowered = exponents.clone()
        lowered[:, axis] = (lowered[:, axis] - 1).clamp(min=0)
        gradients.append(exponents[:, axis] * _monomials(u, lowered))
    return Points(_monomials(u, exponents), torch.stack(gradients))


def _monomials(u: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    return torch.prod(u[:, None, :] ** exponents, dim=-1)
