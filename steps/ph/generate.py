"""Stage generate: prepare the event generation of every process, benchmark and job."""

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from steps.events import madminer_file
from steps.events.expressions import ExpressionError
from steps.interface import command, plans, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic, discard
from steps.interface.inputs import PhInput, load_ph
from steps.physics import builtin, generator


def main() -> None:
    """Write ``jobs/<process>_<benchmark>_<job>/``: a plan and what its generator needs."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument("--jobs", type=int, default=1, help="jobs per benchmark")
    parser.add_argument(
        "--num-events", type=int, default=0, help="events per benchmark; 0: as in the input file"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()
    discard(args.output_dir, "jobs/*_*")
    spec = load_ph(args.input_file)
    n_events = args.num_events or spec.generator["num_events"]
    if not 1 <= args.jobs <= n_events:
        raise InputError(
            f"num_procs_per_job: {args.jobs} jobs for {n_events} events per benchmark; "
            "choose from 1 to the number of events"
        )

    def fan_out(process: str, benchmark: str, fill: Callable[[Path], None]) -> None:
        """Write the folders of all jobs of a benchmark; ``fill`` adds what they share."""
        for job in range(args.jobs):
            plan = plans.Plan(
                process=process,
                benchmark=benchmark,
                job=job,
                n_events=n_events // args.jobs + (job < n_events % args.jobs),
                n_events_all_jobs=n_events,
                seed=seeds.integer(args.seed, "events", process, benchmark, job),
            )
            name = "_".join(part for part in (process, benchmark, str(job)) if part)
            with atomic(args.output_dir / "jobs" / name) as folder:
                plans.write(folder, plan)
                fill(folder)

    setup = madminer_file.read_setup(args.config_file)
    if spec.generator["backend"] == "builtin":
        _builtin(spec, setup, args.seed, fan_out)
    else:
        _madgraph(spec, setup, args.config_file, args.output_dir, fan_out)


FanOut = Callable[[str, str, Callable[[Path], None]], None]


def _builtin(spec: PhInput, setup: madminer_file.Setup, seed: int, fan_out: FanOut) -> None:
    """Adapt a sampling grid to each benchmark."""
    try:
        process = builtin.process(spec.generator)
        points = {
            name: builtin.wilson_coefficients(setup.card_values(values))
            for name, values in setup.benchmarks.items()
        }
    except ValueError as error:
        raise InputError(f"{spec.path}: generator, parameters: {error}") from None
    report = command.progress(len(points), "benchmarks", seconds=0)
    for done, (benchmark, point) in enumerate(points.items(), start=1):
        grid = generator.adapt(process, point, seeds.generator(seed, "generate", benchmark))
        if not grid.max_weight > 0:
            raise InputError(
                f"{spec.path}: generator: cuts: no phase space is left at benchmark {benchmark}; "
                "loosen them"
            )
        print(f"{benchmark}: {grid.cross_section:.4e} +- {grid.error:.1e} pb", flush=True)
        fan_out("", benchmark, lambda folder, grid=grid: plans.write_grid(folder, grid))
        report(done)


def _madgraph(
    spec: PhInput,
    setup: madminer_file.Setup,
    setup_file: Path,
    output_dir: Path,
    fan_out: FanOut,
) -> None:
    """Let MadGraph write each process once; the jobs share its archive."""
    from steps.programs import madgraph

    try:
        # MadMiner hands transforms to Python's eval; ours refuses what is not arithmetic.
        for values in setup.benchmarks.values():
            setup.card_values(values)
        processes = spec.generator["processes"]
        output_dir.mkdir(parents=True, exist_ok=True)
        found = madgraph.find([p["process_card"] for p in processes], output_dir)
    except ExpressionError as error:
        raise InputError(f"{spec.path}: parameters: {error}") from None
    except madgraph.MadGraphError as error:
        raise InputError(f"{spec.path}: generator: {error}") from None
    report = command.progress(len(processes), "processes", seconds=0)
    for done, process in enumerate(processes, start=1):
        name, background = process["name"], process["is_background"]
        benchmarks = list(setup.benchmarks)[:1] if background else list(setup.benchmarks)
        with atomic(output_dir / "processes" / f"{name}.tar.gz") as archive:
            folder = archive.parent.resolve() / name
            try:
                madgraph.prepare(
                    found,
                    setup_file.resolve(),
                    process["process_card"],
                    process["run_card"],
                    spec.generator["configuration_card"],
                    spec.generator["param_card"],
                    benchmarks,
                    background,
                    folder,
                )
            except madgraph.MadGraphError as error:
                raise InputError(f"{spec.path}: generator: {error}") from None
            with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
                tar.add(folder, arcname=name)
            shutil.rmtree(folder)

        def link(folder: Path, name: str = name) -> None:
            os.symlink(f"../../processes/{name}.tar.gz", folder / "process.tar.gz")

        for benchmark in benchmarks:
            fan_out(name, "" if background else benchmark, link)
        report(done)


if __name__ == "__main__":
    command.run(main)
