"""Best fits and intervals of single parameters, from likelihoods that are functions of them.

q(theta) = -2 ln[L(theta) / L_best]. Of one parameter q is profiled, that is the others take their
best values at each of its values, or they are fixed at the true point and L_best is the greatest
value on that line. An interval is where q is below a quantile of the chi-squared distribution of
one degree of freedom (arXiv:1007.1727). Likelihoods of quadratic theories have several maxima, so
an interval may consist of disjoint pieces, and may reach the edge of the region.

Of a list of likelihoods the first is the nominal one; the others, its bags, are those of the same
analysis of resampled simulation, and their spread is the uncertainty of whatever is told here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from iminuit import Minuit
from scipy.optimize import brentq
from scipy.spatial import KDTree
from scipy.stats import chi2, qmc

from steps.arrays import Array
from steps.inference import statistics
from steps.inference.likelihood import Likelihood

LEVELS = {"68": 1.0, "95": float(chi2.ppf(0.95, df=1))}
"""q at the ends of one parameter's interval, by confidence level in per cent (68.27 and 95)."""

JOINT = "joint_"
"""What the names of levels begin with at which profiled intervals are extents of joint contours."""

# All lengths below are in units of the region's widths.
# Points of the coarse scan are two to this power for one parameter and twice as many for each
# further one, up to a limit; and so many of its minima are refined.
_SCAN_POWER = 8
_MOST_SCAN_POWER = 11
_MOST_REFINED = 8
# Minima that are followed, and how far apart they are at least.
_MOST_MINIMA = 4
_APART = 0.02
# In grids of two parameters a start that is less far from a minimum is not tried, for speed.
_NEAR = 0.05
# q up to which two minima are as good.
_EQUAL = 1e-4
# Values of a parameter at which q is profiled.
_PROFILE_VALUES = 49
# How often values are added where it turns.
_TURNS = 3
# Points of the coarse scan next to such a value, of which the best is one of the starts.
_NEXT = 16
# At about how many such places, at most.
_MOST_SCANNED = 60
# Precision of an end.
_PRECISION = 1e-6
# Minuit's limits are a sine, which is flat at the edge: starts keep this far inside.
_INSIDE = 1e-3
# Minuit's first step, and its tolerance: q is minimised to 2e-6.
_STEP = 0.02
_TOLERANCE = 1e-3
# Profiles are made again where they lead to a minimum that is lower by this much.
_BETTER = 1e-3


@dataclass(frozen=True)
class Piece:
    """One of the disjoint pieces of an interval.

    Attributes:
        low: Its lower end, or the edge of the region.
        high: Its upper end, or the edge of the region.
        low_error: Uncertainty of the lower end; NaN at an edge or with fewer than two bags.
        high_error: Likewise of the upper end.
        low_is_edge: The piece reaches the edge of the region, where it does not end.
        high_is_edge: Likewise.
    """

    low: float
    high: float
    low_error: float
    high_error: float
    low_is_edge: bool
    high_is_edge: bool


@dataclass(frozen=True)
class Estimate:
    """What is known of one parameter.

    Attributes:
        best_fit: Its best value.
        error: Uncertainty of that from the bags; NaN for fewer than two.
        pieces: The interval's pieces in ascending order, by confidence level.
    """

    best_fit: float
    error: float
    pieces: Mapping[str, tuple[Piece, ...]]


@dataclass(frozen=True)
class Intervals:
    """Estimates of all parameters in their order.

    Attributes:
        profiled: The other parameters at their best values; the best fits are one point.
        fixed: The other parameters at the true point, q relative to the best on that line.
    """

    profiled: tuple[Estimate, ...]
    fixed: tuple[Estimate, ...]


@dataclass(frozen=True)
class Slice:
    """A log likelihood of some parameters, the others fixed.

    Attributes:
        likelihood: That of all parameters.
        point: Where the others are fixed, ``(p,)``.
        axes: Numbers of the free parameters, ``(f,)``.
    """

    likelihood: Likelihood
    point: Array
    axes: Array

    @property
    def region(self) -> Array:
        """Lowest and highest value of each free parameter, ``(f, 2)``."""
        region: Array = self.likelihood.region[self.axes]
        return region

    def __call__(self, points: Array) -> Array:
        """Return the log likelihood at points ``(g, f)`` of the free parameters, ``(g,)``."""
        return self.likelihood(self._whole(points))

    def gradient(self, point: Array) -> Array:
        """Return its gradient ``(f,)`` at one point ``(f,)``."""
        slope: Array = self.likelihood.gradient(self._whole(point[None])[0])[self.axes]
        return slope

    def _whole(self, points: Array) -> Array:
        whole = np.repeat(np.asarray(self.point, dtype=float)[None], len(points), axis=0)
        whole[:, self.axes] = points
        return whole


def best_fit(likelihood: Likelihood, starts: Sequence[Array] = ()) -> tuple[Array, float]:
    """Return the greatest log likelihood of the region.

    The best minima of -2 ln L on a Sobol sequence and the given starts are refined by Minuit.

    Args:
        likelihood: The log likelihood.
        starts: Further points ``(p,)`` to start from.

    Returns:
        Where it is, ``(p,)``, and its value.
    """
    deviance = _Deviance(likelihood)
    best = _minima(deviance, [deviance.scaled(start) for start in starts])[0]
    return deviance.point(best.at), -0.5 * best.value


def joint_levels(n_parameters: int) -> dict[str, float]:
    """Return q at the joint contours of so many parameters, by name: ``joint_68``, ``joint_95``."""
    levels = statistics.CONFIDENCE_LEVELS.items()
    return {f"{JOINT}{name}": statistics.level(p_value, n_parameters) for name, p_value in levels}


def q_at(likelihoods: Sequence[Likelihood], point: Sequence[float]) -> tuple[float, float]:
    """Return q at a point, for instance of the true point: the distance of the best fit from it.

    Args:
        likelihoods: Nominal log likelihood and bags.
        point: The point ``(p,)``.

    Returns:
        q and its uncertainty, the bags' standard deviation; NaN for fewer than two bags.

    Raises:
        ValueError: The point is outside the region.
    """
    deviance = _Deviance(likelihoods[0])
    at = deviance.scaled(_inside(likelihoods[0], point))
    q = _Fits.of(likelihoods, _minima(deviance)).q(at[None])
    return float(q[0, 0]), float(_spread(q)[0])


def intervals(
    likelihoods: Sequence[Likelihood],
    theta_true: Sequence[float],
    levels: Mapping[str, float] = LEVELS,
    profiled_alone: Mapping[str, float] | None = None,
) -> Intervals:
    """Return the best fit and the intervals of each parameter.

    Uncertainties are of first order: at the nominal end and its profiled point, the bags' standard
    deviation of q is divided by the slope of the profiled q, which is the slope of q there since q
    is stationary in the other parameters.

    Args:
        likelihoods: Nominal log likelihood and bags.
        theta_true: Where the others are fixed, ``(p,)``.
        levels: q at the ends by confidence level.
        profiled_alone: Further ones, of the profiled intervals alone.

    Raises:
        ValueError: The true point is outside the region.
    """
    truth = _inside(likelihoods[0], theta_true)
    fixed: list[Estimate] = []
    for axis in range(len(truth)):
        lines = [Slice(likelihood, truth, np.array([axis])) for likelihood in likelihoods]
        fixed += _estimates(lines, levels)
    profiled = _estimates(likelihoods, {**levels, **(profiled_alone or {})})
    return Intervals(profiled, tuple(fixed))


def widened(found: Intervals, share: float) -> Intervals:
    """Return intervals whose ends and best fits have a further error, in quadrature.

    Bags see the variance of a training, not what it leaves undone.

    Args:
        found: The intervals.
        share: Further error in units of half the piece; of a best fit, of half the 68 % interval.
    """

    def piece(of: Piece) -> Piece:
        further = share * 0.5 * (of.high - of.low)
        return replace(
            of,
            low_error=float(np.hypot(of.low_error, further)),
            high_error=float(np.hypot(of.high_error, further)),
        )

    def estimate(of: Estimate) -> Estimate:
        pieces = {level: tuple(map(piece, these)) for level, these in of.pieces.items()}
        inner = of.pieces["68"]
        further = share * 0.5 * (inner[-1].high - inner[0].low)
        return replace(of, pieces=pieces, error=float(np.hypot(of.error, further)))

    return Intervals(tuple(map(estimate, found.profiled)), tuple(map(estimate, found.fixed)))


def pairwise(likelihood: Likelihood, i: int, j: int, n: int) -> Array:
    """Return q on a grid of two parameters, profiled over all others.

    Args:
        likelihood: The log likelihood.
        i: Number of the first parameter, along the rows.
        j: Number of the second parameter.
        n: Number of values of either, from edge to edge of the region.

    Returns:
        q, ``(n, n)``.
    """
    deviance = _Deviance(likelihood)
    values = np.linspace(0, 1, n)
    places = np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1).reshape(-1, 2)
    neighbours = [
        [n * (row + a) + column + b for a, b in _STEPS if 0 <= row + a < n and 0 <= column + b < n]
        for row, column in np.ndindex(n, n)
    ]
    profile = _Profile(deviance, np.array([i, j]), _NEAR)
    found = profile.follow(places, [[]] * len(places), neighbours)
    # The grid may find a better minimum than the coarse scan.
    lowest = min((minima[0] for minima in found), key=_Minimum.by_value)
    best = min(_minima(deviance)[0].value, _refine(deviance, lowest.at).value)
    return np.array([minima[0].value - best for minima in found]).reshape(n, n)


def to_arrays(found: Intervals, name: str) -> dict[str, Array]:
    """Return intervals as numeric arrays.

    Args:
        found: The intervals.
        name: What the keys have after ``intervals/``, for instance ``with_rate``.

    Returns:
        ``intervals/<name>/<profiled|fixed>/best_fit``, values and errors ``(p, 2)``; and
        ``intervals/<name>/<profiled|fixed>/<level>`` with a row for each piece: number of the
        parameter, low, high, their errors, whether they are edges ``(n_pieces, 7)``.
    """
    arrays = {}
    for kind in ("profiled", "fixed"):
        estimates = getattr(found, kind)
        key = f"intervals/{name}/{kind}"
        arrays[f"{key}/best_fit"] = np.array([[e.best_fit, e.error] for e in estimates])
        for level in estimates[0].pieces:
            rows = [
                [number, *vars(piece).values()]
                for number, estimate in enumerate(estimates)
                for piece in estimate.pieces[level]
            ]
            arrays[f"{key}/{level}"] = np.array(rows, dtype=float).reshape(-1, _N_COLUMNS)
    return arrays


def from_arrays(arrays: Mapping[str, Array], name: str) -> Intervals:
    """Return the intervals of arrays that :func:`to_arrays` made."""
    return Intervals(*(_read(arrays, f"intervals/{name}/{kind}") for kind in ("profiled", "fixed")))


_N_COLUMNS = 1 + len(fields(Piece))
# To the cells next to one.
_STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0))


def _read(arrays: Mapping[str, Array], key: str) -> tuple[Estimate, ...]:
    tables = {k.removeprefix(f"{key}/"): v for k, v in arrays.items() if k.startswith(f"{key}/")}
    best = tables.pop("best_fit")
    return tuple(
        Estimate(
            float(value),
            float(error),
            {
                level: tuple(
                    Piece(*row[1:5].tolist(), *row[5:].astype(bool).tolist())
                    for row in table
                    if row[0] == number
                )
                for level, table in tables.items()
            },
        )
        for number, (value, error) in enumerate(best)
    )


def _inside(likelihood: Likelihood, point: Sequence[float]) -> Array:
    """Return a point as an array.

    Raises:
        ValueError: It is outside the region.
    """
    at = np.asarray(point, dtype=float)
    for number, (value, (low, high)) in enumerate(zip(at, likelihood.region, strict=True)):
        if not low <= value <= high:
            raise ValueError(
                f"theta_true: {value:g} of parameter {number} is outside the region, {low:g} to "
                f"{high:g}; widen the region"
            )
    return at


@dataclass(frozen=True)
class _Scan:
    """A coarse scan of the unit cube."""

    at: Array
    values: Array

    def minima(self) -> Array:
        """Return the best points that are lower than the points around them, ``(m, p)``."""
        around = np.asarray(KDTree(self.at).query(self.at, k=2 * self.at.shape[1] + 3)[1])
        lowest = np.flatnonzero(self.values <= self.values[around].min(axis=1))
        best: Array = self.at[lowest[np.argsort(self.values[lowest])][:_MOST_REFINED]]
        return best

    def next_to(self, axes: Array, places: Array) -> Array:
        """Return the best of the points next to some values of some parameters, ``(k, p)``."""
        near = np.asarray(KDTree(self.at[:, axes]).query(places, k=_NEXT)[1])
        best: Array = self.at[near[np.arange(len(near)), self.values[near].argmin(axis=1)]]
        return best


@dataclass(frozen=True)
class _Deviance:
    """-2 ln L on the unit cube."""

    likelihood: Likelihood

    @cached_property
    def low(self) -> Array:
        low: Array = self.likelihood.region[:, 0]
        return low

    @cached_property
    def width(self) -> Array:
        width: Array = self.likelihood.region[:, 1] - self.low
        return width

    @property
    def size(self) -> int:
        return len(self.low)

    @cached_property
    def scan(self) -> _Scan:
        power = min(_SCAN_POWER + self.size - 1, _MOST_SCAN_POWER)
        at = qmc.Sobol(self.size, scramble=False).random_base2(power)
        return _Scan(at, self.values(at))

    def point(self, at: Array) -> Array:
        point: Array = self.low + self.width * at
        return point

    def scaled(self, point: Array) -> Array:
        scaled: Array = (np.asarray(point, dtype=float) - self.low) / self.width
        return scaled

    def values(self, at: Array) -> Array:
        values: Array = -2 * self.likelihood(self.point(at))
        return values

    def value(self, at: Array) -> float:
        return float(self.values(at[None])[0])

    def gradient(self, at: Array) -> Array:
        slope: Array = -2 * self.width * self.likelihood.gradient(self.point(at))
        return slope


@dataclass(frozen=True)
class _Minimum:
    """A local minimum of -2 ln L in some of the parameters, on the unit cube."""

    at: Array
    value: float

    def by_value(self) -> float:
        return self.value


def _refine(deviance: _Deviance, start: Array, held: Array | None = None) -> _Minimum:
    """Return the local minimum next to a point, in all parameters but those of some numbers."""
    free = np.ones(deviance.size, dtype=bool)
    if held is not None:
        free[held] = False
    if not free.any():
        return _Minimum(start, deviance.value(start))
    start = np.where(free, np.clip(start, _INSIDE, 1 - _INSIDE), start)
    minuit = Minuit(deviance.value, start, grad=deviance.gradient)
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.strategy = 0
    minuit.tol = _TOLERANCE
    minuit.errors = np.full(len(start), _STEP)
    minuit.limits = [(0, 1) if is_free else (None, None) for is_free in free]
    minuit.fixed = ~free
    minuit.migrad()
    return _Minimum(np.array(minuit.values), float(minuit.fval))


def _distinct(minima: Iterable[_Minimum]) -> list[_Minimum]:
    """Return the best of those that are apart, the best first.

    Along a flat valley, which a rate alone has, the one nearest to the centre comes first: which
    one is a hair better depends on the machine.
    """
    kept: list[_Minimum] = []
    for minimum in sorted(minima, key=_Minimum.by_value):
        if not _is_near(minimum.at, kept, _APART):
            kept.append(minimum)
    if kept:
        equal = [m for m in kept if m.value < kept[0].value + _EQUAL]
        equal.sort(key=lambda m: float(np.abs(m.at - 0.5).sum()))
        kept = equal + kept[len(equal) :]
    return kept[:_MOST_MINIMA]


def _is_near(at: Array, minima: Iterable[_Minimum], distance: float) -> bool:
    return any(np.abs(at - other.at).max() < distance for other in minima)


def _minima(deviance: _Deviance, starts: Iterable[Array] = ()) -> list[_Minimum]:
    """Return the minima of the cube that a coarse scan and further starts lead to, best first."""
    starts = (*starts, *deviance.scan.minima())
    return _distinct(_refine(deviance, start) for start in starts)


@dataclass(frozen=True)
class _Profile:
    """-2 ln L at values of some parameters, minimised over the others.

    Attributes:
        deviance: That of all parameters.
        axes: Numbers of those that are given values.
        near: A start that is less far from a minimum is taken to lead there.
    """

    deviance: _Deviance
    axes: Array
    near: float

    def minima(
        self, place: Array, starts: Iterable[Array], known: Sequence[_Minimum] = ()
    ) -> list[_Minimum]:
        """Return the minima over the others that starts lead to, and known ones, best first."""
        found = list(known)
        for start in starts:
            at = start.copy()
            at[self.axes] = place
            if not _is_near(at, found, self.near):
                found.append(_refine(self.deviance, at, self.axes))
        return _distinct(found)

    def follow(
        self,
        places: Array,
        begin: Sequence[Sequence[_Minimum]],
        neighbours: Sequence[Sequence[int]],
    ) -> list[list[_Minimum]]:
        """Follow all minima from place to place, to and fro.

        The scan leads to minima that begin in the midst of the region.

        Args:
            places: Values of the parameters, ``(k, n_axes)``.
            begin: Minima that are known already at each.
            neighbours: Numbers of the places next to each.

        Returns:
            Minima at each place, the best first.
        """
        scanned = self.deviance.scan.next_to(self.axes, places)
        found = [list(minima) for minima in begin]
        for k in range(0, len(places), 1 + len(places) // _MOST_SCANNED):
            found[k] = self.minima(places[k], [scanned[k]], found[k])
        for way in (1, -1):
            for k in range(len(places))[::way]:
                before = [number for number in neighbours[k] if (k - number) * way > 0]
                starts = [minimum.at for number in before for minimum in found[number]]
                found[k] = self.minima(places[k], starts, found[k])
        return found


@dataclass(frozen=True)
class _Curve:
    """The profile of one parameter at ascending values.

    Attributes:
        profile: What makes it.
        found: Minima at each value, the best first.
    """

    profile: _Profile
    found: Sequence[list[_Minimum]]

    @classmethod
    def of(cls, deviance: _Deviance, axis: int, minima: Sequence[_Minimum]) -> "_Curve":
        """Follow the minima of all parameters, and others, from edge to edge."""
        profile = _Profile(deviance, np.array([axis]), _APART)
        own = np.array([minimum.at[axis] for minimum in minima])
        values = np.append(np.linspace(0, 1, _PROFILE_VALUES), own)
        begin = [*([] for _ in range(_PROFILE_VALUES)), *([minimum] for minimum in minima)]
        order = np.argsort(values, kind="stable")
        n = len(values)
        neighbours = [[k for k in (number - 1, number + 1) if 0 <= k < n] for number in range(n)]
        places = values[order][:, None]
        found = profile.follow(places, [begin[k] for k in order], neighbours)
        curve = cls(profile, found)
        for _ in range(_TURNS):
            curve = curve._with_turns()
        return curve

    def _with_turns(self) -> "_Curve":
        """Add values near to where the curve turns: it may cross a level there and back.

        It turns smoothly where the slope, if linear, vanishes; and where two branches meet, near to
        where the tangents do.
        """
        at, slopes = self.values, np.array([self.slope(minima[0]) for minima in self.found])
        offsets = np.array([minima[0].value for minima in self.found]) - slopes * at
        found = [self.found[0]]
        for k in range(len(at) - 1):
            if slopes[k] * slopes[k + 1] < 0:
                change = slopes[k] - slopes[k + 1]
                smooth = at[k] + slopes[k] / change * (at[k + 1] - at[k])
                sharp = (offsets[k + 1] - offsets[k]) / change
                turns = [turn for turn in (smooth, sharp) if at[k] < turn < at[k + 1]]
                found += [self._between(k, turn) for turn in sorted(turns)]
            found.append(self.found[k + 1])
        return _Curve(self.profile, found)

    @property
    def values(self) -> Array:
        """Values of the parameter, ``(k,)``."""
        [axis] = self.profile.axes
        return np.array([minima[0].at[axis] for minima in self.found])

    @property
    def lowest(self) -> _Minimum:
        """Its lowest point."""
        return min((minima[0] for minima in self.found), key=_Minimum.by_value)

    def slope(self, minimum: _Minimum) -> float:
        """Return the slope of the curve at one of its points."""
        [axis] = self.profile.axes
        return float(self.profile.deviance.gradient(minimum.at)[axis])

    def ends(self, level: float) -> list["_End"]:
        """Return where the curve comes below and leaves a level, in turn, from edge to edge."""
        inside = [minima[0].value <= level for minima in self.found]
        ends = [
            _End(self._crossing(k, level), is_edge=False)
            for k in range(len(inside) - 1)
            if inside[k] != inside[k + 1]
        ]
        if inside[0]:
            ends.insert(0, _End(self.found[0][0], is_edge=True))
        if inside[-1]:
            ends.append(_End(self.found[-1][0], is_edge=True))
        return ends

    def _between(self, k: int, value: float) -> list[_Minimum]:
        """Return the minima at a value between number k and the next."""
        starts = [minimum.at for minima in self.found[k : k + 2] for minimum in minima]
        return self.profile.minima(np.array([value]), starts)

    def _crossing(self, k: int, level: float) -> _Minimum:
        low, high = (float(value) for value in self.values[k : k + 2])
        # At both sides exactly what it was there, whose signs differ.
        known = {low: self.found[k][0].value, high: self.found[k + 1][0].value}

        def excess(value: float) -> float:
            found = known[value] if value in known else self._between(k, value)[0].value
            return found - level

        return self._between(k, brentq(excess, low, high, xtol=_PRECISION))[0]


@dataclass(frozen=True)
class _End:
    """An end of an interval at its profiled point, or the edge of the region."""

    minimum: _Minimum
    is_edge: bool


@dataclass(frozen=True)
class _Fits:
    """Minima of the nominal likelihood and the bags.

    Attributes:
        deviances: Of each, on the same cube.
        best: The best minimum of each.
    """

    deviances: Sequence[_Deviance]
    best: Sequence[_Minimum]

    @classmethod
    def of(cls, likelihoods: Sequence[Likelihood], minima: Sequence[_Minimum]) -> "_Fits":
        """Fit the bags, beginning at the nominal likelihood's minima."""
        deviances = [_Deviance(likelihood) for likelihood in likelihoods]
        bags = [
            min((_refine(bag, m.at) for m in minima), key=_Minimum.by_value)
            for bag in deviances[1:]
        ]
        return cls(deviances, [minima[0], *bags])

    def q(self, at: Array) -> Array:
        """Return q of each at points ``(g, p)`` of the cube, ``(1 + n_bags, g)``."""
        pairs = zip(self.deviances, self.best, strict=True)
        return np.array([deviance.values(at) - best.value for deviance, best in pairs])


def _spread(values: Array) -> Array:
    """Return the bags' standard deviation of ``(1 + n_bags, ...)``; NaN for fewer than two."""
    bags = values[1:]
    if len(bags) < 2:
        return np.full(values.shape[1:], np.nan)
    spread: Array = bags.std(axis=0, ddof=1)
    return spread


def _estimates(
    likelihoods: Sequence[Likelihood], levels: Mapping[str, float]
) -> tuple[Estimate, ...]:
    """Return the estimates of all parameters, the others profiled."""
    deviance = _Deviance(likelihoods[0])
    minima = _minima(deviance)
    curves = [_Curve.of(deviance, axis, minima) for axis in range(deviance.size)]
    # A profile may find a better minimum than the coarse scan.
    lowest = [_refine(deviance, curve.lowest.at) for curve in curves]
    minima, scanned = _distinct([*minima, *lowest]), minima
    if minima[0].value < scanned[0].value - _BETTER:
        curves = [_Curve.of(deviance, axis, minima) for axis in range(deviance.size)]
    fits = _Fits.of(likelihoods, minima)
    return tuple(_estimate(fits, curve, levels) for curve in curves)


def _estimate(fits: _Fits, curve: _Curve, levels: Mapping[str, float]) -> Estimate:
    """Return the estimate of the parameter of a curve."""
    deviance, [axis] = fits.deviances[0], curve.profile.axes
    best = np.array([deviance.point(minimum.at)[axis] for minimum in fits.best])
    pieces = {
        level: _pieces(fits, curve, curve.ends(fits.best[0].value + q))
        for level, q in levels.items()
    }
    return Estimate(float(best[0]), float(_spread(best)), pieces)


def _pieces(fits: _Fits, curve: _Curve, ends: Sequence[_End]) -> tuple[Piece, ...]:
    """Return the pieces between ends, lower and upper in turn, with their uncertainties."""
    deviance, [axis] = fits.deviances[0], curve.profile.axes
    at = np.array([end.minimum.at for end in ends])
    slopes = np.array([np.nan if end.is_edge else curve.slope(end.minimum) for end in ends])
    values = deviance.point(at)[:, axis].tolist()
    errors = (deviance.width[axis] * _spread(fits.q(at)) / np.abs(slopes)).tolist()
    is_edge = [end.is_edge for end in ends]
    return tuple(
        Piece(*values[k : k + 2], *errors[k : k + 2], *is_edge[k : k + 2])
        for k in range(0, len(ends), 2)
    )
