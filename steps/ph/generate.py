"""Stage generate: prepare the event generation of every process, benchmark and job."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from steps.backends import generators, plans, processes
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
    generator = generators.choose(settings.generator)

    def write(kind: plans.Plan, size: int, fill: Callable[[Path], None]) -> None:
        # A job knows its own events alone: more events are more jobs beside the same ones.
        for job, first in enumerate(range(0, kind.n_events, size)):
            plan = replace(
                kind,
                job=job,
                n_events=min(size, kind.n_events - first),
                seed=seeds.integer(settings.seed, "events", kind.process, kind.benchmark, job),
            )
            with atomic(args.output_dir / "jobs" / plan.label) as folder:
                plans.write(folder, plan)
                fill(folder)
                # Nor does it know other benchmarks, if it can do without.
                setup = folder / madminer_file.JOB_SETUP
                if generator.exact_morphing:
                    madminer_file.restrict(setup, args.config_file, plan.benchmark)
                else:
                    shutil.copyfile(args.config_file, setup)

    def fan_out(process: str, benchmark: str, fill: Callable[[Path], None]) -> None:
        kind = plans.Plan(process, benchmark, 0, settings.num_events, 0)
        write(kind, settings.events_per_job, fill)

    # Before the generator's, which may take long: a card that is wrong is said at once.
    for process in settings.pythia_processes:
        fill = processes.prepare(process)
        kind = plans.Plan(process["name"], "", 0, process["num_events"], 0, processes.BACKEND)
        write(kind, process["events_per_job"], fill)
    generator.prepare(args.config_file, args.output_dir, settings.seed, fan_out)


if __name__ == "__main__":
    command.run(main, "physics")
