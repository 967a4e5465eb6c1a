"""Stage sampling: draw a training sample for every method and run."""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from steps.inference import samples
from steps.interface import command, overrides, seeds, tracking
from steps.interface.errors import InputError
from steps.interface.files import atomic, discard, sha256
from steps.interface.inputs import load_ml


def main() -> None:
    """Write ``data/Samples_<method>_<run>/``: one array per column, and how they were drawn."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    command.add_overrides(parser)
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    tracking.add_arguments(parser)
    args = parser.parse_args()
    with tracking.run("sampling", args) as record:
        _sample(args, record)


def _sample(args: argparse.Namespace, record: tracking.Record) -> None:
    discard(args.output_dir, "data/Samples_*_*")
    spec = load_ml(args.input_file)
    parameters = overrides.Sampling.parse(args.overrides)
    origin = {
        "data_file_sha256": sha256(args.data_file),
        "tracking": {"sampling_run_id": record.run_id},
    }
    record.parameters(asdict(parameters) | {"seed": args.seed, "methods": spec.methods})
    record.parameters({"data_file": args.data_file, "data_file_sha256": origin["data_file_sha256"]})
    jobs = [(m, run) for run in range(parameters.n_sampling_runs) for m in spec.methods]
    report = command.progress(len(jobs), "samples", seconds=0)
    for done, (method, run) in enumerate(jobs, start=1):
        seed = seeds.integer(args.seed, "sampling", method, run)
        seeds.seed_globally(seed, "draw")
        try:
            columns = samples.draw(
                str(args.data_file),
                method,
                spec.thetas[method],
                parameters.n_samples_train,
                seeds.generator(seed, "points"),
                test_split=parameters.test_split,
                nuisance=bool(parameters.nuisance_flag),
            )
        except ValueError as error:
            raise InputError(f"{spec.path}: {method}: {error}") from None
        about = {"method": method, "run": run, "seed": seed, "n_samples": len(columns["x"])}
        place = args.output_dir / "data" / f"Samples_{method}_{run}"
        with atomic(place) as folder:
            folder.mkdir()
            for name, column in columns.items():
                np.save(folder / f"{name}_{method}_train.npy", column, allow_pickle=False)
            text = yaml.safe_dump(about | origin, sort_keys=False)
            (folder / "sample.yml").write_text(text)
        record.metrics({f"n_samples/{method}_{run}": len(columns["x"])})
        record.files([place / "sample.yml"], place.name)
        report(done)


if __name__ == "__main__":
    command.run(main)
