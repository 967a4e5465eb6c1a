"""Delphes as detector."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steps.backends.cards import ReadCard
from steps.events import delphes_file, hepmc
from steps.events.objects import scaled
from steps.events.particles import Particles
from steps.events.species import Scales
from steps.programs import delphes
from steps.programs.cards import Card
from steps.stage import command
from steps.stage.errors import SettingError

# Of the beam particles in the file for Delphes, which does not look at them.
_BEAM_ENERGY = 6500.0


class Backend:
    """See :class:`steps.backends.detectors.Detector`."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the section ``detector`` with an optional ``card``."""
        card = settings.get("card")
        self._card = Card(**card) if card else None

    @staticmethod
    def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
        """Read the card, if there is one; else Delphes' own for CMS will serve."""
        given = section.get("card")
        return dict(section) | ({"card": card("detector: card", given, "")} if given else {})

    def find_programs(self) -> None:
        """Find Delphes."""
        try:
            delphes.find()
        except delphes.DelphesError as error:
            raise SettingError(f"detector: {error}") from None

    def reconstruct(
        self, particles: Particles, rng: np.random.Generator, folder: Path
    ) -> Mapping[str, Any]:
        """Let Delphes, which has a seed of its own, simulate the detector."""
        n_events = len(particles.counts)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            hepmc_file, root_file = Path(scratch) / "events.hepmc", Path(scratch) / "delphes.root"
            report = command.progress(n_events, "events written for Delphes")
            hepmc.write(hepmc_file, particles, _BEAM_ENERGY, report)
            try:
                delphes.run(delphes.find(), self._card, hepmc_file, root_file)
                objects = delphes_file.read(root_file)
            except (delphes.DelphesError, delphes_file.DelphesFileError) as error:
                raise SettingError(f"detector: {error}") from None
        if len(objects["met"]) != n_events:
            raise SettingError(
                f"detector: card: Delphes wrote {len(objects['met'])} of {n_events} events; "
                "check its card's MaxEvents and SkipEvents"
            )
        return objects

    def reconstruct_scaled(
        self,
        particles: Particles,
        rng: np.random.Generator,
        folder: Path,
        scales: Sequence[Scales],
    ) -> Sequence[Mapping[str, Any]]:
        """Scale what Delphes has found: objects below its thresholds stay lost."""
        objects = self.reconstruct(particles, rng, folder)
        return [scaled(objects, factors) for factors in scales]
