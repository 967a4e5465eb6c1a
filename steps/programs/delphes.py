"""Delphes (arXiv:1307.6346) as detector simulation."""

import os
import shutil
import subprocess
from pathlib import Path

from steps.programs.cards import Card

_PROGRAM = "DelphesHepMC3"
_CARD = Path("cards", "delphes_card_CMS.tcl")


class DelphesError(Exception):
    """Delphes is not there, or did not do what it was asked for; one line."""


def find() -> Path:
    """Find the program ``DelphesHepMC3`` in ``DELPHES_DIR``, or on the PATH.

    Raises:
        DelphesError: It is in neither.
    """
    given = os.environ.get("DELPHES_DIR", "")
    found = shutil.which(_PROGRAM, path=given or None)
    if found is None:
        where = f"in {given}; check DELPHES_DIR" if given else "on the PATH; set DELPHES_DIR"
        raise DelphesError(f"no {_PROGRAM} {where}, or use its image")
    return Path(found)


def run(program: Path, card: Card | None, hepmc_file: Path, root_file: Path) -> None:
    """Simulate the detector.

    Args:
        program: Path of ``DelphesHepMC3``.
        card: Delphes card; None: that of CMS, which lies beside the program.
        hepmc_file: Events after hadronisation, HepMC 3 in ASCII.
        root_file: File to write.

    Raises:
        DelphesError: The program failed.
    """
    card_file = program.resolve().parent / _CARD
    if card is not None:
        card_file = root_file.with_suffix(".tcl").resolve()
        card_file.write_text(card.text)
    log = root_file.with_suffix(".log")
    with log.open("w") as output:
        done = subprocess.run(
            [program, card_file, root_file.resolve(), hepmc_file.resolve()],
            cwd=root_file.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode or not root_file.exists():
        lines = log.read_text(errors="replace").strip().splitlines()
        said = lines[-1].strip()[:300] if lines else "nothing"
        raise DelphesError(
            f"Delphes failed with card {card.name if card else card_file}; it said: {said}"
        )
