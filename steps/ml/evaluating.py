"""Stage evaluating: limits of one trained network, and how well it knows the truth."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from steps.inference import closure, estimators, fisher, samples
from steps.inference.analysis import Analysis
from steps.inference.methods import Kind, kind
from steps.inference.statistics import grid
from steps.interface import command, overrides, results, seeds
from steps.interface.files import atomic, unpack
from steps.interface.inputs import MlInput, load_ml


def main() -> None:
    """Write ``Results_<method>.tar.gz``: ``results.h5`` beside the model it was made with."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    parser.add_argument("--model-file", type=Path, required=True, help="archive of the model")
    parser.add_argument("--overrides", default="", help="parameters, 'key=value key=value'")
    args = parser.parse_args()

    spec = load_ml(args.input_file)
    parameters = overrides.Evaluating.parse(args.overrides)
    models = args.output_dir / "models"
    unpack(args.model_file, models)
    (folder,) = models.iterdir()
    about = yaml.safe_load((folder / "training.yml").read_text())
    method = about["method"]
    seeds.seed_globally(about["seed"], "evaluating")
    model = estimators.load(folder / method, method, about["estimator"])

    arrays = _limits(spec, parameters, args.data_file, method, model, folder)
    arrays |= _closure(spec, parameters, args.data_file, method, model, about["seed"])
    with atomic(args.output_dir / f"Results_{method}.tar.gz") as path:
        results_file = args.output_dir / "results.h5"
        results.write(results_file, arrays | {"losses": np.load(folder / "losses.npy")})
        with tarfile.open(path, "w:gz") as archive:
            archive.add(results_file, arcname="results.h5")
            archive.add(folder / "training.yml", arcname="training.yml")
            archive.add(folder, arcname=f"models/{method}")
    for name in ("closure/correlation", "closure/slope"):
        if name in arrays:
            print(f"{method}: {name}: {np.round(arrays[name], 3)}")


def _limits(
    spec: MlInput,
    parameters: overrides.Evaluating,
    data_file: Path,
    method: str,
    model: Any,
    folder: Path,
) -> dict[str, NDArray]:
    points = grid(spec.region, spec.resolutions)
    analysis = Analysis(
        str(data_file),
        spec.theta_true,
        points,
        parameters.luminosity,
        parameters.test_split,
        parameters.n_samples_train,
    )
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
            lambda x: estimators.score(model, x, points.shape[1]),
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
    if kind(method) is not Kind.DENSITY:
        sample = samples.draw(
            str(data_file),
            method,
            thetas,
            parameters.n_samples_test,
            seeds.generator(seed, "test points"),
            partition="test",
            test_split=parameters.test_split,
        )
        arrays |= closure.joint(model, sample)
    return arrays


if __name__ == "__main__":
    command.run(main)
