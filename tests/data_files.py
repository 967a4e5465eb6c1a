"""A small MadMiner file as arrays by name, written without MadMiner, to be broken."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

N = 400
BENCHMARKS = {"sm": 0.0, "w": 1.0, "v": -1.0}


def text(*names: str) -> np.ndarray:
    return np.array([name.encode() for name in names], dtype="S256")


def sound() -> dict[str, Any]:
    """One parameter, three benchmarks, two observables; |M|^2 = (1 + theta z)^2 + theta^2 / 10."""
    z, noise, idle = np.random.default_rng(1).normal(size=(3, N))
    points = np.array(list(BENCHMARKS.values()))
    powers = np.arange(3)[:, None]
    weights = ((1 + z[:, None] * points) ** 2 + 0.1 * points**2) / N
    return {
        "parameters/names": text("t"),
        "parameters/lha_blocks": text("dim6"),
        "parameters/lha_ids": np.array([2]),
        "parameters/max_power": np.array([2]),
        "parameters/val_ranges": np.array([[-1.0, 1.0]]),
        "parameters/transforms": text("16.52*theta"),
        "benchmarks/names": text(*BENCHMARKS),
        "benchmarks/values": points[:, None],
        "benchmarks/is_nuisance": np.zeros(3, dtype=int),
        "benchmarks/is_reference": np.array([1, 0, 0]),
        "morphing/components": powers,
        "morphing/morphing_matrix": np.linalg.inv(points[:, None] ** powers.T),
        "observables/names": text("x", "y"),
        "observables/definitions": text("j[0].pt", "met.pt"),
        "samples/observations": np.stack([z + 0.3 * noise, idle], axis=-1),
        "samples/weights": weights,
        "samples/sampling_benchmarks": np.zeros(N, dtype=int),
        "sample_summary/signal_events": np.array([N, 0, 0]),
        "sample_summary/background_events": 0,
    }


def with_systematics() -> dict[str, Any]:
    """The same with two processes, a nuisance parameter of weights, and one of shifted events."""
    arrays = sound()
    weights = arrays["samples/weights"]
    shifted = {
        f"shifted/jes/{side}/{name}": values
        for side in ("up", "down")
        for name, values in {
            "observations": arrays["samples/observations"][:100],
            "weights": weights[:100],
            "events": np.arange(100),
            "processes": np.zeros(100, dtype=int),
        }.items()
    }
    return arrays | shifted | {
        "benchmarks/names": text(*BENCHMARKS, "up", "down"),
        "benchmarks/values": np.concatenate([arrays["benchmarks/values"], np.zeros((2, 1))]),
        "benchmarks/is_nuisance": np.array([0, 0, 0, 1, 1]),
        "benchmarks/is_reference": np.array([1, 0, 0, 0, 0]),
        "samples/weights": np.hstack([weights, weights[:, :1] * [1.1, 0.9]]),
        "samples/processes": np.arange(N) % 2,
        "samples/events": np.arange(N),
        "sample_summary/signal_events": np.array([N, 0, 0, 0, 0]),
        "nuisance_parameters/names": text("mu"),
        "nuisance_parameters/systematics": text("scale"),
        "nuisance_parameters/benchmark_positive": text("up"),
        "nuisance_parameters/benchmark_negative": text("down"),
        "@systematics": json.dumps(
            [
                {"name": name, "systematic": of, "form": form, "type": kind, "processes": ["a"]}
                for name, of, form, kind in (
                    ("mu", "scale", "weights", "scale"),
                    ("jes", "jes", "shifted", "detector"),
                )
            ]
        ),
        "samples/processes@names": json.dumps(["a", "b"]),
    }  # fmt: skip


def with_background() -> dict[str, Any]:
    """The same with one of its two processes, which no parameter changes, as background."""
    arrays = with_systematics()
    background = arrays["samples/processes"] == 1
    arrays["samples/sampling_benchmarks"] = np.where(background, -1, 0)
    weights = arrays["samples/weights"].copy()
    weights[background, :3] = weights[background, :1]
    return arrays | {"samples/weights": weights}


def write(path: Path, arrays: Mapping[str, Any]) -> Path:
    """Write arrays; None makes a group, and ``dataset@name`` an attribute."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            place, at, attribute = name.partition("@")
            if at:
                (file[place] if place else file).attrs[attribute] = values
            elif values is None:
                file.create_group(name)
            else:
                file[name] = values
    return path
