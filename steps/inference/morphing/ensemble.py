"""Cross-fitted, bagged networks of a likelihood ratio, and what they say of each event.

Each event counts once in the mixture that all were drawn from; the ratio of p(x|theta) to its
density is rho(x|theta) = m(theta)^T M(x) m(theta) / (m(theta)^T <M> m(theta)), whose mean over the
mixture is one for every theta, exactly.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steps.arrays import Array
from steps.inference.morphing.features import Features
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import ALONE, Processes

# Events times networks that are evaluated at once.
_MOST_EVENTS = 200_000
_TINY = 1e-12


@dataclass(frozen=True)
class Events:
    """Events as the networks know them.

    Attributes:
        densities: Coefficients of m^T M(x) m of each event by the network that has not seen it, for
            the nominal networks and each bag, ``(1 + n_bags, n, c)``.
        multiplicity: How often each event counts, likewise, ``(1 + n_bags, n)``.
        polynomial: The monomials.
        parts: Its part of each process by name, ``(1 + n_bags, n, c_p)``, of which the densities
            are the sum; of a background the constant alone, ``c_p = 1``. Their means over the
            events are the processes' shares of the cross section at the centre of the region.
    """

    densities: Array
    multiplicity: Array
    polynomial: Polynomial
    parts: Mapping[str, Array] = field(default_factory=dict)

    def norms(self) -> Array:
        """Return the mean densities of the nominal networks and each bag, ``(1 + n_bags, c)``."""
        share = self.multiplicity / self.multiplicity.sum(axis=1, keepdims=True)
        mean: Array = np.einsum("be,bec->bc", share, self.densities)
        return mean

    def log_ratio(self, points: Array, bag: int = 0) -> Array:
        """Return log rho(x|theta) of all events at parameter points, ``(n_points, n)``."""
        monomials = self.polynomial.weights(points)
        form = monomials @ self.densities[bag].T
        norm = monomials @ self.norms()[bag]
        # Nowhere negative, but for rounding.
        log_ratio: Array = np.log(np.maximum(form, _TINY)) - np.log(norm)[:, None]
        return log_ratio

    def score(self, point: Array, bag: int = 0) -> Array:
        """Return the score, grad log p(x|theta) at one point ``(p,)``, ``(n, p)``."""
        monomials = self.polynomial.weights(point[None])[0]
        slopes = self.polynomial.weight_gradients(point)
        norm = self.norms()[bag]
        form = np.maximum(self.densities[bag] @ monomials, _TINY)
        score: Array = (self.densities[bag] @ slopes.T) / form[:, None]
        score -= (slopes @ norm) / (monomials @ norm)
        return score


@dataclass(frozen=True)
class Ensemble:
    """Trained networks: for the nominal sample and each bag, one for each fold.

    Attributes:
        stack: The networks, those of the nominal sample first.
        features: Features of the observables.
        polynomial: The monomials.
        index: Number of each event of the sample in the file that it is from, ``(n,)``.
        fold: Fold of each event of the sample, ``(n,)``; its network has not seen it.
        multiplicity: How often each event counts, nominally and in each bag, ``(1 + n_bags, n)``.
        dependent: By the name of each process, whether it depends on the parameters.
    """

    stack: Stack
    features: Features
    polynomial: Polynomial
    index: Array
    fold: Array
    multiplicity: Array
    dependent: Mapping[str, bool] = field(default_factory=lambda: {ALONE: True})

    def save(self, path: Path) -> None:
        """Write plain tensors as ``path.npz``, all else as ``path.json``."""
        arrays = {f"stack/{name}": value for name, value in self.stack.arrays().items()}
        arrays |= {"index": self.index, "fold": self.fold, "multiplicity": self.multiplicity}
        np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
        about: dict[str, Any] = {
            "features": {
                "kinds": list(self.features.kinds),
                "mean": self.features.mean.tolist(),
                "width": self.features.width.tolist(),
            },
            "polynomial": {
                field.name: getattr(self.polynomial, field.name).tolist()
                for field in fields(self.polynomial)
            },
        }
        if self.dependent != {ALONE: True}:
            about["processes"] = dict(self.dependent)
        path.with_suffix(".json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, path: Path) -> "Ensemble":
        """Read what :meth:`save` wrote as ``path``."""
        about = json.loads(path.with_suffix(".json").read_text())
        features = about["features"]
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        polynomial = Polynomial(
            **{name: np.array(value) for name, value in about["polynomial"].items()}
        )
        stack = Stack.of(
            {k.removeprefix("stack/"): v for k, v in arrays.items() if k.startswith("stack/")}
        )
        return cls(
            stack=stack,
            features=Features(
                features["kinds"], np.array(features["mean"]), np.array(features["width"])
            ),
            polynomial=polynomial,
            index=arrays["index"],
            fold=arrays["fold"],
            multiplicity=arrays["multiplicity"],
            dependent=about.get("processes", {ALONE: True}),
        )

    @property
    def processes(self) -> Processes:
        """The processes."""
        return Processes(self.polynomial, self.dependent)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    def events(self, x: Array) -> Events:
        """Return the sample's events, each by the networks that have not seen it.

        Args:
            x: Observations ``(n, n_observables)`` of the sample, in its order.
        """
        processes, shape = self.processes, (len(self.multiplicity), len(x))
        parts = [
            np.empty((*shape, len(own.exponents)), dtype=np.float32)
            for own in processes.polynomials
        ]
        features = torch.as_tensor(self.features(x))
        for left_out in range(self.n_folds):
            rows = np.flatnonzero(self.fold == left_out)
            unseeing = self._of_fold(left_out)
            for some in np.array_split(rows, 1 + rows.size * shape[0] // _MOST_EVENTS):
                found = self._evaluated(unseeing, features[some])
                for part, densities in zip(parts, found, strict=True):
                    part[:, some] = densities
        by_name = dict(zip(self.dependent, parts, strict=True))
        return Events(processes.total(parts), self.multiplicity, self.polynomial, by_name)

    def parts(self, x: Array) -> dict[str, Array]:
        """Return what the networks say of other events, the mean over the folds.

        Args:
            x: Observations ``(m, n_observables)`` that no network has seen.

        Returns:
            Coefficients of each process's density by its name, nominal and of each bag,
            ``(1 + n_bags, m, c_p)``, as :attr:`Events.parts`. Their sum is the density, whose norms
            are those of the mixture, :meth:`Events.norms`.
        """
        shape = (len(self.multiplicity), len(x))
        total = [np.zeros((*shape, len(own.exponents))) for own in self.processes.polynomials]
        features = torch.as_tensor(self.features(x))
        some = np.array_split(np.arange(len(x)), 1 + total[0][..., 0].size // _MOST_EVENTS)
        for fold in range(self.n_folds):
            stack = self._of_fold(fold)
            for rows in some:
                found = self._evaluated(stack, features[rows])
                for part, densities in zip(total, found, strict=True):
                    part[:, rows] += densities
        return {name: part / self.n_folds for name, part in zip(self.dependent, total, strict=True)}

    def _of_fold(self, left_out: int) -> Stack:
        """Return the networks, nominal and bags, that have not seen a fold."""
        arrays = {
            name: value[left_out :: self.n_folds] for name, value in self.stack.arrays().items()
        }
        return Stack.of(arrays)

    def _evaluated(self, stack: Stack, features: torch.Tensor) -> list[Array]:
        """Return every network's density of each process, ``(n_networks, n, c_p)``."""
        with torch.no_grad():
            entries = stack(features.expand(len(self.multiplicity), -1, -1))
        return self.processes.densities(entries)


Progress = Callable[[int, float, float], None]
