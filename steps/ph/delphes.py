"""Stage delphes: simulate the detector, evaluate observables and cuts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steps.backends import detectors
from steps.events import madminer_file, particle_file
from steps.events.expressions import ExpressionError
from steps.events.measurement import Measured, measure
from steps.events.objects import with_sums
from steps.settings import arguments, physics, stages
from steps.settings.systematics import touching
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
    detector = detectors.choose(settings.detector)
    moving = touching(settings.systematics, sample.origin.name, "detector")
    rng, place = seeds.generator(sample.seed, "detector"), args.output_dir
    if moving:
        scales = [{e["object"]: 1 + s * e["value"]} for e in moving for s in (1, -1)]
        nominal, *others = detector.reconstruct_scaled(sample.particles, rng, place, [{}, *scales])
    else:
        nominal, others = detector.reconstruct(sample.particles, rng, place), []
    measured = _measured(nominal, settings)
    observations = measured.observations[measured.selected]
    ups_downs = [_selected(sample, _measured(objects, settings)) for objects in others]
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
                sample.events[measured.selected],
                log_responses={n: o[measured.selected] for n, o in sample.log_responses.items()},
                shifted={
                    entry["name"]: (up, down)
                    for entry, up, down in zip(moving, ups_downs[::2], ups_downs[1::2], strict=True)
                },
            ),
        )
    print(f"{len(sample.weights)} events")
    for requirement, passed in measured.flow.items():
        print(f"{passed} events: {requirement}")


def _measured(objects: Mapping[str, Any], settings: stages.Delphes) -> Measured:
    """Evaluate observables and cuts; every observable must have a value for what passes."""
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
    return measured


def _selected(sample: particle_file.Sample, measured: Measured) -> madminer_file.Selected:
    columns = (measured.observations, sample.weights, sample.events)
    return madminer_file.Selected(*(column[measured.selected] for column in columns))


if __name__ == "__main__":
    command.run(main, "physics")
