"""Check mutants of the shipped inputs, and really run some of those that are accepted.

``python -m tests.fuzz``: each mutant must be accepted, with a plan that can be made, or refused in
one line with file, key and remedy. Of the accepted ones some are run through all stages at a tiny
size; each must end in results or in one line. The same seed gives the same mutants.
"""

import argparse
import collections
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from random import Random

from tests.fuzz import children, mutants, runs, verdicts
from tests.fuzz.children import Send
from tests.fuzz.mutants import Mutant
from tests.fuzz.verdicts import ACCEPTED, FINDING, REFUSED, Verdict

# Of a check: seconds, on a machine that has other things to do, and bytes of memory.
_PATIENCE = 60
_MEMORY = 4 << 30
_SLOW_TO_IMPORT = ("steps.madminer.setup", "steps.ph.combine", "steps.ml.training")
# Mutants that one process checks; the memory of Pythia's many instances goes with it.
_SHIFT = 250


def main() -> int:
    """Check and run mutants, and say what came of them; 1 if any ended as it should not."""
    options = _arguments()
    verdicts.remember_cards()
    # Once, here, and not in each of the processes below.
    for module in _SLOW_TO_IMPORT:
        import_module(module)
    with tempfile.TemporaryDirectory(prefix="fuzz_") as scratch:
        folder = Path(scratch)
        data_file = options.data_file or runs.events(folder / "events")
        numbers = range(options.n) if options.only is None else [options.only]
        found: dict[int, Verdict] = {}
        for number, verdict in _checked(numbers, options.seed, folder, data_file):
            found[number] = verdict
            if verdict.kind == FINDING:
                mutant = _shortest(
                    _mutant(options.seed, number), verdict, folder / "shorter", data_file
                )
                print(f"check {number}: {mutant.text}: {verdict.text}", flush=True)
            if len(found) % 500 == 0:
                _report("checks", found, options.seed, (ACCEPTED, REFUSED))
        bad = _report("all checks", found, options.seed, (ACCEPTED, REFUSED))
        accepted = [n for n in found if found[n].kind == ACCEPTED]
        chosen = _spread([(n, _mutant(options.seed, n)) for n in accepted], options.runs)
        ends = {}
        for number in chosen:
            mutant = _mutant(options.seed, number)
            ends[number] = runs.run(mutant, folder / "run", data_file)
            print(
                f"run {number}: {mutant.text}: {ends[number].kind}: {ends[number].text}", flush=True
            )
        bad += _report("real runs", ends, options.seed, (runs.RESULTS, REFUSED))
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--n", type=int, default=10_000, help="mutants (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=100, help="real runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    parser.add_argument("--data-file", type=Path, help="events of the default physics input")
    parser.add_argument("--only", type=int, help="number of the one mutant to check")
    return parser.parse_args()


def _mutant(seed: int, number: int) -> Mutant:
    return mutants.draw(Random(f"{seed}:{number}"))


def _checked(
    numbers: Sequence[int], seed: int, folder: Path, data_file: Path
) -> Iterator[tuple[int, Verdict]]:
    """Check mutants, some hundred in a process."""
    waiting = list(numbers)
    while waiting:
        shift, waiting = waiting[:_SHIFT], waiting[_SHIFT:]
        todo = [(n, _mutant(seed, n)) for n in shift]
        done = 0
        for (number, _), verdict in zip(todo, _in_child(todo, folder, data_file), strict=False):
            yield number, verdict
            done += 1
        waiting = shift[done:] + waiting


def _in_child(
    todo: Sequence[tuple[int, Mutant]], folder: Path, data_file: Path
) -> Iterator[Verdict]:
    return children.verdicts(_check, todo, folder, data_file, patience=_PATIENCE, n=len(todo))


def _check(send: Send, todo: Sequence[tuple[int, Mutant]], folder: Path, data_file: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    folder.mkdir(exist_ok=True)
    for _, mutant in todo:
        send(verdicts.judge(mutant, folder, data_file))


def _shortest(mutant: Mutant, verdict: Verdict, folder: Path, data_file: Path) -> Mutant:
    """Leave out changes that a finding does not need."""
    for other in mutants.shorter(mutant):
        if other.changes:
            (found,) = _in_child([(0, other)], folder, data_file)
            if found.kind == FINDING and _last(found)[:40] == _last(verdict)[:40]:
                return _shortest(other, found, folder, data_file)
    return mutant


def _spread(accepted: Sequence[tuple[int, Mutant]], n: int) -> list[int]:
    """Choose mutants of as many inputs and kinds of changes as there are."""
    groups: dict[object, list[int]] = collections.defaultdict(list)
    for number, mutant in accepted:
        # Profiles name files and parameters alone; MadGraph is not here.
        if not mutant.base.startswith(("profiles/", "ph/madgraph")) and mutant.base[-4:] != ".dat":
            groups[mutant.base, mutant.changes[0].kind].append(number)
    chosen: list[int] = []
    while len(chosen) < n and any(groups.values()):
        chosen += [numbers.pop(0) for numbers in groups.values() if numbers]
    return sorted(chosen[:n])


def _last(verdict: Verdict) -> str:
    """Return the line that tells most."""
    return (verdict.text.strip().splitlines() or [""])[-1][:400]


def _report(what: str, found: dict[int, Verdict], seed: int, good: Sequence[str]) -> int:
    counts = collections.Counter(verdict.kind for verdict in found.values())
    bad = sum(n for kind, n in counts.items() if kind not in good)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in good)
    print(f"{len(found)} {what} of seed {seed}: {told}, {bad} others", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
