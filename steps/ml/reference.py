"""Stage reference: where the likelihood lives, and what methods are compared to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from steps.arrays import Array, encoded
from steps.events import data_file, madminer_file
from steps.inference import clipping, histograms, judging, observing, samples
from steps.inference.clipping import Cuts, Scanned
from steps.inference.follow import effective_events, joined, reach
from steps.inference.frames import Frame
from steps.inference.morphing.polynomial import FormError, Polynomial
from steps.inference.nuisance import binned
from steps.inference.nuisance.binned import Responding
from steps.inference.nuisance.systematics import Nuisance
from steps.inference.observing import PREFIX
from steps.inference.references import REFERENCE, References, focus
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
        REFERENCE: _reference_vars(settings, setup.observables),
    }
    columns = {name: list(map(setup.observables.index, these)) for name, these in names.items()}
    sample = _sample(settings, args.data_file, columns)
    references, simulation = sample.references, sample.references.simulation
    events, weights = Events(str(args.data_file)), simulation.weights(target.theta_true[None])[0]
    whole, far = target, reach(weights, target.luminosity)
    if settings.zoom:
        region = focus(references.likelihoods(target), target, far)
        target = replace(target, region=region)
    if seen:
        live = focus(references.observed_likelihoods(whole, seen.x), whole, far)
        target = replace(target, region=joined(target.region, live))
    frame = Frame(target, settings.resolutions)
    curves = references.likelihoods(target)
    if seen:
        curves |= references.observed_likelihoods(target, seen.x)
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
    varied = _varied(settings, sample, args.data_file, target.region)
    if varied:
        report = command.progress(len(curves), "likelihoods with systematics")
        x = seen.x if seen else None
        arrays |= varied.learnt.to_arrays()
        arrays |= binned.limits(varied.responding, references, frame, curves, x, report)
    if settings.clip:
        arrays |= _clipped(settings, setup, sample, varied)
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
        references: The same, with bags, and the histograms of them.
    """

    events: Mapping[str, Array]
    references: References

    def fold_of_file(self, n: int) -> Array:
        """Return the folds of all n events of the file; those not in the sample are in any."""
        fold = np.arange(n) % _FOLDS
        fold[self.events["index"]] = self.references.fold
        return fold


def _sample(
    settings: stages.Reference, data_file: Path, columns: Mapping[str, Sequence[int]]
) -> _Sample:
    rng = seeds.generator(settings.seed, "reference")
    n = Events(str(data_file)).n
    chosen = samples.some(n, settings.n_samples_train or n, rng)
    events = samples.varied(str(data_file), chosen)
    simulation = Simulation.of(events, np.array(settings.region), settings.n_bags, rng)
    fold = seeds.generator(settings.seed, "folds").permutation(len(chosen)) % _FOLDS
    return _Sample(events, References(simulation, fold, columns))


@dataclass(frozen=True)
class _Varied:
    """Events that respond to nuisance parameters, and the networks that know how."""

    responding: Responding
    learnt: Learnt


def _varied(
    settings: stages.Reference, sample: _Sample, data_file: Path, region: Array
) -> _Varied | None:
    """Learn the responses of events; None where there are none.

    Responses hardly depend on the parameters: they are those of weights averaged over the region.
    """
    events, simulation = sample.events, sample.references.simulation
    polynomial = Polynomial.of(events["exponents"], region)
    try:
        polynomial.check_form(events["weights"])
    except FormError as error:
        if "nuisances" in events:
            print(f"no limits with systematics: {error}")
        return None
    averaged = polynomial.combined(events["benchmarks"], polynomial.average)
    fold = sample.references.fold
    varied = Varied.of(events, averaged, fold)
    if varied is None:
        return None
    names = madminer_file.read_setup(data_file).observables
    kinds = [settings.kinds.get(name) for name in names]
    responses = varied.learn(kinds, seeds.integer(settings.seed, "responses"))
    n, processes = Events(str(data_file)).n, varied.nominal.part.names
    learnt = Learnt(responses, processes, sample.fold_of_file(n))
    response = responses.unseen(events["x"], fold)
    nuisances = list(map(Nuisance.of, madminer_file.read_systematics(data_file)))
    return _Varied(Responding.of(simulation, events, varied.nominal, response, nuisances), learnt)


def _clipped(
    settings: stages.Reference,
    setup: madminer_file.Setup,
    sample: _Sample,
    varied: _Varied | None,
) -> dict[str, Array]:
    """Return limits against a cut, each where the likelihood below it lives."""
    target = Target.of({**vars(settings), "rates": settings.include_xsec})
    references = sample.references
    simulation = references.simulation
    case = judging.Case(
        Frame(target, settings.resolutions),
        target.region,
        simulation.weights,
        judging.Names(list(setup.parameters), setup.observables, list(setup.benchmarks)),
    )
    cuts = Cuts.of(settings.clip, target.region)
    column = setup.observables.index(cuts.observable)
    scanned = Scanned(
        case,
        simulation.x[:, column],
        simulation.multiplicity,
        lambda kept: references.taken(kept).likelihoods(target),
    )
    if settings.zoom:
        cuts = clipping.follow(scanned, cuts, f"{REFERENCE}/")
    arrays = clipping.scan(scanned, cuts)
    if varied:
        arrays |= binned.clipped(
            varied.responding, references, sample.events, scanned, cuts, column
        )
    return arrays


if __name__ == "__main__":
    command.run(main, "machine-learning")
