"""Events of a toy as a perfect network has them, and a toy of four parameters."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from inference.toys import Toy
from steps.inference import samples
from steps.inference.cross_fitted import Sample
from steps.inference.morphing.ensemble import Events
from steps.inference.morphing.polynomial import Polynomial


@dataclass(frozen=True)
class Many(Toy):
    """Four parameters."""

    n_parameters: int = 4

    @property
    def beta(self):
        return np.array([0.5, 0.35, 0.4, 0.3])

    @property
    def kappa(self):
        return np.array([0.4, -0.25, 0.2, 0.1])

    @property
    def benchmarks(self):
        axes = np.eye(4)
        points = {"sm": 0 * axes[0], "w": np.array([0.6, -0.6, 0.6, 0.6])}
        points |= {f"p{k}": axis for k, axis in enumerate(axes)}
        points |= {f"m{k}": -axis for k, axis in enumerate(axes)}
        # With w they fix the six mixed terms.
        pairs = list(combinations(range(4), 2))[:5]
        points |= {f"b{i}{j}": 0.7 * (axes[i] + axes[j]) for i, j in pairs}
        return {name: point.tolist() for name, point in points.items()}


def exact_sample(toy: Toy, n_bags: int = 0) -> tuple[Sample, np.ndarray]:
    """Return a toy's events with their exact densities, and their observations."""
    events = samples.mixture(toy.path)
    k, spread, benchmarks = toy.n_parameters, 1 + toy.noise**2, events["benchmarks"]
    polynomial = Polynomial.of(events["exponents"], np.array([[-1.0, 1.0]] * k))
    given = (events["x"][:, :k] / spread, toy.noise**2 / spread)
    densities = np.stack([toy._square(point, *given) for point in benchmarks], axis=-1)
    # To the mixture, half of which is drawn at sm and half at w.
    mixture = 0.5 * sum(
        densities[:, number] / toy.cross_section(benchmarks[number]) for number in (0, 1)
    )
    multiplicity = np.ones((1 + n_bags, len(mixture)), dtype=np.int16)
    multiplicity[1:] = np.random.default_rng(1).poisson(1.0, (n_bags, len(mixture)))
    coefficients = polynomial.coefficients(densities / mixture[:, None], benchmarks)
    known = Events(np.repeat(coefficients[None], 1 + n_bags, axis=0), multiplicity, polynomial)
    weights = polynomial.coefficients(events["weights"], benchmarks)
    return Sample(known, weights), events["x"]
