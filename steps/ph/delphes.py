"""Stage delphes: simulate the detector, evaluate observables and cuts."""

from pathlib import Path

import numpy as np

from steps.backends import detectors
from steps.events import madminer_file, particle_file
from steps.events.expressions import ExpressionError
from steps.events.measurement import measure
from steps.events.objects import with_sums
from steps.settings import arguments, physics, stages
from steps.stage import command, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic, discard


def main() -> None:
    """Write ``data/madminer_delphes_data_<benchmark>_<job>.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--events-dir", type=Path, required=True, help="events of one job")
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Delphes)
    discard(args.output_dir, "data/madminer_delphes_data_*.h5")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    sample = particle_file.read(args.events_dir / "particles.h5")
    objects = detectors.choose(settings.detector).reconstruct(
        sample.particles, seeds.generator(sample.seed, "detector"), args.output_dir
    )
    try:
        measured = measure(with_sums(objects), settings.observables, settings.cuts)
    except ExpressionError as error:
        raise SettingError(f"observables, cuts: {error}") from None
    observations = measured.observations[measured.selected]
    defined = np.atleast_1d(np.isfinite(observations).all(axis=0))
    for observable, is_defined in zip(settings.observables, defined, strict=True):
        if not is_defined:
            raise SettingError(
                f"observables: {observable['name']} is undefined for some events; "
                "set required: True or give a default"
            )
    name = f"madminer_delphes_data_{sample.origin.label}_{sample.job}.h5"
    with atomic(args.output_dir / "data" / name) as path:
        madminer_file.write_sample(
            path,
            args.events_dir / madminer_file.JOB_SETUP,
            {o["name"]: o["definition"] for o in settings.observables},
            madminer_file.Sample(
                observations,
                sample.weights[measured.selected],
                sample.origin,
                measured.flow,
            ),
        )
    print(f"{len(sample.weights)} events")
    for requirement, passed in measured.flow.items():
        print(f"{passed} events: {requirement}")


if __name__ == "__main__":
    command.run(main, "physics")
