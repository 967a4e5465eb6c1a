"""MadMiner, made to run with today's NumPy, and quiet.

MadMiner 0.9.6 is its last release.  Two of its parts fail with NumPy 2: histograms call
``numpy.histogramdd`` with the argument ``normed``, gone since NumPy 1.24, and the Delphes reader
needs uproot3.  The first is mended here; the second is replaced by our own reading of detector
files.  Besides, training gets a faster supply of batches.  Modules that use MadMiner import this
one first.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# Messages below errors repeat per parameter point and drown a stage's own output.
logging.getLogger("madminer").setLevel(logging.ERROR)

import torch  # noqa: E402

with warnings.catch_warnings():
    # Of distutils in a library that MadMiner's unused ROOT reader imports.
    warnings.simplefilter("ignore", DeprecationWarning)
    from madminer import MadMiner
from madminer.utils import histo  # noqa: E402
from madminer.utils.ml.trainer import Trainer  # noqa: E402


class _NumpyWithNormed:
    """NumPy as the histograms of MadMiner expect it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def histogramdd(*args: Any, normed: bool = False, **kwargs: Any) -> Any:
        """Call ``numpy.histogramdd`` with ``normed`` under its present name."""
        return np.histogramdd(*args, density=normed, **kwargs)


histo.np = _NumpyWithNormed()


class _Batches:
    """Shuffled batches of tensors, cut out at once.

    MadMiner's loader collects a batch event by event; for small networks that takes three quarters
    of the time of an epoch (measured: 1.2 s with it, 0.35 s without, for 75 000 events).
    """

    def __init__(self, columns: Sequence[torch.Tensor], rows: torch.Tensor, size: int) -> None:
        self._columns, self._rows, self._size = columns, rows, size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        for rows in self._rows[torch.randperm(len(self._rows))].split(self._size):
            yield tuple(column[rows] for column in self._columns)


def _make_dataloaders(
    trainer: Trainer, dataset: Any, dataset_val: Any, validation_split: float, batch_size: int
) -> tuple[_Batches, _Batches]:
    """Stand in for ``Trainer.make_dataloaders`` where data fit in memory and none validate yet."""
    if dataset_val is not None or any(dataset.memmap) or not validation_split:
        return _original_dataloaders(trainer, dataset, dataset_val, validation_split, batch_size)
    rows = torch.as_tensor(np.random.permutation(len(dataset)))
    n_val = int(validation_split * len(dataset))
    return (
        _Batches(dataset.data, rows[n_val:], batch_size),
        _Batches(dataset.data, rows[:n_val], batch_size),
    )


_original_dataloaders = Trainer.make_dataloaders
Trainer.make_dataloaders = _make_dataloaders


class MorphingError(Exception):
    """The benchmarks do not make a morphing basis."""


def new_setup(
    parameters: Sequence[Mapping[str, Any]],
    benchmarks: Mapping[str, Mapping[str, float]],
    morphing: Mapping[str, Any],
) -> MadMiner:
    """Return a MadMiner set-up whose morphing basis is found.

    Args:
        parameters: Keyword arguments of ``MadMiner.add_parameter`` for each parameter.
        benchmarks: Parameter values by benchmark and parameter name.
        morphing: Keyword arguments of ``MadMiner.set_morphing``.

    Raises:
        MorphingError: The benchmarks do not make a basis.
    """
    miner = MadMiner()
    for parameter in parameters:
        miner.add_parameter(**parameter)
    for name, values in benchmarks.items():
        miner.add_benchmark(dict(values), name)
    if not morphing.get("include_existing_benchmarks", True):
        # MadMiner joins these to its basis, which holds values, not benchmarks.
        miner.benchmarks = {name: dict(values) for name, values in benchmarks.items()}
    try:
        miner.set_morphing(**morphing)
    except AssertionError:
        raise MorphingError(
            f"{len(benchmarks)} benchmarks are more than the morphing needs; remove some, or set "
            "include_existing_benchmarks: False"
        ) from None
    except np.linalg.LinAlgError:
        raise MorphingError(
            "no basis contains these benchmarks, some depend on others; move or remove one"
        ) from None
    return miner


def load_setup(path: str) -> MadMiner:
    """Return the MadMiner set-up of a file.

    MadMiner writes "_" for a parameter without transform, and does not know it when it reads.
    """
    miner = MadMiner()
    miner.load(path)
    for parameter in miner.parameters.values():
        if parameter.transform == "_":
            parameter.transform = None
    return miner
