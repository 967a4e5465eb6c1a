"""Bins whose processes respond to nuisance parameters: of the rate, of histograms, of scores.

A bin has densities of each process as it has of their sum, and responses that are those of its
events (:func:`steps.inference.responding.in_bins`). The number of events of all processes at
nu = +-1 is that of the simulated weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference import clipping, histograms
from steps.inference.analysis import Analysis
from steps.inference.clipping import Cuts, Scanned
from steps.inference.closure import Binning
from steps.inference.cross_fitted import Rates, Sample
from steps.inference.frames import Frame
from steps.inference.histograms import Histogram
from steps.inference.likelihood import Densities, Likelihood
from steps.inference.morphing.ensemble import Events
from steps.inference.morphing.processes import Processes
from steps.inference.morphing.responses import Response
from steps.inference.morphing.variations import Nominal
from steps.inference.nuisance import systematics
from steps.inference.nuisance.systematics import Limits, Model, Nuisance
from steps.inference.observing import PREFIX as OBSERVED
from steps.inference.observing import Data
from steps.inference.references import RATE, References, source
from steps.inference.responding import in_bins
from steps.inference.simulation import Simulation


@dataclass(frozen=True)
class Responding:
    """Simulated events that respond to nuisance parameters.

    Attributes:
        simulation: The events.
        nominal: The same with weights that responses are averaged with, and folds of histograms.
        response: Their responses.
        processes: What they are of.
        rates: Cross sections of each process by name, of the nominal sample and each bag.
        nuisances: The nuisance parameters.
    """

    simulation: Simulation
    nominal: Nominal
    response: Response
    processes: Processes
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
        processes = Processes.of(simulation.polynomial, simulation.coefficients, nominal.part)
        rates = systematics.rates_of_bags(events, processes, simulation.multiplicity)
        return cls(simulation, nominal, response, processes, rates, nuisances)

    @cached_property
    def parts(self) -> dict[str, Array]:
        """Coefficients of the events' weights as those of each process, ``(n, c_p)``."""
        part = self.nominal.part
        split = self.processes.split(self.simulation.coefficients, part)
        return dict(zip(part.names, split, strict=True))

    def below(self, events: Mapping[str, Array], observable: int, cut: float) -> Self:
        """Return the events below a cut on an observable, which a shift may move across it.

        Args:
            events: The same events, see :func:`steps.inference.samples.varied`.
            observable: Number of the observable.
            cut: The cut.
        """
        kept = self.nominal.x[:, observable] < cut
        left, multiplicity = (
            systematics.below(events, observable, cut),
            self.simulation.multiplicity,
        )
        return replace(
            self,
            simulation=clipping.of_simulation(self.simulation, kept),
            nominal=self.nominal.taken(kept),
            response=self.response.taken(kept),
            rates=systematics.rates_of_bags(left, self.processes, multiplicity),
        )

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
        nominal, response = self.nominal.taken(filling), self.response.taken(filling)
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
        densities = self.processes.total(list(parts.values()))
        polynomial = self.simulation.polynomial
        events = Events(densities, multiplicity, polynomial, parts)
        sample = Sample(events, densities[0] * multiplicity[0][:, None], response=response)
        return Model(sample, self.rates, self.nuisances)


def seen(model: Model, histogram: Histogram, x: Array) -> Data:
    """Return observed events ``(m, n_observables)`` as the model of a histogram knows them.

    They are in no fold: the mean of what the folds say judges them.
    """
    index, _ = histograms.bins(x[:, list(histogram.columns)], histogram.edges)
    rows, response = model.sample.events, model.sample.response
    assert response is not None

    def mean(densities: Array) -> Array:
        found: Array = densities.reshape(*histogram.events.shape, -1).mean(axis=1)[:, index]
        return found

    parts = {name: mean(own) for name, own in rows.parts.items()}
    # All folds respond alike; the first one's bins are the first rows.
    return Data(x, mean(rows.densities), parts, response.taken(index))


def models(responding: Responding, references: References) -> dict[str, Model]:
    """Return the rate and the histograms that methods are compared to, by what they are of."""
    found = {name: responding.of_histogram(each) for name, each in references.filled.items()}
    return found | {RATE: responding.of_rate()}


def limits(
    responding: Responding,
    references: References,
    frame: Frame,
    curves: Mapping[str, Sequence[Densities]],
    observed: Array | None,
    report: Callable[[int], None],
) -> dict[str, Array]:
    """Return limits of the rate and of histograms with systematic uncertainties.

    Args:
        responding: The simulated events.
        references: The same events, and the histograms.
        frame: Where limits are set.
        curves: Likelihoods of the references by name, without systematic uncertainties.
        observed: The observed events of those that are given them, ``(m, n_observables)``.
        report: Is told how many likelihoods are done.

    Returns:
        Of each likelihood the arrays of :class:`steps.inference.nuisance.systematics.Limits`; given
        observed events also what :meth:`steps.inference.nuisance.systematics.Limits.truth` returns.
    """
    of = models(responding, references)
    data: dict[str, Data] = {}
    if observed is not None:
        filled = references.filled.items()
        data = {name: seen(of[name], each, observed) for name, each in filled}
    arrays: dict[str, Array] = {}
    for done, (name, likelihoods) in enumerate(curves.items(), start=1):
        of_data, what = name.startswith(OBSERVED), source(name)
        found = Limits.of(
            of[what], frame, name, likelihoods, seen=data.get(what) if of_data else None
        )
        arrays |= found.arrays
        if of_data:
            arrays |= found.truth(frame.target.theta_true)
        report(done)
    return arrays


def clipped(
    responding: Responding,
    references: References,
    events: Mapping[str, Array],
    scanned: Scanned,
    cuts: Cuts,
    observable: int,
) -> dict[str, Array]:
    """Return the limits of the events below each cut, with systematic uncertainties.

    Args:
        responding: The simulated events.
        references: The same events, and the histograms.
        events: The same events, see :func:`steps.inference.samples.varied`.
        scanned: The scan without systematic uncertainties.
        cuts: Its cuts.
        observable: Number of the observable that is cut on.

    Returns:
        See :func:`steps.inference.clipping.scan`, of ``systematics/<name>``.
    """

    @cache
    def part(cut: float) -> dict[str, Model]:
        below = responding.below(events, observable, cut)
        return models(below, references.taken(scanned.kept(cut)))

    def with_all(cut: float, name: str, found: Sequence[Densities]) -> Sequence[Likelihood]:
        luminosity = scanned.case.frame.target.luminosity
        return systematics.profiled(part(cut)[source(name)], found, luminosity)[0]

    return clipping.scan(replace(scanned, corrected=with_all, prefix=systematics.PREFIX), cuts)
