"""The stages of the physics half by name, each for all jobs: ``python -m steps.ph STAGE``.

For whoever calls stages one by one where nothing like Yadage does it, such as MLflow on Kubernetes.
Files lie where they lie in a work directory of workflow/ph.
"""

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from steps.settings import arguments
from steps.stage import command
from steps.stage.errors import InputError
from steps.stage.files import discard

# What each stage leaves, as patterns below the work directory.
_RESULTS = {
    "configure": "configure/data/madminer_config.h5",
    "generate": "generate/jobs/[!.]*",
    "pythia": "pythia_*/events",
    "delphes": "delphes_*/data/madminer_delphes_data_*.h5",
    "combine": "combine/data/combined_delphes.h5",
}


def main() -> None:
    """Run one stage of the physics half for all its jobs, on what earlier ones left."""
    parser = argparse.ArgumentParser(prog="python -m steps.ph", description=main.__doc__)
    parser.add_argument("stage", choices=list(_RESULTS), help="the stage")
    parser.add_argument("--input-file", type=Path, required=True, help="input file")
    parser.add_argument("--workdir", type=Path, required=True, help="folder of all stages")
    arguments.add_parameters(parser, *arguments.PHYSICS)
    args = parser.parse_args()
    stage, place = args.stage, args.workdir.absolute()

    given = {name: getattr(args, name) for name in arguments.PHYSICS}
    options = {name: value for name, value in given.items() if value is not None}
    _call("check", place / "check", input_file=args.input_file, **options)
    stages = list(_RESULTS)
    position = stages.index(stage)
    found = {earlier: _results(place, earlier) for earlier in stages[:position]}
    # What was made of this stage's earlier results is not made of the new ones.
    for later in stages[position:]:
        discard(place, _RESULTS[later])

    files: dict[str, Any] = {"settings": place / f"check/settings/{stage}.yml"}
    if stage in ("generate", "combine"):
        (files["config_file"],) = found["configure"]
    match stage:
        case "configure" | "generate":
            _call(stage, place / stage, **files)
        case "pythia":
            _call_each(stage, place, files, job_dir=found["generate"])
        case "delphes":
            _call_each(stage, place, files, events_dir=found["pythia"])
        case "combine":
            _call(stage, place / stage, **files, data_files=found["delphes"])


def _results(place: Path, stage: str) -> list[Path]:
    """Return what a stage left, in the order of its jobs."""
    found = sorted(place.glob(_RESULTS[stage]), key=_by_number)
    jobs = len(_results(place, "generate")) if stage in ("pythia", "delphes") else 1
    if len(found) < jobs:
        done = f"{len(found)} of {jobs} jobs" if jobs > 1 else "nothing"
        raise InputError(f"{place}: stage {stage} has done {done} here; run it first")
    return found


def _by_number(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _call_each(stage: str, place: Path, files: dict[str, Any], **of_jobs: list[Path]) -> None:
    """Call a stage once for each job, with the files of all and the one of the job."""
    ((option, folders),) = of_jobs.items()
    report = command.progress(len(folders), "jobs", seconds=0)
    for number, folder in enumerate(folders):
        _call(stage, place / f"{stage}_{number}", **files, **{option: folder})
        report(number + 1)


def _call(stage: str, output_dir: Path, **options: Any) -> None:
    words = ["--output-dir", output_dir]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
    sys.argv = [stage, *map(str, words)]
    import_module(f"steps.ph.{stage}").main()


if __name__ == "__main__":
    command.run(main, "physics")
