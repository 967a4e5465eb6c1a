"""Settings of the training to compare on one data set, and the table of what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scripts.engine.errors import RunFailed, UsageError
from steps.interface import overrides, tracking
from steps.interface.addresses import without_credentials
from steps.interface.errors import InputError

_LOWER_IS_BETTER = ("held_out_loss", "wall_time")
_SHOWN = ("held_out_loss", "correlation_mean", "correlation_least", "slope_mean")


def read(path: Path) -> tuple[list[str], str]:
    """Return the settings, as overrides of the training, and the metric of a file.

    Raises:
        UsageError: The file is not what it should be.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(f"--settings: {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    lines = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(lines, list) or not lines or not all(isinstance(x, dict) for x in lines):
        raise UsageError(f"{path}: settings: must be a list of mappings, as in inputs/sweeps")
    texts = [" ".join(f"{key}={_text(value)}" for key, value in line.items()) for line in lines]
    for number, text in enumerate(texts, start=1):
        try:
            overrides.Training.parse(text)
        except InputError as error:
            message = str(error).removeprefix(f"{overrides.Training.argument}: ")
            raise UsageError(f"{path}: settings: line {number}: {message}") from None
    # Yadage would take an empty text for nothing to scatter over.
    return [text or "''" for text in texts], str(content.get("metric", _SHOWN[0]))


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def table(uri: str, workdir: Path, metric: str) -> str:
    """Return what the tracking store knows of a sweep, best first in each method.

    Args:
        uri: Tracking URI.
        workdir: Work directory of the sweep.
        metric: Name of the metric to sort by.

    Raises:
        RunFailed: The store has no such runs, or they lack the metric.
    """
    import mlflow

    # All networks learnt from one sampling, whose number every run bears.
    sample = next(workdir.glob("sampling/data/*/sample.yml"))
    sampling_run_id = yaml.safe_load(sample.read_text())["tracking"]["sampling_run_id"]
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENTS["evaluating"])
    runs = client.search_runs(
        [experiment.experiment_id] if experiment else [],
        filter_string=f"tags.sampling_run_id = '{sampling_run_id}'",
        max_results=10_000,
    )
    if not runs:
        raise RunFailed(f"{without_credentials(uri)}: no runs of this sweep were tracked")
    if not any(metric in found.data.metrics for found in runs):
        known = ", ".join(sorted(runs[0].data.metrics))
        raise RunFailed(f"metric: {metric}: none of {known}")
    times = {
        found.data.tags["training_run_id"]: client.get_run(
            found.data.tags["training_run_id"]
        ).data.metrics.get("wall_time", float("nan"))
        for found in runs
    }
    return "\n\n".join(
        _of_method(method, [r for r in runs if r.data.params["method"] == method], metric, times)
        for method in dict.fromkeys(sorted(r.data.params["method"] for r in runs))
    )


def _of_method(method: str, runs: Sequence[Any], metric: str, times: Mapping[str, float]) -> str:
    sign = 1 if metric in _LOWER_IS_BETTER else -1
    ordered = sorted(
        runs, key=lambda found: sign * found.data.metrics.get(metric, sign * float("inf"))
    )
    settings = sorted({n for found in runs for n in found.data.params if "training." in n})
    varied = [n for n in settings if len({found.data.params.get(n) for found in runs}) > 1]
    shown = list(dict.fromkeys([metric, *_SHOWN]))
    rows = [[method, *(n.removeprefix("training.") for n in varied), *shown, "training (s)"]]
    for rank, found in enumerate(ordered, start=1):
        numbers = [found.data.metrics.get(name, float("nan")) for name in shown]
        rows.append(
            [
                str(rank),
                *(found.data.params.get(name, "") for name in varied),
                *(f"{number:.5f}" for number in numbers),
                f"{times[found.data.tags['training_run_id']]:.1f}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
