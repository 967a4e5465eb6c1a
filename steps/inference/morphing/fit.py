"""Training of networks that know the polynomial: all events, exact weights, many theta at once.

The nominal networks, one for each fold, are trained from nothing with a one-cycle learning rate.
What counts is the running mean of their parameters (Shamir and Zhang, arXiv:1212.1824), as it is
where events that they have not seen like it best. Bags begin with these networks and go on with
their own events: in a few steps they forget what they were begun with. Networks that know the
polynomial: arXiv:2007.10356, 2410.07315.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from steps.arrays import Array
from steps.inference.morphing.ensemble import Ensemble, Progress
from steps.inference.morphing.features import Features
from steps.inference.morphing.loss import MixtureLoss, Targets
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import Part, Processes
from steps.inference.morphing.trainer import Cycle, Trainer

# Few events are passed more than once in an epoch, so that it has as many steps.
_LEAST_STEPS = 200
# Training ends when the loss of the folds left out was least so long ago, in parts of num_epochs:
# it may rise for a while before the learning rate falls.
_PATIENCE = 0.5
# Steps of a bag in parts of those that made the nominal networks, and its learning rate likewise:
# the spread of q over the bags is then that of bags from nothing (docs/morphing.md).
_BAG_STEPS = 0.2
_BAG_RATE = 0.4
# The mean of parameters after t steps weights them by about t to this power.
_MEMORY = 8.0
_BAG_MEMORY = 2.0
# Events that are evaluated at once.
_HELD = 4096
# Parameter points that losses are told for.
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
        num_epochs: Most epochs: passes over the events, or as many as make 200 steps.
        batch_size: Events in a step of the optimiser.
        n_points: Random parameter points in a step.
        hidden_layers: Units of each hidden layer.
        learning_rate: Largest learning rate of the one-cycle schedule (arXiv:1708.07120).
        seed: Seed of all that is random.
        kinds: Kind of each observable, see :class:`steps.inference.morphing.features.Features`;
            None for what is recognised.
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
    kinds: tuple[str | None, ...] | None = None


def fit(
    x: Array,
    coefficients: Array,
    polynomial: Polynomial,
    options: Options,
    progress: Progress = lambda epoch, training, validation: None,
    part: Part | None = None,
) -> tuple[Ensemble, Array]:
    """Train an ensemble.

    Args:
        x: Observations ``(n, n_observables)`` of events of the mixture.
        coefficients: Coefficients of their weights, ``(n, c)``.
        polynomial: The monomials.
        options: Settings.
        progress: Called with the number of epochs so far and the cross entropies of training and
            of the folds left out, of the nominal networks.
        part: Which process each event is of; None for one alone.

    Returns:
        The ensemble, and these cross entropies per epoch, ``(epochs, 2)``. Training ends before
        ``num_epochs`` where that of the folds left out no longer falls, and gives the networks for
        which it was least.
    """
    rng = np.random.default_rng(options.seed)
    n = len(x)
    fold = rng.permutation(n) % options.n_folds
    multiplicity = np.ones((1 + options.n_bags, n), dtype=np.int16)
    multiplicity[1:] = rng.poisson(1.0, (options.n_bags, n))
    features = Features.of(x, options.kinds)
    part = part or Part.alone(n)
    processes = Processes.of(polynomial, coefficients, part)
    each = list(zip(processes.polynomials, processes.split(coefficients, part), strict=True))
    units = [_unit(*own) for own in each]

    torch.manual_seed(int(rng.integers(2**31)))
    start = np.concatenate([_start(own, unit) for (own, _), unit in zip(each, units, strict=True)])
    untrained = Stack(options.n_folds, len(features.mean), options.hidden_layers, start)
    sample = _Sample(
        features=torch.as_tensor(features(x)),
        coefficients=np.hstack(units),
        fold=fold,
        loss=MixtureLoss(processes, options.alpha),
        entropy=MixtureLoss(processes, 0.0),
        options=options,
        rng=rng,
    )
    nominal, losses, steps = _nominal(sample, untrained, multiplicity[0], progress)
    bags = [_bag(sample, nominal, counts, steps) for counts in multiplicity[1:]]
    stack = Stack.joined([nominal, *bags])
    dependent = processes.dependent
    model = Ensemble(stack, features, polynomial, np.arange(n), fold, multiplicity, dependent)
    if len(dependent) > 1:
        model = _balanced(model, x, [weights for _, weights in each])
    return model, losses


def _unit(polynomial: Polynomial, coefficients: Array) -> Array:
    """Return coefficients ``(n, c)`` of weights of mean one at the centre of the region."""
    unit: Array = coefficients / (
        coefficients.mean(axis=0) @ polynomial.weights(polynomial.centre[None])[0]
    )
    return unit


def _start(polynomial: Polynomial, unit: Array) -> Array:
    """Return entries of L, row by row, whose density is about that of the mean weight."""
    root = _root(polynomial.mean_matrix(unit.mean(axis=0)))
    return root[np.tril_indices(len(root))]


def _balanced(model: Ensemble, x: Array, coefficients: Sequence[Array]) -> Ensemble:
    """Return networks whose processes have the right shares at the centre of the region.

    There the mean density of each process over the events, of every bag, is made its share of the
    cross section; that of all is one.

    Args:
        model: The networks.
        x: Their observations ``(n, n_observables)``.
        coefficients: Coefficients of each process's weights, ``(n, c_p)``.
    """
    processes, events = model.processes, model.events(x)
    centre = model.polynomial.centre[None]
    counts = model.multiplicity / model.multiplicity.sum(axis=1, keepdims=True)
    found, wanted = [], []
    for own, part, weights in zip(
        processes.polynomials, events.parts.values(), coefficients, strict=True
    ):
        at_centre = own.weights(centre)[0]
        found.append(np.einsum("be,bec,c->b", counts, part, at_centre))
        wanted.append(counts @ (weights @ at_centre))
    shares = np.stack(wanted) / np.sum(wanted, axis=0)
    factors = np.repeat(np.sqrt(shares / np.stack(found)), processes.sizes, axis=0)
    # A density is quadratic in the outputs; the networks of all folds of a bag share a factor.
    by_network = np.repeat(factors.T, model.n_folds, axis=0).astype(np.float32)
    arrays = model.stack.arrays()
    last = len(model.stack.weights) - 1
    for name in (f"weights.{last}", f"biases.{last}"):
        arrays[name] = arrays[name] * by_network[:, None]
    return replace(model, stack=Stack.of(arrays))


def _root(matrix: Array) -> Array:
    """Return a lower-triangular L with L L^T about a symmetric matrix, well conditioned."""
    values, vectors = np.linalg.eigh(matrix)
    positive = (vectors * np.maximum(values, _FLAT * values.max())) @ vectors.T
    return np.linalg.cholesky(positive)


@dataclass(frozen=True)
class _Sample:
    """Events, and how they are trained on."""

    features: torch.Tensor  # (n, f)
    coefficients: Array  # (n, c)
    fold: Array  # (n,)
    loss: MixtureLoss
    # A few events where the density all but vanishes would decide what the score's part says.
    entropy: MixtureLoss
    options: Options
    rng: np.random.Generator


def _nominal(
    sample: _Sample, stack: Stack, counts: Array, progress: Progress
) -> tuple[Stack, Array, int]:
    """Return trained networks, the cross entropies per epoch, and how many steps made them."""
    options = sample.options
    pools = _Pools(sample, counts)
    epoch_steps = pools.steps * -(-_LEAST_STEPS // pools.steps)
    cycle = Cycle(options.num_epochs * epoch_steps, options.learning_rate, _MEMORY)
    trainer = _Trainer(pools, stack, cycle)
    losses, best, best_epoch = [], stack, 0
    for epoch in range(1, options.num_epochs + 1):
        trainer.run(epoch_steps)
        losses.append(trainer.entropies())
        progress(epoch, *losses[-1])
        if losses[-1][1] <= min(left_out for _, left_out in losses):
            best, best_epoch = trainer.mean.copy(), epoch
        elif epoch - best_epoch >= _PATIENCE * options.num_epochs:
            break
    return best, np.array(losses), max(1, best_epoch) * epoch_steps


def _bag(sample: _Sample, nominal: Stack, counts: Array, steps: int) -> Stack:
    """Return the networks of a bag, from nominal ones that so many steps made."""
    own = round(_BAG_STEPS * steps)
    cycle = Cycle(own, _BAG_RATE * sample.options.learning_rate, _BAG_MEMORY)
    trainer = _Trainer(_Pools(sample, counts), nominal.copy(), cycle)
    trainer.run(own)
    return trainer.mean


class _Pools:
    """Events of each network of a sample that counts them so often; one network for each fold."""

    def __init__(self, sample: _Sample, counts: Array) -> None:
        self.sample = sample
        folds = range(sample.options.n_folds)
        numbers = np.arange(len(counts))
        self._pools = [np.repeat(numbers, np.where(sample.fold != f, counts, 0)) for f in folds]
        self._left_out = [np.flatnonzero(sample.fold == f) for f in folds]
        means = np.stack([sample.coefficients[pool].mean(axis=0) for pool in self._pools])
        self._means = torch.as_tensor(means, dtype=torch.float32)
        self._coefficients = torch.as_tensor(sample.coefficients, dtype=torch.float32)
        shortest = min(map(len, self._pools))
        self._size = min(sample.options.batch_size, shortest)
        self.steps = shortest // self._size

    def batches(self) -> Iterator[torch.Tensor]:
        """Give numbers of events ``(n_folds, batch)`` for ever, each event once in every pass."""
        used = self.steps * self._size
        while True:
            order = [self.sample.rng.permutation(pool)[:used] for pool in self._pools]
            yield from torch.split(torch.as_tensor(np.stack(order)), self._size, dim=1)

    def of(self, rows: torch.Tensor) -> tuple[torch.Tensor, Targets]:
        """Return features and targets of events ``(n_folds, n)``."""
        return self.sample.features[rows], Targets(self._coefficients[rows], self._means)

    def compared(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return equally many events of each pool and of each fold left out, always the same."""
        size = min(map(len, self._left_out))
        seen = [pool[np.linspace(0, len(pool) - 1, size).astype(int)] for pool in self._pools]
        unseen = [rows[:size] for rows in self._left_out]
        return torch.as_tensor(np.stack(seen)), torch.as_tensor(np.stack(unseen))


class _Trainer(Trainer):
    """The state of a training."""

    def __init__(self, pools: _Pools, stack: Stack, cycle: Cycle) -> None:
        super().__init__(stack, cycle)
        self._pools = pools
        self._loss = pools.sample.loss
        self._batches = pools.batches()
        # Always the same ones, so that epochs compare.
        self._points = self._loss.random_points(_HELD_POINTS)

    def backward(self) -> None:
        """Differentiate the loss of the next events."""
        features, targets = self._pools.of(next(self._batches))
        entries = self.stack(features)
        points = self._loss.random_points(self._pools.sample.options.n_points)
        with torch.no_grad():
            derivative = self._loss.derivative(entries, targets, points)
        entries.backward(derivative)

    def entropies(self) -> tuple[float, float]:
        """Return the mean cross entropies of events of the training and of the folds left out."""
        seen, unseen = (self._entropy(rows) for rows in self._pools.compared())
        return seen, unseen

    def _entropy(self, rows: torch.Tensor) -> float:
        total, entropy = 0.0, self._pools.sample.entropy
        with torch.no_grad():
            for part in torch.split(rows, _HELD, dim=1):
                features, targets = self._pools.of(part)
                loss = entropy(self.mean(features), targets, self._points)
                total += float(loss.mean()) * part.shape[1]
        return total / rows.shape[1]
