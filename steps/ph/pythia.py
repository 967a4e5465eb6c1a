"""Stage pythia: generate the events of one job and shower them."""

import shutil
from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.backends import generators, plans, processes
from steps.events import madminer_file, particle_file
from steps.events.madminer_file import Setup
from steps.events.origin import Origin
from steps.physics.shower import CardError, shower
from steps.settings import arguments, physics, stages
from steps.settings.systematics import touching
from steps.stage import command, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic


def main() -> None:
    """Write ``events/particles.h5``, and ``events/events.lhe.gz`` unless Pythia generates all."""
    parser = command.parser(main.__doc__)
    parser.add_argument(
        "--job-dir", type=Path, required=True, help="what generate made for the job"
    )
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Pythia)
    setup_file = args.job_dir / madminer_file.JOB_SETUP
    setup = madminer_file.read_setup(setup_file)
    plan = plans.read(args.job_dir)
    make = _pythia_s if plan.backend == processes.BACKEND else _generator_s
    with atomic(args.output_dir / "events") as folder:
        folder.mkdir()
        sample = make(settings, setup, plan, args.job_dir, folder)
        particle_file.write(folder / "particles.h5", sample)
        shutil.copyfile(setup_file, folder / setup_file.name)


def _generator_s(
    settings: stages.Pythia, setup: Setup, plan: plans.Plan, job_dir: Path, folder: Path
) -> particle_file.Sample:
    """Let the generator write its events, and shower them."""
    card, event_file = settings.shower_card, folder / "events.lhe.gz"
    generator = generators.choose({**settings.generator, "systematics": settings.systematics})
    weights, cross_section = generator.generate(setup, plan, job_dir, event_file)
    origin = Origin(plan.process, plan.benchmark, cross_section, len(weights))
    logs: dict[str, Array] = {}
    if wanted := touching(settings.systematics, origin.name, "scale", "pdf"):
        logs |= generator.log_responses(event_file, plan.process, wanted)
    try:
        particles, kept, of_shower = shower(
            event_file,
            card["text"].splitlines(),
            len(weights),
            seeds.generator(plan.seed, "shower"),
            command.progress(len(weights), "events showered"),
            touching(settings.systematics, origin.name, "shower"),
        )
    except CardError as error:
        raise SettingError(f"shower: {card['name']}: {error}; mend the card") from None
    return particle_file.Sample(
        particles=particles,
        weights=weights[kept],
        events=kept,
        origin=origin,
        job=plan.job,
        seed=plan.seed,
        log_responses={name: of[kept] for name, of in logs.items()} | of_shower,
    )


def _pythia_s(
    settings: stages.Pythia, setup: Setup, plan: plans.Plan, job_dir: Path, folder: Path
) -> particle_file.Sample:
    """Let Pythia generate and shower the events of a process of its own."""
    rng = seeds.generator(plan.seed, "shower")
    progress = command.progress(plan.n_events, f"events of {plan.process}")
    wanted = touching(settings.systematics, plan.process, "shower", "scale", "pdf")
    made = processes.generate(plan, job_dir, settings.shower_card, wanted, rng, progress)
    cross_section, error = made.cross_section
    print(
        f"{plan.process}: {cross_section:.4e} +- {error:.1e} pb, "
        f"{len(made.weights)} of {made.n_events} events pass"
    )
    return particle_file.Sample(
        particles=made.particles,
        weights=np.repeat(made.weights[:, None], len(setup.benchmarks), axis=1),
        events=made.events,
        origin=Origin(plan.process, plan.benchmark, cross_section, made.n_events),
        job=plan.job,
        seed=plan.seed,
        log_responses=made.log_responses,
    )


if __name__ == "__main__":
    command.run(main, "physics")
