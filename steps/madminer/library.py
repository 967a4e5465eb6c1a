"""MadMiner, made to run with today's NumPy, and quiet; the only module that imports it.

MadMiner 0.9.6 is its last release.  Two of its parts fail with NumPy 2: histograms call
``numpy.histogramdd`` with the argument ``normed``, gone since NumPy 1.24, and the Delphes reader
needs uproot3.  The first is mended here; the second is replaced by our own reading of detector
files.  Besides, training restores the best network, not the last, and gets batches faster; and
the Fisher information takes benchmarks that are not part of the morphing basis.  Systematic
uncertainties of all types survive their file and have names by default, and files with nuisance
parameters open without them.  No text of a file is evaluated as Python, and no file of a network
unpickled, so that neither can run code.  Its reader of event files finds no weights of parton
densities, and its limits refuse nuisance parameters: both stay so, ours read such files and make
limits.
"""

import copy
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np

# Messages below errors repeat per parameter point and drown a stage's own output.
logging.getLogger("madminer").setLevel(logging.ERROR)

import torch  # noqa: E402

# The package imports all its parts, readers and plots among them, which takes as long as PyTorch
# does; left empty it gives those that are asked for.
_spec = find_spec("madminer")
assert _spec is not None
sys.modules.setdefault("madminer", module_from_spec(_spec))

from madminer.analysis import DataAnalyzer, dataanalyzer  # noqa: E402
from madminer.core import MadMiner  # noqa: E402
from madminer.core import madminer as setups  # noqa: E402
from madminer.fisherinformation import FisherInformation as _FisherInformation  # noqa: E402
from madminer.fisherinformation import information  # noqa: E402
from madminer.ml import (  # noqa: E402
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
    base,
)
from madminer.models import (  # noqa: E402
    AnalysisParameter,
    Cut,
    Efficiency,
    Observable,
    SystematicScale,
)
from madminer.sampling import SampleAugmenter  # noqa: E402
from madminer.utils import histo  # noqa: E402
from madminer.utils.interfaces import hdf5  # noqa: E402
from madminer.utils.ml.trainer import Trainer  # noqa: E402

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


class _TorchWithoutPickle:
    """PyTorch as the loading of MadMiner's networks expects it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def load(*args: Any, **kwargs: Any) -> Any:
        """Load tensors alone, whatever the version's default and the environment say."""
        return torch.load(*args, **kwargs, weights_only=True)


base.torch = _TorchWithoutPickle()

for _model in (AnalysisParameter, Cut, Efficiency, Observable):
    # MadMiner evaluates transforms and definitions to see whether they are Python, as it reads them
    # from a data file.
    _model.__post_init__ = lambda self: None


def _value(name: str, variables: Mapping[str, Any]) -> Any:
    """Stand in for ``eval`` where MadMiner fills histograms: ours are of observables, by name."""
    return variables[name]


information.eval = _value


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


def _load_settings(file_name: str, include_nuisance_benchmarks: bool) -> tuple[Any, ...]:
    """Stand in for ``load_madminer_settings`` where files are analysed.

    Without nuisance benchmarks MadMiner keeps the nuisance parameters, and looks for these in vain.
    """
    settings = list(_original_load(file_name, include_nuisance_benchmarks))
    if not include_nuisance_benchmarks:
        settings[_NUISANCE_PARAMETERS] = {}
    return tuple(settings)


# The place of the nuisance parameters in what MadMiner returns.
_NUISANCE_PARAMETERS = 9
_original_load = dataanalyzer.load_madminer_settings
dataanalyzer.load_madminer_settings = _load_settings


def _event_loader(analyzer: DataAnalyzer, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """Stand in for ``DataAnalyzer.event_loader``.

    It can be asked for weights of nuisance benchmarks of a file that was opened without these.
    """
    if not analyzer.include_nuisance_parameters:
        kwargs["include_nuisance_parameters"] = False
    found: Iterator[Any] = _original_loader(analyzer, *args, **kwargs)
    return found


_original_loader = DataAnalyzer.event_loader
DataAnalyzer.event_loader = _event_loader


def _save_settings(*args: Any, systematics: Any = None, **kwargs: Any) -> None:
    """Stand in for ``save_madminer_settings``, which needs a scale of every systematic."""
    saved = {name: _Saved(of) for name, of in (systematics or {}).items()}
    _original_save(*args, systematics=saved, **kwargs)


class _Saved:
    """A systematic as MadMiner's file has it: all is text."""

    def __init__(self, systematic: Any) -> None:
        self.name, self.type = systematic.name, systematic.type
        self.value = str(systematic.value).encode()
        self.scale = systematic.scale or _NoScale


class _NoScale:
    value = None


_original_save = setups.save_madminer_settings
setups.save_madminer_settings = _save_settings


# MadMiner knows names in ASCII alone.
hdf5._encode_strings = lambda texts: [text.encode() for text in texts]
hdf5._decode_strings = lambda texts: [text.decode() for text in texts]


def _load_systematics(file_name: str) -> tuple[list[Any], ...]:
    """Stand in for the reader of systematics, which leaves values as bytes."""
    names, types, values, scales = _original_load_systematics(file_name)
    texts = [value.decode() for value in values]
    pairs = zip(texts, types, strict=True)
    read = [float(text) if kind == "norm" else text for text, kind in pairs]
    return names, types, read, scales


_original_load_systematics = hdf5._load_systematics
hdf5._load_systematics = _load_systematics
_original_from_str = SystematicScale.from_str
SystematicScale.from_str = lambda value: None if value is None else _original_from_str(value)


def _add_systematics(
    miner: MadMiner, effect: str, systematic_name: str | None = None, **options: Any
) -> None:
    """Stand in for ``MadMiner.add_systematics``, whose default name has Python's ``type`` in it."""
    if systematic_name is None:
        numbers = range(len(miner.systematics) + 1)
        systematic_name = next(
            name for k in numbers if (name := f"{effect}_{k}") not in miner.systematics
        )
    _original_add(miner, effect, systematic_name, **options)


_original_add = MadMiner.add_systematics
MadMiner.add_systematics = _add_systematics
