"""Whether a result can be relied on, and what mends it where it cannot.

All is measured as a change of q = -2 ln(L / L_best) at the 68 % contour, where one is too much.
With n events expected and n_eff effective simulated ones the simulation's noise is about

    delta(t) = 2 sqrt(q t) + t,   t = n / n_eff,

which is one for t = 1/11 on the contour of two parameters. A measured uncertainty scales likewise:
delta = k delta(t), and k is known from the measurement. A best fit that is off the truth by
q(truth) = t shifts q elsewhere by as much as delta(t), and t is proportional to n. What a wrong
ratio changes is proportional to n and to theta - theta_0, so that on the contour it grows with
sqrt(n) (measured between 10 and 100/fb: 3.4 and 3.8 times as much).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as fisher

from steps.arrays import Array
from steps.inference.evidence import Check

MOST = 1.0
"""Change of q at the 68 % contour from which on a result is not reliable."""

UNLIKELY = 0.01
"""P-value, global where there are many tests, below which noise does not explain what is found."""

HALF_AN_ERROR = 0.25
"""q of half a statistical error."""

# A contour that takes less of a region than this is better served by a smaller one.
_SMALL = 0.4
# Width of the region that is proposed, in widths of the contour.
_ROOM = 2.0
# Share of the truth's effective events below which a contour is carried by too few of its own.
_MUCH_FEWER = 0.5
_PER_FB = 1000.0


@dataclass(frozen=True)
class Finding:
    """Why a result is not reliable.

    Attributes:
        reason: What is wrong and by how much, one line.
        remedy: What mends it, one line.
    """

    reason: str
    remedy: str


@dataclass(frozen=True)
class Simulation:
    """What the simulated events are worth.

    Attributes:
        n_expected: Number of events expected at the true point.
        luminosity: Integrated luminosity in 1/pb.
        effective: Effective simulated events at the true point.
        points: Points on the contour, ``(m, p)``.
        effective_at_points: Effective simulated events there, ``(m,)``.
    """

    n_expected: float
    luminosity: float
    effective: float
    points: Array
    effective_at_points: Array


@dataclass(frozen=True)
class Contour:
    """Where the joint 68 % contour lies in the region of training.

    Attributes:
        names: Names of the parameters.
        region: Lowest and highest value of each parameter in training, ``(p, 2)``.
        searched: Those of the region that limits are searched in, ``(p, 2)``.
        extent: Those of the contour, ``(p, 2)``.
        q: q on the contour: 2.28 for two parameters.
        uncertainty: Uncertainty of q there, from bags; None without.
    """

    names: Sequence[str]
    region: Array
    searched: Array
    extent: Array
    q: float
    uncertainty: float | None


@dataclass(frozen=True)
class BestFit:
    """How far the best fit of the data expected at the true point is from it.

    Attributes:
        q_truth: q of the true point.
        q_bags: q, by the nominal likelihood, of the best fit of each bag, ``(n_bags,)``.
    """

    q_truth: float
    q_bags: Array

    @property
    def p_value(self) -> float:
        """Probability of a larger q(truth) by the noise that bags see; NaN without bags.

        q of a displacement is its square in units of the curvature. Its mean over the bags
        estimates what noise makes of q(truth); the ratio of both is between F(1, B) and F(p, p B)
        distributed for B bags and p parameters, and F(1, B) is the more careful.
        """
        mean = np.mean(self.q_bags) if len(self.q_bags) else np.nan
        if not mean > 0:
            return float("nan")
        return float(fisher.sf(self.q_truth / mean, 1, len(self.q_bags)))

    def is_off(self, n_tested: int = 1) -> bool:
        """Return whether it is further from the truth than noise explains, and too far.

        Too far means q(truth) > 1, or that noise does not explain it (p < 1 %) and it is more than
        half a statistical error.

        Args:
            n_tested: Number of best fits of which this one is the worst.
        """
        unexplained = self.p_value * n_tested < UNLIKELY and self.q_truth > HALF_AN_ERROR
        return unexplained or self.q_truth > MOST


@dataclass(frozen=True)
class Facts:
    """What a result is judged by.

    Attributes:
        simulation: What the simulated events are worth.
        contour: The contour.
        best_fit: The best fit of the expected data; None where it was not sought.
        checks: Tests of the ratio.
    """

    simulation: Simulation
    contour: Contour
    best_fit: BestFit | None = None
    checks: Sequence[Check] = ()


def findings(facts: Facts, *, region: bool = True) -> list[Finding]:
    """Return why a result is not reliable; nothing for one that is.

    Args:
        facts: What it is judged by.
        region: Whether a contour that leaves the region of training is a reason.
    """
    found = [
        _uncertain(facts),
        _biased(facts),
        *(_failed(facts, kind) for kind in dict.fromkeys(c.kind for c in facts.checks)),
        _uncarried(facts),
        _cut_off(facts) if region else None,
    ]
    return [finding for finding in found if finding is not None]


def together(supported: float) -> Finding:
    """Return what all findings leave.

    Args:
        supported: Luminosity in 1/pb at which nothing else is found; NaN for none.
    """
    if np.isnan(supported):
        return Finding("taken together", "these limits are supported at no luminosity")
    return Finding("taken together", f"limits are supported up to about {_fb(supported)}")


def noise(q: float, t: float) -> float:
    """Return what noise t = n / n_eff makes of q, see the module."""
    return float(2 * np.sqrt(q * t) + t)


def tolerable(q: float, change: float = MOST) -> float:
    """Return the t at which ``noise(q, t)`` is a change, exactly."""
    return float((np.sqrt(q + change) - np.sqrt(q)) ** 2)


def uncertainty(facts: Facts) -> float:
    """Return the uncertainty of q at the contour: of the bags, or what effective events make."""
    if facts.contour.uncertainty is not None:
        return facts.contour.uncertainty
    return noise(facts.contour.q, _ratio(facts.simulation))


def supported_luminosity(facts: Facts) -> float:
    """Return the luminosity in 1/pb at which the uncertainty of q at the contour is one."""
    return facts.simulation.luminosity / _too_few_by(facts)


def _ratio(simulation: Simulation) -> float:
    return simulation.n_expected / simulation.effective


def _too_few_by(facts: Facts) -> float:
    """Return how many times more events make the uncertainty of q at the contour one."""
    q, t = facts.contour.q, _ratio(facts.simulation)
    of_one = noise(q, t) / max(uncertainty(facts), 1e-12)
    return t / tolerable(q, MOST * of_one)


def _uncertain(facts: Facts) -> Finding | None:
    size = uncertainty(facts)
    if size <= MOST:
        return None
    source = "bags" if facts.contour.uncertainty is not None else "effective events"
    return Finding(
        f"q at the 68 % contour is uncertain by {size:.2g} ({source}), more than {MOST:g}",
        f"needs {_more(_too_few_by(facts))} at {_fb(facts.simulation.luminosity)}; "
        f"these support up to {_fb(supported_luminosity(facts))}",
    )


def _biased(facts: Facts) -> Finding | None:
    """Find a best fit that is off the truth."""
    if facts.best_fit is None or not facts.best_fit.is_off():
        return None
    q, fit = facts.contour.q, facts.best_fit
    reason = (
        f"the best fit of data expected at the truth is off it by q = {fit.q_truth:.2g}, "
        f"which may shift q at the 68 % contour by {noise(q, fit.q_truth):.2g}"
    )
    if not np.isnan(fit.p_value):
        reason += f" (p = {fit.p_value:.1g} by the spread of the bags)"
    # q of a fixed displacement is proportional to the luminosity.
    supported = facts.simulation.luminosity * tolerable(q) / fit.q_truth
    return Finding(reason, _better_training(facts, supported))


def _failed(facts: Facts, kind: str) -> Finding | None:
    """Find the test of a kind that fails, globally, with the largest change of q."""
    failed = [
        check
        for check in facts.checks
        if check.kind == kind and check.p_global < UNLIKELY and abs(check.change) > MOST
    ]
    if not failed:
        return None
    worst = max(failed, key=lambda check: abs(check.change))
    supported = facts.simulation.luminosity * (MOST / worst.change) ** 2
    return Finding(
        f"{kind} fails for {worst.subject} by {worst.change:+.2g} ± {worst.error:.1g} in q "
        f"(global p = {worst.p_global:.1g})",
        _better_training(facts, supported),
    )


def _better_training(facts: Facts, supported: float) -> str:
    contour = facts.contour
    width, whole = np.ptp(contour.extent, axis=1), np.ptp(contour.region, axis=1)
    small = width < _SMALL * whole
    if small.any():
        middle = contour.extent.mean(axis=1)
        proposed = np.stack([middle - 0.5 * _ROOM * width, middle + 0.5 * _ROOM * width], axis=-1)
        inside = np.clip(proposed, contour.region[:, :1], contour.region[:, 1:])
        how = f"train for more epochs in {_ranges(contour.names, inside, small)}"
    else:
        how = "train for more epochs or with more events"
    return f"{how}; these networks support up to about {_fb(supported)}"


def _uncarried(facts: Facts) -> Finding | None:
    """Find a contour that leaves what the benchmarks carry: noise there is above one.

    Noise is scaled from the uncertainty at the truth's effective events. Where simulation is about
    as short at the truth, the uncertainty says so.
    """
    simulation = facts.simulation
    if not len(simulation.points):
        return None
    lowest = int(np.argmin(simulation.effective_at_points))
    effective = float(simulation.effective_at_points[lowest])
    needed = simulation.effective * _too_few_by(facts)
    if effective >= min(needed, _MUCH_FEWER * simulation.effective):
        return None
    at = ", ".join(
        f"{name} = {value:.3g}"
        for name, value in zip(facts.contour.names, simulation.points[lowest], strict=True)
    )
    supported = simulation.luminosity * effective / needed
    return Finding(
        f"on the 68 % contour the events are worth only {effective:.0f} "
        f"({simulation.effective:.0f} at the truth; {needed:.0f} are needed)",
        f"add a benchmark near {at}, or {_more(needed / effective)}; "
        f"these support up to {_fb(supported)}",
    )


def _cut_off(facts: Facts) -> Finding | None:
    """Find a contour that leaves the region of training, inside that of the search.

    An edge of the latter is a choice of the user, and told with the limits.
    """
    contour = facts.contour
    reach = 1e-3 * np.ptp(contour.searched, axis=1)
    inner = np.abs(contour.region - contour.searched) > reach[:, None]
    low = inner[:, 0] & (contour.extent[:, 0] < contour.region[:, 0] + reach)
    high = inner[:, 1] & (contour.extent[:, 1] > contour.region[:, 1] - reach)
    if not (low | high).any():
        return None
    cut = [name for name, is_cut in zip(contour.names, low | high, strict=True) if is_cut]
    return Finding(
        f"the 68 % contour leaves the region of training in {', '.join(cut)}",
        "train for this luminosity and true point",
    )


def _more(factor: float) -> str:
    return f"about {_rounded(factor)} times more events"


def _ranges(names: Sequence[str], ranges: Array, which: Array) -> str:
    chosen = zip(names, ranges, which, strict=True)
    return ", ".join(f"{name} {low:.2g} … {high:.2g}" for name, (low, high), use in chosen if use)


def _rounded(number: float) -> str:
    """Return two digits, without an exponent."""
    digits = max(0, 1 - int(np.floor(np.log10(max(number, 1e-12)))))
    return f"{float(f'{number:.2g}'):.{digits}f}"


def _fb(luminosity: float) -> str:
    return f"{_rounded(luminosity / _PER_FB)}/fb"
