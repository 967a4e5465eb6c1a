"""Test what the limits promise; write docs/limits.md.

``python -m scripts.validate_limits FILE ... --other NAME=FILE``: data files of the default process
made with other seeds, and those of other processes for more random analyses. Limits are with the
number of events, by ALICES with the default settings.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.stats import chi2

from steps.arrays import Array
from steps.events import madminer_file
from steps.inference import (
    cross_fitted,
    evaluation,
    evidence,
    histograms,
    intervals,
    judging,
    pseudo_experiments,
    reliability,
    samples,
)
from steps.inference.follow import effective_events, focus, reach
from steps.inference.frames import Frame
from steps.inference.histograms import Histogram
from steps.inference.likelihood import Densities
from steps.inference.methods import METHODS
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.fit import Options
from steps.inference.morphing.polynomial import Polynomial, monomials
from steps.inference.simulation import Simulation
from steps.inference.statistics import CONFIDENCE_LEVELS
from steps.inference.surfaces import Surface
from steps.inference.targets import Target
from steps.settings import learning, parameters
from steps.stage import command, seeds
from steps.stage.files import atomic

_ROOT = Path(__file__).parents[1]
_RESOLUTIONS = {1: (101,), 2: (25, 25), 3: (13, 13, 13)}
_LUMINOSITY = 10_000.0
# Half of the width of the widest region of random analyses.
_WIDE = 3.0
# Of the default process.
_REGION = 1.5
_LEVELS = {name: float(chi2.isf(p, df=2)) for name, p in CONFIDENCE_LEVELS.items()}
# Events of the scatter's samples.
_EVENTS = 3000
# Effective events of the full sample for each that is expected, at least.
_MOST_EXPECTED = 25
# Random analyses of the same expected data, which share the result from all events.
_EACH = 3
# A difference of so many statistical errors is agreement.
_AGREES = 0.5
_N_TOYS = 10_000
# Of thresholds: pseudo-experiments at each of so many points along a parameter, up to this q.
_N_THRESHOLD, _STEPS, _REACH = 5000, 9, 12.0
_TOY_RESOLUTIONS = (31, 31)
# Events that pseudo-experiments are made of, at most.
_MOST_EVENTS = 40_000
_COVERED = ((0.0, 0.0), (0.375, 0.375), (-0.5, 0.25), (0.6, 0.0), (0.0, -0.7))


@dataclass(frozen=True)
class Sample:
    """Events of one process.

    Attributes:
        events: See :func:`steps.inference.samples.mixture`.
        names: Names of what there is.
    """

    events: Mapping[str, Array]
    names: judging.Names

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self.events["x"])

    def some(self, rows: Array, observables: Sequence[int] | None = None) -> "Sample":
        """Return some events, which count for all of them, and some observables of these."""
        columns = list(range(self.events["x"].shape[1]) if observables is None else observables)
        scale = self.size / len(rows)
        events = {
            **self.events,
            "index": np.arange(len(rows)),
            "x": self.events["x"][np.ix_(rows, np.array(columns))],
            "weights": self.events["weights"][rows] * scale,
        }
        shown = [self.names.observables[k] for k in columns]
        return Sample(events, replace(self.names, observables=shown))


def read(paths: Sequence[Path]) -> list[Sample]:
    """Read data files of one process."""
    found = []
    for path in paths:
        setup = madminer_file.read_setup(path)
        names = judging.Names(list(setup.parameters), setup.observables, list(setup.benchmarks))
        found.append(Sample(samples.mixture(str(path)), names))
    return found


def joined(parts: Sequence[Sample]) -> Sample:
    """Return the events of several samples of one process as one sample.

    Each sample alone gives the cross sections: together, their mean by size. Weights are moved to
    the benchmarks of the first, as other seeds have others.
    """
    first, size = parts[0].events, sum(part.size for part in parts)
    exponents = first["exponents"]
    basis = monomials(first["benchmarks"], exponents)
    weights = []
    for part in parts:
        own = monomials(part.events["benchmarks"], exponents)
        moved = part.events["weights"] @ np.linalg.pinv(own).T @ basis.T
        # Squares that all but vanish may be negative by rounding.
        weights.append(np.maximum(moved, 0) * (part.size / size))
    events = {
        **first,
        "index": np.arange(size),
        "x": np.concatenate([part.events["x"] for part in parts]),
        "weights": np.concatenate(weights),
    }
    return Sample(events, parts[0].names)


@dataclass(frozen=True)
class Result:
    """What an analysis says.

    Attributes:
        model: Its networks.
        judged: The events as these know them.
        frame: Where limits are set.
        likelihoods: Nominal log likelihood and those of the bags.
    """

    model: Ensemble
    judged: cross_fitted.Sample
    frame: Frame
    likelihoods: Sequence[Densities]


def options(sample: Sample, seed: int, n_bags: int | None = None) -> Options:
    """Return the default settings of a training, the seed and perhaps the number of bags apart."""
    spec = learning.read(_ROOT / "inputs/ml/input.yml", parameters.read({}))
    section = dict(spec.morphing) | ({} if n_bags is None else {"n_bags": n_bags})
    split = spec.sampling["test_split"]
    return cross_fitted.options(METHODS["alices"], section, sample.names.observables, split, seed)


def histogram(sample: Sample, region: Array, seed: int, columns: Sequence[int]) -> Histogram:
    """Return the cross-fitted histogram of one or two observables."""
    rng = seeds.generator(seed, "reference")
    simulation = Simulation.of(sample.events, region, 0, rng)
    return Histogram.of(simulation, columns, rng.permutation(sample.size) % 4)


def frame_of(sample: Sample, target: Target, seed: int) -> Frame:
    """Return where the likelihood of a histogram lives, as stage reference does.

    The histogram is that of all observables if they are two, else of the first.
    """
    n_observables = sample.events["x"].shape[1]
    columns = range(n_observables if n_observables <= histograms.MOST else 1)
    filled = histogram(sample, target.region, seed, columns)
    likelihoods = [
        histograms.likelihoods(
            filled, target.region, target.theta_true, target.luminosity, with_rate=with_rate
        )[0]
        for with_rate in target.rates
    ]
    far = reach(_weights(sample, target), target.luminosity)
    region = focus(likelihoods, target.region, target.theta_true, far)
    return Frame(replace(target, region=region), _RESOLUTIONS[len(region)])


def _weights(sample: Sample, target: Target) -> Array:
    """Return the events' weights at the true point in pb."""
    polynomial = Polynomial.of(sample.events["exponents"], target.region)
    coefficients = polynomial.coefficients(sample.events["weights"], sample.events["benchmarks"])
    weights: Array = coefficients @ polynomial.weights(target.theta_true[None])[0]
    return weights


def analyse(
    sample: Sample, target: Target, settings: Options, frame: Frame | None = None
) -> Result:
    """Set limits.

    Args:
        sample: The events.
        target: What limits are wanted of; its region is where they are searched.
        settings: Those of the training.
        frame: Where limits are set; by default where a histogram's likelihood lives.
    """
    frame = frame or frame_of(sample, target, settings.seed)
    torch.manual_seed(settings.seed)
    model, _ = cross_fitted.train(sample.events, target, settings)
    judged = cross_fitted.Sample.of(model, sample.events)
    likelihoods = cross_fitted.likelihoods(
        judged, frame.target.region, target.theta_true, target.luminosity, with_rate=True
    )
    return Result(model, judged, frame, likelihoods)


def findings(sample: Sample, result: Result) -> tuple[list[reliability.Finding], reliability.Facts]:
    """Return why a result is not reliable, and what it is judged by."""
    x, benchmarks = sample.events["x"], sample.events["benchmarks"]
    evaluated = evaluation.Evaluated(result.judged, x, benchmarks, result.frame, sample.names)
    facts, _ = evaluated.judged(result.likelihoods)
    return reliability.findings(facts), facts


# ------------------------------------------------------------------ random analyses


@dataclass(frozen=True)
class Drawn:
    """A random analysis.

    Attributes:
        process: Name of the sample.
        observables: Numbers of those that are used.
        truth: True point.
        n_expected: Number of events that fix the luminosity.
        n_events: Simulated events.
        half_width: Half of the region's width.
        seed: Of events and training.
    """

    process: str
    observables: Sequence[int]
    truth: Sequence[float]
    n_expected: float
    n_events: int
    half_width: float
    seed: int


def draw(name: str, sample: Sample, rng: np.random.Generator, wide: float) -> list[Drawn]:
    """Draw analyses of the same expected data.

    Args:
        name: Name of the process.
        sample: All events.
        rng: Source of what is random.
        wide: Half of the width of the widest region, of which the truth is in the inner tenth.
    """
    size, n_observables = sample.events["x"].shape
    number = int(rng.integers(1, n_observables + 1))
    chosen = np.sort(rng.choice(n_observables, number, replace=False)).tolist()
    truth = np.round(rng.uniform(-0.2, 0.2, len(sample.names.parameters)) * wide, 3).tolist()
    target = Target(_box(len(truth), wide), np.array(truth), 1.0, (True,))
    most = effective_events(_weights(sample, target)) / _MOST_EXPECTED
    n_expected = round(float(np.exp(rng.uniform(np.log(20), np.log(most)))), 1)
    found = []
    for _ in range(_EACH):
        n_events = int(np.exp(rng.uniform(np.log(1000), np.log(min(size / 2, 40_000)))))
        half_width = round(float(wide * np.exp(rng.uniform(np.log(0.4), 0))), 2)
        seed = int(rng.integers(2**31))
        found.append(Drawn(name, chosen, truth, n_expected, n_events, half_width, seed))
    return found


def _box(n_parameters: int, half_width: float) -> Array:
    return np.tile([-half_width, half_width], (n_parameters, 1))


@dataclass(frozen=True)
class End:
    """One end of an interval, beside that from all events.

    Attributes:
        shift: Difference in units of half the width of the interval from all events.
        pull: Difference in units of its error, of which the part is left that all events lack.
    """

    shift: float
    pull: float


def ends(
    found: Sequence[intervals.Estimate], full: Sequence[intervals.Estimate], share: float
) -> list[End]:
    """Compare the outermost ends of 68 % intervals with those from all events.

    Args:
        found: Estimates of each parameter, of a part of the events.
        full: Those from all events.
        share: Which part of the events that is; the events are in common, so that the variance of
            the difference is 1 - share of that of the end.

    Returns:
        Comparisons of all ends that are at no edge in either.
    """
    compared = []
    for one, all_ in zip(found, full, strict=True):
        pieces, true = one.pieces["68"], all_.pieces["68"]
        statistical = 0.5 * (true[-1].high - true[0].low)
        low = (pieces[0].low - true[0].low, pieces[0].low_error)
        high = (pieces[-1].high - true[-1].high, pieces[-1].high_error)
        if not (pieces[0].low_is_edge or true[0].low_is_edge):
            compared.append(_end(*low, statistical, share))
        if not (pieces[-1].high_is_edge or true[-1].high_is_edge):
            compared.append(_end(*high, statistical, share))
    return compared


def _end(difference: float, error: float, statistical: float, share: float) -> End:
    return End(float(difference / statistical), float(difference / (error * np.sqrt(1 - share))))


@dataclass(frozen=True)
class Compared:
    """A random analysis and what came of it.

    Attributes:
        drawn: The analysis.
        reasons: Why it is marked; none if it is not.
        ends: Ends of its intervals beside those from all events.
        same_pieces: Whether the intervals consist of as many pieces.
        cut: Whether an interval ends at the edge of the region.
        facts: Numbers that marks depend on.
        seconds: How long it took.
    """

    drawn: Drawn
    reasons: Sequence[str]
    ends: Sequence[End]
    same_pieces: bool
    cut: bool
    facts: Mapping[str, float]
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether all ends are within half a statistical error of those from all events."""
        return all(abs(end.shift) <= _AGREES for end in self.ends)


def random(
    processes: Mapping[str, tuple[Sample, float]], n: int, seed: int, report: Callable[[int], None]
) -> Iterator[Compared]:
    """Make random analyses and compare them with those of all events.

    Args:
        processes: By name the sample and half of the width of the widest region.
        n: How many analyses there are.
        seed: Seed of all that is random.
        report: Called with the number of analyses that are done.
    """
    names, done = list(processes), 0
    for group in range(-(-n // _EACH)):
        name = names[group % len(names)]
        sample, wide = processes[name]
        drawn = draw(name, sample, seeds.generator(seed, "random", group), wide)
        full = _Full.of(sample, drawn[0], wide)
        for one in drawn[: n - done]:
            yield _compared(sample, one, full)
            done += 1
            report(done)


def _target(sample: Sample, drawn: Drawn, half_width: float) -> Target:
    target = Target(_box(len(drawn.truth), half_width), np.array(drawn.truth), 1.0, (True,))
    cross_section = float(_weights(sample, target).sum())
    return replace(target, luminosity=drawn.n_expected / cross_section)


@dataclass(frozen=True)
class _Full:
    """What all events say; without bags, as their error is smaller."""

    likelihood: Densities
    truth: Sequence[float]

    @classmethod
    def of(cls, sample: Sample, drawn: Drawn, wide: float) -> "_Full":
        every = sample.some(np.arange(sample.size), drawn.observables)
        result = analyse(every, _target(sample, drawn, wide), options(every, 1, n_bags=0))
        return cls(result.likelihoods[0], drawn.truth)

    @cached_property
    def estimates(self) -> Sequence[intervals.Estimate]:
        """Those of the widest region."""
        return intervals.intervals([self.likelihood], self.truth).profiled

    def within(self, region: Array) -> Sequence[intervals.Estimate]:
        """Return those of a smaller region: where it ends, profiles change."""
        cut = replace(self.likelihood, region=region)
        return intervals.intervals([cut], self.truth).profiled


def _compared(sample: Sample, drawn: Drawn, full: _Full) -> Compared:
    start = time.monotonic()
    rng = np.random.default_rng(drawn.seed)
    rows = rng.choice(sample.size, drawn.n_events, replace=False)
    part = sample.some(rows, drawn.observables)
    target = _target(sample, drawn, drawn.half_width)
    result = analyse(part, target, options(part, drawn.seed))
    reasons, facts = findings(part, result)
    bags_alone = intervals.intervals(result.likelihoods, drawn.truth)
    found = intervals.widened(bags_alone, cross_fitted.TRAINING_ERROR).profiled
    cut = any(
        piece.low_is_edge or piece.high_is_edge
        for estimate in found
        for piece in estimate.pieces["68"]
    )
    true = full.within(result.frame.target.region) if cut else full.estimates
    compared = ends(found, true, drawn.n_events / sample.size)
    pairs = zip(found, true, strict=True)
    same = all(len(a.pieces["68"]) == len(b.pieces["68"]) for a, b in pairs)
    lines = [finding.reason for finding in reasons]
    seconds = time.monotonic() - start
    return Compared(drawn, lines, compared, same, cut, _numbers(facts), seconds)


def _numbers(facts: reliability.Facts) -> dict[str, float]:
    fit, simulation = facts.best_fit, facts.simulation
    numbers = {
        "uncertainty": reliability.uncertainty(facts),
        "expected_per_effective": simulation.n_expected / simulation.effective,
        "least_effective": float(simulation.effective_at_points.min()),
    }
    if fit is not None:
        numbers |= {
            "q_truth": fit.q_truth,
            "p_bags": fit.p_value,
            "q_bags": float(np.mean(fit.q_bags)),
        }
    for kind in evidence.KINDS:
        checks = [check for check in facts.checks if check.kind == kind]
        worst = max(checks, key=lambda check: (-check.p_global, abs(check.change)))
        numbers |= {f"p {kind}": worst.p_global, f"change {kind}": worst.change}
    return numbers


def random_section(rows: Sequence[Compared]) -> str:
    """Return what random analyses say."""
    known = [row for row in rows if row.ends]
    marked = [row for row in known if row.reasons]
    trusted = [row for row in known if not row.reasons]
    agreeing = [row for row in known if row.agrees]
    needless = [row for row in agreeing if row.reasons]
    pulls = np.array([end.pull for row in trusted for end in row.ends])
    shifts = np.array([abs(end.shift) for row in trusted for end in row.ends])
    lines = [
        f"{len(rows)} analyses with random observables, events, luminosity, true point, region",
        "and seed, each compared with the result from all events of its process, whose effective",
        f"events are at least {_MOST_EXPECTED} times the expected ones. A shift is the difference",
        "of an end of a 68 % interval in units of half the interval; a pull is that in units of",
        "its error.",
        f"{len(rows) - len(known)} have no end inside their region.",
        "",
        "| | found | wanted |",
        "| --- | --- | --- |",
        f"| pulls of those not marked, {len(pulls)} ends: width | {_width(pulls):.2f} | ≤ 1.25 |",
        f"| the largest | {np.abs(pulls).max(initial=0):.1f} | ≤ 5 |",
        f"| their largest shift | {shifts.max(initial=0):.2f} | |",
        f"| marked | {len(marked)} of {len(known)} | |",
        f"| marked of those that agree within half a statistical error | {len(needless)} of "
        f"{len(agreeing)} | ≤ 20 % |",
        f"| marked of those that do not | {len(marked) - len(needless)} of "
        f"{len(known) - len(agreeing)} | |",
        "",
        "| process | observables | expected | events | largest shift | largest pull | marked |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shift = max((abs(end.shift) for end in row.ends), default=np.nan)
        pull = max((abs(end.pull) for end in row.ends), default=np.nan)
        drawn = row.drawn
        lines.append(
            f"| {drawn.process} | {len(drawn.observables)} | {drawn.n_expected:.0f} "
            f"| {drawn.n_events} | {shift:.2f} | {pull:.1f} | {'; '.join(row.reasons)} |"
        )
    return "\n".join(lines)


def _width(pulls: Array) -> float:
    """Return the root mean square, whose mean the pulls are not asked to have."""
    return float(np.sqrt(np.mean(pulls**2))) if len(pulls) else float("nan")


# ------------------------------------------------------------------ networks of other seeds


@dataclass(frozen=True)
class Seeds:
    """Two networks of the same events beside the reference.

    Attributes:
        difference: Root mean square of the difference of q at the joint 68 % contour.
        areas: By confidence level the areas of the reference and of both networks.
    """

    difference: float
    areas: Mapping[str, Sequence[float]]


def compare_seeds(sample: Sample, seed: int) -> Seeds:
    """Train two networks on the same events and compare them with the reference."""
    target = _default_target()
    frame = frame_of(sample, target, seed)
    reference = histogram(sample, target.region, seed, range(2))
    likelihoods = histograms.likelihoods(
        reference, frame.target.region, target.theta_true, target.luminosity, with_rate=True
    )[:1]
    for number in range(2):
        settings = options(sample, seeds.integer(seed, "networks", number), n_bags=0)
        likelihoods += analyse(sample, target, settings, frame).likelihoods
    surfaces = [_surface(frame, likelihood) for likelihood in likelihoods]
    areas = {name: [one.size(level)[0] for one in surfaces] for name, level in _LEVELS.items()}
    at = np.abs(surfaces[0].q - _LEVELS["68"]) < _AGREES
    difference = surfaces[1].q[at] - surfaces[2].q[at]
    return Seeds(float(np.sqrt(np.mean(difference**2))), areas)


def _default_target() -> Target:
    return Target(_box(2, _REGION), np.zeros(2), _LUMINOSITY, (True, False))


def _surface(frame: Frame, likelihood: Densities) -> Surface:
    values = likelihood(frame.points)
    unknown = np.full(len(values), np.nan)
    return Surface.of(frame.target.region, frame.resolutions, values, unknown)


def seeds_section(rows: Sequence[Seeds]) -> str:
    """Return how networks of other seeds agree."""
    lines = [
        "Two networks on the same events, for each of the files of the default process: root mean",
        "square difference of q at the joint 68 % contour (wanted: below 0.1), and areas inside",
        "the contours relative to the reference, a cross-fitted histogram of both observables",
        "(wanted: within 5 %).",
        "",
        "| file | difference of q | area at 68 % | area at 95 % |",
        "| --- | --- | --- | --- |",
    ]
    for number, row in enumerate(rows, start=1):
        cells = []
        for reference, *areas in row.areas.values():
            cells.append(" and ".join(f"{100 * (area / reference - 1):+.1f} %" for area in areas))
        lines.append(f"| {number} | {row.difference:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


# ------------------------------------------------------------------ scatter


@dataclass(frozen=True)
class Scatter:
    """What independent samples say of the same quantities.

    Attributes:
        names: What the quantities are.
        values: Of each sample, ``(n_samples, n)``.
        errors: What bags say of their errors, likewise.
    """

    names: Sequence[str]
    values: Array
    errors: Array

    @property
    def actual(self) -> Array:
        """Standard deviation over the samples, ``(n,)``."""
        spread: Array = self.values.std(axis=0, ddof=1)
        return spread

    @property
    def predicted(self) -> Array:
        """Root mean square of the bags' errors, ``(n,)``."""
        mean: Array = np.sqrt(np.mean(self.errors**2, axis=0))
        return mean


def scatter(sample: Sample, n: int, seed: int, report: Callable[[int], None]) -> Scatter:
    """Analyse samples that have no event in common, where all events say that limits lie."""
    target, order = _default_target(), seeds.generator(seed, "scatter").permutation(sample.size)
    frame = frame_of(sample, target, seed)
    all_events = histogram(sample, target.region, seed, range(2))
    likelihood = histograms.likelihoods(
        all_events, frame.target.region, target.theta_true, target.luminosity, with_rate=True
    )[0]
    points = judging.contour_points(_surface(frame, likelihood), _LEVELS["68"])
    values, errors = [], []
    for number in range(min(n, sample.size // _EVENTS)):
        part = sample.some(order[number * _EVENTS : (number + 1) * _EVENTS])
        settings = options(part, seeds.integer(seed, "scatter", number))
        result = analyse(part, target, settings, frame)
        pairs = _quantities(result, points)
        values.append([value for value, _ in pairs])
        errors.append([error for _, error in pairs])
        report(number + 1)
    names = [f"{end} end of {name}" for name in sample.names.parameters for end in ("low", "high")]
    names += [f"q at {point[0]:.2f}, {point[1]:.2f}" for point in points]
    return Scatter(names, np.array(values), np.array(errors))


def _quantities(result: Result, points: Array) -> list[tuple[float, float]]:
    """Return outermost ends of intervals and q at points, with their errors."""
    # What the training leaves undone is common to all samples, and does not scatter.
    found = intervals.intervals(result.likelihoods, result.frame.target.theta_true.tolist())
    pairs = []
    for estimate in found.profiled:
        low, high = estimate.pieces["68"][0], estimate.pieces["68"][-1]
        pairs += [(low.low, low.low_error), (high.high, high.high_error)]
    return pairs + [intervals.q_at(result.likelihoods, point.tolist()) for point in points]


def scatter_section(found: Scatter) -> str:
    """Return predicted and actual scatter."""
    ratios = found.predicted / found.actual
    n = len(found.values)
    lines = [
        f"{n} samples of {_EVENTS} events of the default process that have no event in common. A",
        f"standard deviation of so many is known to {100 / np.sqrt(2 * (n - 1)):.0f} %. Predicted",
        f"over actual scatter is {np.exp(np.mean(np.log(ratios))):.2f} on average (wanted: 0.8 to",
        "1.2).",
        "",
        "| quantity | mean | actual scatter | predicted | predicted / actual |",
        "| --- | --- | --- | --- | --- |",
    ]
    means = found.values.mean(axis=0)
    for name, *row in zip(found.names, means, found.actual, found.predicted, ratios, strict=True):
        lines.append(f"| {name} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.3f} | {row[3]:.2f} |")
    return "\n".join(lines)


# ------------------------------------------------------------------ coverage


@dataclass(frozen=True)
class Coverage:
    """How often contours hold the true point.

    Attributes:
        chi2: Of the networks with chi-squared thresholds, by confidence level, of each point.
        neyman: Of the networks with thresholds from pseudo-experiments.
        exact: Of the exact likelihood of a histogram with chi-squared thresholds.
    """

    chi2: Mapping[str, Array]
    neyman: Mapping[str, Array]
    exact: Mapping[str, Array]


def coverage(
    trained: Sample, others: Sequence[Sample], n_toys: int, seed: int, report: Callable[[int], None]
) -> Coverage:
    """Make pseudo-experiments of events that no network or threshold has seen.

    Args:
        trained: Events that networks and thresholds are made from.
        others: Other events of the process.
        n_toys: Pseudo-experiments at each point.
        seed: Seed of all that is random.
        report: Called with the number of points that are done.
    """
    target, rng = _default_target(), seeds.generator(seed, "coverage")
    frame = Frame(target, _TOY_RESOLUTIONS)
    result = analyse(trained, target, options(trained, seed, n_bags=0), frame)
    thresholds = _thresholds(result, rng)
    unseen = _unseen(result, joined(others), rng)
    exact = _exact([trained, *others], frame)
    rows = []
    for number, point in enumerate(np.array(_COVERED), start=1):
        q, q_exact = (
            pseudo_experiments.experiments(model.table, model.at(point), n_toys, rng)
            for model in (unseen, exact)
        )
        cuts = list(_LEVELS.values())
        own = thresholds.at(point[None])[:, 0].tolist()
        rows.append([_shares(q, cuts), _shares(q, own), _shares(q_exact, cuts)])
        report(number)
    tables = np.moveaxis(np.array(rows), 0, -1)
    return Coverage(*(dict(zip(_LEVELS, table, strict=True)) for table in tables))


def _shares(q: Array, cuts: Sequence[float]) -> list[float]:
    return [float(np.mean(q <= cut)) for cut in cuts]


def _thresholds(result: Result, rng: np.random.Generator) -> pseudo_experiments.Neyman:
    """Return thresholds from pseudo-experiments of the events that networks were trained on."""
    target, points = result.frame.target, result.frame.points
    values = result.likelihoods[0](points)
    near = points[2 * (values.max() - values) < _REACH]
    steps = [
        np.linspace(*ends, _STEPS) for ends in zip(near.min(axis=0), near.max(axis=0), strict=True)
    ]
    places = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, len(steps))
    model = _model(result.judged, result.likelihoods[0], target.luminosity, result.frame)
    levels = list(CONFIDENCE_LEVELS.values())
    return pseudo_experiments.neyman(model, places, levels, _N_THRESHOLD, rng)


def _model(
    judged: cross_fitted.Sample, likelihood: Densities, luminosity: float, frame: Frame
) -> pseudo_experiments.Model:
    def expected(point: Array) -> Array:
        weights: Array = luminosity * judged.weights(point[None])[0]
        return weights

    axes = [np.unique(column) for column in frame.points.T]
    return pseudo_experiments.Model(likelihood, axes, expected)


def _unseen(result: Result, sample: Sample, rng: np.random.Generator) -> pseudo_experiments.Model:
    """Return a model of events that the networks have not seen, each judged by those of a fold."""
    size = sample.size
    model = replace(
        result.model,
        index=np.arange(size),
        fold=np.arange(size) % result.model.n_folds,
        multiplicity=np.ones((1, size), dtype=np.int16),
    )
    judged = cross_fitted.Sample.of(model, sample.events)
    likelihood = replace(
        result.likelihoods[0], counts=np.zeros(size), densities=judged.events.densities[0]
    )
    whole = _model(judged, likelihood, result.frame.target.luminosity, result.frame)
    return whole.thinned(_MOST_EVENTS, rng)


def _exact(parts: Sequence[Sample], frame: Frame) -> pseudo_experiments.Model:
    """Return the exact likelihood of a histogram that all events fill."""
    target, sample = frame.target, joined(parts)
    filled = histogram(sample, target.region, 1, range(2))
    contents = filled.contents[0].sum(axis=0)
    contents = target.luminosity * contents[filled.events[0].sum(axis=0) > 0]
    total = contents.sum(axis=0)
    unit = total @ filled.polynomial.weights(target.theta_true[None])[0]
    likelihood = Densities(
        polynomial=filled.polynomial,
        region=target.region,
        counts=np.zeros(len(contents)),
        densities=contents * (len(contents) / unit),
        norm=total / unit,
        rate=total,
    )

    def expected(point: Array) -> Array:
        counts: Array = contents @ filled.polynomial.weights(point[None])[0]
        return counts

    return pseudo_experiments.Model(
        likelihood, [np.unique(column) for column in frame.points.T], expected
    )


def coverage_section(found: Coverage, n_toys: int) -> str:
    """Return how often contours hold the true point."""
    kinds = ("thresholds from pseudo-experiments", "χ²", "χ², exact histogram")
    lines = [
        f"{n_toys} pseudo-experiments at each point, of events that no network or threshold has",
        f"seen: shares in per cent whose contours hold it, ± {50 / np.sqrt(n_toys):.1f} at most.",
        "Thresholds from pseudo-experiments are wanted to cover 68 ± 2 and 95 ± 1 %, those of χ²",
        "to cover what the exact likelihood of a histogram covers within 2 %.",
        "",
        "| point | "
        + " | ".join(f"{kind}: {level} %" for kind in kinds for level in _LEVELS)
        + " |",
        "| --- |" + " --- |" * (len(kinds) * len(_LEVELS)),
    ]
    for number, point in enumerate(_COVERED):
        tables = (found.neyman, found.chi2, found.exact)
        shares = [100 * table[level][number] for table in tables for level in _LEVELS]
        cells = " | ".join(f"{share:.1f}" for share in shares)
        lines.append(f"| {point[0]:g}, {point[1]:g} | {cells} |")
    return "\n".join(lines)


# ------------------------------------------------------------------ the report

_TITLES = {
    "seeds": "Networks of other seeds",
    "scatter": "Scatter",
    "random": "Never confidently wrong",
    "coverage": "Coverage",
}
_HEAD = """# What the limits promise, tested

Limits with the number of events by ALICES with the default settings; of the default process at
10/fb with 45 events expected, but for the random analyses. Written by
`make validate-limits`; the W Z sample of the random analyses has 21 861 events (MadGraph), where
that of the tests has 1 757.
"""


def with_section(text: str, part: str, body: str) -> str:
    """Return a report with one of its sections replaced, or put in its place.

    Args:
        text: The report, empty for a new one.
        part: Which section.
        body: Its new text, without the title.
    """
    bodies = {
        name: found.split("\n", 1)[1].strip()
        for found in text.split("\n## ")[1:]
        for name, title in _TITLES.items()
        if found.startswith(f"{title}\n")
    }
    bodies[part] = body.strip()
    sections = [f"\n## {_TITLES[name]}\n\n{bodies[name]}\n" for name in _TITLES if name in bodies]
    return _HEAD + "".join(sections)


def main() -> None:
    """Test what is asked for and write its sections."""
    args = _arguments()
    torch.set_num_threads(1)
    parts = read(args.files)
    for name in args.only or _TITLES:
        body = _body(name, args, parts)
        old = args.output.read_text() if args.output.exists() else ""
        with atomic(args.output) as path:
            path.write_text(with_section(old, name, body))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="data files of the default process")
    parser.add_argument(
        "--other",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="data file of another process, for random analyses",
    )
    parser.add_argument("--only", action="append", choices=list(_TITLES), help="this section")
    parser.add_argument("--n", type=int, default=50, help="random analyses; samples of the scatter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=_ROOT / "docs/limits.md")
    return parser.parse_args()


def _body(name: str, args: argparse.Namespace, parts: Sequence[Sample]) -> str:
    match name:
        case "seeds":
            report = command.progress(len(parts), "files")
            rows = []
            for number, part in enumerate(parts, start=1):
                rows.append(compare_seeds(part, seeds.integer(args.seed, number)))
                report(number)
            return seeds_section(rows)
        case "scatter":
            report = command.progress(args.n, "samples")
            return scatter_section(scatter(joined(parts), args.n, args.seed, report))
        case "random":
            processes = {"default": (joined(parts), _WIDE)}
            for other in args.other:
                label, _, file = other.partition("=")
                processes[label] = (read([Path(file)])[0], _WIDE)
            report = command.progress(args.n, "analyses")
            return random_section(list(random(processes, args.n, args.seed, report)))
    if len(parts) < 2:
        raise SystemExit("error: coverage needs events of another file; name two or more")
    report = command.progress(len(_COVERED), "points")
    return coverage_section(coverage(parts[0], parts[1:], _N_TOYS, args.seed, report), _N_TOYS)


if __name__ == "__main__":
    main()
