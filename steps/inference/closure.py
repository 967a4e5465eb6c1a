"""Closure: what networks estimate against what weighted histograms of all events say.

With one or two observables the likelihood ratio p(x|theta)/p(x|theta_ref) and the score can be
read off weighted histograms.  The ratio of two bin contents is the mean of r(x) over the bin under
the reference, so that is what the network's ratio is averaged to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steps.arrays import Array

# A bin is well filled when its content is known to a twelfth: 150 effective events.
_MIN_EFFECTIVE_EVENTS = 150


@dataclass(frozen=True)
class Closure:
    """A quantity in the well-filled bins.

    Errors are those of the scatter of the bins about a line, whatever it is from.

    Attributes:
        truth: Value from the histograms, ``(n_bins,)``.
        estimate: Value from the network, averaged in the same bins, ``(n_bins,)``.
        weight: Share of the reference's cross section in each bin, ``(n_bins,)``.
    """

    truth: Array
    estimate: Array
    weight: Array

    @property
    def correlation(self) -> float:
        """Linear correlation of estimate and truth over the bins; NaN for fewer than three."""
        if self.truth.size < 3:
            return float("nan")
        return float(np.corrcoef(self.truth, self.estimate)[0, 1])

    @property
    def slope(self) -> float:
        """Slope of the least-squares line of estimate against truth; NaN for fewer than three."""
        if self.truth.size < 3:
            return float("nan")
        return float(np.polyfit(self.truth, self.estimate, 1)[0])

    @property
    def correlation_error(self) -> float:
        """Standard error (1 - r^2) / sqrt(n - 2) of the correlation r of n bins."""
        if self.truth.size < 3:
            return float("nan")
        return float((1 - self.correlation**2) / np.sqrt(self.truth.size - 2))

    @property
    def slope_error(self) -> float:
        """Standard error of the slope, from the residuals of the line."""
        if self.truth.size < 3:
            return float("nan")
        left = self.estimate - np.polyval(np.polyfit(self.truth, self.estimate, 1), self.truth)
        scatter = np.sum(left**2) / (self.truth.size - 2)
        return float(np.sqrt(scatter / np.sum((self.truth - self.truth.mean()) ** 2)))


def to_arrays(comparisons: Sequence[Closure]) -> dict[str, Array]:
    """Return comparisons as arrays ``closure/<k>/<attribute>``, and their numbers.

    These are ``closure/correlation`` and ``closure/slope``, ``(n_comparisons,)``.
    """
    arrays = {
        f"closure/{k}/{name}": column
        for k, comparison in enumerate(comparisons)
        for name, column in vars(comparison).items()
    }
    return arrays | {
        "closure/correlation": np.array([c.correlation for c in comparisons]),
        "closure/slope": np.array([c.slope for c in comparisons]),
    }


def from_arrays(runs: Sequence[Mapping[str, Array]]) -> list[Closure]:
    """Return the comparisons of the runs of a method, estimates averaged as in the limits."""
    return [
        Closure(
            truth=runs[0][f"closure/{k}/truth"],
            estimate=np.mean([arrays[f"closure/{k}/estimate"] for arrays in runs], axis=0),
            weight=runs[0][f"closure/{k}/weight"],
        )
        for k in range(len(runs[0].get("closure/correlation", ())))
    ]


@dataclass(frozen=True)
class Binning:
    """Bins of observables.

    Attributes:
        index: Bin of each event, ``(n,)``.
        size: Number of bins.
    """

    index: Array
    size: int

    def sums(self, values: Array) -> Array:
        """Sum values ``(n,)`` in each bin, ``(size,)``."""
        return np.bincount(self.index, values, minlength=self.size)


def quantile_bins(x: Array, weights: Array, n_bins: int) -> Binning:
    """Bin each observable at its quantiles.

    Args:
        x: Observations ``(n, n_observables)``.
        weights: Weights of the reference ``(n,)``.
        n_bins: Bins along each observable.
    """
    index = np.zeros(len(x), dtype=np.int64)
    for column in x.T:
        order = np.argsort(column, kind="stable")
        cumulative = np.cumsum(np.maximum(weights[order], 0))
        quantiles = np.linspace(0, 1, n_bins + 1)[1:-1]
        edges = column[order][np.searchsorted(cumulative, quantiles * cumulative[-1])]
        index = index * n_bins + np.searchsorted(np.unique(edges), column, side="right")
    return Binning(index, n_bins ** x.shape[1])


def well_filled(bins: Binning, *weights: Array) -> Array:
    """Return which bins have enough effective events under each set of weights ``(n,)``."""
    result = np.ones(bins.size, dtype=bool)
    for w in weights:
        total, square = bins.sums(w), bins.sums(w**2)
        result &= (total > 0) & (total**2 > _MIN_EFFECTIVE_EVENTS * square)
    return result


def ratio_closure(bins: Binning, reference: Array, weights: Array, log_ratio: Array) -> Closure:
    """Compare an estimated log likelihood ratio with that of histograms.

    Args:
        bins: Bins of the observables.
        reference: Weights of the events at the reference point, ``(n,)``.
        weights: Weights of the events at the parameter point, ``(n,)``.
        log_ratio: Estimated log ratio of the normalised densities, ``(n,)``.
    """
    use = well_filled(bins, reference, weights)
    content = bins.sums(reference)[use]
    truth = bins.sums(weights)[use] / content * reference.sum() / weights.sum()
    estimate = bins.sums(reference * np.exp(log_ratio))[use] / content
    return Closure(np.log(truth), np.log(estimate), content / reference.sum())


def score_closure(
    bins: Binning, reference: Array, gradients: Array, score: Array
) -> Sequence[Closure]:
    """Compare an estimated score with that of histograms, component by component.

    Args:
        bins: Bins of the observables.
        reference: Weights of the events at the reference point, ``(n,)``.
        gradients: Gradients of the weights with respect to the parameters, ``(n_parameters, n)``.
        score: Estimated score ``(n, n_parameters)``.
    """
    use = well_filled(bins, reference)
    content = bins.sums(reference)[use]
    return [
        Closure(
            bins.sums(gradient)[use] / content - gradient.sum() / reference.sum(),
            bins.sums(reference * component)[use] / content,
            content / reference.sum(),
        )
        for gradient, component in zip(gradients, score.T, strict=True)
    ]
