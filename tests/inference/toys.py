"""A toy whose p(x|theta) is known in closed form, as a MadMiner file; networks trained on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from steps.events import madminer_file
from steps.events.origin import Origin
from steps.inference import networks, samples
from steps.inference.analysis import Analysis, Parts
from steps.inference.methods import METHODS, Kind
from steps.inference.simulation import Simulation
from steps.inference.targets import Target
from steps.madminer.estimator import Fit
from steps.madminer.setup import new_setup
from steps.stage import seeds


@dataclass(frozen=True)
class Toy:
    """|M|^2 = (1 + sum theta_i (beta_i z_i + kappa_i))^2 + gamma^2 sum theta_i^2, x = z + noise.

    At theta = 0 the latent z is standard normal and the cross section 1 pb, so that
    z given x is normal with mean x / (1 + noise^2) and variance noise^2 / (1 + noise^2).
    Besides, ``n_idle`` observables are standard normal and tell nothing.
    """

    n_parameters: int
    path: str = ""
    gamma: float = 0.3
    noise: float = 0.3
    n_idle: int = 0

    @property
    def beta(self):
        return np.array([0.5, 0.35])[: self.n_parameters]

    @property
    def kappa(self):
        return np.array([0.4, -0.25])[: self.n_parameters]

    @property
    def benchmarks(self):
        if self.n_parameters == 1:
            return {"sm": [0.0], "w": [1.0], "v": [-1.0]}
        points = [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [0.7, 0.7]]
        return dict(zip(["sm", "w", "v", "wm", "vm", "wv"], points, strict=True))

    def _square(self, theta, mean, variance):
        """Mean of |M|^2 over independent normal z_i."""
        theta = np.asarray(theta, dtype=float)
        linear = 1 + (self.beta * mean + self.kappa) @ theta
        return (
            linear**2
            + (theta * self.beta) ** 2 @ np.ones_like(theta) * variance
            + (self.gamma**2 * theta @ theta)
        )

    def cross_section(self, theta):
        return float(self._square(theta, np.zeros(self.n_parameters), 1.0))

    def log_ratio(self, x, theta):
        """Exact log p(x|theta) / p(x|0)."""
        spread = 1 + self.noise**2
        mean, variance = x[:, : self.n_parameters] / spread, self.noise**2 / spread
        return np.log(self._square(theta, mean, variance) / self.cross_section(theta))

    def log_ratio_first(self, x0, theta):
        """Exact log ratio of the first observable alone."""
        spread, theta = 1 + self.noise**2, np.asarray(theta, dtype=float)
        mean = np.stack([x0 / spread, np.zeros_like(x0)], axis=-1)
        variance = np.array([self.noise**2 / spread, 1.0])
        linear = 1 + (self.beta * mean + self.kappa) @ theta
        square = linear**2 + ((theta * self.beta) ** 2) @ variance + self.gamma**2 * theta @ theta
        return np.log(square / self.cross_section(theta))

    def score(self, x, theta=0.0):
        """Exact gradient of log p(x|theta)."""
        k = self.n_parameters
        theta, spread = np.broadcast_to(np.asarray(theta, dtype=float), k), 1 + self.noise**2

        def slope(mean, variance):
            amplitude = self.beta * mean + self.kappa
            linear = 1 + amplitude @ theta
            quadratic = 2 * theta * (self.beta**2 * variance + self.gamma**2)
            square = self._square(theta, mean, variance)
            return (2 * linear[..., None] * amplitude + quadratic) / np.asarray(square)[..., None]

        given = slope(x[:, :k] / spread, self.noise**2 / spread)
        return given - slope(np.zeros((1, k)), 1.0)

    def write(self, folder: Path, n_events: int, seed: int = 1) -> "Toy":
        """Write a MadMiner file with half of the events sampled at sm, half at w."""
        rng = np.random.default_rng(seed)
        names = [f"t{k}" for k in range(self.n_parameters)]
        miner = new_setup(
            [
                {
                    "parameter_name": name,
                    "lha_block": "dim6",
                    "lha_id": k,
                    "morphing_max_power": 2,
                    "parameter_range": (-1.0, 1.0),
                }
                for k, name in enumerate(names)
            ],
            {b: dict(zip(names, map(float, v), strict=True)) for b, v in self.benchmarks.items()},
            {"max_overall_power": 2, "include_existing_benchmarks": True, "n_trials": 10},
        )
        miner.save(str(folder / "setup.h5"))
        half = n_events // 2
        proposals = rng.normal(size=(20 * half, self.n_parameters))
        density = self._square(self.benchmarks["w"], proposals, 0.0)
        accepted = proposals[rng.uniform(0, density.max(), len(density)) < density][:half]
        z = np.concatenate([rng.normal(size=(half, self.n_parameters)), accepted])
        sampled = np.repeat([0, 1], [half, len(accepted)])
        squares = np.stack([self._square(v, z, 0.0) for v in self.benchmarks.values()], axis=-1)
        norm = np.array([self.cross_section(self.benchmarks[b]) for b in ("sm", "w")])
        norm = norm / np.bincount(sampled)
        weights = squares * (norm[sampled] / squares[np.arange(len(z)), sampled])[:, None]
        x = z + rng.normal(0, self.noise, z.shape)
        x = np.hstack([x, rng.normal(size=(len(z), self.n_idle))])
        order = rng.permutation(len(z))
        path = folder / "toy.h5"
        observables = {f"x{k}": f"j[{k}].pt" for k in range(x.shape[1])}
        sample = madminer_file.Sample(x, weights, Origin("", "sm", 1.0, len(x)), {}, order)
        madminer_file.write_sample(path, folder / "setup.h5", observables, sample)
        madminer_file.replace_events(path, x[order], weights[order], sampled[order])
        return replace(self, path=str(path))


def quadrature(toy: Toy, n: int = 81) -> tuple[np.ndarray, np.ndarray]:
    """Return observations ``(m, p)`` and weights ``(m,)`` for integrals over p(x|0)."""
    side = np.linspace(-6, 6, n) * np.sqrt(1 + toy.noise**2)
    axes = [side] * toy.n_parameters
    x = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, toy.n_parameters)
    density = np.exp(-np.sum(x**2, axis=1) / 2 / (1 + toy.noise**2))
    return x, density / density.sum()


_TOYS: dict[tuple[Any, ...], Toy] = {}


def made(factory: pytest.TempPathFactory, n_parameters: int, n_events: int, **more: float) -> Toy:
    """Return a toy with events, made once for all folders of tests."""
    key = (n_parameters, n_events, *more.items())
    if key not in _TOYS:
        _TOYS[key] = Toy(n_parameters, **more).write(factory.mktemp("toy"), n_events)
    return _TOYS[key]


def random_points(n_parameters, number=50):
    prior = {"prior_shape": "flat", "prior_param_0": -1.0, "prior_param_1": 1.0}
    return {
        "sampling_method": "random_morphing_points",
        "sampling_number": number,
        "prior": [{f"parameter_{k}": prior} for k in range(n_parameters)],
    }


SM = {"sampling_method": "benchmark", "sampling_arg": "sm"}


def blocks(method: str, n_parameters: int) -> dict[str, dict[str, Any]]:
    """Return the block of a method as in the shipped input file."""
    match METHODS[method].kind:
        case Kind.SCORE:
            return {"theta_0": SM}
        case Kind.DENSITY:
            return {"theta_0": random_points(n_parameters)}
    return {"theta_0": random_points(n_parameters), "theta_1": SM}


SPLITS = {"test_split": 0.2, "valid_split": 0.2}


def draw(
    toy: Toy,
    method: str,
    thetas: Mapping[str, Any] | None = None,
    n: int = 2000,
    seed: int = 1,
    partition: str = "train",
    **splits: float,
) -> dict[str, np.ndarray]:
    """Draw a sample of one method."""
    seeds.seed_globally(seed, method)
    what = samples.Draw(thetas or blocks(method, toy.n_parameters), n, **SPLITS | splits)
    points = seeds.generator(seed, "points")
    return samples.draw(toy.path, METHODS[method], what, points, partition)


def analysed(
    toy: Toy,
    truth: Sequence[float],
    points: np.ndarray,
    luminosity: float = 50.0,
    n_bags: int = 0,
    test_split: float = 0.2,
    weights: np.ndarray | None = None,
) -> Analysis:
    """Return the analysis of a toy's events at parameter points; weights as others have them."""
    events = samples.mixture(toy.path)
    if weights is not None:
        events["weights"] = weights
    region = np.stack([points.min(axis=0), points.max(axis=0)], axis=-1)
    rng = np.random.default_rng(1)
    simulation = Simulation.of(events, region, n_bags, rng)
    parts = Parts.of(len(events["x"]), test_split, 0, rng)
    target = Target(region, np.array(truth), luminosity, (True, False))
    return Analysis(simulation, parts, target, points)


FIT = {
    "alpha": 1.0,
    "batch_size": 500,
    "num_epochs": 10,
    "hidden_layers": (64, 64),
    "activation": "tanh",
    "learning_rate": 0.005,
    "final_learning_rate": 0.0003,
}


def fit(**changes: Any) -> Fit:
    """Return settings of a training."""
    return Fit(**FIT | changes)


def train(toy, method, n_samples=40_000, estimator="parameterized", seed=1, **changes):
    """Draw samples of training and validation, and train: (model, losses, training sample)."""
    n_validation = round(0.2 * n_samples)
    training = draw(toy, method, n=n_samples - n_validation, seed=seed)
    validation = draw(toy, method, n=n_validation, seed=seed, partition="validation")
    seeds.seed_globally(seed, method)
    torch.manual_seed(seed)
    parts = (training, validation)
    model, losses = networks.train(METHODS[method], estimator, parts, fit(**changes))
    return model, losses, training
