"""Many small networks of one shape as one, for folds and bags that are trained side by side."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch

from steps.arrays import Array

_FIRST_WIDTH = 0.01


class Stack(torch.nn.Module):
    """Networks from features to outputs, ``(n_networks, n, n_out)``."""

    def __init__(
        self, n_networks: int, n_features: int, hidden: Sequence[int], start: Array
    ) -> None:
        """Make untrained networks.

        Args:
            n_networks: Number of networks.
            n_features: Number of features.
            hidden: Units of each hidden layer.
            start: What they give at first, about, whatever the features: ``(n_out,)``.
        """
        super().__init__()
        sizes = [n_features, *hidden, len(start)]
        self.weights = torch.nn.ParameterList()
        self.biases = torch.nn.ParameterList()
        for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
            last = layer == len(hidden)
            width = _FIRST_WIDTH if last else n_in**-0.5
            bias = torch.zeros(n_networks, 1, n_out)
            if last:
                bias += torch.as_tensor(start, dtype=torch.float32)
            self.weights.append(width * torch.randn(n_networks, n_in, n_out))
            self.biases.append(bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Evaluate each network, or the first ones, on features ``(n_networks, n, n_features)``."""
        values, count = features, len(features)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.baddbmm(bias[:count], values, weight[:count])
            if layer < last:
                values = torch.tanh(values)
        return values

    def copy(self) -> "Stack":
        """Return networks of their own with the same parameters."""
        return Stack.joined([self])

    @classmethod
    def joined(cls, stacks: Sequence["Stack"]) -> "Stack":
        """Return the networks of all stacks of one shape, one after another."""
        arrays = [stack.arrays() for stack in stacks]
        names = arrays[0]
        return cls.of({name: np.concatenate([each[name] for each in arrays]) for name in names})

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> "Stack":
        """Return networks with parameters as :meth:`arrays` gives them."""
        weights = [value for name, value in arrays.items() if name.startswith("weights.")]
        hidden = [layer.shape[2] for layer in weights[:-1]]
        n_networks, n_features = weights[0].shape[:2]
        made = cls(n_networks, n_features, hidden, np.zeros(weights[-1].shape[2]))
        made.load_state_dict({name: torch.as_tensor(value) for name, value in arrays.items()})
        return made

    def arrays(self) -> dict[str, Array]:
        """Return all parameters as plain arrays by name."""
        return {name: value.detach().numpy() for name, value in self.named_parameters()}
