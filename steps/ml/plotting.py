"""Stage plotting: figures and a table of the limits of all methods."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from steps.inference.statistics import intervals, limits, profile
from steps.inference.truth import from_arrays
from steps.interface import command, results
from steps.interface.files import atomic, unpack
from steps.interface.inputs import MlInput, load_ml
from steps.plots import figures, methods


def main() -> None:
    """Write ``plots/*.png`` and ``plots/limits.yml``."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--result-files", type=Path, nargs="+", required=True, help="evaluations")
    parser.add_argument("--reference-file", type=Path, required=True, help="method-free results")
    args = parser.parse_args()

    spec = load_ml(args.input_file)
    reference = results.read(args.reference_file)
    runs = _by_method(spec.methods, args.result_files)
    table = _limits(spec, reference, runs)
    with atomic(args.output_dir / "plots") as folder:
        folder.mkdir()
        for name, figure in _figures(spec, reference, runs, table).items():
            figure.savefig(folder / f"{name}.png")
        text = yaml.safe_dump(_summary(spec, reference, runs, table), sort_keys=False)
        (folder / "limits.yml").write_text(text)
    print(text)


Runs = Mapping[str, Sequence[Mapping[str, NDArray]]]


def _by_method(methods: Sequence[str], files: Sequence[Path]) -> Runs:
    runs: dict[str, list[tuple[int, Mapping[str, NDArray]]]] = {method: [] for method in methods}
    for file in files:
        with tempfile.TemporaryDirectory() as scratch:
            unpack(file, Path(scratch))
            about = yaml.safe_load((Path(scratch) / "training.yml").read_text())
            arrays = results.read(Path(scratch) / "results.h5")
        runs[about["method"]].append((about["run"], arrays))
    return {
        method: [arrays for _, arrays in sorted(items, key=lambda item: item[0])]
        for method, items in runs.items()
    }


def _limits(spec: MlInput, reference: Mapping[str, NDArray], runs: Runs) -> list[figures.Result]:
    """Return the limits that the input file asks for; the runs of a method are averaged."""
    shape, n_parameters = tuple(spec.resolutions), len(spec.resolutions)
    rate = reference["log_likelihood/rate"]
    kinematics = {"histogram": reference["log_likelihood/histogram"]}
    for method, items in runs.items():
        kinematics[method] = np.mean([r["log_likelihood/kinematics"] for r in items], axis=0)
    color = figures.colors(["rate", *kinematics])

    def result(name: str, log_likelihood: NDArray, with_rate: bool) -> figures.Result:
        found = limits(log_likelihood, n_parameters)
        label = name if name in ("rate", "histogram") else name.upper()
        return figures.Result(
            label=label if with_rate else f"{label} (kinematics)",
            p_values=found.p_values.reshape(shape),
            best_fit=reference["grid"][found.best_fit],
            with_rate=with_rate,
            color=color[name],
        )

    table = [result("rate", rate, True)] if spec.plotting["rates"] else []
    for name, log_likelihood in kinematics.items():
        for with_rate in sorted(set(spec.include_xsec), reverse=True):
            table.append(result(name, log_likelihood + with_rate * rate, with_rate))
    return table


def _figures(
    spec: MlInput, reference: Mapping[str, NDArray], runs: Runs, table: Sequence[figures.Result]
) -> dict[str, Any]:
    grid = reference["grid"].reshape(*spec.resolutions, -1)
    shown = min(2, len(spec.resolutions))
    axes = [np.unique(grid[..., k]) for k in range(shown)]
    names = [str(name) for name in reference["parameters"].astype(str)[:shown]]
    projected = [
        replace(r, p_values=profile(r.p_values, shown), best_fit=r.best_fit[:shown]) for r in table
    ]
    made = {}
    if spec.plotting["all_methods"]:
        wanted = spec.plotting["all_methods_pvalue"].upper()
        background = next(r for r in projected if r.label.removesuffix(" (kinematics)") == wanted)
        made["all_methods"] = figures.all_methods(
            axes, names, spec.theta_true, projected, background
        )
    if spec.plotting["all_methods_separate"]:
        made["all_methods_separate"] = figures.all_methods_separate(
            axes, names, spec.theta_true, projected
        )
    if spec.plotting["correlations"]:
        for method in spec.plotting["correlations_methods"]:
            made |= methods.correlation(method, runs[method])
    for method, items in runs.items():
        closures = from_arrays(items)
        numbers = [(c.correlation, c.slope) for c in closures]
        made |= methods.closure(method, items, [vars(c) for c in closures], numbers)
    made["losses"] = figures.losses(
        {method.upper(): [r["losses"] for r in items] for method, items in runs.items()}
    )
    return made


def _summary(
    spec: MlInput, reference: Mapping[str, NDArray], runs: Runs, table: Sequence[figures.Result]
) -> dict[str, Any]:
    names = [str(name) for name in reference["parameters"].astype(str)]
    grid = reference["grid"].reshape(*spec.resolutions, -1)
    summary: dict[str, Any] = {
        "theta_true": dict(zip(names, spec.theta_true, strict=True)),
        "events_expected": round(float(reference["n_expected"]), 1),
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
                    for level, p in figures.CONFIDENCE.items()
                },
            }
            for result in table
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


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return np.round(np.asarray(value, dtype=float), 3).tolist()


if __name__ == "__main__":
    command.run(main)
