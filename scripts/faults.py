"""Kill processes of small runs at random moments, and see that one more run puts it right.

``python -m scripts.faults``: first one run that nobody disturbs. Then run after run, each with an
empty store of finished steps, in which a random process, or now and then all, is killed at a random
moment; the same command once more must succeed with the same events and limits.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.engine.launch import ROOT
from scripts.engine.resume import contents

# Every so many runs all processes are killed, as by a machine that goes down.
_ALL = 5
_RESULTS = ("workflow_ph/combine/data/combined_delphes.h5", "workflow_ml/plotting/plots/limits.yml")
_SIZES = {
    "num_events": "200",
    "mlflow_args_s": "n_samples_train=1000",
    "mlflow_args_t": "num_epochs=1",
    "mlflow_args_e": "n_toys=0",
}


def main() -> int:
    """Make the runs and say how many came right; the exit status is 1 if any did not."""
    options = _arguments()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="faults_") as scratch:
        start = time.monotonic()
        expected = _results(_finish(_start(Path(scratch) / "undisturbed")))
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


def _start(folder: Path) -> tuple[Path, subprocess.Popen]:
    folder.mkdir(exist_ok=True)
    sizes = [word for name, value in _SIZES.items() for word in ("-p", f"{name}={value}")]
    command = [sys.executable, "-m", "scripts.run", "all", "--profile", "test", *sizes]
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
