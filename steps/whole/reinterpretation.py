"""Stage check of physics and reinterpretation: the input file and all parameters, before events."""

from pathlib import Path

from steps.settings import arguments, whole
from steps.stage import command


def main() -> None:
    """Check the input file of the physics half, and what is said of the reinterpretation."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--input-file-ph", type=Path, required=True, help="of the physics half")
    arguments.add_parameters(parser, *arguments.PHYSICS)
    for name in whole.REINTERPRETATION:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, help="see docs/recast.md")
    args = parser.parse_args()
    whole.check(vars(args), ph=args.input_file_ph)


if __name__ == "__main__":
    command.run(main)
