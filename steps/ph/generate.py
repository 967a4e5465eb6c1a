"""Stage generate: prepare the event generation of every process, benchmark and job."""

import shutil
from collections.abc import Callable
from pathlib import Path

from steps.backends import generators, plans
from steps.events import madminer_file
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
    n_events, size = settings.num_events, settings.events_per_job
    generator = generators.choose(settings.generator)

    def fan_out(process: str, benchmark: str, fill: Callable[[Path], None]) -> None:
        # A job knows its own events alone: more events are more jobs beside the same ones.
        for job, first in enumerate(range(0, n_events, size)):
            plan = plans.Plan(
                process=process,
                benchmark=benchmark,
                job=job,
                n_events=min(size, n_events - first),
                seed=seeds.integer(settings.seed, "events", process, benchmark, job),
            )
            with atomic(args.output_dir / "jobs" / plan.label) as folder:
                plans.write(folder, plan)
                fill(folder)
                # Nor does it know other benchmarks, if it can do without.
                setup = folder / madminer_file.JOB_SETUP
                if generator.exact_morphing:
                    madminer_file.restrict(setup, args.config_file, benchmark)
                else:
                    shutil.copyfile(args.config_file, setup)

    generator.prepare(args.config_file, args.output_dir, settings.seed, fan_out)


if __name__ == "__main__":
    command.run(main, "physics")
