"""Stage generate: prepare the event generation of every benchmark and job."""

from pathlib import Path

from steps.events import madminer_file
from steps.interface import command, plans, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import load_ph
from steps.physics import builtin, generator


def main() -> None:
    """Adapt a sampling grid to each benchmark; write one folder per benchmark and job."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument("--jobs", type=int, default=1, help="jobs per benchmark")
    parser.add_argument(
        "--num-events", type=int, default=0, help="events per benchmark; 0: as in the input file"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    n_events = args.num_events or spec.generator["num_events"]
    if not 1 <= args.jobs <= n_events:
        raise InputError(
            f"num_procs_per_job: {args.jobs} jobs for {n_events} events per benchmark; "
            "choose from 1 to the number of events"
        )
    setup = madminer_file.read_setup(args.config_file)
    try:
        process = builtin.process(spec.generator)
        points = [
            builtin.wilson_coefficients(setup.card_values(v)) for v in setup.benchmarks.values()
        ]
    except ValueError as error:
        raise InputError(f"{spec.path}: generator, parameters: {error}") from None
    report = command.progress(len(setup.benchmarks), "benchmarks", seconds=0)
    for done, (benchmark, point) in enumerate(zip(setup.benchmarks, points, strict=True), start=1):
        rng = seeds.generator(args.seed, "generate", benchmark)
        grid = generator.adapt(process, point, rng)
        if not grid.max_weight > 0:
            raise InputError(
                f"{spec.path}: generator: cuts: no phase space is left at benchmark {benchmark}; "
                "loosen them"
            )
        print(f"{benchmark}: {grid.cross_section:.4e} +- {grid.error:.1e} pb", flush=True)
        for job in range(args.jobs):
            plan = plans.Plan(
                benchmark=benchmark,
                job=job,
                n_events=n_events // args.jobs + (job < n_events % args.jobs),
                n_events_all_jobs=n_events,
                seed=seeds.integer(args.seed, "events", benchmark, job),
            )
            with atomic(args.output_dir / "jobs" / f"{benchmark}_{job}") as folder:
                plans.write(folder, plan, grid)
        report(done)


if __name__ == "__main__":
    command.run(main)
