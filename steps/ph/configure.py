"""Stage configure: parameters, benchmarks and the morphing basis, as a MadMiner file."""

from steps.interface import command
from steps.interface.files import atomic
from steps.interface.inputs import load_ph
from steps.interface.madminer import new_setup
from steps.interface.seeds import seed_globally


def main() -> None:
    """Read the input file, choose the morphing basis, write ``data/madminer_config.h5``."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    # MadMiner searches the basis at random.
    seed_globally(args.seed, "configure")
    setup = new_setup(spec.parameters, spec.benchmarks, spec.morphing)
    with atomic(args.output_dir / "data" / "madminer_config.h5") as path:
        setup.save(str(path))
    for name, benchmark in setup.benchmarks.items():
        values = ", ".join(f"{p} = {v:.3g}" for p, v in benchmark.values.items())
        print(f"benchmark {name}: {values}")


if __name__ == "__main__":
    command.run(main)
