"""Training of networks that know the polynomial: all events, exact weights, many theta at once.

For events of the mixture, each counting once, rho_e(theta) = w_e(theta) / <w(theta)> is an unbiased
estimate of p(z|theta) / p_mix(z). The cross entropy of ALICE (arXiv:1808.00973) with both classes
summed exactly, (rho + 1) log(1 + rho_hat) - rho log rho_hat, is least for rho_hat = E[rho_e | x];
ALICES adds alpha rho |t_e - grad log rho_hat|^2 with the exact score t_e = grad log rho_e. Both
scores are closed forms here. Networks that know the polynomial: arXiv:2007.10356, 2410.07315.
"""

from dataclasses import dataclass

import numpy as np
import torch

from steps.arrays import Array
from steps.inference.morphing.ensemble import Ensemble, Progress
from steps.inference.morphing.features import Features
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import Polynomial

_WARM_UP = 0.2
_DECAY = 1e-4
_TINY = 1e-9
# Events that are evaluated at once.
_HELD = 4096
# Parameter points that the loss of folds left out is taken at.
_HELD_POINTS = 64
# Smallest eigenvalue of the first matrices, in parts of the largest.
_FLAT = 1e-3


@dataclass(frozen=True)
class Options:
    """Settings of a training.

    Attributes:
        alpha: Weight of the score in the loss; 0 for ALICE.
        n_folds: Folds of the cross-fitting, at least 2.
        n_bags: Samples with Poisson multiplicities beside the nominal one.
        num_epochs: Passes over the events.
        batch_size: Events in a step of the optimiser.
        n_points: Random parameter points in a step.
        hidden_layers: Units of each hidden layer.
        learning_rate: Largest learning rate of the one-cycle schedule (arXiv:1708.07120).
        seed: Seed of all that is random.
    """

    alpha: float
    n_folds: int
    n_bags: int
    num_epochs: int
    batch_size: int
    n_points: int
    hidden_layers: tuple[int, ...]
    learning_rate: float
    seed: int


def fit(
    x: Array,
    coefficients: Array,
    polynomial: Polynomial,
    options: Options,
    progress: Progress = lambda epoch, training, validation: None,
) -> tuple[Ensemble, Array]:
    """Train an ensemble.

    Args:
        x: Observations ``(n, n_observables)`` of events of the mixture.
        coefficients: Coefficients of their weights, ``(n, c)``.
        polynomial: The monomials.
        options: Settings.
        progress: Called with the number of epochs so far and the losses of training and of the
            folds left out, of the nominal networks.

    Returns:
        The ensemble, and these losses per epoch, ``(epochs, 2)``.
    """
    rng = np.random.default_rng(options.seed)
    n = len(x)
    fold = rng.permutation(n) % options.n_folds
    multiplicity = np.ones((1 + options.n_bags, n), dtype=np.int16)
    multiplicity[1:] = rng.poisson(1.0, (options.n_bags, n))
    features = Features.of(x)
    # One at the centre of the region, on average.
    unit = coefficients / (
        coefficients.mean(axis=0) @ polynomial.weights(polynomial.centre[None])[0]
    )

    torch.manual_seed(int(rng.integers(2**31)))
    start = _root(polynomial.mean_matrix(unit.mean(axis=0)))
    count = len(multiplicity) * options.n_folds
    stack = Stack(count, len(features.mean), options.hidden_layers, start)
    ensemble = Ensemble(stack, features, polynomial, np.arange(n), fold, multiplicity)
    trainer = _Trainer(ensemble, torch.as_tensor(features(x)), unit, options, rng)
    losses = []
    for epoch in range(options.num_epochs):
        losses.append((trainer.epoch(), trainer.left_out()))
        progress(epoch + 1, *losses[-1])
    return ensemble, np.array(losses)


def _root(matrix: Array) -> Array:
    """Return a lower-triangular L with L L^T about a symmetric matrix, well conditioned."""
    values, vectors = np.linalg.eigh(matrix)
    positive = (vectors * np.maximum(values, _FLAT * values.max())) @ vectors.T
    return np.linalg.cholesky(positive)


class _Trainer:
    """The state of a training."""

    def __init__(
        self,
        ensemble: Ensemble,
        features: torch.Tensor,
        coefficients: Array,
        options: Options,
        rng: np.random.Generator,
    ) -> None:
        self._stack, self._features, self._options = ensemble.stack, features, options
        self._rng = rng
        self._coefficients = torch.as_tensor(coefficients, dtype=torch.float32)
        self._monomials = _Monomials(ensemble.polynomial)
        # Always the same ones for the folds left out, so that epochs compare.
        self._points = self._monomials.random(_HELD_POINTS)
        self._fold = ensemble.fold
        # Events of each network, as often as its bag counts them.
        self._pools = [
            np.repeat(np.arange(len(counts)), np.where(self._fold != left, counts, 0))
            for counts in ensemble.multiplicity
            for left in range(options.n_folds)
        ]
        means = np.stack([coefficients[pool].mean(axis=0) for pool in self._pools])
        self._means = torch.as_tensor(means, dtype=torch.float32)
        self._size = min(options.batch_size, *map(len, self._pools))
        self._steps = min(map(len, self._pools)) // self._size
        self._optimiser = torch.optim.AdamW(
            self._stack.parameters(), lr=options.learning_rate, weight_decay=_DECAY
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            options.learning_rate,
            total_steps=max(2, options.num_epochs * self._steps),
            pct_start=_WARM_UP,
        )

    def epoch(self) -> float:
        """Pass once over the events; return the mean loss of the nominal networks."""
        order = torch.as_tensor(
            np.stack(
                [self._rng.permutation(pool)[: self._steps * self._size] for pool in self._pools]
            )
        )
        total = 0.0
        for rows in torch.split(order, self._size, dim=1):
            loss = self._loss(rows, self._monomials.random(self._options.n_points))
            self._optimiser.zero_grad()
            torch.autograd.backward(loss.sum())
            self._optimiser.step()
            self._schedule.step()
            total += float(loss[: self._options.n_folds].mean().detach())
        return total / self._steps

    def left_out(self) -> float:
        """Return the mean loss of the nominal networks on the folds they have not seen."""
        folds = [np.flatnonzero(self._fold == left) for left in range(self._options.n_folds)]
        size = min(map(len, folds))
        rows = torch.as_tensor(np.stack([fold[:size] for fold in folds]))
        with torch.no_grad():
            parts = [
                self._loss(part, self._points) * part.shape[1]
                for part in torch.split(rows, _HELD, dim=1)
            ]
        return float(sum(part.mean() for part in parts)) / size

    def _loss(self, rows: torch.Tensor, at: "_Points") -> torch.Tensor:
        """Return the loss of each network, or the first ones, on events ``(n_networks, n)``."""
        count, alpha = len(rows), self._options.alpha
        mean = self._means[:count] @ at.weights.T
        weights = self._coefficients[rows] @ at.weights.T
        rho = weights / mean[:, None]
        lower = self._stack(self._features[rows])
        amplitude = at.amplitudes @ lower
        form = (amplitude * amplitude).sum(-1) + _TINY
        estimate = form / mean[:, None]
        loss = (rho + 1) * torch.log1p(estimate) - rho * torch.log(estimate)
        if alpha:
            gradient = at.amplitude_gradients @ lower[:, :, None]
            estimated = 2 * (amplitude[:, :, None] * gradient).sum(-1) / form[:, :, None]
            exact = torch.einsum("nbc,pkc->nbpk", self._coefficients[rows], at.weight_gradients)
            exact = exact / (weights + _TINY)[:, :, None]
            loss = loss + alpha * rho * ((estimated - exact) ** 2).sum(2)
        return loss.mean((1, 2))


@dataclass(frozen=True)
class _Points:
    """Monomials at random points of the region, of scaled parameters."""

    weights: torch.Tensor  # (points, c)
    weight_gradients: torch.Tensor  # (p, points, c)
    amplitudes: torch.Tensor  # (points, k)
    amplitude_gradients: torch.Tensor  # (p, points, k)


class _Monomials:
    def __init__(self, polynomial: Polynomial) -> None:
        self._of_weights = torch.as_tensor(polynomial.exponents)
        self._of_amplitudes = torch.as_tensor(polynomial.amplitude)

    def random(self, n: int) -> _Points:
        u = 2 * torch.rand(n, self._of_weights.shape[1]) - 1
        return _Points(
            _values(u, self._of_weights),
            _gradients(u, self._of_weights),
            _values(u, self._of_amplitudes),
            _gradients(u, self._of_amplitudes),
        )


def _values(u: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    return torch.prod(u[:, None, :] ** exponents, dim=-1)


def _gradients(u: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    parts = []
    for axis in range(exponents.shape[1]):
        lowered = exponents.clone()
        lowered[:, axis] = (lowered[:, axis] - 1).clamp(min=0)
        parts.append(exponents[:, axis] * _values(u, lowered))
    return torch.stack(parts)
