"""Networks that were cross-fitted, so that every event is expected data: training, likelihoods."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.special import expit, log_expit

from steps.arrays import Array
from steps.inference import closure, evidence, quality
from steps.inference.follow import focus, joined, reach
from steps.inference.judging import Names
from steps.inference.likelihood import Densities
from steps.inference.methods import Method
from steps.inference.morphing.ensemble import Ensemble, Events, Progress
from steps.inference.morphing.fit import Options, fit
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.morphing.processes import Part, Processes
from steps.inference.morphing.responses import Response
from steps.inference.morphing.variations import Variations
from steps.inference.networks import check_losses
from steps.inference.targets import Target

TRAINING_ERROR = 0.025
"""What a training leaves undone, in units of half an interval: see docs/limits.md."""

# Share of the epochs of a training that only tells where the likelihood lives.
_SHARE_OF_EPOCHS = 0.25
# A region that shrinks to less than this share of its width in some parameter is searched again.
_SHRUNK = 0.7
_MOST_SEARCHES = 4


@dataclass(frozen=True)
class Sample:
    """Events that networks were trained on, each judged by one that has not seen it; or bins.

    Attributes:
        events: What the networks say of them.
        coefficients: Coefficients of their weights in pb, ``(n, c)``; of bins what is in them.
        part: Which process each is of; None for one alone.
        response: How each would respond to nuisance parameters as one of either process; None
            where there are none.
    """

    events: Events
    coefficients: Array
    part: Part | None = None
    response: Response | None = None

    @classmethod
    def of(
        cls, ensemble: Ensemble, events: Mapping[str, Array], response: Response | None = None
    ) -> Self:
        """Return the events that an ensemble was trained on, as it knows them.

        Args:
            ensemble: The networks.
            events: Their sample in its order, see :func:`steps.inference.samples.mixture`.
            response: Their responses to nuisance parameters, if there are any.
        """
        coefficients = ensemble.polynomial.coefficients(events["weights"], events["benchmarks"])
        return cls(ensemble.events(events["x"]), coefficients, Part.of(events), response)

    def weights(self, points: Array) -> Array:
        """Return the events' weights at parameter points in pb, ``(n_points, n)``."""
        weights: Array = self.events.polynomial.weights(points) @ self.coefficients.T
        return weights


def options(
    method: Method,
    section: Mapping[str, Any],
    observables: Sequence[str],
    test_split: float,
    seed: int,
) -> Options:
    """Return the settings of a training.

    Args:
        method: The method.
        section: Section ``morphing`` of the input file.
        observables: Names of the observables.
        test_split: Share of the events that each network shall not see: that of a fold.
        seed: Seed of the training.
    """
    settings = {**section, "hidden_layers": tuple(section["hidden_layers"])}
    settings["kinds"] = tuple(section["kinds"].get(name) for name in observables)
    if not method.uses_alpha:
        settings["alpha"] = 0.0
    return Options(**settings, n_folds=max(2, round(1 / test_split)), seed=seed)


def train(
    events: Mapping[str, Array],
    target: Target,
    options: Options,
    progress: Progress = lambda epoch, training, validation: None,
) -> tuple[Ensemble, Array]:
    """Train networks that know how weights depend on the parameters, where the likelihood lives.

    Short trainings tell where -2 ln(L / L_best) is below 20, until that part of the region no
    longer shrinks; the last training is there.

    Args:
        events: See :func:`steps.inference.samples.mixture`.
        target: What limits are wanted of.
        options: Settings, see :func:`options`.
        progress: Called with the number of epochs so far and the losses of training and of the
            folds left out.

    Returns:
        The networks, and the losses per epoch, ``(epochs, 2)``.

    Raises:
        ValueError: Weights are not of the form that these networks have, or the training diverges.
    """
    Polynomial.of(events["exponents"], target.region).check_form(events["weights"])
    quick = replace(options, n_bags=0, num_epochs=math.ceil(_SHARE_OF_EPOCHS * options.num_epochs))
    for _ in range(_MOST_SEARCHES):
        searched, _ = _fitted(events, target.region, quick)
        region = _focus(Sample.of(searched, events), target)
        shares = np.ptp(region, axis=1) / np.ptp(target.region, axis=1)
        target = replace(target, region=region)
        if shares.min() > _SHRUNK:
            break
    model, losses = _fitted(events, target.region, options, progress)
    check_losses(losses)
    return replace(model, index=events["index"]), losses


def _fitted(
    events: Mapping[str, Array],
    region: Array,
    options: Options,
    progress: Progress = lambda epoch, training, validation: None,
) -> tuple[Ensemble, Array]:
    polynomial = Polynomial.of(events["exponents"], region)
    coefficients = polynomial.coefficients(events["weights"], events["benchmarks"])
    return fit(events["x"], coefficients, polynomial, options, progress, Part.of(events))


def _focus(sample: Sample, target: Target) -> Array:
    """Return where the likelihoods live."""
    far = reach(sample.weights(target.theta_true[None])[0], target.luminosity)
    nominal = [
        likelihoods(sample, target.region, target.theta_true, target.luminosity, with_rate=rate)[0]
        for rate in target.rates
    ]
    box = focus(nominal, target.region, target.theta_true, far)
    return box if target.keep is None else joined(box, target.keep)


@dataclass(frozen=True)
class Rates:
    """Cross sections of a process in pb.

    Attributes:
        nominal: Coefficients, ``(c,)``; ``(1,)`` of a background.
        varied: Those at nu = +1 and -1 of each nuisance parameter, ``(k, 2, c)``.
    """

    nominal: Array
    varied: Array


def rates(
    events: Mapping[str, Array], processes: Processes, counts: Array | None = None
) -> dict[str, Rates]:
    """Return the cross sections of each process by name, as sums over its events.

    Args:
        events: See :func:`steps.inference.samples.varied`.
        processes: What they are of.
        counts: How often each event counts, ``(n,)``, and so do its shifted versions; once where
            None.
    """
    counts = np.ones(len(events["x"])) if counts is None else counts
    part, variations = Part.of(events), Variations.of(events)

    def split(weights: Array, number: Array) -> list[Array]:
        coefficients = processes.polynomial.coefficients(weights, events["benchmarks"])
        return processes.split(coefficients, Part(number, part.names))

    own = split(events["weights"], part.number)
    if variations is None:
        return {
            name: Rates(counts @ weights, np.empty((0, 2, weights.shape[1])))
            for name, weights in zip(part.names, own, strict=True)
        }
    varied = [np.einsum("e,eks,ec->ksc", counts, variations.ratios, weights) for weights in own]
    order = np.argsort(variations.events)
    for k, both in variations.shifted.items():
        for side, shifted in enumerate(both):
            place = np.searchsorted(variations.events, shifted.events, sorter=order)
            nominal = order[np.minimum(place, len(order) - 1)]
            paired = variations.events[nominal] == shifted.events
            each = np.where(paired, counts[nominal], 1.0)
            for into, weights in zip(varied, split(shifted.weights, shifted.process), strict=True):
                into[k, side] = each @ weights
    sums = [counts @ weights for weights in own]
    return {
        # Of none there is no response: events that only a shift lets in would be infinitely many.
        name: Rates(of, each if of.any() else np.zeros_like(each))
        for name, of, each in zip(part.names, sums, varied, strict=True)
    }


def likelihoods(
    sample: Sample, region: Array, theta_true: Array, luminosity: float, *, with_rate: bool
) -> list[Densities]:
    """Return the log likelihoods given the data expected at a true point, nominal and of each bag.

    Every bag is a sample of the same size: its events, their weights and its networks differ.

    Args:
        sample: The events.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        theta_true: True point, ``(p,)``.
        luminosity: Integrated luminosity in 1/pb.
        with_rate: Whether the number of events is part of it.
    """
    at_truth = sample.weights(theta_true[None])[0]
    densities = sample.events.densities
    return [
        Densities(
            polynomial=sample.events.polynomial,
            region=region,
            counts=events * at_truth,
            densities=densities[bag],
            norm=norm,
            rate=events @ sample.coefficients if with_rate else None,
        )
        for bag, (norm, events) in enumerate(_bags(sample, luminosity))
    ]


def _bags(sample: Sample, luminosity: float) -> Iterator[tuple[Array, Array]]:
    """Yield the norm and what each event is worth, ``(n,)``, nominally and in each bag."""
    for norm, multiplicity in zip(sample.events.norms(), sample.events.multiplicity, strict=True):
        yield norm, multiplicity * (luminosity * len(multiplicity) / multiplicity.sum())


def observed_likelihoods(
    sample: Sample, densities: Array, region: Array, luminosity: float, *, with_rate: bool
) -> list[Densities]:
    """Return the log likelihoods given observed events, nominal and of each bag.

    Args:
        sample: The simulated events, whose mean density is the norm.
        densities: What the networks say of the observed ones, see :meth:`Ensemble.parts`.
        region: Lowest and highest value of each parameter, ``(p, 2)``.
        luminosity: Integrated luminosity in 1/pb.
        with_rate: Whether their number is part of it.
    """
    return [
        Densities(
            polynomial=sample.events.polynomial,
            region=region,
            counts=np.ones(densities.shape[1]),
            densities=densities[bag],
            norm=norm,
            rate=events @ sample.coefficients if with_rate else None,
        )
        for bag, (norm, events) in enumerate(_bags(sample, luminosity))
    ]


def information(sample: Sample, theta: Array, luminosity: float) -> Array:
    """Return the Fisher information in the observables and the number of events.

    I_ij = L sigma [E(t_i t_j) + d_i ln sigma d_j ln sigma] with the score t (arXiv:1612.05261,
    eq. 8). The mean is over the mixture's events, each with its ratio rho as the networks know it:
    rho t^2 = (grad rho)^2 / rho of a square is bounded where rho vanishes, the exact weight times
    t^2 is not.

    Args:
        sample: The events.
        theta: Parameter point ``(p,)``.
        luminosity: Integrated luminosity in 1/pb.

    Returns:
        Matrices of the nominal sample and each bag, ``(1 + n_bags, p, p)``.
    """
    polynomial = sample.events.polynomial
    monomials, slopes = polynomial.weights(theta[None])[0], polynomial.weight_gradients(theta)
    matrices = []
    for bag, multiplicity in enumerate(sample.events.multiplicity):
        shares = multiplicity / multiplicity.sum()
        score = sample.events.score(theta, bag)
        rho = np.exp(sample.events.log_ratio(theta[None], bag)[0])
        total = len(shares) * (shares @ sample.coefficients)
        sigma, slope = monomials @ total, slopes @ total
        kinematics = sigma * (score * (shares * rho)[:, None]).T @ score
        matrices.append(luminosity * (kinematics + np.outer(slope, slope) / sigma))
    return np.array(matrices)


def judged(
    sample: Sample, x: Array, names: Names, benchmarks: Array, points: Array, target: Target
) -> evidence.Judged:
    """Return what tests of the ratio want.

    Args:
        sample: The events.
        x: Their observations ``(n, n_observables)``.
        names: Names of observables and benchmarks.
        benchmarks: Parameter points of these, ``(b, p)``.
        points: Parameter points near the contour, ``(g, p)``.
        target: What limits are wanted of.
    """

    def ratios(at: Array) -> evidence.Ratios:
        return evidence.Ratios(sample.events.log_ratio(at), sample.weights(at))

    truth = target.theta_true[None]
    # Networks need not know what is beyond the region that they were trained in.
    low, high = sample.events.polynomial.region.T
    known = ((benchmarks >= low) & (benchmarks <= high)).all(axis=1)
    norms = [name for name, inside in zip(names.benchmarks, known, strict=True) if inside]
    return evidence.Judged(
        x=x,
        names=names.observables,
        points=ratios(points),
        truth=ratios(truth),
        benchmarks=ratios(benchmarks[known] if norms else truth),
        benchmark_names=norms or ["the true point"],
        n_expected=target.luminosity * float(sample.weights(truth).sum()),
    )


def compare(sample: Sample, x: Array, region: Sequence[Sequence[float]]) -> dict[str, Array]:
    """Compare ratios to the mixture with histograms of all events.

    The mean of rho over the mixture's events in a bin is the ratio of the bin contents. No ratio to
    one parameter point is formed, which has no bound where that one's density vanishes.

    Args:
        sample: The events.
        x: Their observations ``(n, n_observables)``.
        region: Lowest and highest value of each parameter.

    Returns:
        As :func:`steps.inference.quality.ratio`.
    """
    points = quality.comparison_points(region)
    each = np.ones(len(x))
    bins = quality.bins(x, each)
    pairs = zip(sample.weights(points), sample.events.log_ratio(points), strict=True)
    comparisons = [closure.ratio_closure(bins, each, *pair) for pair in pairs]
    return closure.to_arrays(comparisons) | {"closure/points": points}


def joint(sample: Sample, reference: Array, points: Array, rows: Array) -> dict[str, Array]:
    """Compare with joint ratios of some events, each at a parameter point of its own.

    Args:
        sample: The events.
        reference: Parameter point of the ratio's denominator, ``(n_parameters,)``.
        points: Parameter points ``(m, n_parameters)``, used in turn.
        rows: Numbers of the events, ``(n,)``.

    Returns:
        ``joint/truth`` and ``joint/estimate``, log ratios ``(n,)``, and ``held_out_loss`` as
        :func:`steps.inference.quality.held_out_loss`, events counting as they do at the reference.
    """
    own = np.arange(len(rows)) % len(points)
    both = np.vstack([points, reference[None]])
    weights = sample.weights(both)[:, rows]
    log_rho = sample.events.log_ratio(both)[:, rows]
    norm = sample.coefficients.sum(axis=0) @ sample.events.polynomial.weights(both).T
    at = np.arange(len(rows))
    with np.errstate(divide="ignore"):
        truth = np.log(weights[own, at] / norm[own]) - np.log(weights[-1] / norm[-1])
    estimate = log_rho[own, at] - log_rho[-1]
    valid = np.isfinite(truth)
    truth, estimate, share = truth[valid], estimate[valid], weights[-1, valid]
    # Half of the events from either hypothesis, as ALICE has it.
    share = share * (1 + np.exp(truth))
    numerator = expit(truth)
    losses = -numerator * log_expit(estimate) - (1 - numerator) * log_expit(-estimate)
    loss = np.average(losses, weights=share)
    return {"joint/truth": truth, "joint/estimate": estimate, "held_out_loss": np.array(loss)}
