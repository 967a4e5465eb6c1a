"""Timings of the slow parts on one core: ``make bench``."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from steps.events import lhe
from steps.events.measurement import measure
from steps.events.objects import with_sums
from steps.inference import estimators
from steps.interface.inputs import load_ml, load_ph
from steps.physics import builtin, generator
from steps.physics.detector import reconstruct
from steps.physics.shower import shower

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
    estimators.torch.set_num_threads(1)
    ph, ml = load_ph(_INPUTS / "ph/input.yml"), load_ml(_INPUTS / "ml/input.yml")
    rng = np.random.default_rng(1)
    with _timed("parton densities", 1, "set"):
        process = builtin.process(ph.generator)
    with _timed("adaptation", 1, "grid"):
        grid = generator.adapt(process, {}, rng)
    with _timed("parton-level events", _EVENTS, "events"):
        events = generator.generate(process, grid, {}, _EVENTS, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.lhe.gz"
        weights = generator.benchmark_weights(events, grid.cross_section, _EVENTS, {}, [{}] * 6)
        with _timed("event file", _EVENTS, "events"):
            lhe.write(
                path,
                events.pdg_id,
                events.momenta,
                weights,
                [f"b{k}" for k in range(6)],
                "b0",
                beam_energy=6500.0,
                cross_section=(grid.cross_section, grid.error),
                scale=125.0,
                alphas=(1 / 128, -1.0),
            )
        with _timed("shower", _EVENTS, "events"):
            particles, _ = shower(path, ph.shower_card.read_text().splitlines(), _EVENTS, rng)
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
    settings = estimators.Training(
        alpha=1.0, batch_size=1000, num_epochs=2, valid_split=0.2, **ml.training
    )
    for method in ("alice", "alices", "sally"):
        with _timed(f"training {method}", 2 * _SAMPLE, "events"):
            model, _ = estimators.train(method, "parameterized", sample, settings)
        if method == "alice":
            with _timed("evaluation", 20 * _SAMPLE, "pairs"):
                estimators.log_ratio(model, sample["x"], sample["theta"][:20])


if __name__ == "__main__":
    main()
