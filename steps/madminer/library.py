"""MadMiner, made to run with today's NumPy, and quiet; the only module that imports it.

MadMiner 0.9.6 is its last release.  Two of its parts fail with NumPy 2: histograms call
``numpy.histogramdd`` with the argument ``normed``, gone since NumPy 1.24, and the Delphes reader
needs uproot3.  The first is mended here; the second is replaced by our own reading of detector
files.  Besides, training restores the best network, not the last, and gets batches faster; and
the Fisher information takes benchmarks that are not part of the morphing basis.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

# Messages below errors repeat per parameter point and drown a stage's own output.
logging.getLogger("madminer").setLevel(logging.ERROR)

import torch  # noqa: E402

with warnings.catch_warnings():
    # Of distutils in a library that MadMiner's unused ROOT reader imports.
    warnings.simplefilter("ignore", DeprecationWarning)
    from madminer import MadMiner
    from madminer.analysis import DataAnalyzer
    from madminer.fisherinformation import FisherInformation as _FisherInformation
    from madminer.ml import (
        LikelihoodEstimator,
        ParameterizedRatioEstimator,
        QuadraticMorphingAwareRatioEstimator,
        ScoreEstimator,
    )
    from madminer.sampling import SampleAugmenter
    from madminer.utils import histo
    from madminer.utils.ml.trainer import Trainer

__all__ = [
    "DataAnalyzer",
    "FisherInformation",
    "LikelihoodEstimator",
    "MadMiner",
    "ParameterizedRatioEstimator",
    "QuadraticMorphingAwareRatioEstimator",
    "SampleAugmenter",
    "ScoreEstimator",
    "Trainer",
]


class _NumpyWithNormed:
    """NumPy as the histograms of MadMiner expect it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def histogramdd(*args: Any, normed: bool = False, **kwargs: Any) -> Any:
        """Call ``numpy.histogramdd`` with ``normed`` under its present name."""
        return np.histogramdd(*args, **{"density": normed} | kwargs)


histo.np = _NumpyWithNormed()


class FisherInformation(_FisherInformation):  # type: ignore[misc]
    """Fisher information, also where there are more benchmarks than the morphing basis has.

    MadMiner multiplies matrices of the basis with covariances of all benchmarks, and fails.
    """

    def _get_theta_benchmark_matrix(self, theta: Any, zero_pad: bool = True) -> Any:
        matrix = super()._get_theta_benchmark_matrix(theta, zero_pad)
        return matrix if zero_pad else self._padded(matrix)

    def _get_dtheta_benchmark_matrix(self, theta: Any, zero_pad: bool = True) -> Any:
        matrix = super()._get_dtheta_benchmark_matrix(theta, zero_pad)
        return matrix if zero_pad else self._padded(matrix)

    def _padded(self, matrix: Any) -> Any:
        missing = max(self.n_benchmarks_phys - matrix.shape[-1], 0)
        return np.pad(matrix, [(0, 0)] * (matrix.ndim - 1) + [(0, missing)])


class _Batches:
    """Shuffled batches of tensors, cut out at once.

    MadMiner's loader collects a batch event by event; for small networks that takes three quarters
    of the time of an epoch (measured: 1.2 s with it, 0.35 s without, for 75 000 events).
    """

    def __init__(self, columns: Sequence[torch.Tensor], size: int) -> None:
        self._columns, self._size = columns, size

    def __len__(self) -> int:
        return -(-len(self._columns[0]) // self._size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for rows in torch.split(torch.randperm(len(self._columns[0])), self._size):
            yield tuple(column[rows] for column in self._columns)


def _make_dataloaders(
    trainer: Trainer, dataset: Any, dataset_val: Any, validation_split: float, batch_size: int
) -> tuple[_Batches, _Batches]:
    """Stand in for ``Trainer.make_dataloaders``; validation has a sample of its own."""
    return _Batches(dataset.data, batch_size), _Batches(dataset_val.data, batch_size)


Trainer.make_dataloaders = _make_dataloaders


def _check_early_stopping(
    trainer: Trainer,
    best_loss: float | None,
    best_model: Any,
    best_epoch: int | None,
    loss: float,
    i_epoch: int,
    patience: int | None = None,
) -> tuple[float | None, Any, int | None]:
    """Stand in for ``Trainer.check_early_stopping``, which keeps no copy of the best network.

    Its ``state_dict()`` refers to the parameters that the next epoch changes, so that the last
    network is restored whichever was best.
    """
    before = best_epoch
    best_loss, best_model, best_epoch = _original_check(
        trainer, best_loss, best_model, best_epoch, loss, i_epoch, patience
    )
    if best_epoch != before:
        best_model = copy.deepcopy(best_model)
    return best_loss, best_model, best_epoch


_original_check = Trainer.check_early_stopping
Trainer.check_early_stopping = _check_early_stopping
