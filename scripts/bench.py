"""Timings of the slow parts on one core: ``make bench``."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from steps.events import lhe
from steps.events.measurement import measure
from steps.events.objects import with_sums
from steps.inference import networks
from steps.inference.methods import METHODS
from steps.madminer.estimator import Fit
from steps.physics import amplitude, generator
from steps.physics.detector import reconstruct
from steps.physics.partons import PartonDensities
from steps.physics.phase_space import Cuts
from steps.physics.shower import shower
from steps.settings import learning, parameters, physics

_INPUTS = Path(__file__).parents[1] / "inputs"
_EVENTS = 3000
_SAMPLE = 100_000


@contextmanager
def _timed(what: str, n: int, unit: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    print(f"{what:28} {seconds:7.2f} s   {n / seconds:12,.0f} {unit}/s", flush=True)


def main() -> None:
    """Print how long generation, shower, detector and networks take."""
    torch.set_num_threads(1)
    usual = parameters.read({})
    ph = physics.read(_INPUTS / "ph/input.yml", usual)
    ml = learning.read(_INPUTS / "ml/input.yml", usual)
    rng = np.random.default_rng(1)
    with _timed("parton densities", 1, "set"):
        settings = ph.generator
        process = generator.Process(
            PartonDensities(settings["pdf"], settings["scale"]),
            settings["energy"],
            settings["branching_ratio"],
            Cuts(**settings["cuts"]),
        )
    with _timed("adaptation", 1, "grid"):
        grid = generator.adapt(process, {}, rng)
    with _timed("parton-level events", _EVENTS, "events"):
        events = generator.generate(process, grid, {}, _EVENTS, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.lhe.gz"
        weights = generator.benchmark_weights(events, grid.cross_section, _EVENTS, {}, [{}] * 6)
        with _timed("event file", _EVENTS, "events"):
            head = lhe.Head(
                beam_energy=0.5 * settings["energy"],
                cross_section=(grid.cross_section, grid.error),
                scale=settings["scale"],
                alphas=(amplitude.ALPHA_EW, -1.0),
            )
            named = lhe.Weights(weights, [f"b{k}" for k in range(6)], "b0")
            lhe.write(path, events.pdg_id, events.momenta, named, head)
        with _timed("shower", _EVENTS, "events"):
            particles, _ = shower(path, ph.shower_card["text"].splitlines(), _EVENTS, rng)
    with _timed("detector", _EVENTS, "events"):
        objects = with_sums(reconstruct(particles, rng))
    with _timed("observables and cuts", _EVENTS, "events"):
        measure(objects, ph.observables, ph.cuts)

    sample = {
        "x": rng.normal(size=(_SAMPLE, 2)),
        "theta": rng.normal(size=(_SAMPLE, 2)),
        "y": rng.integers(0, 2, size=(_SAMPLE, 1)),
        "r_xz": np.exp(rng.normal(size=(_SAMPLE, 1))),
        "t_xz": rng.normal(size=(_SAMPLE, 2)),
    }
    sample = {name: column.astype(np.float32) for name, column in sample.items()}
    fit = Fit(**learning.training(ml, {"num_epochs": 2}).fit)
    held = {name: column[: _SAMPLE // 5] for name, column in sample.items()}
    for method in ("alice", "alices", "sally"):
        with _timed(f"training {method}", 2 * _SAMPLE, "events"):
            model, _ = networks.train(METHODS[method], "parameterized", (sample, held), fit)
        if method == "alice":
            with _timed("evaluation", 20 * _SAMPLE, "pairs"):
                model.log_ratio(sample["x"], sample["theta"][:20])


if __name__ == "__main__":
    main()
