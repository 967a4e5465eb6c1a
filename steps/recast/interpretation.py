"""Stage interpretation: limits on a signal by pyhf, and what they are set with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from steps.plots import recast
from steps.recasting import hepdata, report, root_files
from steps.recasting.limits import LEVEL, Limits, Model
from steps.recasting.model import Expectation, workspace
from steps.recasting.templates import REFERENCE
from steps.stage import command, seeds
from steps.stage.files import atomic


def main() -> None:
    """Write the plots of limits and of events, ``limits.yml``, ``workspace.json``, ``hepdata/``."""
    parser = command.plain(main.__doc__)
    add = parser.add_argument
    for what, name in (("sig", "signal"), ("bkg", "background"), ("data", "data")):
        add(f"--file{what}", required=True, help=f"ROOT file of the {name}, or its address")
        short = what.replace("data", "dat")
        add(f"--hist{short}", required=True, help="name of the histogram in it")
    add("--outputfile", type=Path, required=True, help="plot of the limits to write")
    add("--plotfile", type=Path, required=True, help="plot of data, background and signal to write")
    add("--toys", type=int, default=0, help="toys of each strength that is tested; 0: none")
    add("--seed", type=int, default=1, help="of the toys")
    args = parser.parse_args()

    signal, background, data = (
        root_files.Contents(address) for address in (args.filesig, args.filebkg, args.filedata)
    )
    reference = args.histsig + REFERENCE
    background_template = background.template(args.histbkg)
    expectation = Expectation(
        signal.template(args.histsig),
        signal.template(reference) if reference in signal else None,
        background_template if background_template.nominal.values.any() else None,
        data.template(args.histdat).nominal.values,
    )
    expectation.check()
    made = workspace(expectation)
    model = Model(made)
    limits = {"asymptotic": model.limits()}
    if args.toys:
        seeds.seed_globally(args.seed, "interpretation")
        limits["toys"] = model.limits_by_toys(limits["asymptotic"], args.toys)
    about = report.About.of(signal.about, data.about, against_standard_model=reference in signal)
    _write(args.outputfile.parent, made, limits, about)
    shown = report.events(expectation)
    tables = report.tables(limits, shown, about)
    hepdata.write(args.outputfile.parent / "hepdata", tables, about.label)
    found = limits["asymptotic"]
    scan = (found.strengths, found.scan)
    for path, figure in (
        (args.outputfile, recast.limits(scan, found.upper, LEVEL, about.label, about.data)),
        (
            args.plotfile,
            recast.results(
                shown.edges,
                shown.observed,
                shown.parts,
                shown.errors,
                (about.label, shown.signal),
                (about.observable, about.data),
            ),
        ),
    ):
        with atomic(path) as new:
            figure.savefig(new)


def _write(
    folder: Path, made: Mapping[str, Any], limits: Mapping[str, Limits], about: report.About
) -> None:
    with atomic(folder / "workspace.json") as path:
        path.write_text(json.dumps(made, indent=1) + "\n")
    table = report.table(limits, about)
    with atomic(folder / "limits.yml") as path:
        path.write_text(yaml.safe_dump(table, sort_keys=False, allow_unicode=True))
    for line in report.lines(limits["asymptotic"], about):
        print(line)


if __name__ == "__main__":
    command.run(main)
