"""Stage generate: prepare the event generation of every process, benchmark and job."""

from collections.abc import Callable
from pathlib import Path

from steps.backends import generators, plans
from steps.settings import arguments, physics, stages
from steps.stage import command, seeds
from steps.stage.files import atomic, discard


def main() -> None:
    """Write ``jobs/<process>_<benchmark>_<job>/``: a plan and what its generator needs."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Generate)
    discard(args.output_dir, "jobs/*_*")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    n_events, jobs = settings.num_events, settings.jobs

    def fan_out(process: str, benchmark: str, fill: Callable[[Path], None]) -> None:
        for job in range(jobs):
            plan = plans.Plan(
                process=process,
                benchmark=benchmark,
                job=job,
                n_events=n_events // jobs + (job < n_events % jobs),
                n_events_all_jobs=n_events,
                seed=seeds.integer(settings.seed, "events", process, benchmark, job),
            )
            with atomic(args.output_dir / "jobs" / plan.label) as folder:
                plans.write(folder, plan)
                fill(folder)

    generator = generators.choose(settings.generator)
    generator.prepare(args.config_file, args.output_dir, settings.seed, fan_out)


if __name__ == "__main__":
    command.run(main, "physics")
