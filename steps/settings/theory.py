"""What the input of machine learning can refer to: parameters, observables, benchmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steps.events import madminer_file
from steps.events.data_file import check


@dataclass(frozen=True)
class Theory:
    """A theory and what is measured of it.

    Attributes:
        parameters: Names of the parameters.
        observables: Names of the observables.
        benchmarks: Parameter values by benchmark and parameter.
        complete: Whether these are all benchmarks, also those of the morphing basis.
    """

    parameters: Sequence[str]
    observables: Sequence[str]
    benchmarks: Mapping[str, Mapping[str, float]]
    complete: bool


def of_file(data_file: Path) -> Theory:
    """Return the theory of a MadMiner file with events, which is checked as a whole.

    Raises:
        steps.stage.errors.InputError: The file is not one, or not sound.
    """
    check(data_file)
    setup = madminer_file.read_setup(data_file)
    return Theory(list(setup.parameters), setup.observables, setup.benchmarks, complete=True)
