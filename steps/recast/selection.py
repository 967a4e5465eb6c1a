"""Stage selection: events of a MadMiner file at a parameter point, selected and filled."""

from pathlib import Path

import numpy as np

from steps.events import data_file, madminer_file
from steps.recasting import analysis, root_files
from steps.recasting.selecting import Events, refuse_negative
from steps.recasting.templates import REFERENCE
from steps.stage import command


def main() -> None:
    """Write ``selected.root``: the signal's histogram in pb, and what the signal is."""
    parser = command.parser(main.__doc__)
    add = parser.add_argument
    add("--data-file", type=Path, required=True, help="MadMiner file")
    add("--theta", default="", help="parameter point, numbers separated by commas")
    add("--reference", default="", help="point of the Standard Model; empty: all zero")
    add("--name", default="", help="what the signal is called; empty: as its process")
    add("--observable", required=True, help="observable of the histogram")
    add("--bins", required=True, help="edges of its bins, separated by commas")
    add("--selection", default="", help="expressions of observables, separated by ;")
    add("--histogram", default="h_mjj", help="name of the histogram")
    args = parser.parse_args()

    data_file.check(args.data_file)
    setup = madminer_file.read_setup(args.data_file)
    theta = analysis.point(args.theta, list(setup.parameters))
    reference = analysis.point(args.reference, list(setup.parameters), "reference")
    wanted = analysis.Analysis.read(args.observable, args.bins, args.selection)
    wanted.check(setup.observables)
    events = Events.read(args.data_file)
    templates = {args.histogram: events.signal(wanted, theta)}
    at_reference = events.signal(wanted, reference)
    # Of the Standard Model's own signal it is the strength that is tested.
    if at_reference.nominal.values.sum() > 0 and not np.array_equal(theta, reference):
        templates[args.histogram + REFERENCE] = at_reference
    for template in templates.values():
        refuse_negative(template, f"{args.data_file}: {args.observable}")
    before_cuts = events.before_cuts(theta)
    signal = {
        "name": args.name or ", ".join(events.signal_names()),
        "observable": args.observable,
        "theta": dict(zip(setup.parameters, theta.tolist(), strict=True)),
        # Weights are in pb: they sum to the cross section.
        "cross_section": before_cuts,
        "sum_of_weights": before_cuts,
    }
    selected = templates[args.histogram].nominal.values.sum()
    share = f" of {before_cuts:.4e} pb before cuts" if before_cuts else ""
    print(f"{signal['name']}: {selected:.4e} pb{share} pass the selection and lie in the bins")
    root_files.write(args.output_dir / "selected.root", templates, {"signal": signal})


if __name__ == "__main__":
    command.run(main)
