"""Run the workflow, or one half of it, through ``yadage-run``: ``python -m scripts.run --help``."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts import sweep
from scripts.engine import containers, launch, parameters, tracking, workdir
from scripts.engine.celery import broker, workers
from scripts.engine.errors import Interrupted, RunFailed, UsageError
from scripts.engine.launch import ROOT, THIS_MACHINE, Site, Specification
from scripts.engine.resume import extension, journal, provenance, status, store


class Target(NamedTuple):
    """A workflow that can be run by itself."""

    specification: Specification
    workdir: str
    """Default work directory."""
    rename: Mapping[str, str]
    """The workflow's own names of parameters that are called otherwise in the profiles."""
    results: Mapping[str, str]
    """What to point to at the end: description → place below the work directory."""


_DATA = "combine/data/combined_delphes.h5"
_PLOTS = "plotting/plots"
_LIMITS, _RESULTS = (f"interpretation/{name}.png" for name in ("limits", "results"))
TARGETS = {
    "all": Target(
        Specification(ROOT, "workflow/workflow.yml"),
        ".yadage",
        {},
        {"plots": f"workflow_ml/{_PLOTS}", "data file": f"workflow_ph/{_DATA}"},
    ),
    "ph": Target(
        Specification(ROOT / "workflow/ph", "workflow.yml"),
        ".yadage-ph",
        {"input_file_ph": "input_file"},
        {"data file": _DATA},
    ),
    "ml": Target(
        Specification(ROOT / "workflow/ml", "workflow.yml"),
        ".yadage-ml",
        {"input_file_ml": "input_file"},
        {"plots": _PLOTS},
    ),
    "recast": Target(
        Specification(ROOT / "workflow/recast", "workflow.yml"),
        ".yadage-recast",
        {},
        {"limits": _LIMITS, "events": _RESULTS},
    ),
    "ph-recast": Target(
        Specification(ROOT, "workflow/recast.yml"),
        ".yadage-recast",
        {},
        {
            "limits": f"workflow_recast/{_LIMITS}",
            "events": f"workflow_recast/{_RESULTS}",
            "data file": f"workflow_ph/{_DATA}",
        },
    ),
    "sweep": Target(
        Specification(ROOT / "workflow/sweep", "workflow.yml"),
        ".yadage-sweep",
        {"input_file_ml": "input_file"},
        {},
    ),
}
BACKENDS = {"multiproc": THIS_MACHINE, "celery": workers.OTHER_MACHINES}
_SWEEP_STORE = f"sqlite:///{ROOT}/.mlflow/mlflow.db"


def execute(
    specification: Specification,
    values: Mapping[str, Any],
    place: Path,
    site: Site,
    *,
    fresh: bool = False,
) -> None:
    """Run a workflow in a work directory whose earlier content survives everything but success.

    Args:
        specification: Workflow to run.
        values: Its parameters, files as absolute paths.
        place: Work directory, absolute and without symbolic links.
        site: Where and how steps run.
        fresh: Whether steps run again that are done already.

    Raises:
        UsageError: The work directory is in use or is something else; nothing was touched.
        RunFailed: The run is in ``workdir.failed(place)``, which the message's paths take into
            account.
        Interrupted: A signal asked to stop; the run is in the same place.
    """
    with launch.interruptible(), workdir.locked(place) as lock:
        workdir.check(place)
        if workdir.recover(place):
            print(f"an unfinished run was moved to {_shown(workdir.failed(place))}")
        try:
            with workdir.replaced(place):
                run = provenance.Run(place, specification, site.runtime, time.time())
                kept = extension.of_run(
                    place.with_name(store.NAME), place, site.runtime, fresh=fresh
                )
                launch.run(specification, values, place, site, kept, lock)
                provenance.write(run)
        except RunFailed as error:
            moved = str(error).replace(f"{place}{os.sep}", f"{workdir.failed(place)}{os.sep}")
            raise RunFailed(moved) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit status is 0, 1 (failed) or 2 (not started)."""
    options = _parser().parse_args(arguments)
    target = TARGETS[options.target]
    place = Path(options.workdir or target.workdir).resolve()
    inputs = ROOT / "inputs"
    try:
        values = _values(options, target, inputs)
        _check_inputs(options.target, values, options.runtime)
        _keep_apart(values, place)
        if options.backend == "celery":
            _check_workers(options.runtime)
        if options.runtime != "native":
            containers.check(options.runtime, target.specification.path)
        site = Site(inputs, options.runtime, options.cores, BACKENDS[options.backend])
        if options.status:
            _tell_status(target.specification, values, place, site)
            return 0
        execute(target.specification, values, place, site, fresh=options.fresh)
    except UsageError as error:
        return _report(error, 2)
    except (RunFailed, Interrupted) as error:
        status = _report(_with_files(str(error), options.target, values), 1)
        failed = workdir.failed(place)
        kept = f"the failed run is kept in {_shown(failed)}"
        untouched = f"; the results in {_shown(place)} are those from before"
        print(kept + (untouched if place.exists() else ""), file=sys.stderr)
        if done := len(journal.read(failed)):
            print(f"steps that are done ({done}) are taken by the next run", file=sys.stderr)
        return status
    except OSError as error:
        return _report(error, 1)
    if options.target == "sweep":
        try:
            print(sweep.table(os.environ["MLFLOW_TRACKING_URI"], place, Path(values["sweep_file"])))
        except RunFailed as error:
            return _report(error, 1)
    if steps := journal.read(place):
        ran = sum(not line.kept for line in steps)
        print(f"steps:     {ran} ran, {len(steps) - ran} were done already")
    for what, below in target.results.items():
        print(f"{what + ':':10} {_shown(place / below)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.run",
        description="Run the physics and machine-learning workflows through yadage-run.",
    )
    add = parser.add_argument
    add("target", choices=list(TARGETS), help="both workflows, a part, or settings compared")
    add(
        "--profile",
        default="default",
        help="name of a file in inputs/profiles, or a path (default: %(default)s)",
    )
    places = ", ".join(f"{target.workdir} for {name}" for name, target in TARGETS.items())
    add("--workdir", help=f"work directory, replaced by a run that succeeds (default: {places})")
    add(
        "--runtime",
        choices=launch.RUNTIMES,
        default="native",
        help="run steps as plain processes or in their container images (default: %(default)s)",
    )
    add(
        "--backend",
        choices=list(BACKENDS),
        default="multiproc",
        help=f"run steps here, or on workers at ${broker.VARIABLE} (default: %(default)s)",
    )
    for name, what in (
        ("input-file-ph", "physics input file"),
        ("input-file-ml", "machine-learning input file"),
        ("data-file", "MadMiner HDF5 file to analyse, for ml or recast alone"),
        ("observed-file", "observed events: HDF5, CSV, Parquet or ROOT (file.root:tree)"),
        ("sweep-file", "settings of the training to compare, for sweep alone"),
    ):
        where = "relative to the current directory or inputs/ (default: from the profile)"
        add(f"--{name}", metavar="FILE", help=f"{what}, {where}")
    add_cores(parser)
    add("--fresh", action="store_true", help="run all steps, also those that are done already")
    add("--status", action="store_true", help="tell what is done and what would run; run nothing")
    add(
        "-p",
        dest="parameters",
        action="append",
        metavar="NAME=VALUE",
        default=[],
        help="workflow parameter, over that of the profile; may be repeated",
    )
    return parser


def add_cores(parser: argparse.ArgumentParser) -> None:
    """Let a command line say how many steps run at the same time."""
    parser.add_argument(
        "--cores",
        type=_positive,
        metavar="N",
        default=_cores(),
        help="steps that run at the same time (default: %(default)s)",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _cores() -> int:
    # macOS cannot tell the cores this process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _values(options: argparse.Namespace, target: Target, inputs: Path) -> dict[str, Any]:
    given = vars(options)
    files = {name: given.get(name) for name in parameters.FILES}
    if options.target == "sweep":
        files["sweep_file"] = options.sweep_file or "sweeps/default.yml"
    given_here = parameters.from_command_line(options.parameters, files, inputs)
    values = parameters.merge(
        parameters.referenced(target.specification.path),
        parameters.read_profile(options.profile, inputs),
        given_here,
        target.rename,
    )
    return tracking.resolve(
        values,
        here=options.runtime == "native" and options.backend == "multiproc",
        default=_SWEEP_STORE if options.target == "sweep" else "",
    )


def _check_inputs(target: str, values: Mapping[str, Any], runtime: str) -> None:
    """Check all that the steps will read, as the first stage does, before anything is touched."""
    from steps.settings import sweeps, whole
    from steps.stage.errors import InputError

    files = _input_files(target, values)
    try:
        found = whole.check(values, **files, programs=runtime == "native")
        if "sweep_file" in values:
            sweeps.read(Path(values["sweep_file"]))
    except InputError as error:
        raise UsageError(str(error)) from None
    for warning in found:
        print(f"warning: {warning}", file=sys.stderr)


def _input_files(target: str, values: Mapping[str, Any]) -> dict[str, Path | None]:
    """Return the files of a run by what they are: ``ph``, ``ml``, ``data_file``."""
    own = values.get("input_file")
    files = {
        "ph": own if target == "ph" else values.get("input_file_ph"),
        "ml": own if target in ("ml", "sweep") else values.get("input_file_ml"),
        "data_file": values.get("data_file"),
    }
    return {name: Path(file) if file else None for name, file in files.items()}


def _tell_status(
    specification: Specification, values: Mapping[str, Any], place: Path, site: Site
) -> None:
    """Print what is done and what would run; only the stages that check the input files run."""
    kept = place.with_name(store.NAME)
    aside = kept / store.SCRATCH
    aside.mkdir(parents=True, exist_ok=True)
    with launch.interruptible(), tempfile.TemporaryDirectory(dir=aside) as scratch:
        folder = Path(scratch).resolve()
        look = extension.of_look(kept, folder, site.runtime)
        # A step that is not done counts as failed.
        with Path(os.devnull).open() as lock, contextlib.suppress(RunFailed):
            launch.run(specification, values, folder, site, look, lock.fileno())
        if not (folder / status.STAGES).exists():
            raise UsageError(launch.last_error(folder / workdir.YADAGE_LOG))
        found = json.loads((folder / status.STAGES).read_text())
        for line in status.lines(journal.read(folder), **found):
            print(line)


def _check_workers(runtime: str) -> None:
    if runtime != "native":
        raise UsageError("BACKEND=celery runs steps as plain processes; use RUNTIME=native")
    workers.check()


def _with_files(text: str, target: str, values: Mapping[str, Any]) -> str:
    """Name the input files in a step's error line, which knows only what they are."""
    files = _input_files(target, values)
    for half, what in (("ph", "physics input file"), ("ml", "machine-learning input file")):
        text = text.replace(f"{what}: ", f"{files[half]}: ") if files[half] else text
    return text.replace(f"{Path.cwd()}{os.sep}", "")


def _keep_apart(values: Mapping[str, Any], place: Path) -> None:
    """Refuse input files that the run would move away or delete."""
    for name in parameters.FILES:
        path = Path(parameters.split(values.get(name) or os.devnull)[0])
        for folder in (place, workdir.failed(place)):
            if folder in path.parents:
                raise UsageError(
                    f"{name}: '{_shown(path)}' is in {_shown(folder)}, which this run replaces; "
                    "choose another --workdir"
                )


def _report(error: object, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


def _shown(path: Path) -> str:
    """A path as short as the current directory allows."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
