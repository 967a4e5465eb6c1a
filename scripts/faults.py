"""Kill processes of small runs at random moments, and see that one more run puts it right.

``python -m scripts.faults``: first one run that nobody disturbs. Then run after run, each with an
empty store of finished steps, in which a random process, or now and then all, is killed at a random
moment; the same command once more must succeed with the same events and limits.

``python -m scripts.faults --at 0.5``: the same of the default analysis, all of whose processes are
killed after half of the time that an undisturbed run takes. How long the second run takes is told
beside what the first had left; it must be less than that of a whole run.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from scripts.engine.launch import ROOT
from scripts.engine.resume import contents

# Every so many runs all processes are killed, as by a machine that goes down.
_ALL = 5
_RESULTS = ("workflow_ph/combine/data/combined_delphes.h5", "workflow_ml/plotting/plots/limits.yml")
# One parameter and one method, of a few events.
_PROFILE = {
    "input_file_ph": "ph.yml",
    "input_file_ml": "ml.yml",
    "seed": 1,
    "num_events": 400,
    "num_procs_per_job": 0,
    "observed_file": "",
    "mlflow_args_s": "n_samples_train=1000",
    "mlflow_args_t": "num_epochs=2",
    "mlflow_args_e": "n_toys=0",
    "mlflow_server": "",
    "mlflow_username": "",
}


def main() -> int:
    """Make the runs and say how many came right; the exit status is 1 if any did not."""
    options = _arguments()
    with tempfile.TemporaryDirectory(prefix="faults_") as scratch:
        place = Path(scratch)
        command = _small(place) if not options.at else ["--profile=default"]
        expected, length = _run(_Run(place / "undisturbed", command))
        if "" in expected:
            return 1
        print(f"undisturbed: {length:.0f} s", flush=True)
        kills = _kills(options, length)
        right = 0
        for number, kill in enumerate(kills, start=1):
            run = _Run(place / str(number), command)
            what = _disturbed(run, kill)
            found, again = _run(run)
            verdict = "right" if found == expected else "WRONG"
            if options.at:
                left = length - kill.moment
                what += f", resumed in {again:.0f} s, {left:.0f} s were left"
                verdict += "" if again < length else ", but as LATE as a whole run"
            right += verdict == "right"
            print(f"{number}/{len(kills)}: {what}: {verdict}", flush=True)
    print(f"{right} of {len(kills)} ended in the right answer after one more run")
    return 0 if right == len(kills) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=50, help="runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    parser.add_argument(
        "--at",
        type=float,
        nargs="*",
        default=[],
        help="kill default runs instead, after these shares of their time",
    )
    return parser.parse_args()


class _Kill(NamedTuple):
    """When to kill, in seconds after the start, and whom: the one that is drawn, or all."""

    moment: float
    choose: random.Random | None


def _kills(options: argparse.Namespace, length: float) -> list[_Kill]:
    if options.at:
        return [_Kill(share * length, None) for share in options.at]
    rng = random.Random(options.seed)
    return [
        _Kill(rng.uniform(0, length), rng if number % _ALL else None)
        for number in range(1, options.n + 1)
    ]


def _small(folder: Path) -> list[str]:
    """Write the default input files with one parameter, one method and few bags; return options."""
    physics, learning = (
        yaml.safe_load((ROOT / "inputs" / half / "input.yml").read_text()) for half in ("ph", "ml")
    )
    physics["parameters"] = physics["parameters"][:1]
    name = physics["parameters"][0]["parameter_name"]
    point = {"name": "sm", "parameter_name_1": name, "value_1": 0.0}
    physics["benchmarks"] = [point]
    shutil.copytree(ROOT / "inputs/ph/cards", folder / "cards")
    limits = learning["asymptotic_limits"]
    limits |= {"region": {"theta_0": limits["region"]["theta_0"]}}
    limits |= {"resolutions": [25], "theta_true": [0.0]}
    sample = {"sampling_method": "benchmark", "sampling_arg": "sm"}
    learning |= {"methods": ["alices"], "alices": {"theta_0": sample, "theta_1": sample}}
    learning |= {"morphing": {"n_bags": 2}, "fisher_information": {"bool": False}}
    learning["plotting"] |= {"correlations_methods": ["alices"], "all_methods_pvalue": "alices"}
    for section in ("alice", "sally"):
        del learning[section]
    for file, content in (("ph", physics), ("ml", learning), ("profile", _PROFILE)):
        (folder / f"{file}.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    halves = [f"--input-file-{half}={folder / half}.yml" for half in ("ph", "ml")]
    return [f"--profile={folder / 'profile.yml'}", *halves]


class _Run(NamedTuple):
    """A folder that a run and those after it have to themselves, and the run's options."""

    folder: Path
    options: list[str]


def _start(run: _Run) -> subprocess.Popen:
    run.folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "scripts.run", "all", *run.options]
    with (run.folder / "log").open("a") as log:
        return subprocess.Popen(
            [*command, "--workdir", str(run.folder / "run")],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _run(run: _Run) -> tuple[list[str], float]:
    """Run to the end; return hashes of what it ended in, and its time in seconds."""
    start = time.monotonic()
    if _start(run).wait():
        print((run.folder / "log").read_text()[-2000:], file=sys.stderr)
    return _results(run.folder / "run"), time.monotonic() - start


def _results(place: Path) -> list[str]:
    """Return the hashes of what a run ended in."""
    paths = [place / name for name in _RESULTS]
    return [contents.of_file(path) if path.exists() else "" for path in paths]


def _disturbed(run: _Run, kill: _Kill) -> str:
    """Start a run, kill what there is at a moment, and say what it was."""
    process = _start(run)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(kill.moment)
    there = [process.pid, *_descendants(process.pid)] if process.poll() is None else []
    victims = [kill.choose.choice(there)] if there and kill.choose else there
    names = [_name(victim) for victim in victims]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.wait()
    what = "".join(names) if kill.choose else f"all {len(names)} processes"
    return f"killed {what if names else 'nothing left'} after {kill.moment:.1f} s"


def _descendants(process: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            parents.setdefault(parent, []).append(int(path.parent.name))
    left = [process]
    while left:
        children = parents.get(left.pop(), [])
        yield from children
        left += children


def _name(process: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
        return " ".join(word for word in words if word)[:60]
    return "a process that had ended"


if __name__ == "__main__":
    sys.exit(main())
