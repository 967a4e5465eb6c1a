"""The network of a method: which one it is, what it trains on."""

from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.inference.methods import Kind, Method
from steps.madminer.estimator import Estimator, Fit, Progress, Sample


def form(method: Method, estimator: str) -> str:
    """Return the form of a method's network; ``estimator`` is that of ratios."""
    match method.kind:
        case Kind.RATIO:
            return estimator
        case Kind.SCORE:
            return "score"
        case Kind.DENSITY:
            return "likelihood"


def train(
    method: Method,
    estimator: str,
    samples: tuple[Sample, Sample],
    fit: Fit,
    progress: Progress = lambda epoch, training, validation: None,
) -> tuple[Estimator, Array]:
    """Train a network; seed NumPy's and torch's global states before.

    Args:
        method: The method.
        estimator: ``parameterized`` or ``quadratic``, for ratios.
        samples: Samples of training and validation, see :func:`steps.inference.samples.draw`.
        fit: Settings of the training.
        progress: Called with the number of epochs so far and the last one's losses of training
            and validation.

    Returns:
        The network, and the losses of training and validation per epoch, ``(epochs, 2)``.

    Raises:
        ValueError: The estimator cannot have so many parameters, or the training diverges at once.
    """
    training, validation = ({name: sample[name] for name in method.columns} for sample in samples)
    if form(method, estimator) == "quadratic" and training["theta"].shape[1] > 1:
        raise ValueError("estimator: quadratic works for one parameter only; use parameterized")
    model = Estimator(form(method, estimator), fit.hidden_layers, fit.activation)
    losses = model.train(method.name, training, validation, fit, progress)
    if not len(losses):
        raise ValueError("the loss of the first epoch is not a number; lower learning_rate")
    return model, losses


def load(path: Path, method: Method, estimator: str) -> Estimator:
    """Load a network that was saved as ``path``."""
    return Estimator.load(path, form(method, estimator))


def columns(method: Method, sample: Sample) -> Array:
    """Return a sample as one matrix, the input of :class:`steps.madminer.estimator.Network`."""
    names = ("x",) if method.kind is Kind.SCORE else ("theta", "x")
    return np.concatenate([sample[name] for name in names], axis=1)
