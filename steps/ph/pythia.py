"""Stage pythia: generate the events of one job and shower them."""

import shutil
from functools import partial
from pathlib import Path

from steps.arrays import Array
from steps.backends import generators, plans
from steps.events import madminer_file, particle_file
from steps.events.origin import Origin
from steps.physics.shower import CardError, shower
from steps.settings import arguments, physics, stages
from steps.settings.systematics import touching
from steps.stage import command, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic


def main() -> None:
    """Write ``events/events.lhe.gz`` and, after the shower, ``events/particles.h5``."""
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
    generator = generators.choose({**settings.generator, "systematics": settings.systematics})
    card = settings.shower_card
    with atomic(args.output_dir / "events") as folder:
        folder.mkdir()
        event_file = folder / "events.lhe.gz"
        weights, cross_section = generator.generate(setup, plan, args.job_dir, event_file)
        origin = Origin(plan.process, plan.benchmark, cross_section, len(weights))
        affecting = partial(touching, settings.systematics, origin.name)
        logs: dict[str, Array] = {}
        if wanted := affecting("scale", "pdf"):
            logs |= generator.log_responses(event_file, plan.process, wanted)
        try:
            particles, kept, of_shower = shower(
                event_file,
                card["text"].splitlines(),
                len(weights),
                seeds.generator(plan.seed, "shower"),
                command.progress(len(weights), "events showered"),
                affecting("shower"),
            )
        except CardError as error:
            raise SettingError(f"shower: {card['name']}: {error}; mend the card") from None
        sample = particle_file.Sample(
            particles=particles,
            weights=weights[kept],
            events=kept,
            origin=origin,
            job=plan.job,
            seed=plan.seed,
            log_responses={name: of[kept] for name, of in logs.items()} | of_shower,
        )
        particle_file.write(folder / "particles.h5", sample)
        shutil.copyfile(setup_file, folder / setup_file.name)


if __name__ == "__main__":
    command.run(main, "physics")
