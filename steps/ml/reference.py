"""Stage reference: what the methods are compared to, and does not depend on any of them."""

from pathlib import Path

import numpy as np

from steps.events import madminer_file
from steps.inference.analysis import Analysis
from steps.inference.statistics import grid
from steps.madminer.limits import Information
from steps.settings import arguments, learning, stages
from steps.stage import command, results, seeds
from steps.stage.files import atomic


def main() -> None:
    """Write ``reference.h5``: limits from the rate and from histograms, Fisher information."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    arguments.add(parser, "seed", "mlflow_args_e", short="mlflow_args_e")
    args = parser.parse_args()

    settings = learning.of_stage(args, stages.Reference)
    seeds.seed_globally(settings.seed, "reference")
    analysis = Analysis(
        str(args.data_file),
        settings.theta_true,
        grid(settings.region, settings.resolutions),
        settings.luminosity,
        settings.test_split,
        settings.n_samples_train,
    )
    arrays = analysis.expectation() | {
        "parameters": np.array(list(madminer_file.read_setup(args.data_file).parameters), "S"),
        "log_likelihood/rate": analysis.rate(),
        "log_likelihood/histogram": analysis.from_histogram(settings.histogram_vars),
    }
    if settings.fisher_information["bool"]:
        theta = np.array(settings.fisher_information["theta_true"], dtype=float)
        information = Information(str(args.data_file), theta, settings.luminosity)
        arrays["fisher/rate"] = information.in_rate()
        arrays["fisher/histogram"] = information.in_histogram(settings.fisher_information)
    with atomic(args.output_dir / "reference.h5") as path:
        results.write(path, arrays)
    print(f"{analysis.n_expected:.1f} events expected at the true point")


if __name__ == "__main__":
    command.run(main, "machine-learning")
