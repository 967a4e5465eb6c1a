"""Stage training: train the network of one method and run."""

import argparse
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from steps.inference import estimators
from steps.interface import command, overrides, seeds, tracking
from steps.interface.errors import InputError
from steps.interface.files import atomic, discard
from steps.interface.inputs import load_ml

_EXAMPLE_SIZE = 5


def main() -> None:
    """Write ``Model.tar.gz``: the estimator as MadMiner saves it, its losses and settings."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--sample-dir", type=Path, required=True, help="sample of one method")
    command.add_overrides(parser)
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("training", args) as record:
        _train(args, record)


def _train(args: argparse.Namespace, record: tracking.Record) -> None:
    spec = load_ml(args.input_file)
    about = yaml.safe_load((args.sample_dir / "sample.yml").read_text())
    method = about["method"]
    sample = {
        path.name.removesuffix(f"_{method}_train.npy"): np.load(path, allow_pickle=False)
        for path in args.sample_dir.glob("*.npy")
    }
    settings = estimators.Training(**overrides.Training.parse(args.overrides).over(spec.training))
    links = about.pop("tracking")
    record.parameters(about | {"estimator": spec.estimator} | asdict(settings))
    record.tags({"mlflow.runName": f"{method}-{about['run']}", **links})

    report = command.progress(settings.num_epochs, "epochs")

    def epoch(done: int, training: float, validation: float) -> None:
        record.metrics({"training_loss": training, "validation_loss": validation}, step=done)
        report(done)

    seeds.seed_globally(about["seed"], "training")
    torch.manual_seed(seeds.integer(about["seed"], "training"))
    try:
        model, losses = estimators.train(method, spec.estimator, sample, settings, epoch)
    except ValueError as error:
        raise InputError(f"{spec.path}: {method}: {error}") from None
    print(f"{method}: validation loss {losses[0, 1]:.4f} -> {losses[:, 1].min():.4f}")

    if record.on:
        _track_model(record, method, model, sample)
        links |= {"training_run_id": record.run_id, "model_id": record.model_id}
    folder = args.output_dir / "models" / method
    discard(folder.parent, method)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(str(folder / method))
    np.save(folder / "losses.npy", losses, allow_pickle=False)
    about |= {"estimator": spec.estimator, "training": asdict(settings), "tracking": links}
    (folder / "training.yml").write_text(yaml.safe_dump(about, sort_keys=False))
    with atomic(args.output_dir / "Model.tar.gz") as path, tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=method)
    record.metrics({"best_validation_loss": losses[:, 1].min()})
    record.files([args.output_dir / "Model.tar.gz", folder / "training.yml"])


def _track_model(
    record: tracking.Record, method: str, model: Any, sample: Mapping[str, NDArray]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        example = estimators.Network.columns(method, sample)[:_EXAMPLE_SIZE]
        record.model(method, estimators.Network(model), example, Path(scratch) / "model")


if __name__ == "__main__":
    command.run(main)
