"""Optimisation of many networks side by side, whatever their loss.

AdamW, a one-cycle learning rate (arXiv:1708.07120), gradients of a network clipped, and the running
mean of the parameters (Shamir and Zhang, arXiv:1212.1824).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from steps.inference.morphing.networks import Stack

_WARM_UP = 0.2
_DECAY = 1e-4
# Longest gradient of a network: where the density all but vanishes one event's score would throw
# the network far off, and Adam's memory of it would keep it there.
_LONGEST = 1.0


@dataclass(frozen=True)
class Cycle:
    """How long, how fast, and how much of the end the mean of the parameters remembers.

    Attributes:
        steps: Steps of the optimiser.
        learning_rate: Its greatest learning rate.
        memory: The mean of parameters after t steps weights them by about t to this power.
    """

    steps: int
    learning_rate: float
    memory: float


class Trainer(ABC):
    """The state of a training.

    Attributes:
        stack: The networks that are trained.
        mean: Networks whose parameters are running means of theirs.
    """

    def __init__(self, stack: Stack, cycle: Cycle) -> None:
        """Begin with networks, which are changed."""
        self.stack, self.mean = stack, stack.copy()
        self._cycle, self._done = cycle, 0
        self._optimiser = torch.optim.AdamW(
            stack.parameters(), lr=cycle.learning_rate, weight_decay=_DECAY, fused=True
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, cycle.learning_rate, total_steps=cycle.steps, pct_start=_WARM_UP
        )

    @abstractmethod
    def backward(self) -> None:
        """Differentiate the sum of the networks' losses by their parameters."""

    def run(self, steps: int) -> None:
        """Take so many steps."""
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        self._optimiser.zero_grad()
        self.backward()
        clip([parameter.grad for parameter in self.stack.parameters()])
        self._optimiser.step()
        self._schedule.step()
        self._done += 1
        memory = self._cycle.memory
        share = (memory + 1) / (memory + self._done)
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.stack.parameters(), strict=True):
                mean.lerp_(now, share)


def clip(gradients: Sequence[torch.Tensor | None]) -> None:
    """Shorten the gradient ``(n_networks, ...)`` of each network that is too long, in place."""
    known = [gradient for gradient in gradients if gradient is not None]
    squares = [gradient.square().sum((1, 2), keepdim=True) for gradient in known]
    length = torch.stack(squares).sum(0).sqrt()
    for gradient in known:
        gradient.mul_((_LONGEST / length).clamp(max=1.0))
