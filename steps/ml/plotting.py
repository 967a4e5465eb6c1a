"""Stage plotting: figures and a table of the limits of all methods."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from steps.arrays import Array, decoded
from steps.inference import clipping, intervals, observing, summary
from steps.inference.closure import from_arrays
from steps.inference.frames import NAMES
from steps.inference.nuisance import tables as nuisances
from steps.inference.nuisance.systematics import PREFIX as SYSTEMATICS
from steps.inference.nuisance.tables import Found
from steps.inference.observing import PREFIX
from steps.inference.statistics import CONFIDENCE_LEVELS, level, p_values
from steps.inference.summary import Curve
from steps.plots import catalogue, saving
from steps.plots.clipping import Scan
from steps.plots.figures import Coverage, Evolution, Grid, Panel, Result, Role, colors
from steps.plots.impacts import Impacts
from steps.settings import arguments, learning, stages
from steps.stage import command, provenance, results
from steps.stage.errors import InputError, SettingError
from steps.stage.files import atomic, unpack

_PER_FB = 1e3
_LABELS = {confidence: f"{confidence} % CL" for confidence in CONFIDENCE_LEVELS}


def main() -> None:
    """Write ``plots/*.png`` and ``plots/limits.yml``."""
    parser = command.parser(main.__doc__)
    parser.add_argument(
        "--result-files", nargs="+", action=command.Files, required=True, help="evaluations"
    )
    parser.add_argument("--reference-file", type=Path, required=True, help="method-free results")
    arguments.add(parser)
    args = parser.parse_args()

    settings = learning.of_stage(args, stages.Plotting)
    reference = results.read(args.reference_file)
    _check_reference(args.reference_file, reference, settings)
    runs = _by_method(settings, args.result_files, reference)
    entries = list(_entries(settings, reference, runs))
    with atomic(args.output_dir / "plots") as folder:
        folder.mkdir()
        saving.save(_figures(settings, reference, runs, entries), folder)
        found = _summary(reference, runs, entries)
        # Lists and tables of numbers on one line each.
        text = yaml.safe_dump(found, sort_keys=False, default_flow_style=None, width=110)
        (folder / "limits.yml").write_text(text)
    print(text)
    for entry in entries:
        for what, curve in entry.curves.items():
            if not curve.reliable:
                why = " | ".join(curve.findings or ())
                print(f"warning: {entry.label}{what} is not reliable: {why}", file=sys.stderr)
    absent = (below for entry in entries for below in entry.clipped if below.curve is None)
    for line in dict.fromkeys(line for below in absent for line in below.why):
        print(f"warning: clipping: {line}", file=sys.stderr)


Arrays = Mapping[str, Array]
Runs = Mapping[str, Sequence[Arrays]]


def _by_method(settings: stages.Plotting, files: Sequence[Path], reference: Arrays) -> Runs:
    runs: dict[str, list[tuple[int, Arrays]]] = {m: [] for m in settings.methods}
    for file in files:
        with tempfile.TemporaryDirectory() as scratch:
            unpack(file, Path(scratch))
            about = provenance.read(Path(scratch) / "training.yml")
            arrays = results.read(Path(scratch) / "results.h5")
        _check_alike(file, arrays, reference)
        _check_observed(file, arrays, reference)
        _check_complete(file, arrays, [NAMES[with_rate] for with_rate in settings.include_xsec])
        if about["method"] in runs:
            runs[about["method"]].append((about["run"], arrays))
    for method, items in runs.items():
        if not items:
            raise SettingError(f"methods: no results of {method}; evaluate it, or leave it out")
    return {
        method: [arrays for _, arrays in sorted(items, key=lambda item: item[0])]
        for method, items in runs.items()
    }


def _check_alike(file: Path, arrays: Arrays, reference: Arrays) -> None:
    """Refuse results of other expected data, or on another grid."""
    shared = {name for name in reference if name.startswith("expectation/")}
    for name in sorted(shared | ({"clip/cuts"} & {*arrays})):
        found, wanted = (np.asarray(of.get(name, ())) for of in (arrays, reference))
        # Sums over events may run in another order.
        if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=1e-9, atol=0):
            raise InputError(
                f"{file}: {name.removeprefix('expectation/')} is not that of the reference file; "
                "evaluate with the same settings and data"
            )


def _check_observed(file: Path, arrays: Arrays, reference: Arrays) -> None:
    """Refuse results of other observed events."""
    here, there = (observing.facts_of(each) for each in (arrays, reference))
    if here != there:
        what = [each["source"] if each else "none" for each in (here, there)]
        raise InputError(
            f"{file}: observed events are {what[0]}, those of the reference file {what[1]}; "
            "evaluate with the same"
        )


def _check_complete(file: Path, arrays: Arrays, curves: Sequence[str]) -> None:
    """Refuse results that lack limits that are asked for."""
    for name in curves:
        if f"intervals/{name}/profiled/best_fit" not in arrays:
            raise InputError(f"{file}: no limits of {name}; make it with the same include_xsec")


def _check_reference(file: Path, reference: Arrays, settings: stages.Plotting) -> None:
    """Refuse a reference that was made with other settings."""
    _check_complete(file, reference, [f"reference/{NAMES[rate]}" for rate in settings.include_xsec])
    points = len(reference.get("log_likelihood/rate", ()))
    if points and points != np.prod(settings.resolutions):
        raise InputError(
            f"{file}: limits at {points} points, not at {settings.resolutions} as the "
            "resolutions say; make it with the same resolutions"
        )


@dataclass(frozen=True)
class _Entry:
    """A likelihood that is shown.

    Attributes:
        label: Its name for people.
        source: What it is of: ``rate``, ``histogram``, ``reference`` or a method.
        with_rate: Whether the number of events is part of it.
        curve: What it says of the expected data.
        observed: What it says of observed events; None where there are none.
        clipped: What it says of the events below cuts.
        full: What it says with systematic uncertainties, where it knows these.
        full_observed: The same of observed events.
        full_clipped: The same of the events below cuts.
    """

    label: str
    source: str
    with_rate: bool
    curve: Curve
    observed: Curve | None = None
    clipped: Sequence[clipping.Below] = ()
    full: Found | None = None
    full_observed: Found | None = None
    full_clipped: Sequence[clipping.Below] = ()

    @property
    def curves(self) -> dict[str, Curve]:
        """All that it says, by what is added to its name."""
        found = {
            "": self.curve,
            ", observed,": self.observed,
            " with systematics": self.full and self.full.curve,
            ", observed, with systematics": self.full_observed and self.full_observed.curve,
        }
        return {name: curve for name, curve in found.items() if curve}

    def beside(
        self, curve: Curve, result: Callable[[Curve], Result]
    ) -> tuple[Result | None, Result | None]:
        """Return what is drawn beside a curve: that of observed events, and with systematics."""
        if curve is self.curve:
            observed, full = self.observed, self.full
        else:
            observed, full = None, self.full_observed if curve is self.observed else None
        return result(observed) if observed else None, result(full.curve) if full else None

    @property
    def role(self) -> Role:
        others = {"rate": Role.OTHER, "histogram": Role.OTHER, "reference": Role.REFERENCE}
        return others.get(self.source, Role.NETWORK)


def _entries(settings: stages.Plotting, reference: Arrays, runs: Runs) -> Iterator[_Entry]:
    """Yield the likelihoods that the input file asks for; the runs of a method are averaged."""
    if settings.plotting["rates"]:
        yield _entry(settings, [reference], "rate", "rate", "rate", with_rate=True)
    histogram, full = (
        ", ".join(decoded(reference[f"{name}_vars"])) for name in ("histogram", "reference")
    )
    sources = [
        ("histogram", f"histogram of {histogram}", [reference], "histogram/"),
        ("reference", f"reference ({full})", [reference], "reference/"),
        *((method, method.upper(), items, "") for method, items in runs.items()),
    ]
    for source, label, items, prefix in sources:
        for with_rate in sorted(set(settings.include_xsec), reverse=True):
            shown = label if with_rate else f"{label} (kinematics)"
            name = prefix + NAMES[with_rate]
            yield _entry(settings, items, shown, source, name, with_rate=with_rate)


def _entry(
    settings: stages.Plotting,
    items: Sequence[Arrays],
    label: str,
    source: str,
    name: str,
    *,
    with_rate: bool,
) -> _Entry:
    """Return a likelihood by its name in files, that is shown by a label and what it is of."""
    curve, observed = _curves(settings, items, name)
    full = nuisances.read(items, name, settings.resolutions)
    return _Entry(
        label,
        source,
        with_rate,
        curve,
        observed,
        clipping.read(items, name),
        full,
        nuisances.read(items, f"{PREFIX}{name}", settings.resolutions),
        clipping.read(items, f"{SYSTEMATICS}{name}") if full else (),
    )


def _curves(
    settings: stages.Plotting, runs: Sequence[Arrays], name: str
) -> tuple[Curve, Curve | None]:
    """Return what is said of the expected data, and of observed events if there are any."""
    curve = Curve.read(runs, name, settings.resolutions)
    if observing.facts_of(runs[0]) is None:
        return curve, None
    seen = Curve.read(runs, f"{PREFIX}{name}", settings.resolutions)
    # Thresholds are those of a point, whatever the data.
    return curve, replace(seen, thresholds=curve.thresholds)


def _figures(
    settings: stages.Plotting, reference: Arrays, runs: Runs, entries: Sequence[_Entry]
) -> catalogue.Figures:
    report = catalogue.Report(
        limits=_shown_limits(settings, reference, entries),
        coverages=_coverages(entries),
        confidence={label: 1 - p_value for label, p_value in CONFIDENCE_LEVELS.items()},
        runs=runs,
        closures={method: from_arrays(items) for method, items in runs.items()},
        options=settings.plotting,
        pairs=_shown_pairs(settings, reference, entries),
        clipping=_shown_scans(settings, reference, entries),
        impacts=dict(_shown_impacts(reference, entries)),
    )
    return catalogue.draw(report)


def _shown_scans(
    settings: stages.Plotting, reference: Arrays, entries: Sequence[_Entry]
) -> catalogue.Clipping | None:
    """Return limits against a cut; None where there are none."""
    name = clipping.observable(reference)
    if name is None:
        return None
    color = colors(["reference", "rate", "histogram", *settings.methods])
    scans = [
        Scan(
            label=entry.label,
            with_rate=entry.with_rate,
            color=color[entry.source],
            cuts=np.array([below.cut for below in clipped]),
            reliable=np.array([not below.why for below in clipped]),
            pieces={_LABELS[each]: _pieces(clipped, each) for each in intervals.LEVELS},
            full=clipped is entry.full_clipped,
        )
        for entry in entries
        for clipped in (entry.clipped, entry.full_clipped)
        if clipped
    ]
    truth = dict(zip(_names(reference), reference["expectation/theta_true"], strict=True))
    return catalogue.Clipping(name, truth, scans)


def _shown_impacts(reference: Arrays, entries: Sequence[_Entry]) -> Iterator[tuple[str, Impacts]]:
    """Yield what systematic uncertainties do, each by the name of its figure.

    The rate has none: alone it leaves several parameters free, which follow anything.
    """
    for entry in entries:
        found = entry.full_observed or entry.full
        if found and entry.source != "rate":
            name = f"impacts_{entry.source.upper()}" + ("" if entry.with_rate else "_kinematics")
            told = (found.names, found.pulls, found.impacts)
            made = Impacts(entry.label, _names(reference), *told)
            if entry.full_observed and entry.full:
                data = _data(reference, [])["data"]
                made = replace(made, expected=entry.full.pulls, data=data)
            yield name, made


def _pieces(clipped: Sequence[clipping.Below], level: str) -> Array:
    """Return the pieces of the profiled intervals below all cuts, see :class:`Scan`."""
    rows = [
        [place, number, *vars(piece).values()]
        for place, below in enumerate(clipped)
        if below.curve is not None
        for number in range(below.curve.n_parameters)
        for piece in summary.pieces(below.curve, "profiled", number, level)
    ]
    return np.array(rows, dtype=float).reshape(len(rows), 2 + len(fields(intervals.Piece)))


def _shown_pairs(
    settings: stages.Plotting, reference: Arrays, entries: Sequence[_Entry]
) -> dict[str, dict[tuple[int, int], Panel]]:
    """Return limits of each parameter and all pairs, where there is no grid of all."""
    made: dict[str, dict[tuple[int, int], Panel]] = {}
    color = colors(["reference", "rate", "histogram", *settings.methods])
    numbers = range(len(_names(reference)))
    for with_rate, name in ((True, "pairs"), (False, "pairs_kinematics")):
        shown = [e for e in entries if e.with_rate == with_rate and e.curve.pairs]
        if any(entry.role is Role.NETWORK for entry in shown):
            made[name] = {
                pair: _panel(reference, shown, pair, color)
                for pair in combinations_with_replacement(numbers, 2)
            }
    return made


def _panel(
    reference: Arrays, entries: Sequence[_Entry], pair: tuple[int, int], color: Mapping[str, str]
) -> Panel:
    numbers, names = list(dict.fromkeys(pair)), _names(reference)
    grid = Grid(
        axes=entries[0].curve.of_parameters(numbers).axes,
        names=[names[number] for number in numbers],
        theta_true=reference["expectation/theta_true"][numbers].tolist(),
        levels={
            _LABELS[each]: level(p_value, len(numbers))
            for each, p_value in CONFIDENCE_LEVELS.items()
        },
        **_data(reference, numbers),
    )

    def result(entry: _Entry, curve: Curve) -> Result:
        surface = curve.of_parameters(numbers)
        observed, full = entry.beside(curve, lambda other: result(entry, other))
        return Result(
            label=entry.label,
            role=entry.role,
            with_rate=entry.with_rate,
            color=color[entry.source],
            q=surface.q,
            error=surface.error,
            p_values=p_values(surface.q, len(numbers)),
            best_fit=curve.best_fit()[numbers],
            reliable=curve.reliable,
            observed=observed,
            full=full,
        )

    return Panel(grid, [result(entry, entry.curve) for entry in entries])


def _shown_limits(
    settings: stages.Plotting, reference: Arrays, entries: Sequence[_Entry]
) -> catalogue.Limits | None:
    """Return limits of the first two parameters, others at their best values."""
    surface = entries[-1].curve.surface
    if surface is None:
        return None
    names, luminosity = _names(reference), float(reference["expectation/luminosity"])
    color = colors(["reference", "rate", "histogram", *settings.methods])
    made = {entry.label: _result(entry, entry.curve, color[entry.source]) for entry in entries}
    # Those with the rate come first, and are taken if there are any.
    networks: dict[str, _Entry] = {}
    for entry in entries:
        if entry.role is Role.NETWORK:
            networks.setdefault(entry.source, entry)
    return catalogue.Limits(
        grid=Grid(
            axes=surface.projected(2).axes,
            names=names,
            theta_true=reference["expectation/theta_true"].tolist(),
            levels={
                _LABELS[each]: level(p_value, len(names))
                for each, p_value in CONFIDENCE_LEVELS.items()
            },
            **_data(reference, range(len(names))),
        ),
        results=list(made.values()),
        background=made[networks[settings.plotting["all_methods_pvalue"]].label],
        evolutions=[
            Evolution(made[entry.label], entry.curve.surface.intervals(luminosity))
            for entry in networks.values()
            if entry.curve.surface
        ],
        luminosity=luminosity,
    )


def _data(reference: Arrays, numbers: Sequence[int]) -> dict[str, Any]:
    """Return what observed events are called, and where pseudo-data were drawn, for figures."""
    facts = observing.facts_of(reference)
    if facts is None:
        return {}
    if not facts["pseudo"]:
        return {"data": "observed"}
    theta = [facts["pseudo"]["theta"][name] for name in _names(reference)]
    return {"data": "pseudo-data", "drawn": [theta[number] for number in numbers]}


def _result(entry: _Entry, curve: Curve, color: str) -> Result:
    assert curve.surface is not None
    shown = curve.surface.projected(2)
    observed, full = entry.beside(curve, lambda other: _result(entry, other, color))
    return Result(
        label=entry.label,
        role=entry.role,
        with_rate=entry.with_rate,
        color=color,
        q=shown.q,
        error=shown.error,
        p_values=p_values(shown.q, curve.n_parameters),
        best_fit=shown.best_fit(),
        reliable=curve.reliable,
        thresholds={_LABELS[k]: values for k, values in curve.projected_thresholds(2).items()},
        observed=observed,
        full=full,
    )


def _coverages(entries: Sequence[_Entry]) -> list[Coverage]:
    columns = [(edge, each) for edge in ("chi-squared", "Neyman") for each in CONFIDENCE_LEVELS]
    made = []
    for entry in entries:
        for what, curve in entry.curves.items():
            if curve.coverage is None:
                continue
            points, parts = np.split(curve.coverage, [curve.n_parameters], axis=1)
            pairs = zip(columns, np.split(parts, len(columns), axis=1), strict=True)
            known = {column: pair for column, pair in pairs if np.isfinite(pair).all()}
            made.append(Coverage(f"{entry.label}{what}", points, known))
    return made


def _names(reference: Arrays) -> list[str]:
    return decoded(reference["parameters"])


def _summary(reference: Arrays, runs: Runs, entries: Sequence[_Entry]) -> dict[str, Any]:
    names = _names(reference)
    expected = {name: reference[f"expectation/{name}"] for name in ("theta_true", "region")}
    luminosity = float(reference["expectation/luminosity"]) / _PER_FB
    return {
        "theta_true": _rounded(dict(zip(names, expected["theta_true"], strict=True))),
        "luminosity_in_1/fb": luminosity,
        "events_expected": {
            "value": round(float(reference["expectation/n_expected"]), 2),
            "error": round(float(reference["n_expected_error"]), 2),
        },
        "region": _rounded(dict(zip(names, expected["region"], strict=True))),
        **_observed(reference),
        "limits": {entry.label: _limits(entry, names, reference) for entry in entries},
        "luminosity_supported_in_1/fb": {
            entry.label: summary.supported_luminosity(entry.curve.surface, luminosity)
            for entry in entries
            if entry.role is Role.NETWORK
        },
        "linear_and_quadratic": {
            method.upper(): found
            for method, items in runs.items()
            if (found := summary.terms(items, names))
        },
        **_clipped(reference, entries),
        "closure": {
            method: {
                name: _rounded([getattr(c, name) for c in comparisons])
                for name in ("correlation", "correlation_error", "slope", "slope_error")
            }
            for method, items in runs.items()
            if (comparisons := from_arrays(items))
        },
        "fisher_information": {
            name.removeprefix("fisher/"): _rounded(np.mean([r[name] for r in items], axis=0))
            for items in [[reference], *runs.values()]
            for name in items[0]
            if name.startswith("fisher/")
        },
        "errors_of_fisher_information": {
            name.removeprefix("fisher/"): _error_of_fisher(items, name)
            for items in [[reference], *runs.values()]
            for name in items[0]
            if name.startswith("fisher/")
        },
    }


def _limits(entry: _Entry, names: Sequence[str], reference: Arrays) -> dict[str, Any]:
    """Return limits of statistics alone, and with systematics and observed if there are any."""

    def with_systematics(found: Found | None) -> dict[str, Any]:
        return {"with_systematics": nuisances.table(found, names)} if found else {}

    expected = summary.table(entry.curve, names) | with_systematics(entry.full)
    facts = observing.facts_of(reference)
    if entry.observed is None or facts is None:
        return expected
    of = "pseudo-data" if facts["pseudo"] else "data"
    observed = summary.observed(entry.observed, names, of) | with_systematics(entry.full_observed)
    return expected | {"observed": observed}


def _observed(reference: Arrays) -> dict[str, Any]:
    """Return what observed events are."""
    facts = observing.facts_of(reference)
    if facts is None:
        return {}
    pseudo = facts["pseudo"]
    drawn = (
        {
            "theta": pseudo["theta"],
            "seed": pseudo["seed"],
            "luminosity_in_1/fb": pseudo["luminosity"] / _PER_FB,
        }
        if pseudo
        else {}
    )
    return {
        "observed": {
            "file": facts["source"],
            "events": facts["events"],
            "pseudo-data": drawn or False,
            "warnings": facts["warnings"],
        }
    }


def _clipped(reference: Arrays, entries: Sequence[_Entry]) -> dict[str, Any]:
    """Return limits against a cut, if there are any."""
    names = _names(reference)
    tables = {
        e.label: clipping.table(e.clipped, names, e.full_clipped) for e in entries if e.clipped
    }
    if not tables:
        return {}
    return {"clipping": {"observable": clipping.observable(reference), **tables}}


def _error_of_fisher(items: Sequence[Arrays], name: str) -> Any:
    key = name.replace("fisher/", "fisher_error/")
    if not all(key in arrays for arrays in items):
        return "not known: it takes two bags, which MadMiner's networks do not have"
    return _rounded(np.sqrt(np.mean([arrays[key] ** 2 for arrays in items], axis=0)))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return np.round(np.asarray(value, dtype=float), 3).tolist()


if __name__ == "__main__":
    command.run(main, "machine-learning")
