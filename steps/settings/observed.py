"""Observed events, checked against the input files and the simulation."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from steps.events import madminer_file, observed
from steps.events.observed import Expected, Observed, ObservedError
from steps.settings.learning import LearningInput
from steps.stage.errors import InputError


def read(text: str, observables: Sequence[str]) -> Observed | None:
    """Read observed events; None of no file, and of what stage check wrote of none.

    Args:
        text: Path of their file, or ``file.root:tree``; empty for none.
        observables: Names of the observables.

    Raises:
        InputError: The first thing that is wrong, in one line.
    """
    try:
        return observed.read(text, observables) if text else None
    except ObservedError as error:
        raise InputError(str(error)) from None


def check(
    text: str,
    spec: LearningInput,
    data_file: Path,
    counts: tuple[float, float] | None = None,
) -> Observed | None:
    """Read observed events and compare them with the simulated ones.

    Args:
        text: Path of their file, or ``file.root:tree``.
        spec: The input file.
        data_file: MadMiner file with the simulated events, which was checked.
        counts: Least and greatest number of events that any point of the region expects, where
            that is known.

    Raises:
        InputError: The first thing that is wrong, in one line.
    """
    names = madminer_file.read_setup(data_file).observables
    found = read(text, names)
    if found is None:
        return None
    with h5py.File(data_file) as file:
        x = np.asarray(file["samples/observations"][()])
    expected = Expected(names, x, spec.evaluating["luminosity"], counts)
    try:
        return observed.compare(found, text, expected)
    except ObservedError as error:
        raise InputError(str(error)) from None
