"""Stage check: the input file, checked, complete, and divided among the stages."""

from pathlib import Path

from steps.settings import arguments, physics, stages
from steps.stage import command
from steps.stage.files import atomic


def main() -> None:
    """Write ``settings/<stage>.yml`` for every stage of the physics half."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--input-file", type=Path, required=True, help="input file")
    arguments.add_parameters(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    parameters = arguments.given(args)
    spec = physics.read(args.input_file, parameters)
    physics.find_programs(spec)
    with atomic(args.output_dir / "settings") as folder:
        folder.mkdir()
        stages.write_all(folder, physics.divide(spec, parameters))


if __name__ == "__main__":
    command.run(main)
