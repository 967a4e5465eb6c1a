"""Networks that estimate likelihood ratios, scores and likelihoods: training and evaluation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from steps.inference.methods import Kind, kind
from steps.interface import madminer as _madminer  # noqa: F401 - mends MadMiner before its use

from madminer.ml import (  # isort: skip
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
from madminer.utils.ml.trainer import Trainer  # isort: skip

_RATIO_ESTIMATORS = {
    "parameterized": ParameterizedRatioEstimator,
    "quadratic": QuadraticMorphingAwareRatioEstimator,
}
_EVALUATION_BATCH = 200_000


@dataclass(frozen=True)
class Training:
    """Settings of a training.

    Attributes:
        alpha: Weight of the score in the losses of ALICES, CASCAL, RASCAL and SCANDAL.
        batch_size: Events per step of the optimiser.
        num_epochs: Passes over the training sample.
        valid_split: Share of the sample that validates.
        hidden_layers: Units of each hidden layer.
        activation: Activation function.
        learning_rate: Learning rate of the first epoch.
        final_learning_rate: Learning rate of the last epoch; between, it falls exponentially.
    """

    alpha: float
    batch_size: int
    num_epochs: int
    valid_split: float
    hidden_layers: Sequence[int]
    activation: str
    learning_rate: float
    final_learning_rate: float


def create(method: str, estimator: str, settings: Training) -> Any:
    """Return an untrained MadMiner estimator for a method.

    Args:
        method: Name of the method.
        estimator: ``parameterized`` or ``quadratic``, for ratios.
        settings: Settings of the training, of which the architecture matters here.
    """
    network = {"n_hidden": tuple(settings.hidden_layers), "activation": settings.activation}
    match kind(method):
        case Kind.RATIO:
            return _RATIO_ESTIMATORS[estimator](**network)
        case Kind.SCORE:
            return ScoreEstimator(**network)
        case Kind.DENSITY:
            return LikelihoodEstimator(**network)


def train(
    method: str,
    estimator: str,
    sample: Mapping[str, NDArray],
    settings: Training,
    progress: Callable[[int, float, float], None] = lambda epoch, training, validation: None,
) -> tuple[Any, NDArray]:
    """Train an estimator; seed NumPy's and torch's global states before.

    Args:
        method: Name of the method.
        estimator: ``parameterized`` or ``quadratic``, for ratios.
        sample: Training sample, see :func:`steps.inference.samples.draw`.
        settings: Settings of the training.
        progress: Called with the number of epochs so far and the last one's losses of training
            and validation.

    Returns:
        The trained estimator, and the losses of training and validation per epoch, ``(epochs, 2)``.
    """
    model = create(method, estimator, settings)
    columns = {Kind.RATIO: ("x", "theta", "y", "r_xz", "t_xz"), Kind.SCORE: ("x", "t_xz")}
    needed = columns.get(kind(method), ("x", "theta", "t_xz"))
    options = {name: sample[name] for name in needed}
    if kind(method) is not Kind.SCORE:
        options["alpha"] = settings.alpha
    if estimator == "quadratic" and kind(method) is Kind.RATIO and sample["theta"].shape[1] > 1:
        raise ValueError("estimator: quadratic works for one parameter only; use parameterized")
    if kind(method) is Kind.DENSITY:
        # MadMiner evaluates likelihoods at parameters as they are, so it must train on these.
        options["scale_parameters"] = False
    fit = model.train
    if isinstance(model, QuadraticMorphingAwareRatioEstimator):
        # Its own method calls this one and drops the losses.
        fit = partial(ParameterizedRatioEstimator.train, model, scale_parameters=False)
    with _epochs(progress):
        losses = fit(
            method=method,
            **options,
            n_epochs=settings.num_epochs,
            batch_size=settings.batch_size,
            validation_split=settings.valid_split,
            initial_lr=settings.learning_rate,
            final_lr=settings.final_learning_rate,
            n_workers=0,
            verbose="all",
        )
    return model, np.stack(losses, axis=-1)


@contextmanager
def _epochs(progress: Callable[[int, float, float], None]) -> Iterator[None]:
    """Report the epochs of MadMiner's trainer, which only logs them."""

    def report(
        i_epoch: int, loss_labels: Any, loss_train: float, loss_val: float, *_: Any, **__: Any
    ) -> None:
        progress(i_epoch + 1, loss_train, loss_val)

    before = Trainer.report_epoch
    Trainer.report_epoch = staticmethod(report)
    try:
        yield
    finally:
        Trainer.report_epoch = staticmethod(before)


def load(path: Path, method: str, estimator: str) -> Any:
    """Load an estimator that was saved as ``path`` (MadMiner adds the endings)."""
    untrained = Training(0, 0, 0, 0, (1,), "tanh", 0, 0)
    model = create(method, estimator, untrained)
    model.load(str(path))
    return model


def log_ratio(model: Any, x: NDArray, thetas: NDArray) -> NDArray:
    """Evaluate a ratio estimator, or the likelihood up to a constant, at all pairs of x and theta.

    One forward pass per parameter point on the whole sample; MadMiner's own evaluation builds one
    tensor per event and is some fifty times slower.

    Args:
        model: Trained estimator of ratios or likelihoods.
        x: Observations ``(n, n_observables)``.
        thetas: Parameter points ``(n_thetas, n_parameters)``.

    Returns:
        Logarithms of the ratio or the likelihood, ``(n_thetas, n)``.
    """
    inputs = torch.tensor(np.asarray(model._transform_inputs(x)), dtype=torch.float32)
    points = np.asarray(model._transform_parameters(np.asarray(thetas, dtype=np.float32)))
    network = model.model.to("cpu", torch.float32).eval()
    result = np.empty((len(points), len(x)))
    with torch.no_grad():
        for row, point in zip(result, torch.tensor(points, dtype=torch.float32), strict=True):
            for start in range(0, len(x), _EVALUATION_BATCH):
                batch = inputs[start : start + _EVALUATION_BATCH]
                value = _log_ratio(network, point.expand(len(batch), -1), batch)
                row[start : start + len(batch)] = value.flatten().numpy()
    return result


def _log_ratio(network: torch.nn.Module, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Evaluate MadMiner's network of a ratio or likelihood, inputs scaled as in its training."""
    if hasattr(network, "log_likelihood"):
        return network.log_likelihood(theta, x)[1].reshape(-1, 1)
    return network(theta, x, track_score=False, return_grad_x=False)[1]


class Network(torch.nn.Module):
    """An estimator as one function of one matrix, which can be exported without MadMiner.

    Its input ``(n, n_parameters + n_observables)`` has parameters (none for scores), then
    observables, unscaled; its output is the log likelihood ratio or log likelihood ``(n, 1)``, or
    the score ``(n, n_parameters)``.
    """

    def __init__(self, model: Any) -> None:
        """Wrap a trained estimator."""
        super().__init__()
        self._network = model.model.to("cpu", torch.float32).eval()
        self._estimator = model
        self._n_parameters = 0 if isinstance(model, ScoreEstimator) else model.n_parameters

    @staticmethod
    def columns(method: str, sample: Mapping[str, NDArray]) -> NDArray:
        """Return a sample of the method as such an input."""
        names = ("x",) if kind(method) is Kind.SCORE else ("theta", "x")
        return np.concatenate([sample[name] for name in names], axis=1)

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Evaluate the estimator."""
        x = self._estimator._transform_inputs(columns[:, self._n_parameters :])
        if not self._n_parameters:
            return self._network(x)
        theta = self._estimator._transform_parameters(columns[:, : self._n_parameters])
        return _log_ratio(self._network, theta, x)


def score(model: Any, x: NDArray, n_parameters: int) -> NDArray:
    """Evaluate a score estimator.

    Args:
        model: Trained estimator of scores.
        x: Observations ``(n, n_observables)``.
        n_parameters: Number of the theory's parameters; components of nuisance parameters follow
            these and are left out.

    Returns:
        Scores ``(n, n_parameters)``.
    """
    return np.asarray(model.evaluate_score(np.asarray(x, dtype=np.float32)))[:, :n_parameters]
