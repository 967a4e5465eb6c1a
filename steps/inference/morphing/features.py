"""Observables as networks like them: angles without a cut, tails as logarithms, unit width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steps.arrays import Array

# A positive observable whose largest values are that many medians has a heavy tail.
_HEAVY = 4.0


@dataclass(frozen=True)
class Features:
    """How observables become features.

    Attributes:
        kinds: ``angle``, ``positive`` or ``plain`` for each observable; an angle makes two
            features.
        mean: Mean of each feature before scaling, ``(f,)``.
        width: Its standard deviation, ``(f,)``.
    """

    kinds: Sequence[str]
    mean: Array
    width: Array

    @classmethod
    def of(cls, x: Array, kinds: Sequence[str | None] | None = None) -> "Features":
        """Return the features of a sample.

        Args:
            x: Observations ``(n, n_observables)``.
            kinds: Kind of each observable; recognised where None.
        """
        given = kinds or [None] * x.shape[1]
        known = [of or kind(column) for of, column in zip(given, x.T, strict=True)]
        raw = _raw(x, known)
        width = raw.std(axis=0)
        return cls(known, raw.mean(axis=0), np.where(width > 0, width, 1.0))

    def __call__(self, x: Array) -> Array:
        """Return the features ``(n, f)`` of observations ``(n, n_observables)``."""
        features: Array = (_raw(x, self.kinds) - self.mean) / self.width
        return features.astype(np.float32)


def kind(column: Array) -> str:
    """Recognise the kind of an observable from its values ``(n,)``."""
    low, high = column.min(), column.max()
    if -np.pi <= low < -2.8 and 2.8 < high <= np.pi + 1e-6:
        return "angle"
    if low > 0 and np.quantile(column, 0.999) > _HEAVY * np.median(column):
        return "positive"
    return "plain"


def _raw(x: Array, kinds: Sequence[str]) -> Array:
    columns: list[Array] = []
    for column, of in zip(np.asarray(x, dtype=float).T, kinds, strict=True):
        match of:
            case "angle":
                columns += [np.sin(column), np.cos(column)]
            case "positive":
                # New events may have what those of the training had not.
                columns.append(np.log(np.maximum(column, 1e-9)))
            case _:
                columns.append(column)
    return np.stack(columns, axis=-1)
