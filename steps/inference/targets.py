"""What limits are wanted of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steps.arrays import Array


@dataclass(frozen=True)
class Target:
    """The expected data, and where limits are set.

    Attributes:
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        theta_true: True point of the expected data, ``(p,)``.
        luminosity: Integrated luminosity in 1/pb.
        rates: Whether limits are with the number of events, without, or both.
        keep: Part of the region that stays in it wherever the expected data lead, as observed ones
            lead there, ``(p, 2)``; None where there are none.
    """

    region: Array
    theta_true: Array
    luminosity: float
    rates: Sequence[bool]
    keep: Array | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Target":
        """Return what plain numbers say, by the names of the attributes."""
        return cls(
            np.array(facts["region"], dtype=float),
            np.array(facts["theta_true"], dtype=float),
            facts["luminosity"],
            facts["rates"],
            np.array(facts["keep"], dtype=float) if "keep" in facts else None,
        )
