"""Cross-fitted, bagged networks of a likelihood ratio, and what they say of each event.

Each event counts once in the mixture that all were drawn from; the ratio of p(x|theta) to its
density is rho(x|theta) = m(theta)^T M(x) m(theta) / (m(theta)^T <M> m(theta)), whose mean over the
mixture is one for every theta, exactly.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from steps.arrays import Array
from steps.inference.morphing.features import Features
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import Polynomial

# Events times parameter points held at once.
_MOST_NUMBERS = 20_000_000


@dataclass(frozen=True)
class Events:
    """Events as the networks know them.

    Attributes:
        matrices: M(x) of each event by the network that has not seen it, for the nominal networks
            and each bag, ``(1 + n_bags, n, k, k)``.
        multiplicity: How often each event counts, likewise, ``(1 + n_bags, n)``.
        polynomial: The monomials.
    """

    matrices: Array
    multiplicity: Array
    polynomial: Polynomial

    def mean_matrices(self) -> Array:
        """Return <M> of the nominal networks and each bag, ``(1 + n_bags, k, k)``."""
        share = self.multiplicity / self.multiplicity.sum(axis=1, keepdims=True)
        mean: Array = np.einsum("be,beij->bij", share, self.matrices)
        return mean

    def log_ratio(self, points: Array, bag: int = 0) -> Array:
        """Return log rho(x|theta) of all events at parameter points, ``(n_points, n)``."""
        m = self.polynomial.amplitudes(points)
        form = _form(self.matrices[bag], m)
        norm = np.einsum("gi,ij,gj->g", m, self.mean_matrices()[bag], m)
        log_ratio: Array = np.log(form) - np.log(norm)[:, None]
        return log_ratio

    def expected(self, points: Array, shares: Array, bag: int = 0) -> Array:
        """Return the mean log rho at points under shares ``(n,)`` of the events, ``(n_points,)``.

        This is the log likelihood per expected event. Nothing of the size of points times events
        is held.
        """
        total = np.zeros(len(points))
        batch = max(1, _MOST_NUMBERS // len(points))
        m, mean = self.polynomial.amplitudes(points), self.mean_matrices()[bag]
        for start in range(0, self.matrices.shape[1], batch):
            events = slice(start, start + batch)
            total += np.log(_form(self.matrices[bag, events], m)) @ shares[events]
        norm = np.einsum("gi,ij,gj->g", m, mean, m)
        likelihood: Array = total - np.log(norm) * shares.sum()
        return likelihood


def _form(matrices: Array, m: Array) -> Array:
    """Return m^T M m of matrices ``(n, k, k)`` and monomials ``(g, k)``, ``(g, n)``."""
    squares = (m[:, :, None] * m[:, None, :]).reshape(len(m), -1)
    form: Array = squares @ matrices.reshape(len(matrices), -1).T
    return form


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
            "polynomial": {name: value.tolist() for name, value in vars(self.polynomial).items()},
        }
        path.with_suffix(".json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, path: Path) -> "Ensemble":
        """Read what :meth:`save` wrote as ``path``."""
        about = json.loads(path.with_suffix(".json").read_text())
        features = about["features"]
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stack = Stack.of(
            {k.removeprefix("stack/"): v for k, v in arrays.items() if k.startswith("stack/")},
            len(about["polynomial"]["amplitude"]),
        )
        return cls(
            stack=stack,
            features=Features(
                features["kinds"], np.array(features["mean"]), np.array(features["width"])
            ),
            polynomial=Polynomial(
                **{name: np.array(value) for name, value in about["polynomial"].items()}
            ),
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
        made = self._evaluated(x).reshape(
            len(self.multiplicity), self.n_folds, len(x), *self._shape
        )
        own = made[:, self.fold, np.arange(len(x))]
        return Events(own, self.multiplicity, self.polynomial)

    @property
    def _shape(self) -> tuple[int, int]:
        return (len(self.polynomial.amplitude),) * 2

    def _evaluated(self, x: Array) -> Array:
        """Return M = L L^T of every network for every event, ``(n_networks, n, k, k)``."""
        features = torch.as_tensor(self.features(x))
        n_networks = len(self.stack.weights[0])
        parts: list[Array] = []
        batch = max(1, _MOST_NUMBERS // (n_networks * 64))
        with torch.no_grad():
            for start in range(0, len(features), batch):
                part = features[start : start + batch].expand(n_networks, -1, -1)
                lower = self.stack(part)
                parts.append((lower @ lower.transpose(-1, -2)).double().numpy())
        return np.concatenate(parts, axis=1)


Progress = Callable[[int, float, float], None]
