"""What observed events say: how far the true point is from them, and whether the fit is good."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import chi2

from steps.arrays import Array
from steps.inference import goodness, pseudo_experiments, samples
from steps.inference.covering import GRID, MOST_EVENTS
from steps.inference.cross_fitted import Sample
from steps.inference.frames import Frame
from steps.inference.goodness import Expected, Fit, Quantity
from steps.inference.likelihood import Densities, Likelihood
from steps.inference.morphing.ensemble import Ensemble
from steps.inference.morphing.responses import Response
from steps.inference.pseudo_experiments import Model

PREFIX = "observed/"
"""What the names of likelihoods given observed events begin with."""

OUTPUT = "network"
"""Name of what networks say of an event at the best fit, beside the names of observables."""

# Simulated events that pseudo-experiments are drawn from, at most, of more than three parameters.
_MOST_OF_MANY = 40_000


@dataclass(frozen=True)
class Data:
    """Observed events as cross-fitted networks know them.

    Attributes:
        x: Their observations ``(m, n_observables)``.
        densities: Coefficients of their densities, nominal and of each bag, ``(1 + n_bags, m, c)``.
        parts: Those of each process by name, ``(1 + n_bags, m, c_p)``, of which these are the sum.
        response: How each would respond to nuisance parameters as one of either process; None
            where there are none.
    """

    x: Array
    densities: Array
    parts: Mapping[str, Array] = field(default_factory=dict)
    response: Response | None = None

    @classmethod
    def of(cls, ensemble: Ensemble, x: Array, response: Response | None = None) -> Self:
        """Return observed events.

        Args:
            ensemble: The networks.
            x: Observations ``(m, n_observables)``.
            response: Their responses to nuisance parameters, if there are any.
        """
        parts = ensemble.parts(x)
        return cls(x, ensemble.processes.total(list(parts.values())), parts, response)


@dataclass(frozen=True)
class Experiment:
    """All that pseudo-experiments of one likelihood need.

    Attributes:
        sample: The simulated events.
        x: Their observations ``(n, n_observables)``.
        observables: Names of these.
        frame: Where limits are set.
        data: The observed events.
        n_toys: Number of pseudo-experiments.
    """

    sample: Sample
    x: Array
    observables: Sequence[str]
    frame: Frame
    data: Data
    n_toys: int


def about(facts: Mapping[str, Any] | None) -> dict[str, Array]:
    """Return facts of observed events as an array ``observed/about``; nothing of none."""
    if facts is None:
        return {}
    return {f"{PREFIX}about": np.array(json.dumps(facts, sort_keys=True).encode())}


def facts_of(arrays: Mapping[str, Array]) -> dict[str, Any] | None:
    """Return the facts of observed events that :func:`about` made an array of; None of none."""
    found = arrays.get(f"{PREFIX}about")
    return None if found is None else dict(json.loads(found.item()))


def best_fit(arrays: Mapping[str, Array], name: str) -> Array:
    """Return the best fit of a likelihood, given its intervals as arrays, ``(p,)``."""
    found: Array = arrays[f"intervals/{name}/profiled/best_fit"][:, 0]
    return found


def distance(likelihood: Likelihood, best: Array, theta: Array) -> Array:
    """Return q = -2 ln(L / L_best) at a point, and its p-value by Wilks' theorem, ``(2,)``.

    Args:
        likelihood: The log likelihood.
        best: Its best fit, ``(p,)``.
        theta: The point, ``(p,)``.
    """
    at_theta, at_best = likelihood(np.stack([theta, best]))
    q = 2 * max(float(at_best - at_theta), 0.0)
    return np.array([q, float(chi2.sf(q, df=len(theta)))])


def toys(
    experiment: Experiment, likelihood: Densities, best: Array, rng: np.random.Generator
) -> tuple[float, dict[str, Array]]:
    """Return the p-value of the true point by pseudo-experiments, and the goodness of fit.

    Args:
        experiment: What they are made of.
        likelihood: The nominal log likelihood given the observed events.
        best: Its best fit, ``(p,)``.
        rng: Source of what is random.

    Returns:
        The p-value, NaN where it is not known: without pseudo-experiments, or for more parameters
        than a grid has; and :func:`goodness.test`.
    """
    frame, n_toys = experiment.frame, experiment.n_toys
    p, with_rate = len(best), likelihood.rate is not None
    n = len(experiment.x)
    rows = samples.some(n, MOST_EVENTS.get(p, _MOST_OF_MANY), rng)
    # As many in total as of all.
    scale = frame.target.luminosity * n / len(rows)
    polynomial = experiment.sample.events.polynomial
    expected = Expected(polynomial, scale * experiment.sample.coefficients[rows])
    counted = quantities(experiment, best, rows)
    if not (n_toys and frame.has_grid):
        fit = Fit(best, best)
        found = goodness.test(counted, expected, fit, n_toys, rng, with_rate=with_rate)
        return float("nan"), found
    simulated = replace(
        likelihood,
        counts=np.ones(len(rows)),
        densities=experiment.sample.events.densities[0][rows],
    )
    axes = [np.linspace(low, high, GRID[p]) for low, high in frame.target.region.tolist()]
    model = Model(simulated, axes, expected.counts)
    p_value = _p_value(model, likelihood, best, frame.target.theta_true, n_toys, rng)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, p)
    again = points[likelihood(points).argmax()]
    fit = Fit(best, again, _fitter(model, points))
    return p_value, goodness.test(counted, expected, fit, n_toys, rng, with_rate=with_rate)


def _p_value(
    model: Model,
    likelihood: Densities,
    best: Array,
    theta: Array,
    n_toys: int,
    rng: np.random.Generator,
) -> float:
    q = pseudo_experiments.experiments(model.table, model.at(theta), n_toys, rng)
    return float((1 + np.count_nonzero(q >= distance(likelihood, best, theta)[0])) / (1 + n_toys))


def _fitter(model: Model, points: Array) -> Callable[[Array | csr_array], Array]:
    """Return a function that finds the best point of a grid for pseudo-experiments."""

    def best(counts: Array | csr_array) -> Array:
        fitted: Array = points[model.table.values(counts).argmax(axis=1)]
        return fitted

    return best


def quantities(experiment: Experiment, best: Array, rows: Array) -> dict[str, Quantity]:
    """Return what events are counted in bins of: all observables, and what the networks say.

    Args:
        experiment: Simulated and observed events.
        best: The best fit, ``(p,)``.
        rows: Numbers of the simulated events that are counted.
    """
    data, events = experiment.data, experiment.sample.events
    columns = zip(experiment.observables, experiment.x[rows].T, data.x.T, strict=True)
    found = {name: Quantity(simulated, observed) for name, simulated, observed in columns}
    # The norm is the same for all.
    monomials = events.polynomial.weights(best[None])[0]
    output = (each @ monomials for each in (events.densities[0][rows], data.densities[0]))
    return found | {OUTPUT: Quantity(*output)}
