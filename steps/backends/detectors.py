"""Detector simulations: what all of them do, and the choice of one.

A detector is made of the section ``detector`` of an input file, complete. To add one, write a
module with a class like :class:`Detector` and name it in ``_MODULES``.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from steps.backends.cards import ReadCard
from steps.events.particles import Particles
from steps.events.species import Scales

_MODULES = {"parametrised": "steps.backends.parametrised", "delphes": "steps.backends.delphes"}
NAMES = tuple(_MODULES)


class Detector(Protocol):
    """A detector; every method may raise SettingError with the key that is at fault."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the section ``detector``."""

    @staticmethod
    def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
        """Return the section with what the detector uses of it, and with its cards' texts."""

    def find_programs(self) -> None:
        """Check that the programs that it runs are on this machine."""

    def reconstruct(
        self, particles: Particles, rng: np.random.Generator, folder: Path
    ) -> Mapping[str, Any]:
        """Reconstruct events.

        Args:
            particles: Stable particles of ``n`` events.
            rng: Source of random numbers.
            folder: Existing folder for files of no lasting value.

        Returns:
            By the names of MadMiner's observable definitions: jagged Momentum4D arrays ``j``,
            ``e``, ``mu`` and ``a``, each ordered by falling transverse momentum, and one
            Momentum4D per event for ``met``; fields px, py, pz, E in GeV.
        """

    def reconstruct_scaled(
        self,
        particles: Particles,
        rng: np.random.Generator,
        folder: Path,
        scales: Sequence[Scales],
    ) -> Sequence[Mapping[str, Any]]:
        """Reconstruct the same events with other energy scales and the same random numbers.

        Not called where there are no systematic uncertainties of the detector.

        Args:
            particles: Stable particles of ``n`` events.
            rng: Source of random numbers.
            folder: Existing folder for files of no lasting value.
            scales: For each time factors on the energies of ``j`` and ``a``; none: nominal, which
                is what :meth:`reconstruct` returns.
        """


def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
    """Return a section ``detector`` as its backend wants it."""
    return _backend(section).complete(section, card)


def choose(settings: Mapping[str, Any]) -> Detector:
    """Return the detector that a complete section ``detector`` asks for."""
    return _backend(settings)(settings)


def _backend(section: Mapping[str, Any]) -> type[Detector]:
    backend: type[Detector] = import_module(_MODULES[section["backend"]]).Backend
    return backend
