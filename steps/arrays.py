"""The type of arrays whose shape and content their docstrings tell."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
