"""Stage evaluating: limits of one trained network, and how well it knows the truth."""

import argparse
import tarfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.inference import cross_fitted, networks, quality, samples, summary
from steps.inference.analysis import Analysis, log_likelihood
from steps.inference.closure import from_arrays
from steps.inference.methods import METHODS, Kind, Method
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.statistics import grid
from steps.madminer.estimator import Estimator
from steps.madminer.events import Events
from steps.madminer.limits import Information
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
    model = networks.load(folder / method.name, method, about["estimator"])
    analysis = Analysis(
        str(args.data_file),
        settings.theta_true,
        grid(settings.region, settings.resolutions),
        settings.luminosity,
        settings.test_split,
        settings.n_samples_train,
    )

    arrays = analysis.expectation()
    if isinstance(model, Ensemble):
        arrays |= _cross_fitted(settings, args.data_file, model, about)
    else:
        arrays |= _limits(settings, args.data_file, method, model, folder / method.name, analysis)
        arrays |= _quality(settings, args.data_file, method, model, about)
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
        _track_results(record, args.data_file, method.name, arrays, analysis)
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


def _limits(
    settings: stages.Evaluating,
    data_file: Path,
    method: Method,
    model: Estimator,
    model_file: Path,
    analysis: Analysis,
) -> dict[str, Array]:
    reference = samples.single_point(settings.thetas[method.name]["theta_0"])
    likelihood = log_likelihood(analysis, method, model, model_file, reference)
    arrays = {"log_likelihood/kinematics": likelihood}
    fisher = settings.fisher_information
    if method.kind is Kind.SCORE and fisher["bool"]:
        theta = np.array(fisher["theta_true"], dtype=float)
        information = Information(str(data_file), theta, settings.luminosity)
        arrays[f"fisher/{method.name}"] = information.in_score(str(model_file))
    return arrays


def _cross_fitted(
    settings: stages.Evaluating, data_file: Path, model: Ensemble, about: Mapping[str, Any]
) -> dict[str, Array]:
    events = samples.mixture(str(data_file), model.index)
    polynomial = model.polynomial
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    sample = cross_fitted.Sample(model.events(events["x"]), coefficients)
    points = grid(settings.region, settings.resolutions)
    arrays = cross_fitted.log_likelihoods(sample, points, settings.theta_true, settings.luminosity)
    arrays |= cross_fitted.compare(sample, events["x"], settings.region)
    named = samples.single_point(settings.thetas[about["method"]]["theta_1"])
    # Joint ratios need one point to be relative to; the true one where there are several.
    named = np.array(settings.theta_true) if named is None else named
    reference = Events(str(data_file)).point(named)
    rng = seeds.generator(about["seed"], "test points")
    rows = samples.some(len(events["x"]), settings.n_samples_test, rng)
    low, high = np.array(settings.region).T
    some = rng.uniform(low, high, (_JOINT_POINTS, len(low)))
    return arrays | cross_fitted.joint(sample, reference, some, rows)


def _quality(
    settings: stages.Evaluating,
    data_file: Path,
    method: Method,
    model: Estimator,
    about: Mapping[str, Any],
) -> dict[str, Array]:
    thetas = settings.thetas[method.name]
    match method.kind:
        case Kind.SCORE:
            reference = samples.single_point(thetas["theta_0"])
        case Kind.RATIO:
            reference = samples.single_point(thetas["theta_1"])
        case Kind.DENSITY:
            reference = np.array(settings.theta_true)
    arrays = quality.compare(str(data_file), method, model, reference, settings.region)
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
    data_file: Path,
    method: str,
    arrays: Mapping[str, Array],
    analysis: Analysis,
) -> None:
    from steps.plots import catalogue

    names = list(madminer_file.read_setup(data_file).parameters)
    kinematics = arrays["log_likelihood/kinematics"]
    record.metrics(
        {"n_expected": analysis.n_expected, "n_test_events": len(analysis.x)}
        | summary.closure_numbers(arrays)
        | summary.limit_numbers("kinematics", kinematics, analysis.points, names)
        | summary.limit_numbers("with_rate", kinematics + analysis.rate(), analysis.points, names)
    )
    if f"fisher/{method}" in arrays:
        record.metrics(summary.fisher_numbers(arrays[f"fisher/{method}"], names))
    pictures = catalogue.correlation(method, [arrays])
    pictures |= catalogue.closure(method, [arrays], from_arrays([arrays]))
    for name, figure in pictures.items():
        record.figure(f"{name}.png", figure)


if __name__ == "__main__":
    command.run(main, "machine-learning")
