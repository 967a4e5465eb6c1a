"""Stage training: train the network of one method and run."""

import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import yaml

from steps.inference import estimators
from steps.interface import command, overrides, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import load_ml


def main() -> None:
    """Write ``Model.tar.gz``: the estimator as MadMiner saves it, its losses and settings."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--sample-dir", type=Path, required=True, help="sample of one method")
    parser.add_argument("--overrides", default="", help="parameters, 'key=value key=value'")
    args = parser.parse_args()

    spec = load_ml(args.input_file)
    about = yaml.safe_load((args.sample_dir / "sample.yml").read_text())
    method = about["method"]
    sample = {
        path.name.removesuffix(f"_{method}_train.npy"): np.load(path, allow_pickle=False)
        for path in args.sample_dir.glob("*.npy")
    }
    settings = estimators.Training(
        **asdict(overrides.Training.parse(args.overrides)), **spec.training
    )
    seeds.seed_globally(about["seed"], "training")
    torch.manual_seed(seeds.integer(about["seed"], "training"))
    try:
        model, losses = estimators.train(
            method,
            spec.estimator,
            sample,
            settings,
            command.progress(settings.num_epochs, "epochs"),
        )
    except ValueError as error:
        raise InputError(f"{spec.path}: {method}: {error}") from None
    print(f"{method}: validation loss {losses[0, 1]:.4f} -> {losses[:, 1].min():.4f}")

    folder = args.output_dir / "models" / method
    folder.mkdir(parents=True, exist_ok=True)
    model.save(str(folder / method))
    np.save(folder / "losses.npy", losses, allow_pickle=False)
    about |= {"estimator": spec.estimator, "training": asdict(settings)}
    (folder / "training.yml").write_text(yaml.safe_dump(about, sort_keys=False))
    with atomic(args.output_dir / "Model.tar.gz") as path, tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=method)


if __name__ == "__main__":
    command.run(main)
