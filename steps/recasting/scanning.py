"""CLs over the plane of parameters: the points that data exclude, and patches for each."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.recasting.analysis import Grid
from steps.recasting.limits import LEVEL, Model
from steps.recasting.model import Expectation, without_signal, workspace
from steps.recasting.templates import Template

_LEAST = 1e-12


@dataclass(frozen=True)
class Scan:
    """What data say of parameter points.

    Attributes:
        grid: The ``m`` points.
        cls: CLs of each against the Standard Model, or against background alone; observed, then
            expected at :data:`steps.recasting.limits.SIGMAS`, ``(m, 6)``.
        deviance: -2 ln L of each less the least of all and of no signal, observed and expected,
            ``(m, 2)``.
        workspaces: Workspace of each; that of no signal where the point is the Standard Model.
    """

    grid: Grid
    cls: Array
    deviance: Array
    workspaces: Sequence[Mapping[str, Any]]

    @property
    def excluded(self) -> Array:
        """Which points are excluded at 95 % CL, observed and expected, ``(m, 6)``."""
        found: Array = self.cls < LEVEL
        return found


def scan(
    grid: Grid,
    signal: Callable[[Array], Template],
    expectation: Expectation,
    progress: Callable[[int], None] = lambda n: None,
) -> Scan:
    """Test each point of a grid.

    Args:
        grid: The points.
        signal: Function from a point to the signal's template, in events.
        expectation: All else that is expected, and what is observed; its signal counts as none.
        progress: Called with the number of points that are done.
    """
    nothing = without_signal(expectation)
    without = np.array(Model(nothing).deviance(0.0))
    cls, deviance, workspaces = [], [], []
    for done, point in enumerate(grid.points, start=1):
        here = replace(expectation, signal=signal(point))
        here.check()
        if np.allclose(here.change(), 0.0, atol=_LEAST):
            cls.append(np.ones(6))
            deviance.append(without)
            workspaces.append(nothing)
        else:
            workspaces.append(workspace(here))
            model = Model(workspaces[-1])
            cls.append(model.tested().all)
            deviance.append(np.array(model.deviance(1.0)))
        progress(done)
    values = np.array(deviance)
    lowest = np.minimum(values.min(axis=0), without)
    return Scan(grid, np.array(cls), values - lowest, workspaces)


def patch_set(found: Scan, background: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a set of JSON patches, which make the workspace of a point of the background's.

    Args:
        found: A scan.
        background: Workspace without a signal.
        names: Names of the parameters.
    """
    patches = []
    for number, (point, space) in enumerate(zip(found.grid.points, found.workspaces, strict=True)):
        about = {"name": f"point_{number}", "values": [float(value) for value in point]}
        patches.append({"metadata": about, "patch": _patch(background, space)})
    return {
        "metadata": {
            "description": "the signal at parameter points of a scan",
            "digests": {"sha256": _digest(background)},
            "labels": [_plain(name) for name in names],
            # Of a record that is still to be made.
            "references": {"hepdata": "ins0000000"},
        },
        "patches": patches,
        "version": "1.0.0",
    }


def _patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what makes one workspace of another: samples, and bounds of the strength."""
    pairs = zip(old["channels"][0]["samples"], new["channels"][0]["samples"], strict=True)
    changes = {
        f"/channels/0/samples/{k}": there for k, (here, there) in enumerate(pairs) if here != there
    }
    if old["measurements"] != new["measurements"]:
        changes["/measurements"] = new["measurements"]
    return [{"op": "replace", "path": path, "value": value} for path, value in changes.items()]


def _digest(content: Mapping[str, Any]) -> str:
    """Return the hash of a workspace as pyhf makes it."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name) or "_"
