"""Stage training: train the network of one method and run."""

import argparse
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from steps.arrays import Array
from steps.inference import networks, samples
from steps.inference.methods import METHODS, Method
from steps.inference.morphing.ensemble import Ensemble
from steps.madminer.estimator import Estimator, Fit, Progress, Sample
from steps.settings import arguments, learning, stages
from steps.stage import command, provenance, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic, discard
from steps.tracking import record as tracking

_EXAMPLE_SIZE = 5


def main() -> None:
    """Write ``Model.tar.gz``: the estimator as MadMiner saves it, its losses and settings."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--sample-dir", type=Path, required=True, help="sample of one method")
    arguments.add(parser, "mlflow_args_t", short="mlflow_args_t")
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("training", args) as record:
        _train(args, record)


def _train(args: argparse.Namespace, record: tracking.Record) -> None:
    settings = learning.of_stage(args, stages.Training)
    about = provenance.read(args.sample_dir / "sample.yml")
    _check_partition(settings, about["partition"])
    method = METHODS[about["method"]]
    form = networks.form(method, settings.estimator)
    sample = {
        part: samples.load(args.sample_dir, f"{method.name}_{part}")
        for part in networks.parts(form)
    }
    used = settings.morphing if form == "morphing" else settings.fit
    links = about.pop("tracking")
    partition = about["partition"]
    record.parameters(about | partition | {"estimator": form} | dict(used))
    record.tags({"mlflow.runName": f"{method.name}-{about['run']}", **links})

    report = command.progress(used["num_epochs"], "epochs")

    def epoch(done: int, training_loss: float, validation_loss: float) -> None:
        losses = {"training_loss": training_loss, "validation_loss": validation_loss}
        record.metrics(losses, step=done)
        report(done)

    seeds.seed_globally(about["seed"], "training")
    torch.manual_seed(seeds.integer(about["seed"], "training"))
    try:
        model, losses = _fitted(settings, method, form, sample, about["seed"], epoch)
    except ValueError as error:
        raise SettingError(f"{method.name}: {error}") from None
    best = losses[:, 1].min()
    print(f"{method.name}: validation loss {losses[0, 1]:.4f} -> {best:.4f}")

    if record.on and isinstance(model, Estimator):
        _track_model(record, method.name, model, networks.columns(method, sample["train"]))
        links |= {"training_run_id": record.run_id, "model_id": record.model_id}
    folder = args.output_dir / "models" / method.name
    discard(folder.parent, method.name)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / method.name)
    np.save(folder / "losses.npy", losses, allow_pickle=False)
    about |= {"estimator": settings.estimator, "training": dict(used), "tracking": links}
    provenance.write(folder / "training.yml", about)
    with atomic(args.output_dir / "Model.tar.gz") as path, tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=method.name)
    record.metrics({"best_validation_loss": best})
    record.files([args.output_dir / "Model.tar.gz", folder / "training.yml"])


def _fitted(
    settings: stages.Training,
    method: Method,
    form: str,
    sample: Mapping[str, Sample],
    seed: int,
    epoch: Progress,
) -> tuple[Estimator | Ensemble, Array]:
    if form == "morphing":
        events, seed = sample["events"], seeds.integer(seed, "morphing")
        return networks.train_morphing(
            method, events, settings.region, settings.morphing, seed, epoch
        )
    both = (sample["train"], sample["validation"])
    return networks.train(method, settings.estimator, both, Fit(**settings.fit), epoch)


def _check_partition(settings: stages.Training, partition: dict[str, float]) -> None:
    """Refuse another share of validation than that which the sample was drawn with."""
    wanted, drawn = settings.valid_split, partition["valid_split"]
    if wanted not in (None, drawn):
        raise SettingError(
            f"valid_split: {wanted:g}, but the sample was drawn with {drawn:g}; draw it again "
            "with the same"
        )


def _track_model(record: tracking.Record, method: str, model: Estimator, columns: Array) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        example = columns[:_EXAMPLE_SIZE]
        record.model(method, model.network(), example, Path(scratch) / "model")


if __name__ == "__main__":
    command.run(main, "machine-learning")
