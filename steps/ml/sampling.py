"""Stage sampling: draw samples of training and validation for every method and run."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steps.arrays import Array
from steps.events import data_file, madminer_file
from steps.inference import samples
from steps.inference.methods import METHODS
from steps.inference.observing import PREFIX
from steps.madminer.events import Events
from steps.settings import arguments, learning, stages
from steps.stage import command, provenance, results, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic, discard, sha256
from steps.tracking import record as tracking


def main() -> None:
    """Write ``data/Samples_<method>_<run>/``: one array per column, and how they were drawn."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    parser.add_argument(
        "--reference-file",
        type=command.optional_path,
        help="of stage reference: where the likelihood lives; without it, anywhere in the region",
    )
    arguments.add(parser, "seed", "mlflow_args_s", short="mlflow_args_s")
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("sampling", args) as record:
        _sample(args, record)


def _sample(args: argparse.Namespace, record: tracking.Record) -> None:
    settings = learning.of_stage(args, stages.Sampling)
    discard(args.output_dir, "data/Samples_*_*")
    data_file.check(args.data_file)
    setup = madminer_file.read_setup(args.data_file)
    facts = {
        "parameters": list(setup.parameters),
        "observables": list(setup.observables),
        "partition": {"test_split": settings.test_split, "valid_split": settings.valid_split},
        "expectation": _expectation(settings, args.reference_file),
        "data_file_sha256": sha256(args.data_file),
        "tracking": {"sampling_run_id": record.run_id},
    }
    shown = {key: value for key, value in asdict(settings).items() if key != "thetas"}
    record.parameters(shown | {"methods": list(settings.thetas), "data_file": args.data_file})
    record.parameters({"data_file_sha256": facts["data_file_sha256"]})
    jobs = [(m, run) for run in range(settings.n_sampling_runs) for m in settings.thetas]
    report = command.progress(len(jobs), "samples", seconds=0)
    for done, (method, run) in enumerate(jobs, start=1):
        seed = seeds.integer(settings.seed, "sampling", method, run)
        if METHODS[method].cross_fits(settings.estimator):
            columns = _events(args.data_file, settings, seed)
        else:
            columns = _draw(args.data_file, settings, method, seed)
        sizes = {f"n_{part}": len(sample["x"]) for part, sample in columns.items()}
        place = args.output_dir / "data" / f"Samples_{method}_{run}"
        with atomic(place) as folder:
            folder.mkdir()
            for part, sample in columns.items():
                samples.save(folder, f"{method}_{part}", sample)
            about = {"method": method, "run": run, "seed": seed} | sizes | facts
            provenance.write(folder / "sample.yml", about)
        record.metrics({f"n_samples/{method}_{run}": sum(sizes.values())})
        record.files([place / "sample.yml"], place.name)
        report(done)


def _expectation(settings: stages.Sampling, reference_file: Path | None) -> Mapping[str, Any]:
    """Return the expected data that limits are wanted of, and where the likelihood lives."""
    expectation = {
        "region": settings.region,
        "theta_true": settings.theta_true,
        "luminosity": settings.luminosity,
    }
    if reference_file:
        known = results.read(reference_file)
        expectation = {name: known[f"expectation/{name}"].tolist() for name in expectation}
        if f"{PREFIX}region" in known:
            expectation["keep"] = known[f"{PREFIX}region"].tolist()
    return expectation | {"rates": settings.include_xsec}


def _events(
    data_file: Path, settings: stages.Sampling, seed: int
) -> Mapping[str, Mapping[str, Array]]:
    """Return events as they are: those that networks which know the polynomial train on."""
    rng = seeds.generator(seed, "events")
    chosen = samples.some(Events(str(data_file)).n, settings.n_samples_train, rng)
    return {"events": samples.mixture(str(data_file), chosen)}


def _draw(
    data_file: Path, settings: stages.Sampling, method: str, seed: int
) -> Mapping[str, Mapping[str, Array]]:
    """Draw events for training, and others for validation, at the same parameter points."""
    seeds.seed_globally(seed, "draw")
    n_validation = round(settings.valid_split * settings.n_samples_train)
    drawn = {}
    for part, n in (
        ("train", settings.n_samples_train - n_validation),
        ("validation", n_validation),
    ):
        what = samples.Draw(
            settings.thetas[method],
            n,
            settings.test_split,
            settings.valid_split,
            nuisance=bool(settings.nuisance_flag),
        )
        rng = seeds.generator(seed, "points")
        try:
            drawn[part] = samples.draw(str(data_file), METHODS[method], what, rng, part)
        except ValueError as error:
            raise SettingError(f"{method}: {error}") from None
    return drawn


if __name__ == "__main__":
    command.run(main, "machine-learning")
