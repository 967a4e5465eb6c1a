"""Compare networks with the exact likelihood ratio of partons; write docs/parton_level.md.

Before shower and detector the momenta of both quarks and of the Higgs boson are known, so
p(x|theta) is known too: the matrix element times the parton densities, summed over what is not
observed. After the detector it is not. Other sizes: ``python -m scripts.parton_level --help``.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline

from steps.arrays import Array
from steps.events import expressions
from steps.events.combination import mixture_weights
from steps.inference.likelihood import Densities
from steps.inference.morphing.fit import Options, fit
from steps.inference.morphing.polynomial import Polynomial
from steps.madminer.setup import new_setup
from steps.physics import amplitude, generator
from steps.physics.generator import W_MINUS_LINES, W_PLUS_LINES, PartonEvents, Process
from steps.physics.partons import PartonDensities
from steps.physics.phase_space import Cuts
from steps.settings import parameters, physics
from steps.stage import seeds
from steps.stage.files import atomic

ROOT = Path(__file__).parents[1]
INPUT_FILE = ROOT / "inputs/ph/input.yml"
OBSERVABLES = (
    "pt_j1", "pt_j2", "eta_j1", "eta_j2", "delta_eta_jj", "delta_phi_jj", "m_jj", "pt_h", "y_h",
)  # fmt: skip
REGION = np.array([[-1.5, 1.5], [-1.5, 1.5]])
LUMINOSITY = 10_000.0  # 1/pb
# Monomials of two parameters in squares of amplitudes that are linear in both.
EXPONENTS = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
# Of the joint contour of two parameters.
LEVEL_68 = 2.279
# Areas are counted in points of this many in each direction, as elsewhere.
N_GRID = 25
# Random parameter points at which single events are compared.
N_POINTS = 20
# Quantile bins of each observable for the closure.
N_BINS = 20


@dataclass(frozen=True)
class Theory:
    """Parameter points and what they are to the amplitude.

    Attributes:
        names: Name of each parameter.
        transforms: By name its (LHA block, LHA code) and the expression for the card's value.
        benchmarks: Parameter points of the morphing basis, ``(b, p)``.
    """

    names: Sequence[str]
    transforms: Mapping[str, tuple[tuple[str, int], str | None]]
    benchmarks: Array

    def wilson_coefficients(self, points: Array) -> list[dict[str, float]]:
        """Return the amplitude's coefficients in TeV^-2 at parameter points ``(n, p)``."""
        return [self._wilson_coefficients(point) for point in points]

    def _wilson_coefficients(self, point: Array) -> dict[str, float]:
        found = {}
        for name, theta in zip(self.names, point, strict=True):
            key, transform = self.transforms[name]
            if transform:
                theta = expressions.parse(transform, ["theta"]).evaluate({"theta": theta})[0]
            found[amplitude.WILSON_COEFFICIENTS[key]] = float(theta)
        return found


@dataclass(frozen=True)
class Sample:
    """Parton-level events of the mixture of all benchmarks.

    Attributes:
        x: Observations ``(n, 9)``, see :func:`observables`.
        joint: Weights at the benchmarks, in pb, given also what is not observed, ``(n, b)``.
        exact: The same averaged over it: sigma p(x|theta) / (N p_mix(x)), ``(n, b)``.
    """

    x: Array
    joint: Array
    exact: Array


@dataclass(frozen=True)
class Agreement:
    """Estimated against exact log ratios of single events at random parameter points.

    Attributes:
        correlation: Their correlation, least, mean and greatest of the points.
        slope: Slope of the estimate over the exact ratio, likewise.
        deviation: Root mean square of their difference, likewise.
    """

    correlation: tuple[float, float, float]
    slope: tuple[float, float, float]
    deviation: tuple[float, float, float]


@dataclass(frozen=True)
class Comparison:
    """Networks that know the polynomial against the exact ratio.

    Attributes:
        n_events: Number of events.
        num_epochs: Passes over them.
        n_expected: Events expected at the luminosity.
        effective: Effective number of simulated events at the true point, (sum w)^2 / sum w^2.
        closure: Chi-squared and number of bins of the exact ratio against bin contents.
        to_mixture: Log ratios to the mixture.
        to_truth: Log ratios to the true point, (0, 0).
        areas: Exact and estimated area of the joint 68 % contour, in grid points, by what it is of.
        best_fits: Estimated best fit of the expected data, likewise.
        seconds: Duration of the training.
    """

    n_events: int
    num_epochs: int
    n_expected: float
    effective: float
    closure: tuple[float, int]
    to_mixture: Agreement
    to_truth: Agreement
    areas: Mapping[str, tuple[float, float]]
    best_fits: Mapping[str, Array]
    seconds: float


def compare(n_events: int, num_epochs: int, seed: int) -> Comparison:
    """Generate, train, compare.

    Args:
        n_events: Events of each benchmark.
        num_epochs: Passes of the training over the events.
        seed: Seed of all that is random.
    """
    process, theory = read(seed)
    sample = generate(process, theory, n_events, seed)
    return compare_with(sample, theory, num_epochs, seed)


def read(seed: int) -> tuple[Process, Theory]:
    """Return the process and the theory of ``inputs/ph/input.yml`` with a morphing basis."""
    spec = physics.read(INPUT_FILE, parameters.read({}))
    settings = spec.generator
    process = Process(
        PartonDensities(settings["pdf"], settings["scale"]),
        settings["energy"],
        settings["branching_ratio"],
        Cuts(**settings["cuts"]),
    )
    # MadMiner searches the basis at random.
    seeds.seed_globally(seed, "configure")
    setup = new_setup(spec.parameters, spec.benchmarks, spec.morphing)
    names = [p["parameter_name"] for p in spec.parameters]
    theory = Theory(
        names,
        {
            p["parameter_name"]: ((p["lha_block"], p["lha_id"]), p["param_card_transform"])
            for p in spec.parameters
        },
        np.array([[b.values[name] for name in names] for b in setup.benchmarks.values()]),
    )
    return process, theory


def generate(process: Process, theory: Theory, n_events: int, seed: int) -> Sample:
    """Generate events at every benchmark and weight them as drawn from the mixture of all.

    Args:
        process: What is generated.
        theory: The benchmarks.
        n_events: Events of each benchmark.
        seed: Seed of all that is random.
    """
    points = theory.wilson_coefficients(theory.benchmarks)
    monomials = amplitude.monomials(points)
    observed, joint, summed, norms = [], [], [], []
    for number, point in enumerate(points):
        grid = generator.adapt(process, point, seeds.generator(seed, "adapt", number))
        rng = seeds.generator(seed, "generate", number)
        events = generator.generate(process, grid, point, n_events, rng)
        sigma = grid.cross_section
        joint.append(generator.benchmark_weights(events, sigma, n_events, point, points))
        form = summed_form(process, events) @ monomials.T
        # A weight of their own is that of rare events of which there are too few.
        scale = events.weight * sigma / n_events / form[:, number]
        summed.append(form * scale[:, None])
        observed.append(observables(events.momenta))
        norms.append(sigma / n_events)
    drawn_at = np.repeat(np.arange(len(points)), n_events)
    return Sample(
        np.concatenate(observed),
        *(
            mixture_weights(np.concatenate(weights), drawn_at, np.array(norms))
            for weights in (joint, summed)
        ),
    )


def observables(momenta: Array) -> Array:
    """Return what an observer knows of the momenta, but for rotations that change nothing.

    Rotations about the beam leave differences of azimuths. Rotations that exchange the beams leave
    the difference of azimuths between the forward and the backward quark, and reverse all
    rapidities: quark 1 is then the forward one. Quarks are ordered by transverse momentum.

    Args:
        momenta: Of two incoming partons, two quarks and the Higgs boson, ``(n, 5, 4)``,
            (E, px, py, pz) in GeV.

    Returns:
        Observables ``(n, 9)`` as named by ``OBSERVABLES``, in GeV and radians.
    """
    quarks, higgs = momenta[:, 2:4], momenta[:, 4]
    order = np.argsort(-np.hypot(quarks[..., 1], quarks[..., 2]), axis=1)
    quarks = np.take_along_axis(quarks, order[:, :, None], axis=1)
    px, py, pz = np.moveaxis(quarks[..., 1:], -1, 0)
    pt, phi = np.hypot(px, py), np.arctan2(py, px)
    eta = np.arcsinh(pz / pt)
    sign = np.where(eta[:, 0] > eta[:, 1], 1.0, -1.0)
    total = quarks.sum(axis=1)
    m2 = total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1)
    return np.stack(
        [
            *pt.T,
            *(sign[:, None] * eta).T,
            np.abs(eta[:, 0] - eta[:, 1]),
            (sign * (phi[:, 0] - phi[:, 1]) + np.pi) % (2 * np.pi) - np.pi,
            np.sqrt(np.maximum(m2, 0.0)),
            np.hypot(higgs[:, 1], higgs[:, 2]),
            sign * np.arctanh(higgs[:, 3] / higgs[:, 0]),
        ],
        axis=-1,
    )


def summed_form(process: Process, events: PartonEvents) -> Array:
    """Return f f |M|^2 of events summed over what is not observed, as a quadratic form ``(n, 6)``.

    That are the flavours and which quark is from which proton. Both assignments have the same
    momentum fractions and the same phase space, so that the sum is p(x|theta) up to a factor that
    does not depend on theta. See :func:`steps.physics.amplitude.quadratic_form`.
    """
    pa, pb, p3, p4 = np.moveaxis(events.momenta[:, :4], 1, 0)
    f1, f2 = (process.densities(2 * p[:, 0] / process.energy) for p in (pa, pb))
    pairs = [(a, b) for a in W_PLUS_LINES for b in W_MINUS_LINES]
    pairs += [(b, a) for a, b in pairs]
    quark = np.zeros(len(pa), dtype=bool)
    total = np.zeros((len(pa), len(EXPONENTS)))
    for opposite in (False, True):
        # Quarks with antiquarks have an amplitude of their own.
        chosen = [f1[a] * f2[b] for a, b in pairs if (a * b < 0) == opposite]
        luminosity = np.sum(chosen, axis=0)[:, None]
        for outgoing in ((p3, p4), (p4, p3)):
            amplitudes = amplitude.sub_amplitudes(pa, pb, *outgoing, quark, quark ^ opposite)
            total += luminosity * amplitude.quadratic_form(amplitudes)
    return total


def closure(sample: Sample, exact: Array, joint: Array) -> tuple[float, int]:
    """Compare exact weights with the contents of bins of every observable.

    Args:
        sample: The events.
        exact: Their exact weights at some parameter points, ``(n_points, n)``.
        joint: Their weights given what is not observed too, likewise.

    Returns:
        Sum of the squared pulls of the mean difference in all bins, and their number.
    """
    pulls = []
    for column in sample.x.T:
        edges = np.quantile(column, np.linspace(0, 1, N_BINS + 1)[1:-1])
        index = np.searchsorted(edges, column)
        for difference in exact - joint:
            total = np.bincount(index, difference)
            pulls.append(total / np.sqrt(np.bincount(index, difference**2)))
    found = np.concatenate(pulls)
    return float((found**2).sum()), found.size


def compare_with(sample: Sample, theory: Theory, num_epochs: int, seed: int) -> Comparison:
    """Train networks on events and compare them with the exact ratio; see :func:`compare`."""
    polynomial = Polynomial.of(EXPONENTS, REGION)
    joint, exact = (
        polynomial.coefficients(weights, theory.benchmarks)
        for weights in (sample.joint, sample.exact)
    )
    options = Options(
        alpha=0.1,
        n_folds=4,
        n_bags=0,
        num_epochs=num_epochs,
        batch_size=256,
        n_points=16,
        hidden_layers=(64, 64, 64, 64),
        learning_rate=3e-3,
        seed=seeds.integer(seed, "train"),
    )
    start = time.perf_counter()
    ensemble, _ = fit(sample.x, joint, polynomial, options)
    seconds = time.perf_counter() - start
    estimate = np.asarray(ensemble.events(sample.x).densities[0], dtype=float)

    low, high = REGION.T
    points = low + (high - low) * seeds.generator(seed, "compare").random((N_POINTS, len(REGION)))
    truth = np.zeros(len(REGION))
    at = polynomial.weights(np.vstack([points, truth]))
    ratios = [_log_ratios(densities, at) for densities in (exact, estimate)]
    counts = LUMINOSITY * exact @ at[-1]
    rate = LUMINOSITY * exact.sum(axis=0)
    areas, best_fits = {}, {}
    for name, expected in {"kinematics": None, "with rate": rate}.items():
        # The same expected events for both.
        of = [
            Densities(polynomial, REGION, counts, densities, densities.mean(axis=0), expected)
            for densities in (exact, estimate)
        ]
        (exact_area, _), (area, best_fits[name]) = (contour(likelihood) for likelihood in of)
        areas[name] = exact_area, area
    return Comparison(
        n_events=len(sample.x),
        num_epochs=num_epochs,
        n_expected=float(counts.sum()),
        effective=float(counts.sum() ** 2 / (counts**2).sum()),
        closure=closure(sample, at @ exact.T, at @ joint.T),
        to_mixture=agreement(*(ratio[:-1] for ratio in ratios)),
        to_truth=agreement(*(ratio[:-1] - ratio[-1] for ratio in ratios)),
        areas=areas,
        best_fits=best_fits,
        seconds=seconds,
    )


def _log_ratios(densities: Array, monomials: Array) -> Array:
    """Return log p(x|theta) / p_mix(x), ``(n_points, n)``, of densities ``(n, c)``."""
    values = densities @ monomials.T
    ratios: Array = np.log(np.maximum(values / values.mean(axis=0), 1e-12)).T
    return ratios


def agreement(exact: Array, estimate: Array) -> Agreement:
    """Compare log ratios ``(n_points, n)``, point by point."""
    rows = []
    for truth, found in zip(exact, estimate, strict=True):
        covariance = np.cov(truth, found)
        slope = covariance[0, 1] / covariance[0, 0]
        correlation = slope * np.sqrt(covariance[0, 0] / covariance[1, 1])
        rows.append((correlation, slope, np.sqrt(np.mean((found - truth) ** 2))))
    table = np.array(rows)
    columns = np.stack([table.min(axis=0), table.mean(axis=0), table.max(axis=0)])
    return Agreement(*(tuple(column) for column in columns.T.tolist()))


def contour(likelihood: Densities, coarse: int = 49, fine: int = 481) -> tuple[float, Array]:
    """Return the area of the joint 68 % contour, in grid points, and the best fit.

    Args:
        likelihood: Log likelihood of two parameters.
        coarse: Points in each direction at which it is evaluated.
        fine: Points in each direction to which it is interpolated.
    """
    (x, fine_x), (y, fine_y) = (
        (np.linspace(low, high, coarse), np.linspace(low, high, fine))
        for low, high in likelihood.region
    )
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    values = RectBivariateSpline(x, y, likelihood(grid).reshape(coarse, coarse))(fine_x, fine_y)
    inside = 2 * (values.max() - values) < LEVEL_68
    i, j = np.unravel_index(values.argmax(), values.shape)
    area = inside.sum() * ((N_GRID - 1) / (fine - 1)) ** 2
    return float(area), np.array([fine_x[i], fine_y[j]])


def table(found: Comparison) -> list[str]:
    """Return a comparison as the rows of a Markdown table."""
    rows = ["| | exact | networks |", "| --- | --- | --- |"]
    for name, (exact, area) in found.areas.items():
        best = ", ".join(f"{value:+.3f}" for value in found.best_fits[name])
        rows += [
            f"| area of the joint 68 % contour, {name} (grid points) | {exact:.1f} | {area:.1f} |",
            f"| best fit, {name} | | {best} |",
        ]
    for name, of in {"the mixture": found.to_mixture, "(0, 0)": found.to_truth}.items():
        for what, (low, mean, high) in vars(of).items():
            one = 0 if what == "deviation" else 1
            rows.append(
                f"| {what} of log ratios to {name} | {one} | {mean:.3f} ({low:.3f} to {high:.3f}) |"
            )
    return rows


def report(found: Comparison) -> str:
    """Return the report as Markdown."""
    chi2, n_bins = found.closure
    names = ", ".join(f"`{name}`" for name in OBSERVABLES)
    text = f"""# The exact ratio at parton level

Before shower and detector the momenta of both quarks and of the Higgs boson are known, and with
them p(x|θ): the matrix element and the parton densities, summed over flavours and over which quark
comes from which proton (quarks are told apart by p_T alone). Operators, generator and its cuts are
those of `inputs/ph/input.yml`. Networks of `estimator: morphing` with the loss of ALICES see nine
observables, which hold all of the momenta that matters ({names}),
and the generator's weights, which know flavours and protons. Each event is judged by a network that
has not seen it. Written by `python -m scripts.parton_level`, part of `make validate`.

{found.n_events} events of the mixture of all benchmarks ({found.effective:.0f} effective at the
Standard Model), {found.n_expected:.0f} expected at {LUMINOSITY / 1000:g}/fb, {found.num_epochs} \
epochs, four folds, {found.seconds:.0f} s on one core.

**Closure of the exact ratio**: its mean over the mixture's events in {N_BINS} bins of each
observable against the ratio of bin contents, at {N_POINTS + 1} parameter points: χ² / bins =
{chi2:.0f} / {n_bins}. Bins of different observables and points are correlated, so that χ² is within
some ten per cent of their number.

**Networks against the exact ratio**: events of the mixture at {N_POINTS} random points of the
region, ± {REGION[0, 1]:g}; mean, and least and greatest of the points in brackets. The expected
events and the rate are the same for both contours.

"""
    return text + "\n".join(table(found)) + "\n"


def main() -> None:
    """Compare, print a table, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000, help="events per benchmark")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the events")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    found = compare(args.events, args.epochs, args.seed)
    print("\n".join(table(found)))
    with atomic(ROOT / "docs/parton_level.md") as path:
        path.write_text(report(found))


if __name__ == "__main__":
    main()
