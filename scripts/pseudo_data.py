"""Write pseudo-data for ``make run OBSERVED=...``: ``python -m scripts.pseudo_data --help``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scripts.engine.launch import ROOT
from scripts.engine.parameters import Setting, find_file
from steps.events import madminer_file, tables
from steps.inference import pseudo_data, samples
from steps.inference.simulation import Simulation
from steps.settings import learning, parameters, theory
from steps.stage import seeds
from steps.stage.errors import InputError
from steps.stage.files import atomic

_PER_FB = 1e3


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw events at a parameter point; the exit status is 2 where that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        print(write(options))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write(options: argparse.Namespace) -> str:
    """Write pseudo-data; return a line for people.

    Args:
        options: The command line.

    Raises:
        InputError: Something that is asked for cannot be, in one line.
    """
    names = theory.of_file(options.data_file).parameters
    point, luminosity = _point(options.theta, names), options.luminosity or _luminosity(options)
    events = samples.mixture(str(options.data_file))
    rng = seeds.generator(options.seed, "pseudo-data")
    region = np.stack([np.minimum(point, 0) - 1, np.maximum(point, 0) + 1], axis=-1)
    weights = Simulation.of(events, region, 0, rng).weights(point[None])[0]
    try:
        drawn = pseudo_data.draw(weights, luminosity, rng)
    except ValueError as error:
        raise InputError(f"{options.data_file}: {error}") from None
    warning = _warning(drawn)
    about = {
        "pseudo": {
            "theta": dict(zip(names, point.tolist(), strict=True)),
            "seed": options.seed,
            "luminosity": luminosity,
            "warning": warning,
        }
    }
    observables = madminer_file.read_setup(options.data_file).observables
    columns = dict(zip(observables, events["x"][drawn.rows].T, strict=True))
    try:
        with atomic(options.out) as path:
            tables.write(path, columns, about)
    except tables.TableError as error:
        raise InputError(f"{options.out}: {error}") from None
    if warning:
        print(f"warning: {options.out}: {warning}", file=sys.stderr)
    at = ", ".join(f"{name} = {value:g}" for name, value in about["pseudo"]["theta"].items())
    return (
        f"{options.out}: {len(drawn.rows)} events of pseudo-data at {at}, "
        f"{luminosity / _PER_FB:g}/fb ({drawn.expected:.4g} expected)"
    )


def _warning(drawn: pseudo_data.Drawn) -> str:
    if drawn.kept:
        return ""
    if drawn.enough:
        return "drawn from all simulated events, of which networks of MadMiner's have seen some"
    return (
        f"{drawn.expected:.4g} events are expected, the simulated ones are worth only "
        f"{drawn.effective:.4g} there: they fluctuate less than data; simulate more events"
    )


def _point(text: str, names: Sequence[str]) -> np.ndarray:
    try:
        point = np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError:
        point = np.empty(0)
    if len(point) != len(names) or not np.isfinite(point).all():
        raise InputError(
            f"THETA: '{text}' is not a value for each of {', '.join(names)}; "
            f"give {len(names)} numbers, separated by commas"
        )
    return point


def _luminosity(options: argparse.Namespace) -> float:
    given = Setting(options.input_file_ml, "--input-file-ml", (Path.cwd(), ROOT / "inputs"))
    spec = learning.read(Path(find_file(given)), parameters.read({}))
    return float(spec.evaluating["luminosity"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.pseudo_data",
        description="Draw pseudo-data at a parameter point from simulated events.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--theta", required=True, help="parameter point, for instance '0.3,-0.2'")
    add("--data-file", type=Path, required=True, help="MadMiner file of simulated events")
    add("--out", type=Path, default=Path("pseudo_data.h5"), help="its ending is the format")
    add("--seed", type=int, default=1, help="the same seed draws the same events")
    add("--luminosity", type=float, default=0.0, help="in 1/pb; 0: that of the input file")
    add("--input-file-ml", default="ml/input.yml", help="has the luminosity")
    return parser


if __name__ == "__main__":
    sys.exit(main())
