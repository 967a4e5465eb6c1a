"""Stage preserved: background and data of an analysis, its own or pseudo-data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steps.events import data_file, madminer_file
from steps.recasting import analysis, root_files
from steps.recasting.selecting import Events, refuse_negative
from steps.recasting.templates import Histogram, Template, scale_factor
from steps.stage import command, seeds
from steps.stage.errors import SettingError


def main() -> None:
    """Write ``background.root`` and ``data.root``, both in events.

    Without files of an analysis the background is that of the MadMiner file, and the data are
    pseudo-data of it and of the signal at a parameter point, drawn once.
    """
    parser = command.parser(main.__doc__)
    add = parser.add_argument
    add("--background-file", default="", help="ROOT file or address; empty: simulated")
    add("--background-histogram", default="h_mjj", help="name of the histogram in it")
    add("--measured-file", default="", help="ROOT file or address; empty: pseudo-data")
    add("--measured-histogram", default="h_mjj", help="name of the histogram in it")
    add("--data-file", type=Path, required=True, help="MadMiner file of what is simulated")
    add("--injected", default="", help="point of the pseudo-data; empty: the Standard Model")
    add("--observable", required=True, help="observable of the histogram")
    add("--bins", required=True, help="edges of its bins, separated by commas")
    add("--selection", default="", help="expressions of observables, separated by ;")
    add("--luminosity", required=True, help="in 1/fb")
    add("--seed", type=int, default=1, help="the same seed draws the same pseudo-data")
    args = parser.parse_args()

    luminosity = analysis.positive(args.luminosity, "luminosity")
    if luminosity is None:
        raise SettingError("luminosity: is empty; give it in 1/fb")
    data_file.check(args.data_file)
    setup = madminer_file.read_setup(args.data_file)
    injected = analysis.point(args.injected, list(setup.parameters), "injected")
    wanted = analysis.Analysis.read(args.observable, args.bins, args.selection)
    wanted.check(setup.observables)
    events = Events.read(args.data_file)
    # Weights in pb sum to cross sections.
    factor = scale_factor(1.0, 1.0, luminosity)

    about: Mapping[str, Any] = {"simulated": {"luminosity": luminosity}}
    if args.background_file:
        contents = root_files.Contents(args.background_file)
        about, background = contents.about, contents.template(args.background_histogram)
    elif (found := events.background(wanted)) is not None:
        refuse_negative(found, f"{args.data_file}: background")
        background = found.scaled(factor)
    else:
        background = _empty(wanted.edges)
    root_files.write(
        args.output_dir / "background.root", {args.background_histogram: background}, about
    )

    if args.measured_file:
        contents = root_files.Contents(args.measured_file)
        about, observed = contents.about, contents.template(args.measured_histogram)
    else:
        signal = events.signal(wanted, injected).scaled(factor)
        rng = seeds.generator(args.seed, "preserved")
        expected = signal.nominal.values + background.nominal.values
        drawn = rng.poisson(expected).astype(float)
        observed = Template(Histogram(wanted.edges, drawn, drawn))
        theta = dict(zip(setup.parameters, injected.tolist(), strict=True))
        about = {"pseudo": {"theta": theta, "seed": args.seed, "luminosity": luminosity}}
        at = ", ".join(f"{name} = {value:g}" for name, value in theta.items())
        print(f"pseudo-data: {drawn.sum():g} events at {at} ({expected.sum():.4g} expected)")
    root_files.write(args.output_dir / "data.root", {args.measured_histogram: observed}, about)


def _empty(edges: np.ndarray) -> Template:
    nothing = np.zeros(len(edges) - 1)
    return Template(Histogram(edges, nothing, nothing))


if __name__ == "__main__":
    command.run(main)
