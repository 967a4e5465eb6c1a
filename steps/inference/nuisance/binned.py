"""Bins whose processes respond to nuisance parameters: of the rate, of histograms, of scores.

A bin has densities of each process as it has of their sum, and responses that are those of its
events (:func:`steps.inference.responding.in_bins`). The number of events of all processes at
nu = +-1 is that of the simulated weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference import histograms
from steps.inference.analysis import Analysis
from steps.inference.closure import Binning
from steps.inference.cross_fitted import Rates, Sample
from steps.inference.histograms import Histogram
from steps.inference.morphing.ensemble import Events
from steps.inference.morphing.processes import Part, Processes
from steps.inference.morphing.responses import Response
from steps.inference.morphing.variations import Nominal
from steps.inference.nuisance import systematics
from steps.inference.nuisance.systematics import Model, Nuisance
from steps.inference.responding import in_bins
from steps.inference.simulation import Simulation


@dataclass(frozen=True)
class Responding:
    """Simulated events that respond to nuisance parameters.

    Attributes:
        simulation: The events.
        nominal: The same with weights that responses are averaged with, and folds of histograms.
        response: Their responses.
        rates: Cross sections of each process by name, of the nominal sample and each bag.
        nuisances: The nuisance parameters.
    """

    simulation: Simulation
    nominal: Nominal
    response: Response
    rates: Sequence[Mapping[str, Rates]]
    nuisances: Sequence[Nuisance]

    @classmethod
    def of(
        cls,
        simulation: Simulation,
        events: Mapping[str, Array],
        nominal: Nominal,
        response: Response,
        nuisances: Sequence[Nuisance],
    ) -> Self:
        """Return events with their rates.

        Args:
            simulation: The events.
            events: The same, see :func:`steps.inference.samples.varied`.
            nominal: See the attributes.
            response: Their responses.
            nuisances: The nuisance parameters of their file.
        """
        processes = _processes(simulation, nominal.part)
        rates = systematics.rates_of_bags(events, processes, simulation.multiplicity)
        return cls(simulation, nominal, response, rates, nuisances)

    @cached_property
    def parts(self) -> dict[str, Array]:
        """Coefficients of the events' weights as those of each process, ``(n, c_p)``."""
        part = self.nominal.part
        split = _processes(self.simulation, part).split(self.simulation.coefficients, part)
        return dict(zip(part.names, split, strict=True))

    def of_rate(self) -> Model:
        """Return one bin for all events, which knows their number alone."""
        names = self.rates[0]
        parts = {n: np.stack([each[n].nominal for each in self.rates])[:, None] for n in names}
        everywhere = np.zeros(len(self.nominal.x), dtype=np.int64)
        response = in_bins(self.nominal, self.response, everywhere, 1)
        return self._model(parts, np.ones((len(self.rates), 1)), response)

    def of_histogram(self, histogram: Histogram) -> Model:
        """Return the bins of a histogram, those of each fold as rows."""
        columns, fold = histogram.columns, self.nominal.fold
        n_bags, n_folds, n_bins = histogram.events.shape
        # Densities of about one.
        region = histogram.polynomial.region
        unit = histogram.norms() @ histogram.polynomial.weights(region.mean(axis=1)[None])[0]
        parts = {
            name: Histogram.of(
                replace(self.simulation, coefficients=own), columns, fold
            ).densities.reshape(n_bags, n_folds * n_bins, -1)
            / unit[:, None, None]
            for name, own in self.parts.items()
        }
        index, _ = histograms.bins(self.simulation.x[:, list(columns)], histogram.edges)
        response = in_bins(self.nominal, self.response, index, n_bins)
        every = Response(
            *(np.tile(each, (1, n_folds, 1)) for each in (response.linear, response.quadratic))
        )
        model = self._model(parts, histogram.events.reshape(n_bags, -1), every)
        return replace(model, filled=histogram.filled())

    def of_scores(self, analysis: Analysis, bins: Binning) -> Model:
        """Return bins of scores, see :meth:`steps.inference.analysis.Analysis.bins`."""
        filling = analysis.parts.filling
        nominal = Nominal(
            self.nominal.x[filling],
            self.nominal.weights[filling],
            Part(self.nominal.part.number[filling], self.nominal.part.names),
            self.nominal.fold[filling],
        )
        response = Response(self.response.linear[:, filling], self.response.quadratic[:, filling])
        rows = range(len(self.rates))
        contents = {
            name: np.stack([analysis.contents(bins, own, row) for row in rows])
            for name, own in self.parts.items()
        }
        total = analysis.simulation.coefficients
        filled = np.stack([analysis.contents(bins, total, row).any(axis=1) for row in rows])
        parts = {
            name: np.where(filled[..., None], own, own.sum(axis=1, keepdims=True))
            for name, own in contents.items()
        }
        in_each = in_bins(nominal, response, bins.index[: len(filling)], bins.size)
        return self._model(parts, filled.astype(float), in_each)

    def _model(self, parts: Mapping[str, Array], multiplicity: Array, response: Response) -> Model:
        processes = _processes(self.simulation, self.nominal.part)
        densities = processes.total(list(parts.values()))
        polynomial = self.simulation.polynomial
        events = Events(densities, multiplicity, polynomial, parts)
        sample = Sample(events, densities[0] * multiplicity[0][:, None], response=response)
        return Model(sample, self.rates, self.nuisances)


def _processes(simulation: Simulation, part: Part) -> Processes:
    return Processes.of(simulation.polynomial, simulation.coefficients, part)
