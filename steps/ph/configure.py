"""Stage configure: parameters, benchmarks and the morphing basis, as a MadMiner file."""

from pathlib import Path

import numpy as np

from steps.backends import generators
from steps.events.madminer_file import read_setup
from steps.events.transforms import card_values
from steps.madminer.setup import Morpher, MorphingError, new_setup
from steps.settings import arguments, physics, stages
from steps.stage import command, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic


def main() -> None:
    """Choose the morphing basis, write ``data/madminer_config.h5``."""
    parser = command.parser(main.__doc__)
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Configure)
    # MadMiner searches the basis at random.
    seeds.seed_globally(settings.seed, "configure")
    try:
        miner = new_setup(
            settings.parameters, settings.benchmarks, settings.morphing, settings.outside_basis
        )
    except MorphingError as error:
        raise SettingError(f"benchmarks, set_morphing: {error}") from None
    with atomic(args.output_dir / "data" / "madminer_config.h5") as path:
        miner.save(str(path))
        _check_morphing(settings, path, miner.morpher)
    for name, benchmark in miner.benchmarks.items():
        values = ", ".join(f"{p} = {v:.3g}" for p, v in benchmark.values.items())
        print(f"benchmark {name}: {values}")


def _check_morphing(settings: stages.Configure, setup_file: Path, morpher: Morpher) -> None:
    """Check that the morphing interpolates the generator's |M|^2, at one random point."""
    setup = read_setup(setup_file)
    low, high = np.array([p["parameter_range"] for p in settings.parameters]).T
    theta = seeds.generator(settings.seed, "check morphing").uniform(low, high)
    weights = morpher.calculate_morphing_weights(theta)
    point = card_values(setup, dict(zip(setup.parameters, theta, strict=True)))
    benchmarks = [card_values(setup, b) for b in list(setup.benchmarks.values())[: len(weights)]]
    generators.choose(settings.generator).check_morphing(benchmarks, weights, point)


if __name__ == "__main__":
    command.run(main, "physics")
