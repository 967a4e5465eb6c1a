"""Kill processes of small runs at random moments, and see that one more run puts it right.

``python -m scripts.faults``: first one run that nobody disturbs. Then run after run, each with an
empty store of finished steps, in which a random process, or now and then all, is killed at a random
moment; the same command once more must succeed with the same events and limits.
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
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="faults_") as scratch:
        _write_inputs(Path(scratch))
        start = time.monotonic()
        expected = _results(_finish(_start(Path(scratch) / "undisturbed")))
        if "" in expected:
            return 1
        length = time.monotonic() - start
        print(f"undisturbed: {length:.0f} s", flush=True)
        right = 0
        for number in range(1, options.n + 1):
            folder = Path(scratch) / str(number)
            what = _disturbed(folder, rng, length, everything=number % _ALL == 0)
            found = _results(_finish(_start(folder)))
            right += found == expected
            verdict = "right" if found == expected else "WRONG"
            print(f"{number}/{options.n}: {what}: {verdict}", flush=True)
    print(f"{right} of {options.n} ended in the right answer after one more run")
    return 0 if right == options.n else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=50, help="runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    return parser.parse_args()


def _write_inputs(folder: Path) -> None:
    """Write the default input files with one parameter, one method and few bags."""
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


def _start(folder: Path) -> tuple[Path, subprocess.Popen]:
    folder.mkdir(exist_ok=True)
    inputs = {name: folder.parent / f"{name}.yml" for name in ("profile", "ph", "ml")}
    command = [sys.executable, "-m", "scripts.run", "all", f"--profile={inputs['profile']}"]
    command += [f"--input-file-{half}={inputs[half]}" for half in ("ph", "ml")]
    log = (folder / "log").open("a")
    process = subprocess.Popen(
        [*command, "--workdir", str(folder / "run")],
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    log.close()
    return folder, process


def _finish(started: tuple[Path, subprocess.Popen]) -> Path:
    folder, process = started
    if process.wait():
        print((folder / "log").read_text()[-2000:], file=sys.stderr)
    return folder / "run"


def _results(place: Path) -> list[str]:
    """Return the hashes of what a run ended in."""
    paths = [place / name for name in _RESULTS]
    return [contents.of_file(path) if path.exists() else "" for path in paths]


def _disturbed(folder: Path, rng: random.Random, length: float, *, everything: bool) -> str:
    """Start a run, kill what there is at a random moment, and say what it was."""
    _, process = _start(folder)
    moment = rng.uniform(0, length)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    there = [process.pid, *_descendants(process.pid)] if process.poll() is None else []
    victims = there if everything else [rng.choice(there)] if there else []
    names = [_name(victim) for victim in victims]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.wait()
    what = f"all {len(names)} processes" if everything else "".join(names) or "nothing left"
    return f"killed {what} after {moment:.1f} s"


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
