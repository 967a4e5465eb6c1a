"""Stage evaluating: limits of one trained network, and how well it knows the truth."""

import argparse
import tarfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from steps.events import madminer_file
from steps.inference import closure, estimators, fisher, samples, summary
from steps.inference.analysis import Analysis
from steps.inference.methods import Kind, kind
from steps.inference.statistics import grid
from steps.inference.truth import from_arrays
from steps.interface import command, overrides, results, seeds, tracking
from steps.interface.files import atomic, discard, unpack
from steps.interface.inputs import MlInput, load_ml


def main() -> None:
    """Write ``Results_<method>.tar.gz``: ``results.h5`` beside the model it was made with."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    parser.add_argument("--model-file", type=Path, required=True, help="archive of the model")
    command.add_overrides(parser)
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("evaluating", args) as record:
        _evaluate(args, record)


def _evaluate(args: argparse.Namespace, record: tracking.Record) -> None:
    spec = load_ml(args.input_file)
    parameters = overrides.Evaluating.parse(args.overrides)
    for earlier in ("models", "Results_*.tar.gz"):
        discard(args.output_dir, earlier)
    models = args.output_dir / "models"
    unpack(args.model_file, models)
    (folder,) = models.iterdir()
    about = yaml.safe_load((folder / "training.yml").read_text())
    method = about["method"]
    _track_origin(record, parameters, args.data_file, about)
    seeds.seed_globally(about["seed"], "evaluating")
    model = estimators.load(folder / method, method, about["estimator"])
    analysis = Analysis(
        str(args.data_file),
        spec.theta_true,
        grid(spec.region, spec.resolutions),
        parameters.luminosity,
        parameters.test_split,
        parameters.n_samples_train,
    )

    arrays = _limits(spec, parameters, args.data_file, method, model, folder, analysis)
    arrays |= _closure(spec, parameters, args.data_file, method, model, about["seed"])
    archive_file = args.output_dir / f"Results_{method}.tar.gz"
    with atomic(archive_file) as path:
        results_file = args.output_dir / "results.h5"
        results.write(results_file, arrays | {"losses": np.load(folder / "losses.npy")})
        with tarfile.open(path, "w:gz") as archive:
            archive.add(results_file, arcname="results.h5")
            archive.add(folder / "training.yml", arcname="training.yml")
            archive.add(folder, arcname=f"models/{method}")
    for name in ("closure/correlation", "closure/slope"):
        if name in arrays:
            print(f"{method}: {name}: {np.round(arrays[name], 3)}")
    if record.on:
        _track_results(record, args.data_file, method, arrays, analysis)
        record.files([archive_file])


def _limits(
    spec: MlInput,
    parameters: overrides.Evaluating,
    data_file: Path,
    method: str,
    model: Any,
    folder: Path,
    analysis: Analysis,
) -> dict[str, NDArray]:
    if kind(method) is not Kind.SCORE:
        log_likelihood = analysis.from_log_ratio(
            lambda x, thetas: estimators.log_ratio(model, x, thetas)
        )
        return {"log_likelihood/kinematics": log_likelihood}
    model_file = str(folder / method)
    if method == "sally":
        log_likelihood = analysis.from_sally(model_file)
    else:
        log_likelihood = analysis.from_sallino(
            lambda x: estimators.score(model, x, len(spec.region)),
            samples.single_point(spec.thetas[method]["theta_0"]),
        )
    arrays = {"log_likelihood/kinematics": log_likelihood}
    information = fisher.from_score(
        str(data_file), spec.fisher_information, parameters.luminosity, model_file
    )
    return arrays if information is None else arrays | {f"fisher/{method}": information}


def _closure(
    spec: MlInput,
    parameters: overrides.Evaluating,
    data_file: Path,
    method: str,
    model: Any,
    seed: int,
) -> dict[str, NDArray]:
    thetas = spec.thetas[method]
    match kind(method):
        case Kind.SCORE:
            reference = samples.single_point(thetas["theta_0"])
        case Kind.RATIO:
            reference = samples.single_point(thetas["theta_1"])
        case Kind.DENSITY:
            reference = np.array(spec.theta_true)
    arrays = {}
    if kind(method) is Kind.SCORE:
        arrays = closure.score(str(data_file), model, reference)
    elif reference is not None:
        arrays = closure.ratio(
            str(data_file),
            model,
            reference,
            closure.comparison_points(spec.region),
            is_likelihood=kind(method) is Kind.DENSITY,
        )
    sample = samples.draw(
        str(data_file),
        method,
        thetas,
        parameters.n_samples_test,
        seeds.generator(seed, "test points"),
        partition="test",
        test_split=parameters.test_split,
    )
    arrays["held_out_loss"] = np.array(closure.held_out_loss(method, model, sample))
    if kind(method) is not Kind.DENSITY:
        arrays |= closure.joint(model, sample)
    return arrays


def _track_origin(
    record: tracking.Record,
    parameters: overrides.Evaluating,
    data_file: Path,
    about: Mapping[str, Any],
) -> None:
    links = dict(about["tracking"])
    record.used_model(links.pop("model_id", ""))
    record.tags({"mlflow.runName": f"{about['method']}-{about['run']}", **links})
    training = {f"training.{name}": value for name, value in about["training"].items()}
    known = ("method", "run", "seed", "estimator", "data_file_sha256")
    record.parameters(asdict(parameters) | training | {name: about[name] for name in known})
    record.parameters({"data_file": data_file})


def _track_results(
    record: tracking.Record,
    data_file: Path,
    method: str,
    arrays: Mapping[str, NDArray],
    analysis: Analysis,
) -> None:
    from steps.plots import methods

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
    closures = from_arrays([arrays])
    numbers = [(c.correlation, c.slope) for c in closures]
    pictures = methods.correlation(method, [arrays])
    pictures |= methods.closure(method, [arrays], [vars(c) for c in closures], numbers)
    for name, figure in pictures.items():
        record.figure(f"{name}.png", figure)


if __name__ == "__main__":
    command.run(main)
