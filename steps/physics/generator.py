"""Built-in leading-order generator of p p -> j j H by W fusion: integration and unweighted events.

VEGAS (G. P. Lepage, arXiv:2009.05112) adapts one importance-sampling grid per parameter point;
events are drawn from the grid and unweighted by acceptance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import vegas

from steps.arrays import Array
from steps.physics import amplitude, phase_space
from steps.physics.partons import PartonDensities

# A quark line a -> c radiates W+ or W-; the CKM matrix is diagonal and quarks are massless.
W_PLUS_LINES = {2: 1, 4: 3, -1: -2, -3: -4}
W_MINUS_LINES = {1: 2, 3: 4, -2: -1, -4: -3}

# Events whose weight exceeds the maximum keep the excess as their weight, so that the sample stays
# unbiased; together the excess carries this share of the cross section.
_OVERWEIGHT_SHARE = 1e-3
_BATCH = 20_000


@dataclass(frozen=True)
class Process:
    """What is generated, apart from the parameter point.

    Attributes:
        densities: Parton densities of the proton.
        energy: Centre-of-mass energy in GeV.
        branching_ratio: Factor on every cross section, for the decay that the shower makes.
        cuts: Parton-level cuts.
    """

    densities: PartonDensities
    energy: float
    branching_ratio: float
    cuts: phase_space.Cuts


@dataclass(frozen=True)
class Grid:
    """An adapted sampling of one parameter point.

    Attributes:
        edges: Increment edges of VEGAS along each of the six dimensions.
        cross_section: Cross section in pb.
        error: Its standard deviation in pb.
        max_weight: Weight in pb at which a point is accepted for certain.
    """

    edges: Sequence[Array]
    cross_section: float
    error: float
    max_weight: float


@dataclass(frozen=True)
class PartonEvents:
    """Events before the shower, ordered incoming a, incoming b, outgoing 3, outgoing 4, Higgs.

    Attributes:
        pdg_id: PDG codes ``(n, 5)``.
        momenta: Four-momenta ``(n, 5, 4)`` in GeV, ordered (E, px, py, pz).
        weight: Relative weight ``(n,)``, mean one; larger for the rare overweight events.
        quadratic: |M|^2 as a polynomial in the Wilson coefficients, ``(n, 6)``; see
            :func:`steps.physics.amplitude.quadratic_form`.
    """

    pdg_id: Array
    momenta: Array
    weight: Array
    quadratic: Array


def adapt(
    process: Process,
    point: Mapping[str, float],
    rng: np.random.Generator,
    evaluations: int = 20_000,
    iterations: int = 10,
) -> Grid:
    """Adapt a sampling grid to a parameter point and integrate the cross section.

    Args:
        process: What is generated.
        point: Wilson coefficients in TeV^-2 by name.
        rng: Source of random numbers.
        evaluations: Integrand evaluations per iteration.
        iterations: Iterations of adaptation, and again of integration.

    Returns:
        The adapted grid with the cross section.
    """
    monomials = amplitude.monomials([point])[0]

    def differential(u: Array) -> Array:
        return _differential(process, u).weight(monomials)

    integrand = vegas.lbatchintegrand(differential)
    integrator = vegas.Integrator(
        [[0, 1]] * phase_space.DIMENSIONS,
        ran_array_generator=rng.random,
        neval=evaluations,
        sync_ran=False,
    )
    integrator(integrand, nitn=iterations, alpha=0.3)
    result = integrator(integrand, nitn=iterations, adapt=False)
    edges = [np.asarray(axis) for axis in integrator.map.extract_grid()]

    u, jacobian = _draw(edges, rng, 5 * _BATCH)
    weights = jacobian * _differential(process, u).weight(monomials)
    return Grid(edges, result.mean, result.sdev, _effective_maximum(weights))


def _effective_maximum(weights: Array) -> float:
    """Return the weight above which the excess sums to the tolerated share of the total."""
    descending = np.sort(weights)[::-1]
    excess = np.cumsum(descending) - descending * np.arange(1, descending.size + 1)
    index = np.searchsorted(excess, _OVERWEIGHT_SHARE * descending.sum(), side="right") - 1
    return float(descending[max(index, 0)])


def generate(
    process: Process,
    grid: Grid,
    point: Mapping[str, float],
    n_events: int,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda n: None,
) -> PartonEvents:
    """Draw unweighted events.

    Args:
        process: What is generated; the same that the grid was adapted to.
        grid: Adapted grid.
        point: Wilson coefficients in TeV^-2 by name of the point that the grid was adapted to.
        n_events: Number of events.
        rng: Source of random numbers.
        progress: Called with the number of events so far.

    Returns:
        Exactly ``n_events`` events.
    """
    monomials = amplitude.monomials([point])[0]
    batches: list[PartonEvents] = []
    done = 0
    while done < n_events:
        u, jacobian = _draw(grid.edges, rng, _BATCH)
        sample = _differential(process, u)
        relative = jacobian * sample.weight(monomials) / grid.max_weight
        accepted = np.flatnonzero(rng.random(relative.size) < relative)[: n_events - done]
        overweight = (1 - _OVERWEIGHT_SHARE) * np.maximum(relative[accepted], 1.0)
        batches.append(sample.events(accepted, overweight, monomials, rng))
        done += accepted.size
        progress(done)
    return PartonEvents(
        **{
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in vars(batches[0])
        }
    )


def benchmark_weights(
    events: PartonEvents,
    cross_section: float,
    n_total: int,
    point: Mapping[str, float],
    points: Sequence[Mapping[str, float]],
) -> Array:
    """Return the weights w_i = sigma / N |M(theta_i)|^2 / |M(theta)|^2 of events.

    Args:
        events: Events sampled at ``point``.
        cross_section: Cross section at ``point`` in pb.
        n_total: Number of events of the whole sample.
        point: Wilson coefficients of the sampling in TeV^-2.
        points: Wilson coefficients at which weights are wanted.

    Returns:
        Weights ``(n, n_points)`` in pb, whose sum over the whole sample estimates sigma_i.
    """
    sampled = events.quadratic @ amplitude.monomials([point])[0]
    ratios = events.quadratic @ amplitude.monomials(points).T / sampled[:, None]
    weights: Array = events.weight[:, None] * cross_section / n_total * ratios
    return weights


@dataclass(frozen=True)
class _Sample:
    """Phase-space points with |M|^2 and parton luminosity of quark-quark and quark-antiquark."""

    kinematics: phase_space.Kinematics
    factor: Array  # (n,) measure times branching ratio, pb GeV^2
    same: Array  # (n, 6) quadratic form of q q and qbar qbar
    opposite: Array  # (n, 6) quadratic form of q qbar and qbar q
    same_channels: Mapping[tuple[int, int], Array]
    opposite_channels: Mapping[tuple[int, int], Array]

    def weight(self, monomials: Array) -> Array:
        """Differential cross section in pb per unit hypercube, ``(n,)``."""
        same = sum(self.same_channels.values()) * (self.same @ monomials)
        opposite = sum(self.opposite_channels.values()) * (self.opposite @ monomials)
        weight: Array = self.factor * (same + opposite)
        return weight

    def events(
        self, index: Array, weight: Array, monomials: Array, rng: np.random.Generator
    ) -> PartonEvents:
        """Choose a flavour channel for the points ``index`` and return them as events."""
        channels = [*self.same_channels, *self.opposite_channels]
        density = np.stack(
            [l_ab[index] * (self.same[index] @ monomials) for l_ab in self.same_channels.values()]
            + [
                l_ab[index] * (self.opposite[index] @ monomials)
                for l_ab in self.opposite_channels.values()
            ],
            axis=-1,
        )
        cumulative = np.cumsum(density, axis=-1)
        threshold = rng.random(index.size) * cumulative[:, -1]
        choice = np.minimum((cumulative <= threshold[:, None]).sum(-1), len(channels) - 1)

        lines = W_PLUS_LINES | W_MINUS_LINES
        codes = np.array([[a, b, lines[a], lines[b], 25] for a, b in channels])
        is_same = choice < len(self.same_channels)
        kin = self.kinematics[index]
        angle = 2 * np.pi * rng.random(index.size)
        momenta = np.stack(
            [phase_space.rotate(p, angle) for p in (kin.pa, kin.pb, kin.p3, kin.p4, kin.higgs)], 1
        )
        quadratic = np.where(is_same[:, None], self.same[index], self.opposite[index])
        return PartonEvents(codes[choice], momenta, weight, quadratic)


def _differential(process: Process, u: Array) -> _Sample:
    """Evaluate matrix elements and luminosities at points ``(n, 6)`` of the hypercube.

    Reversing the fermion flow of both lines conjugates both currents and leaves |M|^2 unchanged,
    so two evaluations serve the four combinations of quarks and antiquarks.
    """
    kin = phase_space.kinematics(u, process.energy, amplitude.M_H, process.cuts)
    inside = np.flatnonzero(kin.measure > 0)
    point = kin[inside]
    momenta = (point.pa, point.pb, point.p3, point.p4)
    quark = np.zeros(inside.size, dtype=bool)

    def form(anti_b: Array) -> Array:
        full = np.zeros((len(u), 6))
        amplitudes = amplitude.sub_amplitudes(*momenta, quark, anti_b)
        full[inside] = amplitude.quadratic_form(amplitudes)
        return full

    f1, f2 = process.densities(kin.x1), process.densities(kin.x2)
    pairs = [(a, b) for a in W_PLUS_LINES for b in W_MINUS_LINES]
    pairs += [(b, a) for a, b in pairs]
    luminosity = {(a, b): f1[a] * f2[b] for a, b in pairs}
    return _Sample(
        kin,
        kin.measure * process.branching_ratio,
        form(quark),
        form(~quark),
        {ab: value for ab, value in luminosity.items() if ab[0] * ab[1] > 0},
        {ab: value for ab, value in luminosity.items() if ab[0] * ab[1] < 0},
    )


def _draw(edges: Sequence[Array], rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Draw ``n`` points from a grid; return them ``(n, 6)`` with their Jacobian ``(n,)``."""
    sampling = vegas.AdaptiveMap(edges)
    y = rng.random((n, phase_space.DIMENSIONS))
    u, jacobian = np.empty_like(y), np.empty(n)
    sampling.map(y, u, jacobian)
    return u, jacobian
