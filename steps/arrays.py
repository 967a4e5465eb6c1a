"""The type of arrays whose shape and content their docstrings tell, and texts as such."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def encoded(texts: Iterable[str]) -> Array:
    """Return texts as HDF5 keeps them, in UTF-8, ``(n,)``."""
    return np.array([text.encode() for text in texts], dtype="S")


def decoded(array: Array) -> list[str]:
    """Return the texts that :func:`encoded` made an array of."""
    return [text.decode() for text in array.tolist()]
