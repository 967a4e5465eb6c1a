"""MadMiner's networks: which one a method has, what it trains on."""

from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.inference.methods import Kind, Method
from steps.madminer.estimator import Estimator, Fit, Progress, Sample


def train(
    method: Method,
    estimator: str,
    samples: tuple[Sample, Sample],
    settings: Fit,
    progress: Progress = lambda epoch, training, validation: None,
) -> tuple[Estimator, Array]:
    """Train a network of MadMiner's; seed NumPy's and torch's global states before.

    Args:
        method: The method.
        estimator: ``parameterized`` or ``quadratic``, for ratios.
        samples: Samples of training and validation, see :func:`steps.inference.samples.draw`.
        settings: Settings of the training.
        progress: Called with the number of epochs so far and the last one's losses of training
            and validation.

    Returns:
        The network, and the losses of training and validation per epoch, ``(epochs, 2)``.

    Raises:
        ValueError: The estimator cannot have so many parameters, or the training diverges at once.
    """
    training, validation = ({name: sample[name] for name in method.columns} for sample in samples)
    form = method.form(estimator)
    if form == "quadratic" and training["theta"].shape[1] > 1:
        raise ValueError("estimator: quadratic works for one parameter only; use parameterized")
    model = Estimator(form, settings.hidden_layers, settings.activation)
    losses = model.train(method.name, training, validation, settings, progress)
    check_losses(losses)
    return model, losses


def check_losses(losses: Array) -> None:
    """Refuse the losses ``(epochs, 2)`` of a training that diverged at once.

    Raises:
        ValueError: It did.
    """
    if not len(losses) or not np.isfinite(losses[0]).all():
        raise ValueError("the loss of the first epoch is not a number; lower learning_rate")


def load(path: Path, method: Method, estimator: str) -> Estimator:
    """Load a network that was saved as ``path``."""
    return Estimator.load(path, method.form(estimator))


def columns(method: Method, sample: Sample) -> Array:
    """Return a sample as one matrix, the input of :class:`steps.madminer.estimator.Network`."""
    names = ("x",) if method.kind is Kind.SCORE else ("theta", "x")
    return np.concatenate([sample[name] for name in names], axis=1)
