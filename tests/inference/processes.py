"""A signal and a background whose densities and responses to nuisance parameters are exact."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from steps.events import madminer_file
from steps.inference.cross_fitted import Rates, Sample
from steps.inference.morphing.ensemble import Events
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import Part
from steps.inference.morphing.responses import Response
from steps.inference.morphing.variations import Shifted, Variations
from steps.inference.nuisance.likelihood import Data as Counts
from steps.inference.nuisance.likelihood import Joint, Process, Rows
from steps.inference.nuisance.likelihood import Mixture as Rowed
from steps.inference.nuisance.systematics import Model, Nuisance
from steps.inference.observing import Data
from steps.inference.responding import Varied
from steps.madminer.setup import new_setup

REGION = np.array([[-1.0, 1.0]])
NUISANCES = [
    Nuisance("scale", "scale", ["signal"], 0.0),
    Nuisance("norm", "norm", ["background"], float(np.log(1.2))),
    Nuisance("energy", "energy", None, 0.0),
]
EXPONENTS = np.array([[0], [1], [2]])
BENCHMARKS = np.array([[0.0], [1.0], [-1.0]])


def averaged(weights):
    """Weights averaged over the region."""
    polynomial = Polynomial.of(EXPONENTS, REGION)
    return polynomial.coefficients(weights, BENCHMARKS) @ polynomial.average


def learnt(events, fold):
    """Networks of the responses of events in folds."""
    return Varied.of(events, averaged, fold).learn(None, 1)


@dataclass(frozen=True)
class Mixture:
    """Signal |M|^2 = (1 + theta (beta z + kappa))^2 + (gamma theta)^2 of 1 pb at theta = 0.

    There the latent z is standard normal; x = z + noise. The background of 2 pb is normal in x. At
    nu = +-1 of three nuisance parameters:

    - ``scale``: signal weights change by exp(+-(level + tilt z));
    - ``norm``: those of the background by factors kappa_b^+-1;
    - ``energy``: x becomes x (1 +- shift) for both.

    Events pass with x > cut.
    """

    beta: float = 0.5
    kappa: float = 0.4
    gamma: float = 0.3
    noise: float = 0.4
    background: tuple[float, float, float] = (2.0, 0.5, 0.8)  # pb, mean, width
    level: float = 0.1
    tilt: float = 0.15
    kappa_b: float = 1.2
    shift: float = 0.08
    cut: float = -1.5

    names = ("signal", "background")
    nuisances = ("scale", "norm", "energy")

    @property
    def described(self):
        """What a data file says of the nuisance parameters."""
        about = [
            {"type": "scale", "form": "pairs", "processes": ["signal"]},
            {
                "type": "norm",
                "form": "pairs",
                "processes": ["background"],
                "value": self.kappa_b - 1,
            },
            {"type": "detector", "form": "shifted", "processes": list(self.names)},
        ]
        return [
            {"name": name, "systematic": name, **of}
            for name, of in zip(self.nuisances, about, strict=True)
        ]

    # ---------------------------------------------------------------- exact
    def _square(self, theta, mean, variance):
        linear = 1 + theta * (self.beta * mean + self.kappa)
        return linear**2 + theta**2 * (self.beta**2 * variance + self.gamma**2)

    def signal(self, x, theta, nu=0.0, factor=1.0):
        """Density in pb at nu of the scale, with x scaled by a factor."""
        x = x / factor
        spread = 1 + self.noise**2
        mean, variance = x / spread, self.noise**2 / spread
        tilt = nu * self.tilt
        density = np.exp(-(x**2) / 2 / spread) / np.sqrt(2 * np.pi * spread) / factor
        response = np.exp(nu * self.level + tilt * mean + tilt**2 * variance / 2)
        return density * response * self._square(theta, mean + tilt * variance, variance)

    def noise_b(self, x, factor=1.0):
        """Density of the background in pb, with x scaled by a factor."""
        sigma, mean, width = self.background
        normal = np.exp(-(((x / factor - mean) / width) ** 2) / 2) / width / np.sqrt(2 * np.pi)
        return sigma * normal / factor

    def response(self, x, k, sign, theta=0.0):
        """Exact u of both processes at nu_k = +-1, ``(2, n)``."""
        factor = 1 + sign * self.shift if k == 2 else 1.0
        nu = sign if k == 0 else 0.0
        signal = np.log(self.signal(x, theta, nu, factor) / self.signal(x, theta))
        other = np.log(self.noise_b(x, factor) / self.noise_b(x))
        return np.stack([signal, other + sign * np.log(self.kappa_b) * (k == 1)])

    def total(self, x, theta):
        """Exact parts of the density in pb, ``(2, n)``."""
        return np.stack([self.signal(x, theta), self.noise_b(x)])

    # ---------------------------------------------------------------- drawn
    def draw(self, n, seed=1):
        """Return n events of either process, before cuts, as the stages have them."""
        rng = np.random.default_rng(seed)
        # Half of the signal drawn at theta = 0, half wider.
        wide = np.where(np.arange(n) % 2, 1.6, 1.0)
        z = wide * rng.normal(size=n)
        drawn = 0.5 * (np.exp(-(z**2) / 2) + np.exp(-(z**2) / 2 / 1.6**2) / 1.6)
        weights = np.exp(-(z**2) / 2) / drawn / n
        weights = weights[:, None] * np.stack(
            [self._square(theta, z, 0.0) for theta in BENCHMARKS[:, 0]], axis=-1
        )
        sigma, mean, width = self.background
        x = np.concatenate([z + self.noise * rng.normal(size=n), rng.normal(mean, width, n)])
        weights = np.concatenate([weights, np.full((n, 3), sigma / n)])
        process = np.repeat([0, 1], n)
        ratios = np.ones((2 * n, 3, 2))
        for side, sign in enumerate((1, -1)):
            ratios[:n, 0, side] = np.exp(sign * (self.level + self.tilt * z))
            ratios[n:, 1, side] = self.kappa_b**sign
        order = rng.permutation(2 * n)
        return _Drawn(self, x[order], weights[order], process[order], ratios[order])

    def drawn(self, x):
        """Density of the x of drawn events before cuts, ``(n,)``."""
        signal = sum(norm.pdf(x, scale=np.hypot(s, self.noise)) for s in (1.0, 1.6)) / 2
        _, mean, width = self.background
        return 0.5 * (signal + norm.pdf(x, mean, width))

    def parts(self, x):
        """Coefficients of the exact density of each process over that of drawn events, by name."""
        signal = np.stack([self.signal(x, theta) for theta in BENCHMARKS[:, 0]], axis=-1)
        signal = self.polynomial().coefficients(signal / self.drawn(x)[:, None], BENCHMARKS)
        return {"signal": signal, "background": (self.noise_b(x) / self.drawn(x))[:, None]}

    def responses(self, x):
        """Exact A and B of events."""
        logs = [[self.response(x, k, sign) for sign in (1, -1)] for k in range(3)]
        up, down = np.moveaxis(np.array(logs), (0, 1), (-1, 0))
        return Response((up - down) / 2, (up + down) / 2)

    def rates(self):
        """Exact cross sections of the events that pass, by name."""
        x = np.linspace(self.cut, self.cut + 10, 20_001)
        step = x[1] - x[0]
        at = np.exp(np.moveaxis(self.responses(x).logs(), (2, 3), (1, 2)))
        parts = {name: of * self.drawn(x)[:, None] * step for name, of in self.parts(x).items()}
        return {
            name: Rates(of.sum(axis=0), at[number] @ of)
            for number, (name, of) in enumerate(parts.items())
        }

    def polynomial(self):
        return Polynomial.of(EXPONENTS, REGION)

    # ---------------------------------------------------------------- likelihood
    def joint(self, luminosity, *, with_rate, below=6.0):
        """The joint likelihood of fine bins of the closed form; data are those expected at 0."""
        x = np.linspace(self.cut, below, 1500)
        scale = (x[1] - x[0]) * luminosity
        polynomial = self.polynomial()
        at = [self.total(x, theta) for theta in BENCHMARKS[:, 0]]
        signal = polynomial.coefficients(np.stack([both[0] for both in at], axis=-1), BENCHMARKS)
        densities = [signal * scale, at[0][1][:, None] * scale]
        logs = np.array([[self.response(x, k, s) for s in (1, -1)] for k in range(3)])
        made = []
        for p, numbers in enumerate(([0, 2], [2])):
            up, down = (logs[numbers, side, p].T for side in (0, 1))
            varied = np.stack([np.exp(each.T) @ densities[p] for each in (up, down)], axis=1)
            kappa = np.array([0.0, np.log(self.kappa_b) if p else 0.0, 0.0])
            rows = Rows(densities[p], (up - down) / 2, (up + down) / 2)
            total = densities[p].sum(axis=0)
            made.append(Process(rows, np.array(numbers), total, varied, kappa))
        counts = densities[0] @ polynomial.weights(np.zeros((1, 1)))[0] + densities[1][:, 0]
        mixture = Rowed(polynomial, made, np.ones(len(x)))
        return Joint(mixture, REGION, Counts(counts, np.zeros(3)), with_rate)


def given(toy, x, auxiliary, luminosity):
    """The closed form of fine bins, given observed events ``(n,)`` and auxiliary measurements."""
    form = toy.joint(luminosity, with_rate=True)
    edges = np.linspace(toy.cut, 6.0, 1500)
    at = np.clip(np.rint((x - toy.cut) / (edges[1] - edges[0])).astype(int), 0, 1499)
    counts = np.bincount(at, minlength=1500).astype(float)
    return form.of(Counts(counts, np.asarray(auxiliary, dtype=float)))


@dataclass(frozen=True)
class _Drawn:
    """Events before cuts."""

    of: Mixture
    x: np.ndarray
    weights: np.ndarray
    process: np.ndarray
    ratios: np.ndarray

    def _passing(self, factor):
        return np.flatnonzero(self.x * factor > self.of.cut)

    def shifted(self, factor):
        """Events as a detector with another energy scale sees them."""
        rows = self._passing(factor)
        return Shifted(self.x[rows, None] * factor, self.weights[rows], self.process[rows], rows)

    def events(self):
        """Return events after cuts, as :func:`steps.inference.samples.mixture` does."""
        rows = self._passing(1.0)
        return {
            "index": np.arange(len(rows)),
            "x": self.x[rows, None],
            "weights": self.weights[rows],
            "benchmarks": BENCHMARKS,
            "exponents": EXPONENTS,
            "processes": self.process[rows],
            "process_names": np.array(self.of.names),
        }

    def variations(self):
        """Return what they are at nu = +-1."""
        rows = self._passing(1.0)
        both = (self.shifted(1 + self.of.shift), self.shifted(1 - self.of.shift))
        return Variations(list(self.of.nuisances), self.ratios[rows], rows, {2: both})

    def part(self):
        return Part.of(self.events())

    def write(self, folder):
        """Write a MadMiner file; return its path."""
        theory = {
            "parameter_name": "t0",
            "lha_block": "dim6",
            "lha_id": 0,
            "morphing_max_power": 2,
            "parameter_range": (-1.0, 1.0),
        }
        named = zip(("sm", "w", "v"), BENCHMARKS.tolist(), strict=True)
        benchmarks = {name: {"t0": theta} for name, (theta,) in named}
        morphing = {"max_overall_power": 2, "include_existing_benchmarks": True, "n_trials": 10}
        path = folder / "toy.h5"
        new_setup([theory], benchmarks, morphing).save(str(folder / "setup.h5"))
        madminer_file.write_setup(path, folder / "setup.h5", {"x0": "j[0].pt"})
        rows = self._passing(1.0)
        sampled = np.where(self.process[rows] == 1, -1, 0)
        madminer_file.replace_events(path, self.x[rows, None], self.weights[rows], sampled)
        about = madminer_file.Processes(self.of.names, self.process[rows], rows)
        madminer_file.write_processes(path, about)
        logs = np.log(self.ratios[rows])
        madminer_file.write_systematics(path, self.of.described, logs)
        sides = [
            madminer_file.Shifted(moved.x, moved.weights, moved.events, moved.process)
            for moved in self.variations().shifted[2]
        ]
        madminer_file.write_shifted(path, "energy", *sides)
        return path


def exact_model(toy, n, n_bags=0):
    """Return events of a toy as networks that know densities and responses have them, and x."""
    events, polynomial = toy.draw(n).events(), toy.polynomial()
    x = events["x"][:, 0]
    counts = np.ones((1 + n_bags, len(x)), dtype=np.int16)
    counts[1:] = np.random.default_rng(1).poisson(1.0, (n_bags, len(x)))
    seen = exact_data(toy, x, n_bags)
    known = Events(seen.densities, counts, polynomial, seen.parts)
    weights = polynomial.coefficients(events["weights"], BENCHMARKS)
    sample = Sample(known, weights, Part.of(events), seen.response)
    return Model(sample, [toy.rates()] * (1 + n_bags), NUISANCES), events["x"]


def exact_data(toy, x, n_bags=0):
    """Return observed events ``(n,)`` likewise."""
    parts = {k: np.repeat(v[None], 1 + n_bags, axis=0) for k, v in toy.parts(x).items()}
    constant = EXPONENTS.sum(axis=1) == 0
    total = parts["signal"] + constant * parts["background"]
    return Data(x[:, None], total, parts, toy.responses(x))


def observe(toy, luminosity, theta, nu, rng):
    """Return the x of an experiment at theta and nu of scale, normalisation and energy."""
    drawn = toy.draw(round(100 * luminosity), int(rng.integers(2**31)))
    weights = (
        toy.polynomial().weights(np.array([[theta]]))[0]
        @ toy.polynomial().coefficients(drawn.weights, BENCHMARKS).T
    )
    scale, kappa = (np.log(drawn.ratios[:, k, 0]) for k in (0, 1))
    weights = luminosity * weights * np.exp(nu[0] * scale + nu[1] * kappa)
    x = np.repeat(drawn.x, rng.poisson(weights)) * (1 + toy.shift * nu[2])
    return x[x > toy.cut]
