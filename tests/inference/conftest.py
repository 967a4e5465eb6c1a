"""A toy whose p(x|theta) is known in closed form, as a MadMiner file; stages as a subprocess."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from steps.events import madminer_file
from steps.events.origin import Origin
from steps.inference import estimators, samples
from steps.interface import seeds
from steps.interface.madminer import new_setup

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Toy:
    """|M|^2 = (1 + sum theta_i (beta_i z_i + kappa_i))^2 + gamma^2 sum theta_i^2, x = z + noise.

    At theta = 0 the latent z is standard normal and the cross section 1 pb, so that
    z given x is normal with mean x / (1 + noise^2) and variance noise^2 / (1 + noise^2).
    """

    n_parameters: int
    path: str = ""
    gamma: float = 0.3
    noise: float = 0.3

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
        mean, variance = x / spread, self.noise**2 / spread
        return np.log(self._square(theta, mean, variance) / self.cross_section(theta))

    def log_ratio_first(self, x0, theta):
        """Exact log ratio of the first observable alone."""
        spread, theta = 1 + self.noise**2, np.asarray(theta, dtype=float)
        mean = np.stack([x0 / spread, np.zeros_like(x0)], axis=-1)
        variance = np.array([self.noise**2 / spread, 1.0])
        linear = 1 + (self.beta * mean + self.kappa) @ theta
        square = linear**2 + ((theta * self.beta) ** 2) @ variance + self.gamma**2 * theta @ theta
        return np.log(square / self.cross_section(theta))

    def score(self, x):
        """Exact gradient of log p(x|theta) at 0."""
        return 2 * self.beta * x / (1 + self.noise**2)

    def write(self, folder, n_events, seed=1):
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
        order = rng.permutation(len(z))
        path = folder / "toy.h5"
        observables = {f"x{k}": f"j[{k}].pt" for k in range(self.n_parameters)}
        sample = madminer_file.Sample(x, weights, Origin("", "sm", 1.0), {})
        madminer_file.write_sample(path, folder / "setup.h5", observables, sample)
        madminer_file.replace_events(path, x[order], weights[order], sampled[order])
        return Toy(self.n_parameters, str(path), self.gamma, self.noise)


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Two parameters, two observables, 60 000 events."""
    return Toy(2).write(tmp_path_factory.mktemp("toy"), 60_000)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The same with 8 000 events."""
    return Toy(2).write(tmp_path_factory.mktemp("small"), 8_000)


@pytest.fixture(scope="session")
def line(tmp_path_factory):
    """One parameter, one observable, 10 000 events."""
    return Toy(1).write(tmp_path_factory.mktemp("line"), 10_000)


def random_points(n_parameters, number=50):
    prior = {"prior_shape": "flat", "prior_param_0": -1.0, "prior_param_1": 1.0}
    return {
        "sampling_method": "random_morphing_points",
        "sampling_number": number,
        "prior": [{f"parameter_{k}": prior} for k in range(n_parameters)],
    }


SM = {"sampling_method": "benchmark", "sampling_arg": "sm"}
SCORES = ("sally", "sallino")


def blocks(method, n_parameters):
    """Return the block of a method as in the shipped input file."""
    if method in SCORES:
        return {"theta_0": SM}
    if method == "scandal":
        return {"theta_0": random_points(n_parameters)}
    return {"theta_0": random_points(n_parameters), "theta_1": SM}


@pytest.fixture(scope="session")
def train():
    """Return a function that draws a sample and trains: (model, losses, sample)."""

    def run(toy, method, n_samples=40_000, estimator="parameterized", seed=1, **changes):
        import torch

        seeds.seed_globally(seed, method)
        torch.manual_seed(seed)
        sample = samples.draw(
            toy.path,
            method,
            blocks(method, toy.n_parameters),
            n_samples,
            seeds.generator(seed, "points"),
        )
        options = {
            "alpha": 1.0,
            "batch_size": 500,
            "num_epochs": 10,
            "valid_split": 0.2,
            "hidden_layers": (64, 64),
            "activation": "tanh",
            "learning_rate": 0.005,
            "final_learning_rate": 0.0003,
        }
        settings = estimators.Training(**options | changes)
        return *estimators.train(method, estimator, sample, settings), sample

    return run


@pytest.fixture(scope="session")
def sally(toy, train, tmp_path_factory):
    """A trained SALLY network and its file."""
    model, _, _ = train(toy, "sally")
    path = tmp_path_factory.mktemp("sally") / "sally"
    model.save(str(path))
    return model, path


_DRIVER = """
import json, runpy, sys
for argv in json.loads(sys.argv[1]):
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Chain:
    """The stages of the machine-learning workflow on the toy, in a folder of their own."""

    toy: Toy
    folder: Path

    def _run(self, calls: Sequence[Sequence[object]]) -> subprocess.CompletedProcess:
        # One interpreter for several stages: importing torch takes longer than a tiny stage.
        argv = json.dumps([[str(word) for word in call] for call in calls])
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _DRIVER, argv]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    def write_input(self, methods, **changes):
        k = self.toy.n_parameters
        content = {
            "methods": list(methods),
            "asymptotic_limits": {
                "region": {f"theta_{i}": {"min": -1.0, "max": 1.0} for i in range(k)},
                "resolutions": [7, 5][:k],
                "theta_true": [0.0] * k,
            },
            "histogram_vars": "x0",
            "training": {"hidden_layers": [10]},
        }
        content |= {method: blocks(method, k) for method in methods} | changes
        (self.folder / "input.yml").write_text(yaml.safe_dump(content))

    def _stage(self, name, output, *options):
        folder = self.folder / output
        common = ("--input-file", self.folder / "input.yml", "--output-dir", folder)
        return (f"steps.ml.{name}", *common, *options)

    def run(self, n_runs=1, plots=True):
        """Run all stages, tiny; return the folder of the results."""
        methods = yaml.safe_load((self.folder / "input.yml").read_text())["methods"]
        data = ("--data-file", self.toy.path, "--overrides")
        sampling = f"n_samples_train=1000 n_sampling_runs={n_runs}"
        evaluation = (*data, "n_samples_test=500")
        calls, files = [self._stage("sampling", "sampling", *data, sampling)], []
        for method, k in product(methods, range(n_runs)):
            sample = self.folder / "sampling" / "data" / f"Samples_{method}_{k}"
            trained, evaluated = f"training_{method}_{k}", f"evaluating_{method}_{k}"
            model = self.folder / trained / "Model.tar.gz"
            options = ("--sample-dir", sample, "--overrides", "num_epochs=2")
            calls.append(self._stage("training", trained, *options))
            calls.append(self._stage("evaluating", evaluated, "--model-file", model, *evaluation))
            files.append(self.folder / evaluated / f"Results_{method}.tar.gz")
        if plots:
            calls.append(self._stage("reference", "reference", *evaluation))
            reference = self.folder / "reference" / "reference.h5"
            options = ("--result-files", *files, "--reference-file", reference)
            calls.append(self._stage("plotting", "plotting", *options))
        done = self._run(calls)
        assert done.returncode == 0, done.stderr
        return self.folder


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Return a function that makes a chain on a toy."""
    return lambda toy: Chain(toy, tmp_path_factory.mktemp("chain"))
