"""Stage scan: which parameter points the data exclude, by pyhf."""

import json
from pathlib import Path

import numpy as np
import yaml

from steps.events import data_file, madminer_file
from steps.plots import recast
from steps.recasting import analysis, hepdata, report, root_files, scanning
from steps.recasting.limits import LEVEL
from steps.recasting.model import Expectation, without_signal
from steps.recasting.selecting import Events, refuse_negative
from steps.recasting.templates import SCALE, Template, scale_factor
from steps.stage import command
from steps.stage.errors import InputError
from steps.stage.files import atomic


def main() -> None:
    """Write ``exclusion.png``, ``scan.yml``, ``background.json``, ``patchset.json``, ``hepdata/``.

    The signal at each point is that of a MadMiner file, scaled as the signal of ``--filesig`` was.
    Without a scan the folder stays empty.
    """
    parser = command.parser(main.__doc__)
    add = parser.add_argument
    add("--data-file", type=Path, required=True, help="MadMiner file")
    add("--scan", default="", help="LOW,HIGH,POINTS or a number of each parameter; empty: no scan")
    add("--reference", default="", help="point of the Standard Model; empty: all zero")
    add("--observable", required=True, help="observable of the histogram")
    add("--bins", required=True, help="edges of its bins, separated by commas")
    add("--selection", default="", help="expressions of observables, separated by ;")
    add("--filesig", required=True, help="ROOT file of the scaled signal, which says its scale")
    for what, name in (("bkg", "background"), ("data", "data")):
        add(f"--file{what}", required=True, help=f"ROOT file of the {name}, or its address")
        short = what.replace("data", "dat")
        add(f"--hist{short}", required=True, help="name of the histogram in it")
    args = parser.parse_args()

    args.output_dir.mkdir(parents=True, exist_ok=True)
    data_file.check(args.data_file)
    setup = madminer_file.read_setup(args.data_file)
    names = list(setup.parameters)
    grid = analysis.Grid.read(args.scan, names)
    if grid is None:
        print("no scan")
        return
    wanted = analysis.Analysis.read(args.observable, args.bins, args.selection)
    wanted.check(setup.observables)
    given, background, data = (
        root_files.Contents(address) for address in (args.filesig, args.filebkg, args.filedata)
    )
    events, factor = Events.read(args.data_file), _factor(given)

    def signal(point: np.ndarray) -> Template:
        found = events.signal(wanted, point)
        where = ", ".join(f"{n} = {v:g}" for n, v in zip(names, point, strict=True))
        refuse_negative(found, f"{args.data_file}: {where}")
        return found.scaled(factor)

    standard_model = analysis.point(args.reference, names, "standard_model")
    at_reference = signal(standard_model)
    is_part = bool(at_reference.nominal.values.sum() > 0)
    kept = background.template(args.histbkg)
    expectation = Expectation(
        at_reference,
        at_reference if is_part else None,
        kept if kept.nominal.values.any() else None,
        data.template(args.histdat).nominal.values,
    )
    progress = command.progress(len(grid.points), "parameter points")
    found = scanning.scan(grid, signal, expectation, progress)

    about = report.About.of(given.about, data.about, against_standard_model=is_part)
    nothing = without_signal(expectation)
    _write(args.output_dir / "background.json", json.dumps(nothing, indent=1))
    patches = scanning.patch_set(found, nothing, names)
    _write(args.output_dir / "patchset.json", json.dumps(patches, indent=1))
    table = report.scan_table(found, names, about)
    text = yaml.safe_dump(table, sort_keys=False, default_flow_style=None, width=110)
    _write(args.output_dir / "scan.yml", text)
    at = standard_model[grid.scanned].tolist()
    figure = recast.exclusion(*report.plane(found, names), LEVEL, (about.name, about.data), at)
    with atomic(args.output_dir / "exclusion.png") as path:
        figure.savefig(path)
    tables = report.tables_of_scan(found, names, about)
    hepdata.write(args.output_dir / "hepdata", tables, about.label)
    n, excluded = len(found.cls), found.excluded
    print(
        f"{np.count_nonzero(excluded[:, 0])} of {n} points are excluded at 95 % CL "
        f"({np.count_nonzero(excluded[:, 3])} expected); {about.data}"
    )


def _factor(given: root_files.Contents) -> float:
    said = given.about.get("signal", {})
    if missing := [name for name in SCALE if not isinstance(said.get(name), float)]:
        raise InputError(
            f"{given.address}: does not say {missing[0]} of its signal; give what stage scaling "
            "writes, or leave scan empty"
        )
    return scale_factor(**{name: said[name] for name in SCALE})


def _write(path: Path, text: str) -> None:
    with atomic(path) as new:
        new.write_text(text + "\n")


if __name__ == "__main__":
    command.run(main)
