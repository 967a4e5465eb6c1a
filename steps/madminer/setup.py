"""MadMiner's set-up of an analysis: parameters, benchmarks, morphing basis."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from steps.arrays import Array
from steps.madminer.library import MadMiner


class Morpher(Protocol):
    """Interpolates weights between benchmarks."""

    def calculate_morphing_weights(self, theta: Array) -> Array:
        """Return the weights ``(n_benchmarks,)`` of the basis at a parameter point."""


class Benchmark(Protocol):
    """A parameter point with a name."""

    values: Mapping[str, float]


class Setup(Protocol):
    """A set-up."""

    morpher: Morpher
    benchmarks: Mapping[str, Benchmark]

    def save(self, filename: str) -> None:
        """Write the set-up."""

    def run_multiple(self, **options: Any) -> None:
        """Let MadGraph write a process with scripts for several benchmarks."""


class MorphingError(Exception):
    """The benchmarks do not make a morphing basis."""


def new_setup(
    parameters: Sequence[Mapping[str, Any]],
    benchmarks: Mapping[str, Mapping[str, float]],
    morphing: Mapping[str, Any],
    outside_basis: Sequence[str] = (),
) -> Setup:
    """Return a MadMiner set-up whose morphing basis is found.

    Args:
        parameters: Keyword arguments of ``MadMiner.add_parameter`` for each parameter.
        benchmarks: Parameter values by benchmark and parameter name.
        morphing: Keyword arguments of ``MadMiner.set_morphing``.
        outside_basis: Benchmarks that are not part of the basis; they follow those that are.

    Raises:
        MorphingError: The benchmarks do not make a basis.
    """
    miner = MadMiner()
    for parameter in parameters:
        miner.add_parameter(**parameter)
    inside = {name: v for name, v in benchmarks.items() if name not in outside_basis}
    for name, values in inside.items():
        miner.add_benchmark(dict(values), name)
    if not morphing.get("include_existing_benchmarks", True):
        # MadMiner joins these to its basis, which holds values, not benchmarks.
        miner.benchmarks = {name: dict(values) for name, values in inside.items()}
    try:
        miner.set_morphing(**morphing)
    except AssertionError:
        raise MorphingError(
            f"{len(inside)} benchmarks are more than the morphing needs; give some "
            "in_basis: False, or set include_existing_benchmarks: False for all"
        ) from None
    except np.linalg.LinAlgError:
        raise MorphingError(
            "no basis contains these benchmarks, some depend on others; move or remove one"
        ) from None
    for name in outside_basis:
        miner.add_benchmark(dict(benchmarks[name]), name)
    return cast(Setup, miner)


def load_setup(path: str) -> Setup:
    """Return the MadMiner set-up of a file.

    MadMiner writes "_" for a parameter without transform, and does not know it when it reads.
    """
    miner = MadMiner()
    miner.load(path)
    for parameter in miner.parameters.values():
        if parameter.transform == "_":
            parameter.transform = None
    return cast(Setup, miner)
