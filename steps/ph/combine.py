"""Stage combine: merge and shuffle the events of all benchmarks and jobs."""

from pathlib import Path

from steps.events import madminer_file
from steps.interface import command, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import load_ph


def main() -> None:
    """Write ``data/combined_delphes.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-files", type=Path, nargs="+", required=True, help="MadMiner files")
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    # By name, so that the order in which the jobs finished does not matter.
    files = sorted(args.data_files, key=lambda file: file.name)
    with atomic(args.output_dir / "data" / "combined_delphes.h5") as path:
        flow = madminer_file.combine(path, files, seeds.generator(args.seed, "combine"))
        for requirement, passed in flow.items():
            print(f"{passed} events: {requirement}")
            if passed == 0:
                raise InputError(
                    f"{spec.path}: observables, cuts: no event passes '{requirement}'; "
                    "loosen it or generate more events"
                )


if __name__ == "__main__":
    command.run(main)
