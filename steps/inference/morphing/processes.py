"""Several processes in one mixture, each a polynomial of its own; networks give all of them.

Weights of a background do not depend on the parameters, so that its polynomial is a constant. The
network's outputs are the entries of one lower-triangular matrix L_p for each process, on and below
the diagonal, row by row, one process after another; its density is m_p^T L_p L_p^T m_p.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from steps.arrays import Array
from steps.inference.morphing.polynomial import Polynomial

ALONE = "signal"
"""Name of the process of a sample that tells of none."""

# Relative change of a weight that rounding explains.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Processes:
    """The processes of a sample.

    Attributes:
        polynomial: Monomials of the weights that depend on the parameters, and of their total.
        dependent: By the name of each process, whether its weights depend on the parameters.
    """

    polynomial: Polynomial
    dependent: Mapping[str, bool]

    @classmethod
    def of(cls, polynomial: Polynomial, coefficients: Array, part: "Part") -> "Processes":
        """Return the processes of events.

        Args:
            polynomial: Monomials of the weights.
            coefficients: Coefficients of the events' weights, ``(n, c)``.
            part: What each event is of.
        """
        if len(part.names) == 1:
            return cls(polynomial, {part.names[0]: True})
        others = np.delete(coefficients, _constant(polynomial), axis=1)
        varying = np.abs(others).max(axis=1, initial=0)
        least = _ROUNDING * np.abs(coefficients).max(axis=1)
        own = (part.number == number for number in range(len(part.names)))
        found = (bool((varying[rows] > least[rows]).any()) for rows in own)
        return cls(polynomial, dict(zip(part.names, found, strict=True)))

    @cached_property
    def polynomials(self) -> Sequence[Polynomial]:
        """The polynomial of each process: all monomials, or the constant alone."""
        of = self.polynomial
        constant = Polynomial(of.exponents[[_constant(of)]], of.centre, of.reach)
        return [of if depends else constant for depends in self.dependent.values()]

    @cached_property
    def sizes(self) -> list[int]:
        """Number of entries of each process's matrix."""
        ranks = [len(polynomial.amplitude) for polynomial in self.polynomials]
        return [k * (k + 1) // 2 for k in ranks]

    def matrices(self, entries: torch.Tensor) -> list[torch.Tensor]:
        """Return each process's L ``(..., k, k)`` from the networks' outputs ``(..., n_out)``."""
        found = []
        parts = torch.split(entries, self.sizes, dim=-1)
        for values, polynomial in zip(parts, self.polynomials, strict=True):
            k = len(polynomial.amplitude)
            matrix = values.new_zeros(*values.shape[:-1], k, k)
            matrix[..., *np.tril_indices(k)] = values
            found.append(matrix)
        return found

    def densities(self, entries: torch.Tensor) -> list[Array]:
        """Return the coefficients of each process's density, ``(..., c_p)``, likewise."""
        return [
            polynomial.of_matrices((lower @ lower.transpose(-1, -2)).numpy())
            for lower, polynomial in zip(self.matrices(entries), self.polynomials, strict=True)
        ]

    def total(self, parts: Sequence[Array]) -> Array:
        """Return the coefficients ``(..., c)`` of a sum of densities ``(..., c_p)``."""
        if len(parts) == 1:
            return parts[0]
        total = np.zeros((*parts[0].shape[:-1], len(self.polynomial.exponents)), parts[0].dtype)
        for part, depends in zip(parts, self.dependent.values(), strict=True):
            total[..., slice(None) if depends else [_constant(self.polynomial)]] += part
        return total

    def split(self, coefficients: Array, part: "Part") -> list[Array]:
        """Return the coefficients of each process's weights, ``(n, c_p)``; others' events have 0.

        Args:
            coefficients: Coefficients of the events' weights, ``(n, c)``.
            part: What each event is of.
        """
        if len(part.names) == 1:
            return [coefficients]
        found = []
        for number, depends in enumerate(self.dependent.values()):
            columns = slice(None) if depends else [_constant(self.polynomial)]
            own = part.number == number
            found.append(np.where(own[:, None], coefficients[:, columns], 0.0))
        return found


@dataclass(frozen=True)
class Part:
    """What each event is of.

    Attributes:
        number: Number of its process, ``(n,)``.
        names: Names of the processes; each has an event.
    """

    number: Array
    names: Sequence[str]

    @classmethod
    def of(cls, events: Mapping[str, Array]) -> "Part":
        """Return what events are of; see :func:`steps.inference.samples.mixture`."""
        if "processes" not in events:
            return cls.alone(len(events["x"]))
        return cls(events["processes"], events["process_names"].tolist())

    @classmethod
    def alone(cls, n: int) -> "Part":
        """Return that of n events of one process."""
        return cls(np.zeros(n, dtype=int), [ALONE])

    def taken(self, rows: Array) -> "Part":
        """Return some of the events, by number or truth value."""
        return Part(self.number[rows], self.names)


def _constant(polynomial: Polynomial) -> int:
    """Return the number of the monomial that is one."""
    return int(np.flatnonzero(~polynomial.exponents.any(axis=1))[0])
