"""Observed events: read, and checked against the simulation, before anything is computed.

What cannot be meant is an error: missing columns, numbers that are none, another unit, no events,
a selection that is not the simulation's. What may be is a warning, which stays with the limits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import tables
from steps.events.tables import TableError

# Medians that differ by more than this factor, either way, are in other units.
_UNIT = 300.0
# Share of the events outside the simulated range from which on they were selected otherwise.
_MOST_OUTSIDE = 0.05
# Standard deviations of a number of events that no point of the region expects.
_UNLIKELY = 5.0
_PER_FB = 1e3


class ObservedError(Exception):
    """Observed events cannot be meant: one line with file, number of events and remedy."""


@dataclass(frozen=True)
class Observed:
    """Observed events.

    Attributes:
        x: Observations ``(n, n_observables)``.
        source: Name of the file, without its folder.
        pseudo: Of pseudo-data ``theta`` by name, ``seed`` and ``luminosity`` in 1/pb; empty for
            data.
        warnings: What is allowed but unlikely to be meant, one line each.
    """

    x: Array
    source: str
    pseudo: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    @property
    def about(self) -> dict[str, Any]:
        """All but the events, and a digest of these: the same for the same data."""
        return {
            "source": self.source,
            "pseudo": dict(self.pseudo),
            "warnings": list(self.warnings),
            "events": len(self.x),
            "digest": hashlib.sha256(np.ascontiguousarray(self.x).tobytes()).hexdigest(),
        }


def read(text: str, observables: Sequence[str]) -> Observed | None:
    """Read observed events.

    Args:
        text: Path of the file, or ``file.root:tree``.
        observables: Names of the columns that make an event.

    Returns:
        The events; None for what :func:`save` wrote of none.

    Raises:
        ObservedError: It cannot be read, lacks columns or events, or has numbers that are none.
    """
    try:
        table = tables.read(text, observables)
        if table.about.get("nothing"):
            return None
        return _checked(text, table, observables)
    except TableError as error:
        raise ObservedError(f"{text}: {error}") from None


def save(path: Path, observed: Observed | None, observables: Sequence[str]) -> None:
    """Write checked events, or that there are none, as HDF5 for later stages."""
    if observed is None:
        tables.write(path, {}, {"nothing": True})
    else:
        columns = dict(zip(observables, observed.x.T, strict=True))
        tables.write(path, columns, observed.about)


def _checked(text: str, table: tables.Table, observables: Sequence[str]) -> Observed:
    n = table.size
    missing = [name for name in observables if name not in table.columns]
    if missing:
        others = f" (it has {', '.join(table.others)})" if table.others else ""
        raise TableError(
            f"{n} events without {', '.join(missing)}{others}; "
            "name the columns as the observables of the physics input"
        )
    if not n:
        raise TableError("0 events; give a file that has some")
    x = np.stack([table.columns[name] for name in observables], axis=-1)
    bad = ~np.isfinite(x)
    if bad.any():
        counts = dict(zip(observables, bad.sum(axis=0), strict=True))
        told = ", ".join(f"{count} in {name}" for name, count in counts.items() if count)
        raise TableError(
            f"{int(bad.any(axis=1).sum())} of {n} events have NaN or infinity ({told}); drop them, "
            "or fill in the default of the physics input"
        )
    if "source" in table.about:
        about = table.about
        return Observed(x, about["source"], about["pseudo"], about["warnings"])
    warnings = [f"{text}: {n} events: {note}" for note in table.notes]
    if table.others:
        warnings.append(
            f"{text}: {n} events: columns {', '.join(table.others)} are no observables and ignored"
        )
    pseudo = dict(table.about.get("pseudo", {}))
    if reason := pseudo.pop("warning", ""):
        warnings.append(f"{text}: {n} events: pseudo-data: {reason}")
    return Observed(x, tables.split(text)[0].name, pseudo, warnings)


@dataclass(frozen=True)
class Expected:
    """What the simulation knows.

    Attributes:
        names: Names of the observables.
        x: Simulated observations ``(n, n_observables)``.
        luminosity: Integrated luminosity of the analysis in 1/pb.
        counts: Least and greatest number of events that any point of the region expects; None
            where that is not known yet.
    """

    names: Sequence[str]
    x: Array
    luminosity: float
    counts: tuple[float, float] | None = None


def compare(observed: Observed, text: str, expected: Expected) -> Observed:
    """Check observed events against the simulation; return them with all warnings.

    Args:
        observed: The events.
        text: Name of their file for messages.
        expected: What the simulation knows.

    Raises:
        ObservedError: Another unit, or another selection.
    """
    here, n = f"{text}: {len(observed.x)} events", len(observed.x)
    found = list(observed.warnings)
    for name, column, simulated in zip(expected.names, observed.x.T, expected.x.T, strict=True):
        if reason := _other_unit(column, simulated):
            raise ObservedError(f"{here}: {name}: {reason}; convert it")
        for reason, count in _outside(column, simulated):
            line = f"{here}: {count} of {n} have {name} {reason}"
            if count > max(1, _MOST_OUTSIDE * n):
                raise ObservedError(f"{line}; select them as the simulation, or check its unit")
            found.append(f"{line}; networks know nothing there")
    found += [
        f"{here}: {line}" for line in (*_numbers(n, expected), *_luminosity(observed, expected))
    ]
    return replace(observed, warnings=found)


def _other_unit(column: Array, simulated: Array) -> str:
    ours, theirs = (float(np.median(np.abs(values))) for values in (column, simulated))
    if not (ours > 0 and theirs > 0) or 1 / _UNIT < ours / theirs < _UNIT:
        return ""
    return (
        f"its size is {ours:.3g} in the middle, {theirs:.3g} in the simulation "
        f"({ours / theirs:.2g} times): another unit"
    )


def _outside(column: Array, simulated: Array) -> list[tuple[str, int]]:
    low, high = float(simulated.min()), float(simulated.max())
    sides = (
        (f"below {low:.4g}, the least in the simulation: outside the cuts", column < low),
        (
            f"above {high:.4g}, the greatest in the simulation: outside the trained range",
            column > high,
        ),
    )
    return [(reason, count) for reason, where in sides if (count := int(where.sum()))]


def _numbers(n: int, expected: Expected) -> list[str]:
    if expected.counts is None:
        return []
    low, high = expected.counts
    nearest = min(max(n, low), high)
    deviation = abs(n - nearest) / np.sqrt(max(nearest, 1.0))
    if deviation < _UNLIKELY:
        return []
    return [
        f"{deviation:.0f} standard deviations from what any point of the region expects at "
        f"{expected.luminosity / _PER_FB:g}/fb ({low:.3g} to {high:.3g}); "
        "check luminosity, k-factors and backgrounds"
    ]


def _luminosity(observed: Observed, expected: Expected) -> list[str]:
    drawn = observed.pseudo.get("luminosity", expected.luminosity)
    if np.isclose(drawn, expected.luminosity):
        return []
    return [
        f"pseudo-data of {drawn / _PER_FB:g}/fb, analysed as "
        f"{expected.luminosity / _PER_FB:g}/fb; draw them with the same luminosity"
    ]
