"""Stage evaluating: limits of one trained network, and how well it knows the truth."""

import argparse
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.inference import (
    covering,
    cross_fitted,
    evidence,
    frames,
    judging,
    networks,
    quality,
    reliability,
    samples,
    summary,
    support,
    truncated,
)
from steps.inference.analysis import Analysis, Parts, log_likelihoods
from steps.inference.closure import from_arrays
from steps.inference.likelihood import Densities, Likelihood
from steps.inference.methods import METHODS, Kind, Method
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.simulation import Simulation
from steps.inference.targets import Target
from steps.madminer.estimator import Estimator
from steps.madminer.events import Events
from steps.madminer.information import Information
from steps.settings import arguments, learning, stages
from steps.stage import command, provenance, results, seeds
from steps.stage.errors import InputError, SettingError
from steps.stage.files import atomic, discard, sha256, unpack
from steps.tracking import record as tracking

# Parameter points that events are compared at with their joint ratios.
_JOINT_POINTS = 100


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
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("evaluating", args) as record:
        _evaluate(args, record)


def _evaluate(args: argparse.Namespace, record: tracking.Record) -> None:
    settings = learning.of_stage(args, stages.Evaluating)
    for earlier in ("models", "Results_*.tar.gz"):
        discard(args.output_dir, earlier)
    models = args.output_dir / "models"
    unpack(args.model_file, models)
    (folder,) = models.iterdir()
    about = provenance.read(folder / "training.yml")
    _check_origin(settings, args.data_file, about)
    method = METHODS[about["method"]]
    _track_origin(record, settings, args.data_file, about)
    seeds.seed_globally(about["seed"], "evaluating")
    frame = _frame(settings, args.reference_file)
    arrays: dict[str, Array] = {}
    if method.cross_fits(about["estimator"]):
        ensemble = Ensemble.load(folder / method.name)
        arrays |= _cross_fitted(settings, args.data_file, ensemble, about, frame)
    else:
        model = networks.load(folder / method.name, method, about["estimator"])
        arrays |= _limits(settings, args.data_file, model, about, frame)
        arrays |= _quality(settings, args.data_file, model, about, frame)
        arrays |= _information(settings, args.data_file, folder / method.name, method)
    archive_file = args.output_dir / f"Results_{method.name}.tar.gz"
    with atomic(archive_file) as path:
        results_file = args.output_dir / "results.h5"
        results.write(results_file, arrays | {"losses": np.load(folder / "losses.npy")})
        with tarfile.open(path, "w:gz") as archive:
            archive.add(results_file, arcname="results.h5")
            archive.add(folder / "training.yml", arcname="training.yml")
            archive.add(folder, arcname=f"models/{method.name}")
    for name in ("closure/correlation", "closure/slope"):
        if name in arrays:
            print(f"{method.name}: {name}: {np.round(arrays[name], 3)}")
    if record.on:
        _track_results(record, settings, args.data_file, method.name, arrays)
        record.files([archive_file])


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


def _frame(settings: stages.Evaluating, reference_file: Path | None) -> frames.Frame:
    """Return the points that limits are set at: those of the reference, or all of the region."""
    target = Target.of({**vars(settings), "rates": settings.include_xsec})
    if reference_file:
        region = results.read(reference_file)["expectation/region"]
        target = replace(target, region=region)
    return frames.Frame(target, settings.resolutions)


def _limits(
    settings: stages.Evaluating,
    data_file: Path,
    model: Estimator,
    about: Mapping[str, Any],
    frame: frames.Frame,
) -> dict[str, Array]:
    method = METHODS[about["method"]]
    rng = seeds.generator(about["seed"], "bags")
    events = samples.mixture(str(data_file))
    simulation = Simulation.of(events, frame.target.region, settings.n_bags, rng)
    parts = Parts.of(len(events["x"]), settings.test_split, settings.n_samples_train, rng)
    analysis = Analysis(simulation, parts, frame.target, frame.points)
    target = frame.target
    spec = settings.thetas[method.name]
    named = samples.points(spec["theta_1" if method.kind is Kind.RATIO else "theta_0"])
    references = [Events(str(data_file)).point(point) for point in named]
    kinematics = log_likelihoods(analysis, method, model, references)
    trained = np.array(about["expectation"]["region"])
    arrays = frame.arrays(
        target.luminosity * Events(str(data_file)).cross_section(target.theta_true)
    )
    for with_rate in target.rates:
        values = kinematics + analysis.rate() * with_rate
        likelihoods = [frame.interpolated(row) for row in values]
        name = frames.NAMES[with_rate]
        arrays |= frame.curve(name, likelihoods)
        case = judging.Case(frame, trained, simulation.weights_at, _names(data_file))
        found = reliability.findings(judging.facts(case, likelihoods))
        arrays[f"findings/{name}"] = judging.lines(found)
    return arrays


def _information(
    settings: stages.Evaluating, data_file: Path, model_file: Path, method: Method
) -> dict[str, Array]:
    fisher = settings.fisher_information
    if method.kind is not Kind.SCORE or not fisher["bool"]:
        return {}
    theta = np.array(fisher["theta_true"], dtype=float)
    information = Information(str(data_file), theta, settings.luminosity)
    return {f"fisher/{method.name}": information.in_score(str(model_file))}


def _cross_fitted(
    settings: stages.Evaluating,
    data_file: Path,
    model: Ensemble,
    about: Mapping[str, Any],
    frame: frames.Frame,
) -> dict[str, Array]:
    method, target = about["method"], frame.target
    events = samples.mixture(str(data_file), model.index)
    coefficients = model.polynomial.coefficients(events["weights"], events["benchmarks"])
    sample = cross_fitted.Sample(model.events(events["x"]), coefficients)
    arrays = frame.arrays(
        target.luminosity * Events(str(data_file)).cross_section(target.theta_true)
    )
    for with_rate in target.rates:
        found = cross_fitted.likelihoods(
            sample, target.region, target.theta_true, target.luminosity, with_rate=with_rate
        )
        name = frames.NAMES[with_rate]
        arrays |= frame.curve(name, found, cross_fitted.TRAINING_ERROR)
        arrays |= _judged(data_file, sample, events, found, (name, frame))
        if settings.toys["n_toys"] and frame.has_grid:
            toys_rng = seeds.generator(about["seed"], "toys", name)
            arrays |= _covered(settings, sample, found[0], (name, frame), toys_rng)
    # Linear terms are those of an expansion about zero, and bins count events.
    if True in target.rates and not target.theta_true.any():
        arrays |= truncated.to_arrays(sample, target.luminosity)
    arrays |= cross_fitted.compare(sample, events["x"], target.region.tolist())
    if settings.fisher_information["bool"]:
        theta = np.array(settings.fisher_information["theta_true"], dtype=float)
        matrices = cross_fitted.information(sample, theta, settings.luminosity)
        arrays |= {f"fisher/{method}": matrices[0], f"fisher_bags/{method}": matrices[1:]}
    named = samples.single_point(settings.thetas[method]["theta_1"])
    # Joint ratios need one point to be relative to; the true one where there are several.
    reference = target.theta_true if named is None else Events(str(data_file)).point(named)
    rng = seeds.generator(about["seed"], "test points")
    rows = samples.some(len(events["x"]), settings.n_samples_test, rng)
    low, high = target.region.T
    some = rng.uniform(low, high, (_JOINT_POINTS, len(low)))
    return arrays | cross_fitted.joint(sample, reference, some, rows)


def _judged(
    data_file: Path,
    sample: cross_fitted.Sample,
    events: Mapping[str, Array],
    likelihoods: Sequence[Likelihood],
    of: tuple[str, frames.Frame],
) -> dict[str, Array]:
    """Return tests of the ratio, and why limits are not reliable."""
    (name, frame), names = of, _names(data_file)
    trained = sample.events.polynomial.region
    case = judging.Case(frame, trained, sample.weights, names)

    def gathered(points: Array, target: Target) -> evidence.Evidence:
        judged = cross_fitted.judged(
            sample, events["x"], names, events["benchmarks"], points, target
        )
        return evidence.gather(judged)

    facts = judging.facts(case, likelihoods)
    found = gathered(facts.simulation.points, frame.target)
    reasons = reliability.findings(replace(facts, checks=found.checks))
    if reasons:
        supported = support.supported_luminosity(
            case, likelihoods, lambda points, target: gathered(points, target).checks
        )
        reasons = [*reasons, reliability.together(supported)]
    arrays = {f"findings/{name}": judging.lines(reasons)}
    for kind in evidence.KINDS:
        worst = found.worst(kind)
        arrays[f"evidence/{name}/{kind}"] = np.array([worst.p_global, worst.change, worst.error])
    return arrays


def _covered(
    settings: stages.Evaluating,
    sample: cross_fitted.Sample,
    likelihood: Densities,
    of: tuple[str, frames.Frame],
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Return thresholds from pseudo-experiments, and coverages."""
    (name, frame), toys = of, settings.toys
    thresholds, coverage = covering.toys(
        frame,
        likelihood,
        lambda point: settings.luminosity * sample.weights(point[None])[0],
        toys["n_toys"],
        [settings.theta_true, *toys["points"]],
        rng,
    )
    arrays = {f"thresholds/{name}/{level}": values for level, values in thresholds.items()}
    return arrays | {f"coverage/{name}": coverage}


def _names(data_file: Path) -> judging.Names:
    setup = madminer_file.read_setup(data_file)
    return judging.Names(list(setup.parameters), setup.observables, list(setup.benchmarks))


def _quality(
    settings: stages.Evaluating,
    data_file: Path,
    model: Estimator,
    about: Mapping[str, Any],
    frame: frames.Frame,
) -> dict[str, Array]:
    method = METHODS[about["method"]]
    thetas = settings.thetas[method.name]
    match method.kind:
        case Kind.SCORE:
            reference = samples.single_point(thetas["theta_0"])
        case Kind.RATIO:
            reference = samples.single_point(thetas["theta_1"])
        case Kind.DENSITY:
            reference = frame.target.theta_true
    region = frame.target.region.tolist()
    arrays = quality.compare(str(data_file), method, model, reference, region)
    what = samples.Draw(
        thetas, settings.n_samples_test, settings.test_split, about["partition"]["valid_split"]
    )
    rng = seeds.generator(about["seed"], "test points")
    sample = samples.draw(str(data_file), method, what, rng, "test")
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


def _track_results(
    record: tracking.Record,
    settings: stages.Evaluating,
    data_file: Path,
    method: str,
    arrays: Mapping[str, Array],
) -> None:
    from steps.plots import catalogue

    names = list(madminer_file.read_setup(data_file).parameters)
    record.metrics(summary.expectation_numbers(arrays) | summary.closure_numbers(arrays))
    for name in (frames.NAMES[with_rate] for with_rate in settings.include_xsec):
        curve = summary.Curve.read([arrays], name, settings.resolutions)
        record.metrics(summary.limit_numbers(name, curve, names))
    if f"fisher/{method}" in arrays:
        record.metrics(summary.fisher_numbers(arrays[f"fisher/{method}"], names))
    pictures = catalogue.correlation(method, [arrays])
    pictures |= catalogue.closure(method, [arrays], from_arrays([arrays]))
    for name, figure in pictures.items():
        record.figure(f"{name}.png", figure)


if __name__ == "__main__":
    command.run(main, "machine-learning")
