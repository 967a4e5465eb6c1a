"""Stage delphes: simulate the detector, evaluate observables and cuts."""

from pathlib import Path

import numpy as np

from steps.events import madminer_file, particle_file
from steps.events.expressions import ExpressionError
from steps.events.measurement import measure
from steps.events.objects import with_sums
from steps.interface import command, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import load_ph
from steps.physics.detector import reconstruct


def main() -> None:
    """Write ``data/madminer_delphes_data_<benchmark>_<job>.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument("--events-dir", type=Path, required=True, help="events of one job")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    sample = particle_file.read(args.events_dir / "particles.h5")
    objects = with_sums(reconstruct(sample.particles, seeds.generator(sample.seed, "detector")))
    try:
        measured = measure(objects, spec.observables, spec.cuts)
    except ExpressionError as error:
        raise InputError(f"{spec.path}: observables, cuts: {error}") from None
    observations = measured.observations[measured.selected]
    for observable, undefined in zip(
        spec.observables, ~np.isfinite(observations).all(axis=0), strict=True
    ):
        if undefined:
            raise InputError(
                f"{spec.path}: observables: {observable['name']} is undefined for some events; "
                "set required: True or give a default"
            )
    name = f"madminer_delphes_data_{sample.origin.label}_{sample.job}.h5"
    with atomic(args.output_dir / "data" / name) as path:
        madminer_file.write_sample(
            path,
            args.config_file,
            {o["name"]: o["definition"] for o in spec.observables},
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
    command.run(main)
