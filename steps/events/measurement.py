"""Observables and cuts of the input file, evaluated over all events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import expressions


@dataclass(frozen=True)
class Measured:
    """Result of a measurement of ``n`` events.

    Attributes:
        observations: Values ``(n, n_observables)``; undefined ones are the observable's default.
        selected: Whether each event passes, ``(n,)``.
        flow: For each requirement in turn, events that pass it and all before it.
    """

    observations: Array
    selected: Array
    flow: Mapping[str, int]


def measure(
    objects: Mapping[str, Any],
    observables: Sequence[Mapping[str, Any]],
    cuts: Sequence[Mapping[str, Any]],
) -> Measured:
    """Evaluate observables and cuts.

    A required observable that is undefined rejects the event; one that is not takes its default.
    An undefined cut rejects the event unless the cut says ``required``, as in MadMiner.

    Args:
        objects: Reconstructed objects, see :func:`steps.events.objects.with_sums`.
        observables: Each with ``name``, ``definition``, ``required`` and ``default``.
        cuts: Each with ``expression`` and ``required``; may use the observables' names.

    Raises:
        steps.events.expressions.ExpressionError: A definition does not parse.
    """
    columns: dict[str, Array] = {}
    flow: dict[str, int] = {}
    selected: Array = np.asarray(True)
    for observable in observables:
        value = expressions.parse(observable["definition"]).evaluate(objects)
        if observable["required"]:
            selected = selected & np.isfinite(value)
            flow[f"{observable['name']} is defined"] = int(selected.sum())
        elif observable["default"] is not None:
            value = np.where(np.isfinite(value), value, observable["default"])
        columns[observable["name"]] = value
    for cut in cuts:
        value = expressions.parse(cut["expression"], columns).evaluate({**objects, **columns})
        passes = np.where(np.isfinite(value), value != 0, cut["required"])
        selected = selected & passes
        flow[cut["expression"]] = int(selected.sum())
    observations = np.stack(list(columns.values()), axis=-1)
    return Measured(observations, np.broadcast_to(selected, len(observations)), flow)
