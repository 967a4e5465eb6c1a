"""MadMiner's networks of likelihood ratios, scores and likelihoods: training and evaluation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steps.arrays import Array
from steps.madminer.library import (
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
    Trainer,
)

_CLASSES = {
    "parameterized": ParameterizedRatioEstimator,
    "quadratic": QuadraticMorphingAwareRatioEstimator,
    "score": ScoreEstimator,
    "likelihood": LikelihoodEstimator,
}
_EVALUATION_BATCH = 200_000

Progress = Callable[[int, float, float], None]
Sample = Mapping[str, Array]


@dataclass(frozen=True)
class Fit:
    """Settings of a training.

    Attributes:
        alpha: Weight of the score in losses that have it.
        batch_size: Events per step of the optimiser.
        num_epochs: Passes over the training sample.
        hidden_layers: Units of each hidden layer.
        activation: Activation function.
        learning_rate: Learning rate of the first epoch.
        final_learning_rate: Learning rate of the last epoch; between, it falls exponentially.
    """

    alpha: float
    batch_size: int
    num_epochs: int
    hidden_layers: Sequence[int]
    activation: str
    learning_rate: float
    final_learning_rate: float


class Estimator:
    """A network; its form is ``parameterized``, ``quadratic``, ``score`` or ``likelihood``."""

    def __init__(self, form: str, hidden_layers: Sequence[int] = (1,), activation: str = "tanh"):
        """Make an untrained one."""
        self._form = form
        self._model = _CLASSES[form](n_hidden=tuple(hidden_layers), activation=activation)

    @classmethod
    def load(cls, path: Path, form: str) -> "Estimator":
        """Load one that was saved as ``path`` (MadMiner adds the endings).

        Raises:
            ValueError: The scaling of its inputs is missing, which MadMiner goes on without.
        """
        made = cls(form)
        made._model.load(str(path))
        if made._model.x_scaling_means is None:
            raise ValueError("its scaling is missing")
        return made

    def save(self, path: Path) -> None:
        """Save it as ``path`` and the endings that MadMiner adds."""
        self._model.save(str(path))

    def log_ratio(self, x: Array, thetas: Array) -> Array:
        """Evaluate a ratio, or a likelihood up to a constant, at all pairs of x and theta.

        One forward pass per parameter point on the whole sample; MadMiner's own evaluation builds
        one tensor per event and is some fifty times slower.

        Args:
            x: Observations ``(n, n_observables)``.
            thetas: Parameter points ``(n_thetas, n_parameters)``.

        Returns:
            Logarithms of the ratio or the likelihood, ``(n_thetas, n)``.
        """
        inputs = torch.tensor(np.asarray(self._model._transform_inputs(x)), dtype=torch.float32)
        points = self._model._transform_parameters(np.asarray(thetas, dtype=np.float32))
        points = torch.tensor(np.asarray(points), dtype=torch.float32)
        network = self._model.model.to("cpu", torch.float32).eval()
        result = np.empty((len(points), len(x)))
        with torch.no_grad():
            for row, point in zip(result, points, strict=True):
                for start in range(0, len(x), _EVALUATION_BATCH):
                    batch = inputs[start : start + _EVALUATION_BATCH]
                    value = _log_ratio(network, point.expand(len(batch), -1), batch)
                    row[start : start + len(batch)] = value.flatten().numpy()
        return result

    def score(self, x: Array, n_parameters: int) -> Array:
        """Evaluate a score.

        Args:
            x: Observations ``(n, n_observables)``.
            n_parameters: Number of the theory's parameters; components of nuisance parameters
                follow these and are left out.

        Returns:
            Scores ``(n, n_parameters)``.
        """
        scores = self._model.evaluate_score(np.asarray(x, dtype=np.float32))
        return np.asarray(scores)[:, :n_parameters]

    def network(self) -> "Network":
        """Return it as one function of one matrix."""
        return Network(self._model)

    def train(
        self,
        method: str,
        training: Sample,
        validation: Sample,
        fit: Fit,
        progress: Progress = lambda epoch, training, validation: None,
    ) -> Array:
        """Train it; seed NumPy's and torch's global states before.

        The network with the least validation loss is kept.

        Args:
            method: MadMiner's name of the loss.
            training: Columns that the method trains on.
            validation: The same of other events.
            fit: Settings of the training.
            progress: Called with the number of epochs so far and the last one's losses.

        Returns:
            Losses of training and validation per epoch, ``(epochs, 2)``.
        """
        options: dict[str, Any] = dict(training)
        options |= {f"{name}_val": column for name, column in validation.items()}
        if self._form == "parameterized":
            # It scales the parameters of the training sample alone.
            self._model.initialize_parameter_transform(training["theta"])
            options["theta_val"] = self._model._transform_parameters(validation["theta"])
        if self._form != "score":
            options["alpha"] = fit.alpha
        if self._form == "likelihood":
            # MadMiner evaluates likelihoods at parameters as they are: it must train on these.
            options["scale_parameters"] = False
        call = self._model.train
        if self._form == "quadratic":
            # Its own method calls this one and drops the losses.
            call = partial(ParameterizedRatioEstimator.train, self._model, scale_parameters=False)
        with _epochs(progress):
            losses = call(
                method=method,
                **options,
                n_epochs=fit.num_epochs,
                batch_size=fit.batch_size,
                initial_lr=fit.learning_rate,
                final_lr=fit.final_learning_rate,
                n_workers=0,
                verbose="all",
            )
        return np.stack(losses, axis=-1)


@contextmanager
def _epochs(progress: Progress) -> Iterator[None]:
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


def _log_ratio(network: torch.nn.Module, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Evaluate MadMiner's network of a ratio or likelihood, inputs scaled as in its training."""
    if hasattr(network, "log_likelihood"):
        flow: Any = network
        value: torch.Tensor = flow.log_likelihood(theta, x)[1].reshape(-1, 1)
    else:
        value = network(theta, x, track_score=False, return_grad_x=False)[1]
    return value


class Network(torch.nn.Module):
    """An estimator as one function of one matrix, which can be exported without MadMiner.

    Its input ``(n, n_parameters + n_observables)`` has parameters (none for scores), then
    observables, unscaled; its output is the log likelihood ratio or log likelihood ``(n, 1)``, or
    the score ``(n, n_parameters)``.
    """

    def __init__(self, model: Any) -> None:
        """Wrap MadMiner's estimator, trained."""
        super().__init__()
        self._network = model.model.to("cpu", torch.float32).eval()
        self._estimator = model
        self._n_parameters = 0 if isinstance(model, ScoreEstimator) else model.n_parameters

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Evaluate the estimator."""
        x = self._estimator._transform_inputs(columns[:, self._n_parameters :])
        if not self._n_parameters:
            scores: torch.Tensor = self._network(x)
            return scores
        theta = self._estimator._transform_parameters(columns[:, : self._n_parameters])
        return _log_ratio(self._network, theta, x)
