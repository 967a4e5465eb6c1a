"""Stage check of the whole workflow: both input files, before any event is generated."""

import sys
from pathlib import Path

from steps.settings import arguments, whole
from steps.stage import command


def main() -> None:
    """Check both input files, also against each other; the halves divide them among stages."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--input-file-ph", type=Path, required=True, help="of the physics half")
    parser.add_argument("--input-file-ml", type=Path, required=True, help="of machine learning")
    arguments.add_parameters(parser, *dict.fromkeys(arguments.PHYSICS + arguments.LEARNING))
    arguments.add_observed(parser)
    args = parser.parse_args()
    for warning in whole.check(vars(args), ph=args.input_file_ph, ml=args.input_file_ml):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
