"""Stage evaluating: limits of one trained network, and how well it knows the truth."""

import argparse
import tarfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.events.observed import Observed
from steps.inference import (
    covering,
    evaluation,
    frames,
    judging,
    networks,
    observing,
    quality,
    samples,
    summary,
)
from steps.inference.analysis import Analysis, Parts, log_likelihoods
from steps.inference.clipping import Cuts
from steps.inference.closure import from_arrays
from steps.inference.cross_fitted import Rates, Sample
from steps.inference.goodness import Expected, Quantity
from steps.inference.methods import METHODS, Kind, Likelihood, Method
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.nuisance import scores, systematics
from steps.inference.nuisance.binned import Responding
from steps.inference.nuisance.judging import closures, unclosed
from steps.inference.nuisance.scores import Scores
from steps.inference.nuisance.systematics import Model, Nuisance
from steps.inference.observing import PREFIX, Data
from steps.inference.responding import Learnt, Varied
from steps.inference.simulation import Simulation
from steps.inference.targets import Target
from steps.madminer.estimator import Estimator
from steps.madminer.events import Events
from steps.madminer.information import Information
from steps.settings import arguments, learning, observed, stages
from steps.stage import command, provenance, reads, results, seeds
from steps.stage.errors import InputError, SettingError, reading
from steps.stage.files import atomic, discard, sha256, unpack
from steps.tracking import record as tracking


@dataclass(frozen=True)
class _Task:
    """What networks are evaluated with: settings, events, what training wrote, where limits are."""

    settings: stages.Evaluating
    data_file: Path
    about: Mapping[str, Any]
    frame: frames.Frame
    observed: Observed | None
    learnt: Learnt | None

    @property
    def method(self) -> Method:
        return METHODS[self.about["method"]]

    @cached_property
    def events(self) -> Events:
        return Events(str(self.data_file))

    @cached_property
    def names(self) -> judging.Names:
        setup = madminer_file.read_setup(self.data_file)
        return judging.Names(list(setup.parameters), setup.observables, list(setup.benchmarks))

    @cached_property
    def nuisances(self) -> list[Nuisance]:
        return list(map(Nuisance.of, madminer_file.read_systematics(self.data_file)))

    def random(self, *purpose: str) -> np.random.Generator:
        return seeds.generator(self.about["seed"], *purpose)

    def expectation(self) -> dict[str, Array]:
        """Return what results of the same expected data share."""
        target = self.frame.target
        cross_section = self.events.cross_section(target.theta_true)
        return self.frame.arrays(target.luminosity * cross_section)


def main() -> None:
    """Write ``Results_<method>.tar.gz``: ``results.h5`` beside the model it was made with."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    parser.add_argument(
        "--reference-file",
        type=command.optional_path,
        help="what stage reference wrote: where limits are set; without it, in all of the region",
    )
    parser.add_argument("--model-file", type=Path, required=True, help="archive of the model")
    arguments.add(parser, "mlflow_args_e", short="mlflow_args_e")
    arguments.add_observed(parser, "observed events of stage check, or a file of them")
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("evaluating", args) as record:
        _evaluate(args, record)


def _evaluate(args: argparse.Namespace, record: tracking.Record) -> None:
    settings = learning.of_stage(args, stages.Evaluating)
    for earlier in ("models", "Results_*.tar.gz"):
        discard(args.output_dir, earlier)
    folder = _unpacked(args.model_file, args.output_dir / "models")
    about = provenance.read(folder / "training.yml")
    with _reading(args.model_file):
        losses = np.load(folder / "losses.npy", allow_pickle=False)
    _check_origin(settings, args.data_file, about)
    method = METHODS[about["method"]]
    _track_origin(record, settings, args.data_file, about)
    seeds.seed_globally(about["seed"], "evaluating")
    known = results.read(args.reference_file) if args.reference_file else {}
    setup = madminer_file.read_setup(args.data_file)
    seen = observed.read(args.observed_file, setup.observables)
    learnt = _learnt(args, known)
    task = _Task(settings, args.data_file, about, _frame(settings, known), seen, learnt)
    arrays = task.expectation() | observing.about(seen.about if seen else None)
    if method.cross_fits(about["estimator"]):
        clip = _cuts(settings, args.reference_file, known)
        with _reading(args.model_file):
            ensemble = Ensemble.load(folder / method.name)
        arrays |= _cross_fitted(task, ensemble, clip)
    else:
        with _reading(args.model_file):
            model = networks.load(folder / method.name, method, about["estimator"])
        arrays |= _network(task, model) | _quality(task, model)
        arrays |= _information(task, folder / method.name)
    archive_file = args.output_dir / f"Results_{method.name}.tar.gz"
    with atomic(archive_file) as path:
        results_file = args.output_dir / "results.h5"
        results.write(results_file, arrays | {"losses": losses})
        with tarfile.open(path, "w:gz") as archive:
            archive.add(results_file, arcname="results.h5")
            archive.add(folder / "training.yml", arcname="training.yml")
            archive.add(folder, arcname=f"models/{method.name}")
    for name in ("closure/correlation", "closure/slope"):
        if name in arrays:
            print(f"{method.name}: {name}: {np.round(arrays[name], 3)}")
    reads.note(args.output_dir, _read(task))
    if record.on:
        _track_results(record, task, arrays)
        record.files([archive_file])


def _reading(model_file: Path) -> AbstractContextManager[None]:
    return reading(model_file, "a model of stage training", "train it again")


def _unpacked(model_file: Path, place: Path) -> Path:
    """Unpack the one folder of a model."""
    unpack(model_file, place)
    with _reading(model_file):
        (folder,) = place.iterdir()
    return folder


def _read(task: _Task) -> list[str]:
    """Return which parts of the settings were read."""
    names = {field.name for field in fields(task.settings)} - {"thetas"}
    if not task.method.cross_fits(task.about["estimator"]):
        names -= {"clip"} if task.observed else {"clip", "toys"}
    return [*names, f"thetas/{task.method.name}"]


def _check_origin(settings: stages.Evaluating, data_file: Path, about: Mapping[str, Any]) -> None:
    """Refuse to judge a network on events that it has seen, or may have seen."""
    wanted, kept = settings.test_split, about["partition"]["test_split"]
    if wanted > kept:
        raise SettingError(
            f"test_split: {wanted:g} exceeds the {kept:g} of the training sample: the network "
            "would be judged on events that it trained on; give both the same"
        )
    if sha256(data_file) != about["data_file_sha256"]:
        raise InputError(
            f"{data_file}: not the data file that the network's sample was drawn from; give that "
            "one, or draw and train again"
        )
    if about["method"] not in settings.thetas:
        raise SettingError(
            f"methods: {about['method']} is not among those of the input file "
            f"({', '.join(settings.thetas)}); give the one that the network was trained with"
        )


def _frame(settings: stages.Evaluating, known: Mapping[str, Array]) -> frames.Frame:
    """Return the points that limits are set at: those of the reference, or all of the region."""
    target = Target.of({**vars(settings), "rates": settings.include_xsec})
    target = replace(target, region=known.get("expectation/region", target.region))
    return frames.Frame(target, settings.resolutions)


def _learnt(args: argparse.Namespace, known: Mapping[str, Array]) -> Learnt | None:
    """Return the networks of responses to nuisance parameters; None where there are none."""
    names = [each["name"] for each in madminer_file.read_systematics(args.data_file)]
    if not names:
        return None
    if not args.reference_file:
        print("no limits with systematics: give --reference-file, which has responses to them")
        return None
    learnt = Learnt.of(known)
    if learnt is None:
        print(f"no limits with systematics: {args.reference_file} has no responses to them")
        return None
    if [*learnt.responses.names] != names or len(learnt.fold) != Events(str(args.data_file)).n:
        raise InputError(
            f"{args.reference_file}: responses are not of the events of {args.data_file}; make it "
            "from that file"
        )
    return learnt


def _cuts(
    settings: stages.Evaluating, reference_file: Path | None, known: Mapping[str, Array]
) -> Cuts | None:
    """Return the cuts of a scan, and where the reference searched; None without a scan."""
    if not settings.clip:
        return None
    cuts = Cuts.of(settings.clip, np.array(settings.region, dtype=float))
    if not reference_file:
        return cuts
    if not cuts.are_those_of(known):
        raise InputError(
            f"{reference_file}: asymptotic_limits: clip: other cuts, or none; make it with the "
            "same settings"
        )
    return replace(cuts, regions=known["clip/region"])


def _network(task: _Task, model: Estimator) -> dict[str, Array]:
    """Evaluate a network of MadMiner's."""
    settings, method, target = task.settings, task.method, task.frame.target
    rng = task.random("bags")
    events = samples.varied(str(task.data_file))
    simulation = Simulation.of(events, target.region, settings.n_bags, rng)
    parts = Parts.of(len(events["x"]), settings.test_split, settings.n_samples_train, rng)
    seen = task.observed.x if task.observed else None
    analysis = Analysis(simulation, parts, target, task.frame.points, seen)
    spec = settings.thetas[method.name]
    named = samples.points(spec["theta_1" if method.kind is Kind.RATIO else "theta_0"])
    references = [task.events.point(point) for point in named]
    kinematics = log_likelihoods(analysis, method, model, references)
    trained = np.array(task.about["expectation"]["region"])
    case = judging.Case(task.frame, trained, simulation.weights, task.names)
    rate, rows = analysis.rate(), slice(len(simulation.multiplicity))
    arrays = evaluation.of_grid(case, kinematics[rows], rate[rows])
    if task.learnt and method.likelihood is Likelihood.HISTOGRAM:
        arrays |= _hardened(task, model, analysis, events, references[0])
    if seen is None:
        return arrays
    rows = slice(len(simulation.multiplicity), None)
    counted = evaluation.Counted(
        {
            name: Quantity(*columns)
            for name, *columns in zip(task.names.observables, simulation.x.T, seen.T, strict=True)
        },
        Expected(simulation.polynomial, target.luminosity * simulation.coefficients),
        covering.MORE * settings.toys["n_toys"],
    )
    return arrays | evaluation.of_observed_grid(
        case, kinematics[rows], rate[rows], counted, task.random
    )


def _hardened(
    task: _Task,
    model: Estimator,
    analysis: Analysis,
    events: Mapping[str, Array],
    reference: Array,
) -> dict[str, Array]:
    """Return limits with systematic uncertainties of a network of the score at a point."""
    assert task.learnt is not None
    simulation, learnt = analysis.simulation, task.learnt
    polynomial = simulation.polynomial
    there = polynomial.combined(events["benchmarks"], polynomial.weights(reference[None])[0])
    varied = Varied.of(events, there, learnt.fold)
    assert varied is not None
    kinds = learnt.responses.features.kinds
    whole = varied.merged().learn(kinds, seeds.integer(task.about["seed"], "responses"))
    nuisance = whole.unseen(simulation.x, learnt.fold).linear[0]
    nuisance = nuisance[np.concatenate([analysis.parts.filling, analysis.parts.test])]
    if analysis.observed is not None:
        nuisance = np.vstack([nuisance, whole(analysis.observed).linear[0]])
    names = varied.nominal.part.names
    response = learnt.of_rows(simulation.x, events["index"], names)
    responding = Responding.of(simulation, events, varied.nominal, response, task.nuisances)
    found = Scores(model.score(analysis.scored, len(reference)), nuisance, reference)
    return scores.limits(analysis, responding, found, task.frame)


def _information(task: _Task, model_file: Path) -> dict[str, Array]:
    theta = _information_point(task.settings)
    if task.method.kind is not Kind.SCORE or theta is None:
        return {}
    information = Information(str(task.data_file), theta, task.settings.luminosity)
    return {f"fisher/{task.method.name}": information.in_score(str(model_file))}


def _cross_fitted(task: _Task, model: Ensemble, clip: Cuts | None) -> dict[str, Array]:
    """Evaluate cross-fitted networks."""
    settings, toys = task.settings, task.settings.toys
    events = samples.varied(str(task.data_file), model.index)
    response = None
    if task.learnt:
        response = task.learnt.of_rows(events["x"], events["index"], list(model.dependent))
    named = samples.single_point(settings.thetas[task.method.name]["theta_1"])
    # Joint ratios need one point to be relative to; the true one where there are several.
    reference = task.frame.target.theta_true if named is None else task.events.point(named)
    evaluated = evaluation.Evaluated(
        sample=Sample.of(model, events, response),
        x=events["x"],
        benchmarks=events["benchmarks"],
        frame=task.frame,
        names=task.names,
        data=_data(task, model),
    )
    wanted = evaluation.Wanted(
        method=task.method.name,
        n_toys=toys["n_toys"],
        covered=toys["points"],
        information=_information_point(settings),
        reference=reference,
        n_joint=settings.n_samples_test,
        clip=clip,
    )
    arrays = evaluation.of_cross_fitted(evaluated, wanted, task.random)
    return arrays | _with_systematics(task, model, evaluated, events, clip)


def _data(task: _Task, model: Ensemble) -> Data | None:
    if task.observed is None:
        return None
    x = task.observed.x
    return Data.of(model, x, task.learnt(x, list(model.dependent)) if task.learnt else None)


def _with_systematics(
    task: _Task,
    model: Ensemble,
    evaluated: evaluation.Evaluated,
    events: Mapping[str, Array],
    clip: Cuts | None,
) -> dict[str, Array]:
    """Return limits with systematic uncertainties; nothing where there are none."""
    if not task.learnt:
        return {}
    sample, observables = evaluated.sample, evaluated.names.observables

    def rates(events: Mapping[str, Array]) -> list[dict[str, Rates]]:
        return systematics.rates_of_bags(events, model.processes, model.multiplicity)

    responding = Model(sample, rates(events), task.nuisances)
    theta, luminosity = task.frame.target.theta_true, task.frame.target.luminosity
    expected, n_toys = responding.expected(theta, luminosity), task.settings.toys["n_toys"]
    doubts = unclosed(closures(events, sample, theta), expected, observables)
    arrays = systematics.limits(responding, evaluated, n_toys, task.random, doubts)
    if clip is not None:
        column = observables.index(clip.observable)
        arrays |= systematics.clipped(
            responding,
            evaluated,
            clip,
            lambda cut: rates(systematics.below(events, column, cut)),
        )
    return arrays


def _information_point(settings: stages.Evaluating) -> Array | None:
    """Return the parameter point of the Fisher information; None where it is not wanted."""
    fisher = settings.fisher_information
    return np.array(fisher["theta_true"], dtype=float) if fisher["bool"] else None


def _quality(task: _Task, model: Estimator) -> dict[str, Array]:
    """Compare a network of MadMiner's with the truth."""
    settings, method, target = task.settings, task.method, task.frame.target
    data_file, thetas = str(task.data_file), settings.thetas[method.name]
    match method.kind:
        case Kind.SCORE:
            reference = samples.single_point(thetas["theta_0"])
        case Kind.RATIO:
            reference = samples.single_point(thetas["theta_1"])
        case Kind.DENSITY:
            reference = target.theta_true
    arrays = quality.compare(data_file, method, model, reference, target.region.tolist())
    valid_split = task.about["partition"]["valid_split"]
    what = samples.Draw(thetas, settings.n_samples_test, settings.test_split, valid_split)
    sample = samples.draw(data_file, method, what, task.random("test points"), "test")
    arrays["held_out_loss"] = np.array(quality.held_out_loss(method, model, sample))
    if method.kind is not Kind.DENSITY:
        arrays |= quality.joint(model, sample)
    return arrays


def _track_origin(
    record: tracking.Record,
    settings: stages.Evaluating,
    data_file: Path,
    about: Mapping[str, Any],
) -> None:
    links = dict(about["tracking"])
    record.used_model(links.pop("model_id", ""))
    record.tags({"mlflow.runName": f"{about['method']}-{about['run']}", **links})
    training = {f"training.{name}": value for name, value in about["training"].items()}
    known = ("method", "run", "seed", "estimator", "data_file_sha256")
    shown = {key: value for key, value in asdict(settings).items() if key != "thetas"}
    record.parameters(shown | training | {name: about[name] for name in known})
    record.parameters({"data_file": data_file})


def _track_results(record: tracking.Record, task: _Task, arrays: Mapping[str, Array]) -> None:
    from steps.plots import catalogue

    settings, method, names = task.settings, task.method.name, task.names.parameters
    record.metrics(summary.expectation_numbers(arrays) | summary.closure_numbers(arrays))
    for name in (frames.NAMES[with_rate] for with_rate in settings.include_xsec):
        curve = summary.Curve.read([arrays], name, settings.resolutions)
        record.metrics(summary.limit_numbers(name, curve, names))
        if task.observed:
            curve = summary.Curve.read([arrays], f"{PREFIX}{name}", settings.resolutions)
            record.metrics(summary.limit_numbers(f"observed_{name}", curve, names))
    if f"fisher/{method}" in arrays:
        record.metrics(summary.fisher_numbers(arrays[f"fisher/{method}"], names))
    pictures = catalogue.correlation(method, [arrays])
    pictures |= catalogue.closure(method, [arrays], from_arrays([arrays]))
    for name, figure in pictures.items():
        record.figure(f"{name}.png", figure)


if __name__ == "__main__":
    command.run(main, "machine-learning")
