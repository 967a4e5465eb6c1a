"""MadMiner, made to run with today's NumPy, and quiet.

MadMiner 0.9.6 is its last release.  Two of its parts fail with NumPy 2: histograms call
``numpy.histogramdd`` with the argument ``normed``, gone since NumPy 1.24, and the Delphes reader
needs uproot3.  The first is mended here; the second is replaced by our own reading of detector
files.  Import MadMiner through this module only.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Messages below errors repeat per parameter point and drown a stage's own output.
logging.getLogger("madminer").setLevel(logging.ERROR)

from madminer import MadMiner  # noqa: E402
from madminer.utils import histo  # noqa: E402


class _NumpyWithNormed:
    """NumPy as the histograms of MadMiner expect it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def histogramdd(*args: Any, normed: bool = False, **kwargs: Any) -> Any:
        """Call ``numpy.histogramdd`` with ``normed`` under its present name."""
        return np.histogramdd(*args, density=normed, **kwargs)


histo.np = _NumpyWithNormed()


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
    """
    miner = MadMiner()
    for parameter in parameters:
        miner.add_parameter(**parameter)
    for name, values in benchmarks.items():
        miner.add_benchmark(dict(values), name)
    miner.set_morphing(**morphing)
    return miner
