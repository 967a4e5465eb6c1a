"""What the user says of an analysis and a signal, as texts of the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from steps.arrays import Array
from steps.events import expressions
from steps.stage.errors import SettingError


@dataclass(frozen=True)
class Analysis:
    """A selection of events, and the histogram of an observable of those that pass.

    Attributes:
        observable: Name of the observable.
        edges: Edges of the bins, ``(n + 1,)``.
        selections: Expressions of observables that are true for events that pass.
    """

    observable: str
    edges: Array
    selections: Sequence[str]

    @classmethod
    def read(cls, observable: str, bins: str, selection: str) -> Self:
        """Read the options of a command line.

        Args:
            observable: Name of the observable.
            bins: Edges of the bins, numbers separated by commas.
            selection: Expressions, separated by ``;``; empty for none.

        Raises:
            SettingError: There are no bins.
        """
        edges = numbers(bins, "bins")
        if len(edges) < 2 or (np.diff(edges) <= 0).any():
            raise SettingError(f"bins: '{bins}' are not edges that rise; give two or more")
        parts = [part.strip() for part in selection.split(";")]
        return cls(observable, edges, [part for part in parts if part])

    def check(self, observables: Sequence[str]) -> None:
        """Refuse what cannot be evaluated on events with certain observables.

        Raises:
            SettingError: An observable is not known, or an expression does not parse.
        """
        if self.observable not in observables:
            known = ", ".join(observables)
            raise SettingError(
                f"observable: the data file has no '{self.observable}'; choose from {known}"
            )
        for text in self.selections:
            try:
                expressions.parse(text, observables)
            except expressions.ExpressionError as error:
                raise SettingError(f"selection: '{text}': {error}") from None


def numbers(text: str, what: str) -> Array:
    """Return the numbers of a text, separated by commas.

    Raises:
        SettingError: They are none.
    """
    try:
        found = np.array([float(part) for part in text.split(",") if part.strip()])
    except ValueError:
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        raise SettingError(f"{what}: '{text}' are no numbers; separate numbers by commas")
    return found


def positive(text: str, what: str) -> float | None:
    """Return the positive number of a text; None where it is empty.

    Raises:
        SettingError: It is none.
    """
    if not text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < np.inf:
        raise SettingError(f"{what}: '{text}' is no positive number; give one")
    return found


def point(text: str, names: Sequence[str], what: str = "theta") -> Array:
    """Return a parameter point ``(p,)``; the Standard Model, all zero, where the text is empty.

    Raises:
        SettingError: There is not a number for each parameter.
    """
    found = numbers(text, what) if text.strip() else np.zeros(len(names))
    if len(found) != len(names):
        raise SettingError(
            f"{what}: '{text}' is not a value for each of {', '.join(names)}; "
            f"give {len(names)} numbers, separated by commas"
        )
    return found


@dataclass(frozen=True)
class Grid:
    """Parameter points of a scan.

    Attributes:
        axes: The values of each parameter: of one or two several, of the others one.
    """

    axes: Sequence[Array]

    @classmethod
    def read(cls, text: str, names: Sequence[str]) -> "Grid | None":
        """Read ``LOW,HIGH,POINTS`` or a number for each parameter, separated by semicolons.

        Returns:
            The grid; None where the text is empty.

        Raises:
            SettingError: It is none.
        """
        if not text.strip():
            return None
        parts = text.split(";")
        if len(parts) != len(names):
            raise SettingError(
                f"scan: '{text}' has no range for each of {', '.join(names)}; give {len(names)} of "
                "the form LOW,HIGH,POINTS or a number, separated by ;"
            )
        found = cls([_axis(part, name) for part, name in zip(parts, names, strict=True)])
        if not 1 <= len(found.scanned) <= _MOST_SCANNED:
            raise SettingError(
                f"scan: '{text}' scans {len(found.scanned)} parameters; scan one or two, and give "
                "a number for each of the others"
            )
        return found

    @property
    def scanned(self) -> list[int]:
        """Numbers of the parameters that have several values."""
        return [number for number, axis in enumerate(self.axes) if len(axis) > 1]

    @property
    def points(self) -> Array:
        """All points ``(m, p)``, the last parameter's value changing first."""
        return np.stack([axis.ravel() for axis in np.meshgrid(*self.axes, indexing="ij")], axis=-1)


def _axis(text: str, name: str) -> Array:
    low, *more = (part.strip() for part in text.split(","))
    try:
        if not more:
            found = np.array([float(low)])
        else:
            high, points = float(more[0]), int(more[1])
            # A contour needs some points on either side.
            if len(more) != 2 or points < _FEWEST or not -np.inf < float(low) < high < np.inf:
                raise ValueError
            found = np.linspace(float(low), high, points)
    except (ValueError, IndexError):
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        raise SettingError(
            f"scan: '{text.strip()}' is no range of {name}; give LOW,HIGH,POINTS, such as -2,2,11, "
            f"with {_FEWEST} points or more, or a number"
        )
    return found


_MOST_SCANNED, _FEWEST = 2, 5


def check(values: Mapping[str, Any], parameters: Sequence[str], observables: Sequence[str]) -> None:
    """Check all parameters of the workflow, as its stages will.

    Args:
        values: The parameters by name.
        parameters: Names of the theory's parameters.
        observables: Names of the observables of the events.

    Raises:
        SettingError: The first that is wrong.
    """
    said = {name: str(value) for name, value in values.items()}
    Analysis.read(said["observable"], said["bins"], said["selection"]).check(observables)
    for name in _POINTS:
        point(said[name], parameters, name)
    for name in _POSITIVE:
        positive(said[name], name)
    Grid.read(said["scan"], parameters)
    for name in ("luminosity", "histogram"):
        if not said[name].strip():
            raise SettingError(f"{name}: is empty; give one")


_POINTS = ("theta", "standard_model", "injected")
_POSITIVE = ("cross_section", "sum_of_weights", "luminosity", "k_factor", "filter_efficiency")
PARAMETERS = ("observable", "bins", "selection", "histogram", "scan", *_POINTS, *_POSITIVE)
"""Parameters of the workflow that :func:`check` looks at."""
