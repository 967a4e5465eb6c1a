"""The table of what came out of a sweep: settings of the training compared on one data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from scripts.engine.errors import RunFailed
from steps.settings import sweeps
from steps.tracking import record as tracking
from steps.tracking.addresses import without_credentials

_LOWER_IS_BETTER = ("held_out_loss", "wall_time")
_SHOWN = ("held_out_loss", "correlation_mean", "correlation_least", "slope_mean")


def table(uri: str, workdir: Path, settings: Path) -> str:
    """Return what the tracking store knows of a sweep, best first in each method.

    Args:
        uri: Tracking URI.
        workdir: Work directory of the sweep.
        settings: File of the settings, which names the metric to sort by.

    Raises:
        RunFailed: The store does not answer, has no such runs, or they lack the metric.
    """
    tracking.set_limits()
    from mlflow.exceptions import MlflowException

    shown = without_credentials(uri)
    try:
        runs, times = _tracked(uri, workdir)
    except MlflowException as error:
        text = " ".join(str(error).replace(uri, shown).split())[:300]
        raise RunFailed(f"{shown}: {text}; the results are in {workdir}") from None
    if not runs:
        raise RunFailed(
            f"{shown}: no runs of this sweep were tracked; steps that are done are not tracked "
            "again but with FRESH=1"
        )
    metric = sweeps.read(settings).metric or _SHOWN[0]
    if not any(metric in run.data.metrics for run in runs):
        known = ", ".join(sorted(runs[0].data.metrics))
        raise RunFailed(f"{settings}: metric: {metric}: none of {known}")
    methods = dict.fromkeys(sorted(run.data.params["method"] for run in runs))
    return "\n\n".join(
        _of_method(method, [r for r in runs if r.data.params["method"] == method], metric, times)
        for method in methods
    )


def _tracked(uri: str, workdir: Path) -> tuple[list[Any], dict[str, float]]:
    """Runs of the evaluation, and the wall time of each training by its run."""
    import mlflow

    # All networks learnt from one sampling, whose number every run bears.
    sample = next(workdir.glob("sampling/data/*/sample.yml"))
    number = yaml.safe_load(sample.read_text())["tracking"]["sampling_run_id"]
    client = mlflow.MlflowClient(uri)

    def search(stage: str) -> list[Any]:
        experiment = client.get_experiment_by_name(tracking.EXPERIMENTS[stage])
        places = [experiment.experiment_id] if experiment else []
        return client.search_runs(places, f"tags.sampling_run_id = '{number}'", max_results=10_000)

    times = {r.info.run_id: r.data.metrics.get("wall_time", np.nan) for r in search("training")}
    # Earlier sweeps of the same sample may have tried other settings.
    files = workdir.glob("training_*/models/*/training.yml")
    own = {yaml.safe_load(file.read_text())["tracking"]["training_run_id"] for file in files}
    found = search("evaluating")
    return [run for run in found if run.data.tags.get("training_run_id") in own], times


def _of_method(method: str, runs: Sequence[Any], metric: str, times: Mapping[str, float]) -> str:
    sign = 1 if metric in _LOWER_IS_BETTER else -1
    ordered = sorted(runs, key=lambda found: sign * found.data.metrics.get(metric, sign * np.inf))
    settings = sorted({n for found in runs for n in found.data.params if "training." in n})
    varied = [n for n in settings if len({found.data.params.get(n) for found in runs}) > 1]
    shown = list(dict.fromkeys([metric, *_SHOWN]))
    rows = [[method, *(n.removeprefix("training.") for n in varied), *shown, "training (s)"]]
    for rank, found in enumerate(ordered, start=1):
        numbers = [found.data.metrics.get(name, np.nan) for name in shown]
        rows.append(
            [
                str(rank),
                *(found.data.params.get(name, "") for name in varied),
                *(f"{number:.5f}" for number in numbers),
                f"{times.get(found.data.tags.get('training_run_id'), np.nan):.1f}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
