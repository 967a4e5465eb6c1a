"""Stage delphes: simulate the detector, evaluate observables and cuts."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import awkward as ak
import numpy as np

from steps.events import madminer_file, particle_file
from steps.events.expressions import ExpressionError
from steps.events.measurement import measure
from steps.events.objects import with_sums
from steps.events.particles import Particles
from steps.interface import command, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic, discard
from steps.interface.inputs import PhInput, load_ph
from steps.physics.detector import reconstruct

# Of the beam particles in the file for Delphes, which does not look at them.
_BEAM_ENERGY = 6500.0


def main() -> None:
    """Write ``data/madminer_delphes_data_<benchmark>_<job>.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument("--events-dir", type=Path, required=True, help="events of one job")
    args = parser.parse_args()
    discard(args.output_dir, "data/madminer_delphes_data_*.h5")
    spec = load_ph(args.input_file)
    sample = particle_file.read(args.events_dir / "particles.h5")
    if spec.detector["backend"] == "parametrised":
        objects = reconstruct(sample.particles, seeds.generator(sample.seed, "detector"))
    else:
        objects = _delphes(spec, sample.particles, args.output_dir)
    try:
        measured = measure(with_sums(objects), spec.observables, spec.cuts)
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


def _delphes(spec: PhInput, particles: Particles, output_dir: Path) -> Mapping[str, ak.Array]:
    """Let Delphes simulate the detector; return the objects of all events."""
    from steps.events import delphes_file, hepmc
    from steps.programs import delphes

    n_events = len(particles.counts)
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir) as scratch:
        hepmc_file, root_file = Path(scratch) / "events.hepmc", Path(scratch) / "delphes.root"
        hepmc.write(
            hepmc_file,
            particles,
            _BEAM_ENERGY,
            command.progress(n_events, "events written for Delphes"),
        )
        try:
            delphes.run(delphes.find(), spec.detector["card"], hepmc_file, root_file)
            objects = delphes_file.read(root_file)
        except (delphes.DelphesError, delphes_file.DelphesFileError) as error:
            raise InputError(f"{spec.path}: detector: {error}") from None
    if len(objects["met"]) != n_events:
        raise InputError(
            f"{spec.path}: detector: card: Delphes wrote {len(objects['met'])} of {n_events} "
            "events; check its card's MaxEvents and SkipEvents"
        )
    return objects


if __name__ == "__main__":
    command.run(main)
