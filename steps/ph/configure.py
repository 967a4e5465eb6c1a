"""Stage configure: parameters, benchmarks and the morphing basis, as a MadMiner file."""

from pathlib import Path
from typing import Any

import numpy as np

from steps.events.madminer_file import read_setup
from steps.interface import command, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import PhInput, load_ph
from steps.interface.madminer import MorphingError, new_setup
from steps.physics import builtin


def main() -> None:
    """Read the input file, choose the morphing basis, write ``data/madminer_config.h5``."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    # MadMiner searches the basis at random.
    seeds.seed_globally(args.seed, "configure")
    try:
        miner = new_setup(spec.parameters, spec.benchmarks, spec.morphing)
    except MorphingError as error:
        raise InputError(f"{spec.path}: benchmarks, set_morphing: {error}") from None
    with atomic(args.output_dir / "data" / "madminer_config.h5") as path:
        miner.save(str(path))
        if spec.generator["backend"] == "builtin":
            _check_morphing(spec, path, miner.morpher, seeds.generator(args.seed, "check morphing"))
    for name, benchmark in miner.benchmarks.items():
        values = ", ".join(f"{p} = {v:.3g}" for p, v in benchmark.values.items())
        print(f"benchmark {name}: {values}")


def _check_morphing(
    spec: PhInput, setup_file: Path, morpher: Any, rng: np.random.Generator
) -> None:
    """Check that the morphing interpolates the built-in |M|^2 exactly, at one random point."""
    setup = read_setup(setup_file)
    low, high = np.array([p["parameter_range"] for p in spec.parameters]).T
    theta = rng.uniform(low, high)
    weights = morpher.calculate_morphing_weights(theta)
    point = setup.card_values(dict(zip(setup.parameters, theta, strict=True)))
    benchmarks = [setup.card_values(b) for b in list(setup.benchmarks.values())[: len(weights)]]
    if not builtin.interpolates(benchmarks, weights, point):
        raise InputError(
            f"{spec.path}: parameters, set_morphing: |M|^2 is quadratic in the coefficients of "
            "the model; give morphing_max_power and max_overall_power of 2, or more if "
            "param_card_transform is not linear"
        )


if __name__ == "__main__":
    command.run(main)
