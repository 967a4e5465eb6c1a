"""The network of a method: which one it is, what it trains on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.inference.methods import Kind, Method
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.fit import Options, fit
from steps.inference.morphing.polynomial import Polynomial
from steps.madminer.estimator import Estimator, Fit, Progress, Sample


def form(method: Method, estimator: str) -> str:
    """Return the form of a method's network; ``estimator`` is that of ratios."""
    match method.kind:
        case Kind.RATIO:
            return estimator if estimator in method.estimators else method.estimators[0]
        case Kind.SCORE:
            return "score"
        case Kind.DENSITY:
            return "likelihood"


def parts(form: str) -> tuple[str, ...]:
    """Return the parts of the sample that a network trains on, by its form."""
    return ("events",) if form == "morphing" else ("train", "validation")


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
    kind = form(method, estimator)
    if kind == "quadratic" and training["theta"].shape[1] > 1:
        raise ValueError("estimator: quadratic works for one parameter only; use parameterized")
    model = Estimator(kind, settings.hidden_layers, settings.activation)
    losses = model.train(method.name, training, validation, settings, progress)
    _check(losses)
    return model, losses


def train_morphing(
    method: Method,
    events: Sample,
    region: Sequence[Sequence[float]],
    options: Mapping[str, Any],
    seed: int,
    progress: Progress = lambda epoch, training, validation: None,
) -> tuple[Ensemble, Array]:
    """Train networks that know how weights depend on the parameters.

    Args:
        method: The method.
        events: See :func:`steps.inference.samples.mixture`.
        region: Lowest and highest value of each parameter; training covers all of it.
        options: Section ``morphing`` of the input file.
        seed: Seed of the training.
        progress: As in :func:`train`; the second loss is that of the folds left out.

    Returns:
        As :func:`train`.

    Raises:
        ValueError: Weights are not of the form that these networks have.
    """
    polynomial = Polynomial.of(events["exponents"], np.array(region))
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    settings: dict[str, Any] = {**options, "hidden_layers": tuple(options["hidden_layers"])}
    if not method.uses_alpha:
        settings["alpha"] = 0.0
    model, losses = fit(
        events["x"], coefficients, polynomial, Options(**settings, seed=seed), progress
    )
    _check(losses)
    return replace(model, index=events["index"]), losses


def _check(losses: Array) -> None:
    if not len(losses) or not np.isfinite(losses[0]).all():
        raise ValueError("the loss of the first epoch is not a number; lower learning_rate")


def load(path: Path, method: Method, estimator: str) -> Estimator | Ensemble:
    """Load a network that was saved as ``path``."""
    kind = form(method, estimator)
    return Ensemble.load(path) if kind == "morphing" else Estimator.load(path, kind)


def columns(method: Method, sample: Sample) -> Array:
    """Return a sample as one matrix, the input of :class:`steps.madminer.estimator.Network`."""
    names = ("x",) if method.kind is Kind.SCORE else ("theta", "x")
    return np.concatenate([sample[name] for name in names], axis=1)
