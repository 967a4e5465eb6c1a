"""Stage training: train the network of one method and run."""

import argparse
import tarfile
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steps.arrays import Array
from steps.inference import cross_fitted, networks, samples
from steps.inference.methods import METHODS, Method
from steps.inference.morphing import exported
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.targets import Target
from steps.madminer.estimator import Estimator, Fit, Progress
from steps.settings import arguments, learning, stages
from steps.stage import command, provenance, reads, seeds
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
    _check_sample(settings, method, args.sample_dir)
    section = "morphing" if method.cross_fits(settings.estimator) else "fit"
    used = dict(getattr(settings, section))
    if not method.uses_alpha:
        del used["alpha"]
    links = about.pop("tracking")
    partition, expectation = about["partition"], about["expectation"]
    form = method.form(settings.estimator)
    record.parameters(about | partition | expectation | {"estimator": form} | used)
    record.tags({"mlflow.runName": f"{method.name}-{about['run']}", **links})

    report = command.progress(used["num_epochs"], "epochs")

    def epoch(done: int, training_loss: float, validation_loss: float) -> None:
        losses = {"training_loss": training_loss, "validation_loss": validation_loss}
        record.metrics(losses, step=done)
        report(done)

    seeds.seed_globally(about["seed"], "training")
    torch.manual_seed(seeds.integer(about["seed"], "training"))
    try:
        model, losses = _fitted(settings, method, args.sample_dir, about, epoch)
    except ValueError as error:
        raise SettingError(f"{method.name}: {error}") from None
    best = losses[:, 1].min()
    print(f"{method.name}: validation loss {losses[0, 1]:.4f} -> {best:.4f}")

    folder = args.output_dir / "models" / method.name
    discard(folder.parent, method.name)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / method.name)
    if isinstance(model, Ensemble):
        x = samples.load(args.sample_dir, f"{method.name}_events")["x"]
        norm = model.events(x).norms()[0]
        made = exported.export(model, norm, about["parameters"], about["observables"])
        (folder / f"{method.name}.onnx").write_bytes(made.SerializeToString())
        function = partial(_of_ensemble, model, norm, x)
    else:
        function = partial(_of_estimator, model, method, args.sample_dir)
    if record.on:
        with tempfile.TemporaryDirectory() as scratch:
            record.model(method.name, *function(), Path(scratch) / "model")
        links |= {"training_run_id": record.run_id, "model_id": record.model_id}
    np.save(folder / "losses.npy", losses, allow_pickle=False)
    about |= {"estimator": settings.estimator, "training": used, "tracking": links}
    provenance.write(folder / "training.yml", about)
    with atomic(args.output_dir / "Model.tar.gz") as path, tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=method.name)
    parts = (f"{section}/{name}" for name in used)
    reads.note(args.output_dir, ["estimator", "valid_split", *parts])
    record.metrics({"best_validation_loss": best})
    record.files([args.output_dir / "Model.tar.gz", folder / "training.yml"])


def _fitted(
    settings: stages.Training,
    method: Method,
    folder: Path,
    about: Mapping[str, Any],
    epoch: Progress,
) -> tuple[Estimator | Ensemble, Array]:
    if method.cross_fits(settings.estimator):
        target = Target.of(about["expectation"])
        options = cross_fitted.options(
            method,
            settings.morphing,
            about["observables"],
            about["partition"]["test_split"],
            seeds.integer(about["seed"], "morphing"),
        )
        events = samples.load(folder, f"{method.name}_events")
        return cross_fitted.train(events, target, options, epoch)
    train, validation = (
        samples.load(folder, f"{method.name}_{part}") for part in ("train", "validation")
    )
    fit = Fit(**settings.fit)
    return networks.train(method, settings.estimator, (train, validation), fit, epoch)


def _check_partition(settings: stages.Training, partition: dict[str, float]) -> None:
    """Refuse another share of validation than that which the sample was drawn with."""
    wanted, drawn = settings.valid_split, partition["valid_split"]
    if wanted not in (None, drawn):
        raise SettingError(
            f"valid_split: {wanted:g}, but the sample was drawn with {drawn:g}; draw it again "
            "with the same"
        )


def _check_sample(settings: stages.Training, method: Method, folder: Path) -> None:
    """Refuse a sample that was drawn for another kind of network."""
    part = "events" if method.cross_fits(settings.estimator) else "train"
    if not (folder / f"x_{method.name}_{part}.npy").exists():
        raise SettingError(
            f"estimator: {settings.estimator}, but the sample of {method.name} was drawn for "
            "another; draw it again"
        )


def _of_estimator(model: Estimator, method: Method, folder: Path) -> tuple[torch.nn.Module, Array]:
    """Return a network as a function of one matrix, and an example of that."""
    sample = samples.load(folder, f"{method.name}_train")
    return model.network(), networks.columns(method, sample)[:_EXAMPLE_SIZE]


def _of_ensemble(model: Ensemble, norm: Array, x: Array) -> tuple[torch.nn.Module, Array]:
    """Return networks as a function of one matrix, and an example of that."""
    low, high = model.polynomial.region.T
    points = np.linspace(low, high, _EXAMPLE_SIZE)
    example = np.hstack([points, x[:_EXAMPLE_SIZE]]).astype(np.float32)
    return exported.Network(model, norm), example


if __name__ == "__main__":
    command.run(main, "machine-learning")
