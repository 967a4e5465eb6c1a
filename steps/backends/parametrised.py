"""The parametrised detector."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steps.backends.cards import ReadCard
from steps.events.particles import Particles
from steps.events.species import Scales
from steps.physics import detector


class Backend:
    """See :class:`steps.backends.detectors.Detector`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the section ``detector``, which has no settings of this detector."""

    @staticmethod
    def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
        """There is nothing to set."""
        return {"backend": section["backend"]}

    def find_programs(self) -> None:
        """Everything is built in."""

    def reconstruct(
        self, particles: Particles, rng: np.random.Generator, folder: Path
    ) -> Mapping[str, Any]:
        """Reconstruct events; see :func:`steps.physics.detector.reconstruct`."""
        return detector.reconstruct(particles, rng)

    def reconstruct_scaled(
        self,
        particles: Particles,
        rng: np.random.Generator,
        folder: Path,
        scales: Sequence[Scales],
    ) -> Sequence[Mapping[str, Any]]:
        """Reconstruct; see :func:`steps.physics.detector.reconstruct_scaled`."""
        return detector.reconstruct_scaled(particles, rng, scales)
