"""What methods are compared to: limits of the number of events alone, and of histograms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from steps.arrays import Array
from steps.inference import clipping, follow, histograms
from steps.inference.frames import NAMES
from steps.inference.histograms import Histogram
from steps.inference.likelihood import Densities
from steps.inference.observing import PREFIX
from steps.inference.simulation import Simulation
from steps.inference.targets import Target

RATE = "rate"
"""Name of the likelihood of the number of events alone."""

REFERENCE = "reference"
"""Name of the histogram that says most."""


def focus(curves: Mapping[str, Sequence[Densities]], target: Target, far: float) -> Array:
    """Return where likelihoods of the reference live, see :func:`steps.inference.follow.focus`.

    Args:
        curves: Likelihoods by name, in all of the target's region.
        target: What limits are wanted of.
        far: How far down the log likelihood is followed.
    """
    nominal = [found[0] for name, found in curves.items() if source(name) == REFERENCE]
    return follow.focus(nominal, target.region, target.theta_true, far)


def source(name: str) -> str:
    """Return what a likelihood is of: the rate, or the name of a histogram."""
    return name.removeprefix(PREFIX).partition("/")[0]


@dataclass(frozen=True)
class References:
    """Simulated events, and the histograms that are filled with them.

    Attributes:
        simulation: The events.
        fold: Fold of each, ``(n,)``, judged by the bins that the others fill.
        columns: Numbers of the observables of each histogram by its name.
    """

    simulation: Simulation
    fold: Array
    columns: Mapping[str, Sequence[int]]

    @cached_property
    def filled(self) -> dict[str, Histogram]:
        """The histograms by name."""
        return {
            name: Histogram.of(self.simulation, these, self.fold)
            for name, these in self.columns.items()
        }

    def taken(self, kept: Array) -> Self:
        """Return some of the events, ``(n,)`` of truth values."""
        part = clipping.of_simulation(self.simulation, kept)
        return type(self)(part, self.fold[kept], self.columns)

    def likelihoods(self, target: Target) -> dict[str, list[Densities]]:
        """Return those given the expected data by name, nominal and of each bag."""
        options = (target.region, target.theta_true, target.luminosity)
        return self._of_each(
            target, lambda of, rate: histograms.likelihoods(of, *options, with_rate=rate)
        )

    def observed_likelihoods(self, target: Target, x: Array) -> dict[str, list[Densities]]:
        """Return those given observed events ``(m, n_observables)``, ``observed/...``."""
        options = (x, target.region, target.luminosity)
        found = self._of_each(
            target, lambda of, rate: histograms.observed_likelihoods(of, *options, with_rate=rate)
        )
        return {f"{PREFIX}{name}": likelihoods for name, likelihoods in found.items()}

    def _of_each(
        self, target: Target, likelihoods: Callable[[Histogram, bool], list[Densities]]
    ) -> dict[str, list[Densities]]:
        # One bin for all events knows their number alone.
        curves = {
            RATE: [
                replace(each, counts=each.counts.sum(keepdims=True), densities=each.norm[None])
                for each in likelihoods(self.filled[REFERENCE], True)
            ]
        }
        for name, histogram in self.filled.items():
            for with_rate in target.rates:
                curves[f"{name}/{NAMES[with_rate]}"] = likelihoods(histogram, with_rate)
        return curves
