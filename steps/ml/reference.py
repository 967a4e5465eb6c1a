"""Stage reference: where the likelihood lives, and what methods are compared to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from steps.arrays import Array, encoded
from steps.events import data_file, madminer_file
from steps.events.observed import Observed
from steps.inference import clipping, histograms, judging, observing, samples
from steps.inference.clipping import Cuts, Scanned
from steps.inference.follow import effective_events, focus, joined, reach
from steps.inference.frames import NAMES, Frame
from steps.inference.histograms import Histogram
from steps.inference.likelihood import Densities
from steps.inference.morphing.polynomial import FormError, Polynomial
from steps.inference.nuisance.binned import Responding
from steps.inference.nuisance.systematics import Limits, Nuisance
from steps.inference.observing import PREFIX
from steps.inference.responding import Learnt, Varied
from steps.inference.simulation import Simulation
from steps.inference.targets import Target
from steps.madminer.events import Events
from steps.madminer.information import Information
from steps.settings import arguments, learning, observed, stages
from steps.stage import command, results, seeds
from steps.stage.files import atomic

_FOLDS = 4


def main() -> None:
    """Write ``reference.h5``: limits from the rate and from histograms, Fisher information."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    arguments.add(parser, "seed", "mlflow_args_e", short="mlflow_args_e")
    arguments.add_observed(parser, "observed events of stage check, or a file of them")
    args = parser.parse_args()

    settings = learning.of_stage(args, stages.Reference)
    target = Target.of({**vars(settings), "rates": settings.include_xsec})
    data_file.check(args.data_file)
    setup = madminer_file.read_setup(args.data_file)
    seen = observed.read(args.observed_file, setup.observables)
    names = {
        "histogram": settings.histogram_vars,
        "reference": _reference_vars(settings, setup.observables),
    }
    sample = _sample(settings, args.data_file)
    simulation, fold = sample.simulation, sample.fold
    filled = {
        name: Histogram.of(simulation, [setup.observables.index(one) for one in these], fold)
        for name, these in names.items()
    }
    events, weights = Events(str(args.data_file)), simulation.weights(target.theta_true[None])[0]
    whole, far = target, reach(weights, target.luminosity)
    if settings.zoom:
        target = replace(target, region=_focus(filled["reference"], target, far))
    if seen:
        live = _observed_focus(filled["reference"], whole, far, seen)
        target = replace(target, region=joined(target.region, live))
    frame = Frame(target, settings.resolutions)
    curves = _curves(filled, target)
    if seen:
        curves |= _observed_curves(filled, target, seen)
    n_expected = target.luminosity * events.cross_section(target.theta_true)
    # All events are worth as much each as those that were taken.
    effective = effective_events(weights) * events.n / len(weights)
    arrays = frame.arrays(n_expected) | {
        "n_expected_error": np.array(n_expected / np.sqrt(effective)),
        "parameters": encoded(setup.parameters),
        **{f"{name}_vars": encoded(these) for name, these in names.items()},
    }
    if seen:
        arrays |= observing.about(seen.about) | {f"{PREFIX}region": live}
    report = command.progress(len(curves), "likelihoods")
    for done, (name, likelihoods) in enumerate(curves.items(), start=1):
        arrays |= frame.curve(name, likelihoods)
        if name.startswith(PREFIX):
            best = observing.best_fit(arrays, name)
            distance = observing.distance(likelihoods[0], best, target.theta_true)
            arrays[f"truth/{name}"] = np.array([*distance, np.nan, 0])
        report(done)
    arrays |= _with_systematics(settings, sample, args.data_file, frame, filled)
    if settings.clip:
        arrays |= _clipped(settings, setup, simulation, fold, names)
    if settings.fisher_information["bool"]:
        theta = np.array(settings.fisher_information["theta_true"], dtype=float)
        information = Information(str(args.data_file), theta, settings.luminosity)
        for name, found in (
            ("rate", information.in_rate()),
            ("histogram", information.in_histogram(settings.fisher_information)),
        ):
            arrays[f"fisher/{name}"], arrays[f"fisher_error/{name}"] = found
    with atomic(args.output_dir / "reference.h5") as path:
        results.write(path, arrays)
    print(f"{arrays['expectation/n_expected']:.1f} events expected at the true point")
    for name, (low, high) in zip(setup.parameters, target.region, strict=True):
        print(f"{name}: limits are searched from {low:.3g} to {high:.3g}")


def _reference_vars(settings: stages.Reference, observables: Sequence[str]) -> Sequence[str]:
    """Return the observables of the reference: those asked for, all if these are few enough."""
    if settings.reference_vars:
        return settings.reference_vars
    return observables if len(observables) <= histograms.MOST else settings.histogram_vars


@dataclass(frozen=True)
class _Sample:
    """Events of the data file.

    Attributes:
        events: See :func:`steps.inference.samples.varied`.
        simulation: The same, with bags.
        fold: Fold of each, ``(n,)``.
    """

    events: Mapping[str, Array]
    simulation: Simulation
    fold: Array

    def fold_of_file(self, n: int) -> Array:
        """Return the folds of all n events of the file; those not in the sample are in any."""
        fold = np.arange(n) % _FOLDS
        fold[self.events["index"]] = self.fold
        return fold


def _sample(settings: stages.Reference, data_file: Path) -> _Sample:
    rng = seeds.generator(settings.seed, "reference")
    n = Events(str(data_file)).n
    chosen = samples.some(n, settings.n_samples_train or n, rng)
    events = samples.varied(str(data_file), chosen)
    simulation = Simulation.of(events, np.array(settings.region), settings.n_bags, rng)
    fold = seeds.generator(settings.seed, "folds").permutation(len(chosen)) % _FOLDS
    return _Sample(events, simulation, fold)


def _with_systematics(
    settings: stages.Reference,
    sample: _Sample,
    data_file: Path,
    frame: Frame,
    filled: Mapping[str, Histogram],
) -> dict[str, Array]:
    """Return networks of responses, and limits with systematic uncertainties; nothing without.

    Responses hardly depend on the parameters: they are those of weights averaged over the region.
    """
    events = sample.events
    polynomial = Polynomial.of(events["exponents"], frame.target.region)
    try:
        polynomial.check_form(events["weights"])
    except FormError as error:
        if "nuisances" in events:
            print(f"no limits with systematics: {error}")
        return {}

    def averaged(weights: Array) -> Array:
        mean: Array = polynomial.coefficients(weights, events["benchmarks"]) @ polynomial.average
        return mean

    varied = Varied.of(events, averaged, sample.fold)
    if varied is None:
        return {}
    names = madminer_file.read_setup(data_file).observables
    kinds = [settings.kinds.get(name) for name in names]
    responses = varied.learn(kinds, seeds.integer(settings.seed, "responses"))
    n, processes = Events(str(data_file)).n, varied.nominal.part.names
    learnt = Learnt(responses, processes, sample.fold_of_file(n))
    responding = Responding.of(
        sample.simulation,
        events,
        varied.nominal,
        responses.unseen(events["x"], sample.fold),
        list(map(Nuisance.of, madminer_file.read_systematics(data_file))),
    )
    models = {name: responding.of_histogram(each) for name, each in filled.items()}
    models["rate"] = responding.of_rate()
    arrays, curves = learnt.to_arrays(), _curves(filled, frame.target)
    report = command.progress(len(curves), "likelihoods with systematics")
    for done, (name, likelihoods) in enumerate(curves.items(), start=1):
        model = models[name.partition("/")[0]]
        arrays |= Limits.of(model, frame, name, likelihoods).arrays
        report(done)
    return arrays


def _curves(filled: Mapping[str, Histogram], target: Target) -> dict[str, list[Densities]]:
    """Return the likelihoods of the rate alone, and of each histogram."""
    options = (target.region, target.theta_true, target.luminosity)
    return _of_each(
        filled, target, lambda of, rate: histograms.likelihoods(of, *options, with_rate=rate)
    )


def _of_each(
    filled: Mapping[str, Histogram],
    target: Target,
    likelihoods: Callable[[Histogram, bool], list[Densities]],
) -> dict[str, list[Densities]]:
    """Return what a function makes of the rate alone, and of each histogram."""
    # One bin for all events knows their number alone.
    curves = {
        "rate": [
            replace(each, counts=each.counts.sum(keepdims=True), densities=each.norm[None])
            for each in likelihoods(filled["reference"], True)
        ]
    }
    for name, histogram in filled.items():
        for with_rate in target.rates:
            curves[f"{name}/{NAMES[with_rate]}"] = likelihoods(histogram, with_rate)
    return curves


def _clipped(
    settings: stages.Reference,
    setup: madminer_file.Setup,
    simulation: Simulation,
    fold: Array,
    names: Mapping[str, Sequence[str]],
) -> dict[str, Array]:
    """Return limits against a cut, each where the likelihood below it lives."""
    target = Target.of({**vars(settings), "rates": settings.include_xsec})
    columns = {name: [setup.observables.index(o) for o in these] for name, these in names.items()}

    def likelihoods(kept: Array) -> dict[str, list[Densities]]:
        part = clipping.of_simulation(simulation, kept)
        return _curves(
            {name: Histogram.of(part, these, fold[kept]) for name, these in columns.items()},
            target,
        )

    case = judging.Case(
        Frame(target, settings.resolutions),
        target.region,
        simulation.weights,
        judging.Names(list(setup.parameters), setup.observables, list(setup.benchmarks)),
    )
    cuts = Cuts.of(settings.clip, target.region)
    values = simulation.x[:, setup.observables.index(cuts.observable)]
    scanned = Scanned(case, values, simulation.multiplicity, likelihoods)
    if settings.zoom:
        cuts = clipping.follow(scanned, cuts, "reference/")
    return clipping.scan(scanned, cuts)


def _observed_curves(
    filled: Mapping[str, Histogram], target: Target, seen: Observed
) -> dict[str, list[Densities]]:
    """Return the same as :func:`_curves` given observed events."""
    options = (seen.x, target.region, target.luminosity)
    found = _of_each(
        filled,
        target,
        lambda of, rate: histograms.observed_likelihoods(of, *options, with_rate=rate),
    )
    return {f"{PREFIX}{name}": likelihoods for name, likelihoods in found.items()}


def _focus(histogram: Histogram, target: Target, far: float) -> Array:
    """Return where the likelihoods live."""
    options = (target.region, target.theta_true, target.luminosity)
    return focus(
        [
            histograms.likelihoods(histogram, *options, with_rate=with_rate)[0]
            for with_rate in target.rates
        ],
        target.region,
        target.theta_true,
        far,
    )


def _observed_focus(histogram: Histogram, target: Target, far: float, seen: Observed) -> Array:
    """Return where the likelihoods given observed events live."""
    options = (seen.x, target.region, target.luminosity)
    return focus(
        [
            histograms.observed_likelihoods(histogram, *options, with_rate=with_rate)[0]
            for with_rate in target.rates
        ],
        target.region,
        target.theta_true,
        far,
    )


if __name__ == "__main__":
    command.run(main, "machine-learning")
