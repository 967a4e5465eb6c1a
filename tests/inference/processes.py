"""A signal and a background whose densities and responses to nuisance parameters are exact."""

from dataclasses import dataclass

import numpy as np

from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import Part
from steps.inference.morphing.variations import Shifted, Variations

REGION = np.array([[-1.0, 1.0]])
EXPONENTS = np.array([[0], [1], [2]])
BENCHMARKS = np.array([[0.0], [1.0], [-1.0]])


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

    def polynomial(self):
        return Polynomial.of(EXPONENTS, REGION)


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
