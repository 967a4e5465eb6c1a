"""What the input of machine learning can refer to: parameters, observables, benchmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steps.events import madminer_file
from steps.stage.errors import InputError


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
    """Return the theory of a MadMiner file with events.

    Raises:
        InputError: The file is not one.
    """
    try:
        setup = madminer_file.read_setup(data_file)
    except OSError:
        raise InputError(f"{data_file}: cannot be read as HDF5; give a MadMiner file") from None
    except KeyError:
        raise InputError(f"{data_file}: is no MadMiner file; give one that has events") from None
    if not setup.observables:
        raise InputError(f"{data_file}: has no events; give the combined file")
    return Theory(list(setup.parameters), setup.observables, setup.benchmarks, complete=True)
