"""Cross-fitted, bagged networks of a likelihood ratio, and what they say of each event.

Each event counts once in the mixture that all were drawn from; the ratio of p(x|theta) to its
density is rho(x|theta) = m(theta)^T M(x) m(theta) / (m(theta)^T <M> m(theta)), whose mean over the
mixture is one for every theta, exactly.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from steps.arrays import Array
from steps.inference.morphing.features import Features
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import Polynomial

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
    """

    densities: Array
    multiplicity: Array
    polynomial: Polynomial

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
    """

    stack: Stack
    features: Features
    polynomial: Polynomial
    index: Array
    fold: Array
    multiplicity: Array

    def save(self, path: Path) -> None:
        """Write plain tensors as ``path.npz``, all else as ``path.json``."""
        arrays = {f"stack/{name}": value for name, value in self.stack.arrays().items()}
        arrays |= {"index": self.index, "fold": self.fold, "multiplicity": self.multiplicity}
        np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
        about = {
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
            {k.removeprefix("stack/"): v for k, v in arrays.items() if k.startswith("stack/")},
            len(polynomial.amplitude),
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
        )

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    def events(self, x: Array) -> Events:
        """Return the sample's events, each by the networks that have not seen it.

        Args:
            x: Observations ``(n, n_observables)`` of the sample, in its order.
        """
        densities = np.empty(
            (len(self.multiplicity), len(x), len(self.polynomial.exponents)), dtype=np.float32
        )
        features = torch.as_tensor(self.features(x))
        for left_out in range(self.n_folds):
            rows = np.flatnonzero(self.fold == left_out)
            unseeing = self._of_fold(left_out)
            for part in np.array_split(rows, 1 + rows.size * len(densities) // _MOST_EVENTS):
                densities[:, part] = self._evaluated(unseeing, features[part])
        return Events(densities, self.multiplicity, self.polynomial)

    def _of_fold(self, left_out: int) -> Stack:
        """Return the networks, nominal and bags, that have not seen a fold."""
        arrays = {
            name: value[left_out :: self.n_folds] for name, value in self.stack.arrays().items()
        }
        return Stack.of(arrays, len(self.polynomial.amplitude))

    def _evaluated(self, stack: Stack, features: torch.Tensor) -> Array:
        """Return the density of every network for every event, ``(n_networks, n, c)``."""
        with torch.no_grad():
            lower = stack(features.expand(len(self.multiplicity), -1, -1))
            matrices = (lower @ lower.transpose(-1, -2)).numpy()
        return self.polynomial.of_matrices(matrices)


Progress = Callable[[int, float, float], None]
