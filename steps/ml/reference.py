"""Stage reference: what the methods are compared to, and does not depend on any of them."""

from pathlib import Path

import numpy as np

from steps.events import madminer_file
from steps.inference import fisher
from steps.inference.analysis import Analysis
from steps.inference.statistics import grid
from steps.interface import command, overrides, results, seeds
from steps.interface.files import atomic
from steps.interface.inputs import load_ml


def main() -> None:
    """Write ``reference.h5``: limits from the rate and from histograms, Fisher information."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    command.add_overrides(parser)
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()

    spec = load_ml(args.input_file)
    parameters = overrides.Evaluating.parse(args.overrides)
    seeds.seed_globally(args.seed, "reference")
    points = grid(spec.region, spec.resolutions)
    setup = madminer_file.read_setup(args.data_file)
    analysis = Analysis(
        str(args.data_file),
        spec.theta_true,
        points,
        parameters.luminosity,
        parameters.test_split,
        parameters.n_samples_train,
    )
    with atomic(args.output_dir / "reference.h5") as path:
        results.write(
            path,
            {
                "grid": points,
                "parameters": np.array(list(setup.parameters), dtype="S"),
                "n_expected": analysis.n_expected,
                "log_likelihood/rate": analysis.rate(),
                "log_likelihood/histogram": analysis.from_histogram(spec.histogram_vars),
            }
            | fisher.from_observables(
                str(args.data_file), spec.fisher_information, parameters.luminosity
            ),
        )
    print(f"{analysis.n_expected:.1f} events expected at the true point")


if __name__ == "__main__":
    command.run(main)
