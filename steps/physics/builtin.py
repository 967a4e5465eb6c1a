"""Settings of the input file to the built-in generator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.physics.amplitude import WILSON_COEFFICIENTS, monomials
from steps.physics.generator import Process
from steps.physics.partons import PartonDensities
from steps.physics.phase_space import Cuts


def process(settings: Mapping[str, Any]) -> Process:
    """Return the process that the section ``generator`` of an input file describes.

    Raises:
        ValueError: Pythia 8 does not ship the parton densities.
    """
    return Process(
        densities=PartonDensities(settings["pdf"], settings["scale"]),
        energy=settings["energy"],
        branching_ratio=settings["branching_ratio"],
        cuts=Cuts(**settings["cuts"]),
    )


def wilson_coefficients(card_values: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Translate parameter-card values by (block, code) to the amplitude's coefficients in TeV^-2.

    Raises:
        ValueError: The amplitude does not know a parameter.
    """
    unknown = [key for key in card_values if key not in WILSON_COEFFICIENTS]
    if unknown:
        block, code = unknown[0]
        known = ", ".join(f"{b} {c} ({name})" for (b, c), name in WILSON_COEFFICIENTS.items())
        raise ValueError(
            f"the built-in generator does not know parameter {block} {code}; it knows {known}"
        )
    return {WILSON_COEFFICIENTS[key]: value for key, value in card_values.items()}


def interpolates(
    benchmarks: Sequence[Mapping[tuple[str, int], float]],
    weights: NDArray,
    point: Mapping[tuple[str, int], float],
) -> bool:
    """Return whether a weighted sum of the benchmarks' |M|^2 is that of a point, for any event.

    Args:
        benchmarks: Parameter-card values of each benchmark.
        weights: Weights ``(n_benchmarks,)``.
        point: Parameter-card values.
    """
    known = monomials([wilson_coefficients(b) for b in benchmarks])
    wanted = monomials([wilson_coefficients(point)])[0]
    return np.allclose(weights @ known, wanted, rtol=1e-6, atol=1e-6 * np.abs(known).max())
