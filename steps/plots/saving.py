"""Figures written as pictures, several at a time."""

import os
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path

from matplotlib.figure import Figure

# Some twenty figures take a second each.
_MOST = 4


def save(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write ``<name>.png`` of each figure to a folder, with as many processes as there are cores.

    The processes are forked and find the figures there, which have parts that do not pickle.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    processes = min(cores, len(figures), _MOST)
    if processes < 2:
        _take(figures, folder)
        for name in figures:
            _save(name)
        return
    context = get_context("fork")
    with context.Pool(processes, initializer=_take, initargs=(figures, folder)) as pool:
        pool.map(_save, figures, chunksize=1)


_figures: Mapping[str, Figure] = {}
_folder = Path()


def _take(figures: Mapping[str, Figure], folder: Path) -> None:
    global _figures, _folder
    _figures, _folder = figures, folder


def _save(name: str) -> None:
    _figures[name].savefig(_folder / f"{name}.png")
