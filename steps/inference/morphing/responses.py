"""Responses to nuisance parameters as functions of x, by cross-fitted networks.

For events of process p with weights w and w' = w r at nu_k = +-1,

    exp u_pk+-(x) = E[w'|x, p] / E[w|x, p],   u+- = B +- A,

or, where a shift moves x to x', the ratio of the densities of shifted to nominal events times that
of the accepted cross sections. Either is the minimum of the cross entropy between nominal events
at x and varied ones at x',

    sum w log(1 + e^v(x)) + w'/R log(1 + e^-v(x')),   v = u - log R,  R = sum w' / sum w,

whose gradient is bounded for responses of any size (arXiv:1506.02169); nominal and varied versions
of one event are in one sum, so that their noise cancels. Networks learn the shapes of A and B in
units of the spread of r. What they say of events that they have not seen then is scaled,

    A = c + s y(x),

by minimising sum w e^u - w' u, where s is zero unless it differs from it by two errors: noise does
not pretend to be shape, and the change of the cross section is exact. A response that is the same
for all events of a process needs no network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np
import torch

from steps.arrays import Array, decoded, encoded
from steps.inference.morphing.features import Features
from steps.inference.morphing.networks import Stack
from steps.inference.morphing.trainer import Cycle, Trainer
from steps.inference.morphing.variations import Nominal, Pairs, Variations

# Errors that a shape must differ from zero by.
_SIGNIFICANT = 2.0
# Spread of responses of a shifted detector, which no event tells: the unit of what is learnt.
_SHIFTED = 0.1, 0.03
# Spread below which a response is the same for all events, and above which tails decide it.
_FLAT, _WIDE = 1e-6, 0.5
_MEMORY = 8.0
_LEAST_STEPS = 100
# Events that are evaluated at once.
_HELD = 50_000
_NEWTON_STEPS = 30
_CONVERGED = 1e-9


@dataclass(frozen=True)
class Settings:
    """Settings of the training of responses.

    Attributes:
        num_epochs: Most epochs; what counts is where events left out like the networks best.
        batch_size: Events in a step of the optimiser.
        hidden_layers: Units of each hidden layer.
        learning_rate: Largest learning rate of the one-cycle schedule.
        seed: Seed of all that is random.
    """

    num_epochs: int = 8
    batch_size: int = 256
    hidden_layers: tuple[int, ...] = (32, 32)
    learning_rate: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Response:
    """Responses of events, exp(A nu + B nu^2) for each nuisance parameter.

    Attributes:
        linear: A of each process at each event, ``(n_processes, n, k)``.
        quadratic: B, likewise.
    """

    linear: Array
    quadratic: Array

    def logs(self) -> Array:
        """Return the log responses at nu = +1 and -1, ``(n_processes, n, k, 2)``."""
        return np.stack([self.quadratic + self.linear, self.quadratic - self.linear], axis=-1)

    def taken(self, rows: Array) -> Self:
        """Return those of some of the events, by number or truth value."""
        return type(self)(self.linear[:, rows], self.quadratic[:, rows])


@dataclass(frozen=True)
class Responses:
    """Trained networks of responses, one for each fold.

    Attributes:
        names: Names of the nuisance parameters.
        features: Features of the observables.
        stack: The networks; their outputs are shapes of A and B, for each process and parameter.
        lines: Offset and slope that make A and B of these, ``(n_processes, k, 2, 2)``: of A, then
            of B.
    """

    names: Sequence[str]
    features: Features
    stack: Stack
    lines: Array

    def unseen(self, x: Array, fold: Array) -> Response:
        """Return responses of events by networks that have not seen them.

        Args:
            x: Observations ``(n, n_observables)``.
            fold: Fold of each, ``(n,)``.
        """
        return self._response(_unseen(self.stack, self.features(x), fold))

    def __call__(self, x: Array) -> Response:
        """Return responses of new events ``(n, n_observables)``, the mean over folds."""
        features = torch.as_tensor(self.features(x))
        with torch.no_grad():
            values = self.stack(features.expand(self._n_folds, -1, -1)).mean(0)
        return self._response(values.numpy())

    @property
    def shaped(self) -> Array:
        """Whether a response depends on x, ``(n_processes, k)``."""
        shaped: Array = (self.lines[..., 1] != 0).any(axis=-1)
        return shaped

    @property
    def _n_folds(self) -> int:
        return len(self.stack.weights[0])

    def _response(self, outputs: Array) -> Response:
        shapes = outputs.reshape(len(outputs), *self.lines.shape[:-1])
        values = self.lines[..., 0] + self.lines[..., 1] * shapes
        linear, quadratic = np.moveaxis(values, -1, 0)
        # Processes first.
        return Response(np.moveaxis(linear, 1, 0), np.moveaxis(quadratic, 1, 0))

    def arrays(self) -> dict[str, Array]:
        """Return all of it as plain arrays by name."""
        return {
            "names": encoded(self.names),
            "kinds": encoded(self.features.kinds),
            "mean": self.features.mean,
            "width": self.features.width,
            "lines": self.lines,
            **{f"stack/{name}": value for name, value in self.stack.arrays().items()},
        }

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> "Responses":
        """Return what :meth:`arrays` gave."""
        stack = {k.removeprefix("stack/"): v for k, v in arrays.items() if k.startswith("stack/")}
        names, kinds = (decoded(arrays[each]) for each in ("names", "kinds"))
        features = Features(kinds, arrays["mean"], arrays["width"])
        return cls(names, features, Stack.of(stack), arrays["lines"])


def fit(
    nominal: Nominal, variations: Variations, features: Features, settings: Settings
) -> Responses:
    """Train networks of responses.

    Args:
        nominal: Events.
        variations: What they are at nu = +-1; shifted ones have weights at the same point,
            ``(m,)``.
        features: Features of the observables.
        settings: Settings.
    """
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(int(rng.integers(2**31)))
    pairs = Pairs.of(nominal, variations)
    problem = _Problem(pairs, len(nominal.part.names))
    n_folds, k = int(nominal.fold.max()) + 1, len(variations.names)
    start = np.zeros(problem.units.size)
    stack = Stack(n_folds, len(features.mean), settings.hidden_layers, start)
    values = features(pairs.x)
    if problem.units.any():
        stack = _trained(_Events(problem, torch.as_tensor(values)), stack, settings, rng)
    lines = np.zeros((problem.n_processes, k, 2, 2))
    lines[..., 0] = problem.offsets
    lines[..., 1] = problem.units
    made = Responses(variations.names, features, stack, lines)
    return _calibrated(made, problem, values)


class _Problem:
    """Pairs of events in the units of their responses.

    Attributes:
        offsets: A and B of the cross sections, ``(n_processes, k, 2)``.
        units: Spread of A and B, likewise; zero where it is the same for all events.
    """

    def __init__(self, pairs: Pairs, n_processes: int) -> None:
        self.pairs, self.n_processes = pairs, n_processes
        self.totals = pairs.totals(n_processes)
        up, down = self.totals[..., 0], self.totals[..., 1]
        self.offsets = np.stack([(up - down) / 2, (up + down) / 2], axis=-1)
        self.units = np.zeros_like(self.offsets)
        sums = pairs.sums(n_processes)
        for p in np.flatnonzero(sums[:, 0] > 0):
            own = (pairs.process == p) & (pairs.weights > 0)
            weights = pairs.weights[own]
            ratios = pairs.varied[own] / weights[:, None, None] / np.exp(self.totals[p])
            parts = (ratios @ [0.5, -0.5], ratios @ [0.5, 0.5] - 1)
            spread = [np.sqrt(np.average(part**2, axis=0, weights=weights)) for part in parts]
            self.units[p] = np.clip(np.stack(spread, axis=-1), 0, _WIDE)
            self.units[p][self.units[p].max(axis=-1) < _FLAT] = 0
            self.units[p, pairs.version[:, 0] > 0] = _SHIFTED
        counts = np.bincount(pairs.process[pairs.weights > 0], minlength=n_processes)
        self.scale = np.divide(counts, sums[:, 0], out=np.zeros(len(counts)), where=counts > 0)


class _Events:
    """Pairs of events as tensors."""

    def __init__(self, problem: _Problem, features: torch.Tensor) -> None:
        pairs, units = problem.pairs, problem.units
        of = pairs.process
        scale = problem.scale[of]
        self.problem, self.features = problem, features
        self.row = torch.as_tensor(pairs.row)
        self.process = torch.as_tensor(of)
        # Every response that is learnt counts the same, whatever its size.
        squares = (units**2).sum(axis=-1)
        each = np.divide(1, squares, out=np.zeros_like(squares), where=squares > 0)
        each /= max(1, np.count_nonzero(squares))
        scale = scale[:, None, None] * each[of][:, :, None]
        self.weights = _single(pairs.weights[:, None, None] * scale)
        self.varied = _single(pairs.varied * scale / np.exp(problem.totals[of]))
        self.units = _single(units[of])
        self.version = torch.as_tensor(pairs.version)

    def loss(self, stack: Stack, rows: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of each network for events of its own, ``(n_networks, n)``."""
        n_networks, n = rows.shape
        seen = self.features[self.row[rows].flatten(1)]
        k = len(self.version)
        outputs = stack(seen).view(n_networks, n, self.row.shape[1], -1, k, 2)
        own = self.process[rows][:, :, None, None, None, None]
        own = own.expand(-1, -1, outputs.shape[2], -1, k, 2)
        shapes = outputs.gather(3, own).squeeze(3) * self.units[rows][:, :, None]
        linear, quadratic = shapes[..., 0], shapes[..., 1]
        logs = torch.stack([quadratic + linear, quadratic - linear], dim=-1)
        places = self.version.expand(n_networks, n, 1, -1, -1)
        varied = logs.gather(2, places).squeeze(2)
        softplus = torch.nn.functional.softplus
        losses = self.weights[rows] * softplus(logs[:, :, 0])
        losses = losses + self.varied[rows] * softplus(-varied)
        return losses.sum((2, 3)).mean(1)


def _single(values: Array) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


class _Training(Trainer):
    """The state of a training."""

    def __init__(self, events: _Events, stack: Stack, cycle: Cycle, batches: Callable[[], Array]):
        super().__init__(stack, cycle)
        self._events, self._batches = events, batches

    def backward(self) -> None:
        rows = torch.as_tensor(self._batches())
        self._events.loss(self.stack, rows).sum().backward()  # type: ignore[no-untyped-call]


def _trained(events: _Events, stack: Stack, settings: Settings, rng: np.random.Generator) -> Stack:
    """Return networks as they are where events left out like them best."""
    fold = events.problem.pairs.fold
    folds = range(len(stack.weights[0]))
    pools = [np.flatnonzero(fold != f) for f in folds]
    left_out = [np.flatnonzero(fold == f) for f in folds]
    size = min(settings.batch_size, *map(len, pools))
    steps = max(_LEAST_STEPS, min(map(len, pools)) // size)

    def batches() -> Array:
        return np.stack([rng.choice(pool, size) for pool in pools])

    cycle = Cycle(settings.num_epochs * steps, settings.learning_rate, _MEMORY)
    training = _Training(events, stack, cycle, batches)
    best, least = training.mean.copy(), _entropy(events, training.mean, left_out)
    for _ in range(settings.num_epochs):
        training.run(steps)
        entropy = _entropy(events, training.mean, left_out)
        if entropy < least:
            best, least = training.mean.copy(), entropy
    return best


def _entropy(events: _Events, stack: Stack, left_out: Sequence[Array]) -> float:
    """Return the loss of equally many events of each fold left out."""
    size = min(map(len, left_out))
    rows = torch.as_tensor(np.stack([each[:size] for each in left_out]))
    total = 0.0
    with torch.no_grad():
        for part in torch.split(rows, max(1, _HELD // len(rows)), dim=1):
            total += float(events.loss(stack, part).sum()) * part.shape[1]
    return total / size


def _unseen(stack: Stack, features: Array, fold: Array) -> Array:
    """Return outputs ``(n, n_out)`` for events by the networks that have not seen them."""
    outputs = np.empty((len(features), stack.weights[-1].shape[2]), dtype=np.float32)
    for left_out in range(len(stack.weights[0])):
        rows = np.flatnonzero(fold == left_out)
        own = Stack.of({n: v[left_out : left_out + 1] for n, v in stack.arrays().items()})
        with torch.no_grad():
            outputs[rows] = own(torch.as_tensor(features[rows])[None])[0].numpy()
    return outputs


def _calibrated(made: Responses, problem: _Problem, features: Array) -> Responses:
    """Return responses whose offsets and slopes are those that events left out like best."""
    pairs = problem.pairs
    fold = np.zeros(len(features), dtype=np.int64)
    fold[pairs.row] = pairs.fold[:, None]
    shapes = _unseen(made.stack, features, fold).reshape(len(features), *made.lines.shape[:-1])
    lines = made.lines.copy()
    for p, k in product(range(problem.n_processes), range(len(made.names))):
        if not problem.units[p, k].any():
            continue
        own = pairs.process == p
        shape = shapes[:, p, k] * problem.units[p, k]
        at = shape[pairs.row[own, 0]]
        moved = [shape[pairs.row[own, version]] for version in pairs.version[k]]
        line = _line(at, moved, pairs.weights[own], pairs.varied[own, k], problem.offsets[p, k])
        lines[p, k, :, 0] = line[:2]
        lines[p, k, :, 1] = line[2:] * problem.units[p, k]
    return replace(made, lines=lines)


def _line(at: Array, moved: Sequence[Array], weights: Array, varied: Array, start: Array) -> Array:
    """Return offsets and slopes of A and B of one process and parameter.

    Args:
        at: Shapes of A and B at the nominal events, ``(u, 2)``.
        moved: The same at the varied ones, at nu = +1 and -1.
        weights: Nominal weights, ``(u,)``.
        varied: Varied ones, ``(u, 2)``.
        start: Offsets of A and B to begin with.

    Returns:
        Offsets of A and B, then slopes, ``(4,)``.
    """
    signs = (1, -1)
    nominal = [_columns(at, sign) for sign in signs]
    there = [_columns(shape, sign) for shape, sign in zip(moved, signs, strict=True)]
    line = np.concatenate([start, np.zeros(2)])
    free = np.array([True, True, *(np.ptp(at, axis=0) > 0)])
    while True:
        line, errors = _minimum(nominal, there, weights, varied, np.where(free, line, 0.0), free)
        slopes = [False, False, True, True]
        doubtful = np.flatnonzero(free & slopes & (line < _SIGNIFICANT * errors))
        if not len(doubtful):
            return line
        # The least significant one first: the other may be more so without it.
        free[doubtful[np.argmin(line[doubtful] / errors[doubtful])]] = False


def _columns(shapes: Array, sign: int) -> Array:
    """Return the derivatives of the log response at nu = +-1 by offsets and slopes, ``(u, 4)``."""
    ones = np.ones(len(shapes))
    return np.stack([sign * ones, ones, sign * shapes[:, 0], shapes[:, 1]], axis=-1)


def _minimum(
    nominal: Sequence[Array],
    there: Sequence[Array],
    weights: Array,
    varied: Array,
    line: Array,
    free: Array,
) -> tuple[Array, Array]:
    """Return where sum w e^u - w' u is least, by Newton's method, and errors by events' scatter."""
    line = line.copy()
    for _ in range(_NEWTON_STEPS):
        each = np.zeros((len(weights), np.count_nonzero(free)))
        curvature = np.zeros((each.shape[1], each.shape[1]))
        for side, (here, moved) in enumerate(zip(nominal, there, strict=True)):
            now = weights * np.exp(here @ line)
            each += now[:, None] * here[:, free] - varied[:, [side]] * moved[:, free]
            curvature += (here[:, free] * now[:, None]).T @ here[:, free]
        inverse = np.linalg.pinv(curvature, hermitian=True)
        step = inverse @ each.sum(axis=0)
        line[free] -= step
        if np.abs(step).max() < _CONVERGED:
            break
    errors = np.zeros(len(line))
    scatter = each @ inverse
    errors[free] = np.sqrt((scatter**2).sum(axis=0))
    return line, errors
