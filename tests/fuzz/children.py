"""Verdicts from a process of its own, so that one that hangs or dies is but a finding."""

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from tests.fuzz.verdicts import FINDING, Verdict

Send = Callable[[Verdict], None]
"""Passes a verdict on."""


def verdicts(
    function: Callable[..., None], *arguments: Any, patience: float, n: int = 1
) -> Iterator[Verdict]:
    """Yield the verdicts of a process; after one that it does not give, no more.

    Args:
        function: What it does; the first argument is a :data:`Send`.
        arguments: The others.
        patience: How long it may take for each, in seconds.
        n: How many it gives.
    """
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(theirs, function, arguments))
    child.start()
    theirs.close()
    try:
        for _ in range(n):
            if not ours.poll(patience):
                yield Verdict(FINDING, f"takes more than {patience} s")
                return
            try:
                yield Verdict(*ours.recv())
            except EOFError:
                child.join()
                yield Verdict(FINDING, f"the process died with status {child.exitcode}")
                return
    finally:
        child.kill()
        child.join()


def _child(pipe: Connection, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    function(lambda verdict: pipe.send(tuple(verdict)), *arguments)
