"""Histograms of one observable, with what systematic uncertainties make of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from steps.arrays import Array

REFERENCE = "__sm"
"""Ending of the name of a signal's histogram at the Standard Model, where that is part of it."""


@dataclass(frozen=True)
class Histogram:
    """A histogram.

    Attributes:
        edges: Edges of the bins, ``(n + 1,)``.
        values: Contents ``(n,)``; events below the first edge and above the last are left out.
        variances: Their variances from finite simulation, ``(n,)``.
    """

    edges: Array
    values: Array
    variances: Array

    @classmethod
    def of(cls, x: Array, weights: Array, edges: Array) -> Self:
        """Fill a histogram with events at ``x`` ``(m,)`` of some ``weights`` ``(m,)``."""
        values, squares = (np.histogram(x, edges, weights=w)[0] for w in (weights, weights**2))
        return cls(edges, values.astype(float), squares.astype(float))

    def scaled(self, factor: float) -> "Histogram":
        """Return the histogram times a factor."""
        return Histogram(self.edges, factor * self.values, factor**2 * self.variances)


@dataclass(frozen=True)
class Template:
    """A histogram and its variations.

    Attributes:
        nominal: The histogram.
        variations: For each nuisance parameter the histograms at +1 and -1 standard deviation.
    """

    nominal: Histogram
    variations: Mapping[str, tuple[Histogram, Histogram]] = field(default_factory=dict)

    def scaled(self, factor: float) -> "Template":
        """Return the template times a factor."""
        return Template(
            self.nominal.scaled(factor),
            {n: (up.scaled(factor), down.scaled(factor)) for n, (up, down) in self._pairs()},
        )

    def side(self, name: str, side: int) -> Array:
        """Return the contents at +1 (side 0) or -1 (side 1) of a nuisance parameter, ``(n,)``.

        They are the nominal ones where the template does not know it.
        """
        pair = self.variations.get(name)
        return self.nominal.values if pair is None else pair[side].values

    def _pairs(self) -> list[tuple[str, tuple[Histogram, Histogram]]]:
        return list(self.variations.items())


SCALE = ("cross_section", "sum_of_weights", "luminosity", "k_factor", "filter_efficiency")
"""What :func:`scale_factor` takes, as files say it of their signal."""


def scale_factor(
    cross_section: float,
    sum_of_weights: float,
    luminosity: float,
    k_factor: float = 1.0,
    filter_efficiency: float = 1.0,
) -> float:
    """Return the factor from weights to expected events.

    Args:
        cross_section: Of the signal before cuts, in pb.
        sum_of_weights: Of all events before cuts, those that the filter let pass.
        luminosity: Integrated luminosity in 1/fb; with pb it makes 1000 events.
        k_factor: Of higher orders.
        filter_efficiency: Share of events that the generator's filter let pass.
    """
    per_weight = cross_section * k_factor * filter_efficiency / sum_of_weights
    return per_weight * luminosity * _PB_PER_FB


_PB_PER_FB = 1000.0
