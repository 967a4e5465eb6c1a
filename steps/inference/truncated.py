"""Limits with linear terms alone beside those with all terms, in bins of the optimal observable.

An event of weight w(theta) has linear terms w(0) + theta . grad w(0), and what is left out may be
as large. One parameter at a time, all others zero, the score grad log p(x|0) of that parameter is
the optimal observable of the linear terms (arXiv:1805.00020). Events are counted in bins of it,

    q(theta) = 2 sum_b [nu_b(theta) - n_b + n_b log(n_b / nu_b(theta))],   n_b = nu_b(0),

where the expected number nu_b(theta) has linear or all terms. Linear terms make it negative far
from zero, where the truncation has no meaning. Their interval ends before, since q has no bound
there; but nothing may end it save a bin that empties.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from steps.arrays import Array
from steps.inference.cross_fitted import Sample
from steps.inference.intervals import LEVELS

TERMS = ("linear", "quadratic")
"""Linear terms alone, and all, which are quadratic in most theories."""

# Shares of the expected events below the edges of bins: operators act in the tails.
_TAIL = [0.01, 0.02, 0.05, 0.1, 0.15]
_EDGES = [*_TAIL, *np.linspace(0.2, 0.8, 7).tolist(), *(1 - share for share in reversed(_TAIL))]
# Values of a parameter that are tried, in units of half the width of its region.
_TRIED = np.geomspace(1e-6, 1e4, 5001)
# q where nothing is expected: it has no bound.
_LARGE = 1e30


@dataclass(frozen=True)
class Bins:
    """Expected numbers of events in bins of the optimal observable of a parameter.

    Attributes:
        at: Function from values ``(g,)`` of the parameter to the numbers with all terms,
            ``(g, n_bins)``.
        slopes: Their derivatives at zero, ``(n_bins,)``.
        reach: What the parameter is measured in, half the width of its region.
    """

    at: Callable[[Array], Array]
    slopes: Array
    reach: float

    @cached_property
    def at_zero(self) -> Array:
        """Numbers at zero, ``(n_bins,)``."""
        numbers: Array = self.at(np.zeros(1))[0]
        return numbers

    def linear(self, values: Array) -> Array:
        """Return the numbers with linear terms alone at values ``(g,)``, ``(g, n_bins)``."""
        numbers: Array = self.at_zero + values[:, None] * self.slopes
        return numbers

    def meaningful(self) -> tuple[float, float]:
        """Return between which values linear terms leave no bin negative; infinite for no end."""
        rising, falling = self.slopes > 0, self.slopes < 0
        low: Array = -self.at_zero[rising] / self.slopes[rising]
        high: Array = -self.at_zero[falling] / self.slopes[falling]
        return float(low.max(initial=-np.inf)), float(high.min(initial=np.inf))


def bins(sample: Sample, luminosity: float, number: int, bag: int = 0) -> Bins:
    """Return the bins of a parameter's optimal observable.

    Args:
        sample: Events, whose scores are those of networks that have not seen them.
        luminosity: Integrated luminosity in 1/pb.
        number: Number of the parameter.
        bag: Number of the bag, 0 for the nominal events.
    """
    polynomial, multiplicity = sample.events.polynomial, sample.events.multiplicity[bag]
    zero, axis = np.zeros(len(polynomial.reach)), np.eye(len(polynomial.reach))[number]
    counts = multiplicity * (luminosity * len(multiplicity) / multiplicity.sum())
    at_zero = counts * sample.weights(zero[None])[0]
    score = sample.events.score(zero, bag)[:, number]
    place = np.searchsorted(_edges(score, at_zero), score, side="right")
    contents = np.array(
        [counts[rows] @ sample.coefficients[rows] for rows in _groups(place, at_zero > 0)]
    )

    def at(values: Array) -> Array:
        numbers: Array = polynomial.weights(np.outer(values, axis)) @ contents.T
        return numbers

    slopes = contents @ polynomial.weight_gradients(zero)[number]
    return Bins(at, slopes, float(polynomial.reach[number]))


def _edges(score: Array, weights: Array) -> Array:
    """Return where shares of the events are below."""
    order = np.argsort(score)
    share = np.cumsum(weights[order]) / weights.sum()
    return np.unique(score[order][np.searchsorted(share, _EDGES)])


def _groups(place: Array, counted: Array) -> list[Array]:
    """Return the rows of each bin that has events which count."""
    return [np.flatnonzero(place == k) for k in np.unique(place[counted])]


def ends(counted: Bins, terms: str, level: float) -> tuple[float, float]:
    """Return the lowest and highest value of a parameter at which q is below a level.

    Pieces apart from that around zero count, too.

    Args:
        counted: The parameter's bins.
        terms: ``linear`` or ``quadratic``.
        level: q at the ends.

    Returns:
        The values, infinite for no end.
    """
    expected = counted.linear if terms == "linear" else counted.at

    def q(values: Array) -> Array:
        numbers = expected(values)
        positive = np.asarray((numbers > 0).all(axis=1))
        ratio = np.where(positive[:, None], numbers / counted.at_zero, 1.0)
        return np.where(positive, 2 * (ratio - 1 - np.log(ratio)) @ counted.at_zero, _LARGE)

    tried = counted.reach * _TRIED
    return _last(q, -tried, level), _last(q, tried, level)


def _last(q: Callable[[Array], Array], tried: Array, level: float) -> float:
    """Return where q exceeds a level for good, of values that go outwards."""
    inside = np.flatnonzero(q(tried) < level)
    if not inside.size:
        return 0.0
    if inside[-1] == len(tried) - 1:
        return float(np.copysign(np.inf, tried[-1]))

    def excess(value: float) -> float:
        return float(q(np.array([value]))[0]) - level

    return float(brentq(excess, *tried[inside[-1] : inside[-1] + 2]))


def to_arrays(
    sample: Sample, luminosity: float, levels: Mapping[str, float] = LEVELS
) -> dict[str, Array]:
    """Return the limits of all parameters.

    Args:
        sample: Events, whose scores are those of networks that have not seen them.
        luminosity: Integrated luminosity in 1/pb.
        levels: q at the ends by confidence level.

    Returns:
        ``truncation/<linear|quadratic>`` with a row for each parameter: its number, low and high
        at each level, and between which values the terms have a meaning; infinite for no end.
        ``truncation_error/<linear|quadratic>``: the number again, and the bags' standard deviation
        of the rest; NaN for fewer than two bags and where there is no end.
    """
    found: dict[str, list[Array]] = {terms: [] for terms in TERMS}
    for number in range(len(sample.events.polynomial.reach)):
        counted = [
            bins(sample, luminosity, number, bag) for bag in range(len(sample.events.multiplicity))
        ]
        for terms, rows in found.items():
            rows.append(np.array([_row(each, terms, levels) for each in counted]))
    arrays = {}
    for terms, rows in found.items():
        numbers = np.arange(len(rows))[:, None]
        arrays[f"truncation/{terms}"] = np.hstack([numbers, [bags[0] for bags in rows]])
        arrays[f"truncation_error/{terms}"] = np.hstack([numbers, [_spread(bags) for bags in rows]])
    return arrays


def _row(counted: Bins, terms: str, levels: Mapping[str, float]) -> list[float]:
    found = [end for level in levels.values() for end in ends(counted, terms, level)]
    return [*found, *(counted.meaningful() if terms == "linear" else (-np.inf, np.inf))]


def _spread(rows: Array) -> Array:
    """Return the bags' standard deviation of ``(1 + n_bags, m)``, ``(m,)``."""
    bags = rows[1:]
    spread = np.full(bags.shape[1], np.nan)
    if len(bags) > 1:
        known = np.isfinite(bags).all(axis=0)
        spread[known] = bags[:, known].std(axis=0, ddof=1)
    return spread
