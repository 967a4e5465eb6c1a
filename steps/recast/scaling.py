"""Stage scaling: a histogram of weights as expected events."""

from pathlib import Path

from steps.plots import recast
from steps.recasting import root_files
from steps.recasting.analysis import positive
from steps.recasting.templates import REFERENCE, SCALE, scale_factor
from steps.stage import command
from steps.stage.errors import SettingError
from steps.stage.files import atomic


def main() -> None:
    """Write the histogram times cross section, luminosity and factors over sum of weights."""
    parser = command.plain(main.__doc__)
    add = parser.add_argument
    add("-i", "--input", required=True, help="ROOT file of the histogram, or its address")
    add("-o", "--output", type=Path, required=True, help="ROOT file to write")
    add("-p", "--plot", type=Path, help="picture of the histogram before and after (PDF)")
    add("-c", "--cross-section", default="", help="in pb; empty: as the file says")
    add("-s", "--sum-of-weights", default="", help="before cuts; empty: as the file says")
    add("-k", "--k-factor", default="1", help="of higher orders")
    add("-f", "--filter-efficiency", default="1", help="share that the generator's filter passes")
    add("-l", "--luminosity", required=True, help="in 1/fb")
    add("-g", "--histogram", required=True, help="name of the histogram")
    args = parser.parse_args()

    found = root_files.Contents(args.input)
    said = found.about.get("signal", {})
    scale = {}
    for name in SCALE:
        number = positive(getattr(args, name), name) or said.get(name)
        if number is None:
            option = name.replace("_", "-")
            raise SettingError(f"{name}: {args.input} does not say it; give --{option}")
        scale[name] = float(number)
    factor = scale_factor(**scale)
    names = [n for n in (args.histogram, args.histogram + REFERENCE) if n in found]
    before = {name: found.template(name) for name in names or [args.histogram]}
    after = {name: template.scaled(factor) for name, template in before.items()}
    about = {**found.about, "signal": {**said, **scale}}
    root_files.write(args.output, after, about)
    nominal = after[args.histogram].nominal
    print(f"{nominal.values.sum():.4g} events at {scale['luminosity']:g}/fb, factor {factor:.6g}")
    if args.plot:
        figure = recast.scaling(
            nominal.edges, before[args.histogram].nominal.values, nominal.values
        )
        with atomic(args.plot) as path:
            figure.savefig(path)


if __name__ == "__main__":
    command.run(main)
