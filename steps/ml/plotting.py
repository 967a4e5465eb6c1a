"""Stage plotting: figures and a table of the limits of all methods."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from steps.arrays import Array
from steps.inference.closure import from_arrays
from steps.inference.statistics import CONFIDENCE_LEVELS, intervals, limits, profile
from steps.plots import catalogue, figures
from steps.settings import arguments, learning, stages
from steps.stage import command, provenance, results
from steps.stage.errors import InputError, SettingError
from steps.stage.files import atomic, unpack

_CONFIDENCE = {f"{level} % CL": p for level, p in CONFIDENCE_LEVELS.items()}


def main() -> None:
    """Write ``plots/*.png`` and ``plots/limits.yml``."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--result-files", type=Path, nargs="+", required=True, help="evaluations")
    parser.add_argument("--reference-file", type=Path, required=True, help="method-free results")
    arguments.add(parser)
    args = parser.parse_args()

    settings = learning.of_stage(args, stages.Plotting)
    reference = results.read(args.reference_file)
    runs = _by_method(settings.methods, args.result_files, reference)
    table = _limits(settings, reference, runs)
    with atomic(args.output_dir / "plots") as folder:
        folder.mkdir()
        for name, figure in _figures(settings, reference, runs, table).items():
            figure.savefig(folder / f"{name}.png")
        text = yaml.safe_dump(_summary(settings, reference, runs, table), sort_keys=False)
        (folder / "limits.yml").write_text(text)
    print(text)


Runs = Mapping[str, Sequence[Mapping[str, Array]]]


def _by_method(
    methods: Sequence[str], files: Sequence[Path], reference: Mapping[str, Array]
) -> Runs:
    runs: dict[str, list[tuple[int, Mapping[str, Array]]]] = {m: [] for m in methods}
    for file in files:
        with tempfile.TemporaryDirectory() as scratch:
            unpack(file, Path(scratch))
            about = provenance.read(Path(scratch) / "training.yml")
            arrays = results.read(Path(scratch) / "results.h5")
        _check_alike(file, arrays, reference)
        if about["method"] in runs:
            runs[about["method"]].append((about["run"], arrays))
    for method, items in runs.items():
        if not items:
            raise SettingError(f"methods: no results of {method}; evaluate it, or leave it out")
    return {
        method: [arrays for _, arrays in sorted(items, key=lambda item: item[0])]
        for method, items in runs.items()
    }


def _check_alike(file: Path, arrays: Mapping[str, Array], reference: Mapping[str, Array]) -> None:
    """Refuse results of other expected data, or on another grid."""
    for name in (name for name in reference if name.startswith("expectation/")):
        if not np.array_equal(arrays.get(name, np.array([])), reference[name]):
            raise InputError(
                f"{file}: {name.removeprefix('expectation/')} is not that of the reference file; "
                "evaluate with the same settings and data"
            )


def _limits(
    settings: stages.Plotting, reference: Mapping[str, Array], runs: Runs
) -> list[figures.Result]:
    """Return the limits that the input file asks for; the runs of a method are averaged."""
    shape, n_parameters = tuple(settings.resolutions), len(settings.resolutions)
    rate = reference["log_likelihood/rate"]
    kinematics = {"histogram": reference["log_likelihood/histogram"]}
    for method, items in runs.items():
        kinematics[method] = np.mean([r["log_likelihood/kinematics"] for r in items], axis=0)
    color = figures.colors(["rate", *kinematics])

    def result(name: str, log_likelihood: Array, with_rate: bool) -> figures.Result:
        found = limits(log_likelihood, n_parameters)
        label = name if name in ("rate", "histogram") else name.upper()
        return figures.Result(
            label=label if with_rate else f"{label} (kinematics)",
            p_values=found.p_values.reshape(shape),
            best_fit=reference["expectation/grid"][found.best_fit],
            with_rate=with_rate,
            color=color[name],
        )

    table = [result("rate", rate, True)] if settings.plotting["rates"] else []
    for name, log_likelihood in kinematics.items():
        for with_rate in sorted(set(settings.include_xsec), reverse=True):
            table.append(result(name, log_likelihood + with_rate * rate, with_rate))
    return table


def _figures(
    settings: stages.Plotting,
    reference: Mapping[str, Array],
    runs: Runs,
    table: Sequence[figures.Result],
) -> catalogue.Figures:
    grid = reference["expectation/grid"].reshape(*settings.resolutions, -1)
    shown = min(2, len(settings.resolutions))
    names = [str(name) for name in reference["parameters"].astype(str)[:shown]]
    projected = [
        replace(r, p_values=profile(r.p_values, shown), best_fit=r.best_fit[:shown]) for r in table
    ]
    wanted = settings.plotting["all_methods_pvalue"].upper()
    report = catalogue.Report(
        grid=figures.Grid(
            axes=[np.unique(grid[..., k]) for k in range(shown)],
            names=names,
            theta_true=settings.theta_true,
        ),
        confidence=_CONFIDENCE,
        results=projected,
        background=next(r for r in projected if r.label.removesuffix(" (kinematics)") == wanted),
        runs=runs,
        closures={method: from_arrays(items) for method, items in runs.items()},
        options=settings.plotting,
    )
    return catalogue.draw(report)


def _summary(
    settings: stages.Plotting,
    reference: Mapping[str, Array],
    runs: Runs,
    table: Sequence[figures.Result],
) -> dict[str, Any]:
    names = [str(name) for name in reference["parameters"].astype(str)]
    grid = reference["expectation/grid"].reshape(*settings.resolutions, -1)
    summary: dict[str, Any] = {
        "theta_true": dict(zip(names, settings.theta_true, strict=True)),
        "events_expected": round(float(reference["expectation/n_expected"]), 1),
        "limits": {
            result.label: {
                "best_fit": _rounded(dict(zip(names, result.best_fit, strict=True))),
                **{
                    level: {
                        name: _rounded(interval)
                        for name, interval in zip(
                            names, intervals(grid, result.p_values, p), strict=True
                        )
                    }
                    for level, p in _CONFIDENCE.items()
                },
            }
            for result in table
        },
        "uncertainty_of_q": {
            method: {
                name.removeprefix("uncertainty/"): _known(float(np.mean([r[name] for r in items])))
                for name in ("uncertainty/kinematics", "uncertainty/with_rate")
            }
            for method, items in runs.items()
            if "uncertainty/kinematics" in items[0]
        },
        "closure": {
            method: {
                name: _rounded([getattr(c, name) for c in comparisons])
                for name in ("correlation", "slope")
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
    }
    return summary


def _known(value: float) -> float | None:
    """A number, or none where the grid has no point at the contour."""
    return round(value, 3) if np.isfinite(value) else None


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return np.round(np.asarray(value, dtype=float), 3).tolist()


if __name__ == "__main__":
    command.run(main, "machine-learning")
