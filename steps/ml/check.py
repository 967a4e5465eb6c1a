"""Stage check: the input file, checked against the data, complete, divided among the stages."""

import sys
from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file, observed
from steps.inference.methods import METHODS
from steps.inference.morphing.polynomial import FormError, Polynomial
from steps.settings import arguments, learning, stages, sweeps, theory
from steps.settings import observed as checks
from steps.stage import command
from steps.stage.errors import InputError
from steps.stage.files import atomic


def main() -> None:
    """Write ``settings/<stage>.yml`` for every stage, and ``observed.h5``, events if any."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--input-file", type=Path, required=True, help="input file")
    parser.add_argument("--data-file", type=Path, required=True, help="MadMiner file")
    parser.add_argument("--sweep-file", type=Path, help="settings of the training to compare")
    arguments.add_parameters(parser, *arguments.LEARNING)
    arguments.add_observed(parser)
    args = parser.parse_args()

    parameters = arguments.given(args)
    spec = learning.read(args.input_file, parameters)
    learning.check_against(spec, theory.of_file(args.data_file))
    _check_form(spec, args.data_file)
    _check_clip(spec, args.data_file)
    found = _observed(args.observed_file, spec, args.data_file)
    for warning in [*learning.warnings(spec), *(found.warnings if found else ())]:
        print(f"warning: {warning}", file=sys.stderr)
    names = madminer_file.read_setup(args.data_file).observables
    with atomic(args.output_dir / "observed.h5") as path:
        observed.save(path, found, names)
    with atomic(args.output_dir / "settings") as folder:
        folder.mkdir()
        stages.write_all(folder, learning.divide(spec, parameters))
        for number, more in enumerate(
            sweeps.read(args.sweep_file).settings if args.sweep_file else ()
        ):
            stages.write(folder / f"training_{number:03d}.yml", learning.training(spec, more))


def _observed(text: str, spec: learning.LearningInput, data_file: Path) -> observed.Observed | None:
    return checks.check(text, spec, data_file, _counts(spec, data_file)) if text else None


def _counts(spec: learning.LearningInput, data_file: Path) -> tuple[float, float]:
    """Return the least and greatest number of events that any point of the region expects."""
    # They load MadMiner, seconds that only runs with observed events take.
    from steps.inference import rates, samples

    events = samples.mixture(str(data_file))
    region = np.array(spec.region)
    polynomial = Polynomial.of(events["exponents"], region)
    weights: Array = events["weights"].sum(axis=0, keepdims=True)
    total = polynomial.coefficients(weights, events["benchmarks"])[0]
    return rates.extremes(polynomial, spec.evaluating["luminosity"] * total, region)


def _check_form(spec: learning.LearningInput, data_file: Path) -> None:
    """Refuse weights that networks which know the polynomial do not know, before anything runs."""
    if not any(METHODS[method].cross_fits(spec.estimator) for method in spec.methods):
        return
    exponents, weights = madminer_file.read_weights(data_file)
    try:
        Polynomial.of(exponents, np.array(spec.region)).check_form(weights)
    except FormError as error:
        raise InputError(f"{data_file}: {error}") from None


def _check_clip(spec: learning.LearningInput, data_file: Path) -> None:
    """Refuse a cut that no event is below."""
    if not spec.clip:
        return
    name, cut = spec.clip["observable"], spec.clip["values"][0]
    lowest = madminer_file.read_observable(data_file, name).min()
    if not lowest < cut:
        raise InputError(
            f"{spec.path}: asymptotic_limits: clip: values: no event of {data_file} has {name} "
            f"below {cut:g}; the lowest is {lowest:.4g}, raise it"
        )


if __name__ == "__main__":
    command.run(main)
