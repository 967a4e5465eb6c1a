"""Limits by pyhf: CLs of a workspace, upper limits and their bands.

CLs is that of A. L. Read (J. Phys. G 28 (2002) 2693) with the test statistic q~_mu of
arXiv:1007.1727, by its asymptotic distributions or by toys.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyhf
from scipy.optimize import brentq

from steps.arrays import Array
from steps.recasting.fitting import Optimizer
from steps.stage.errors import InputError

SIGMAS = (-2, -1, 0, 1, 2)
"""Standard deviations of the expected values, in their order."""

LEVEL = 0.05
"""CLs below which a strength is excluded at 95 % CL."""

# Points of the scan of the strength, and the precision of a limit.
_POINTS = 24
_PRECISION = 1e-3
# The scan goes this far beyond the largest limit.
_BEYOND = 1.15
# The same of a scan by toys, each of which takes as many fits as there are toys, four times.
_TOY_POINTS, _TOYS_BEYOND = 7, 1.4


@dataclass(frozen=True)
class Tested:
    """CLs of a strength.

    Attributes:
        observed: Of the observed events.
        expected: Without a signal, at ``SIGMAS``, ``(5,)``.
    """

    observed: float
    expected: Array

    @property
    def all(self) -> Array:
        """Both, the observed one first, ``(6,)``."""
        return np.array([self.observed, *self.expected])


@dataclass(frozen=True)
class Limits:
    """Limits on the strength.

    Attributes:
        best: Its best value.
        tested: CLs of strength one.
        upper: Upper limits at 95 % CL, observed and expected at ``SIGMAS``, ``(6,)``; infinite
            where no strength that makes sense is excluded.
        strengths: Strengths of the scan, ``(m,)``.
        scan: CLs at each, as ``upper``, ``(m, 6)``.
    """

    best: float
    tested: Tested
    upper: Array
    strengths: Array
    scan: Array


class Model:
    """A workspace of one measurement."""

    def __init__(self, workspace: Mapping[str, Any]) -> None:
        """Take a workspace.

        Raises:
            InputError: It is none.
        """
        logging.getLogger("pyhf").setLevel(logging.ERROR)
        pyhf.set_backend("numpy", Optimizer())
        try:
            found = pyhf.Workspace(dict(workspace))
            self._model = found.model()
            self._data = found.data(self._model)
        except Exception as error:
            reason = str(error)[:200] or type(error).__name__
            raise InputError(f"pyhf refuses the workspace ({reason}); check its parts") from None
        self._poi = self._model.config.poi_index
        self._bounds = self._model.config.suggested_bounds()
        self.largest = float(self._bounds[self._poi][1])

    def best(self) -> float:
        """Return the best strength."""
        fit = self._fitted(lambda: pyhf.infer.mle.fit(self._data, self._model))
        return float(fit[self._poi])

    def tested(self, strength: float = 1.0, toys: int = 0) -> Tested:
        """Return CLs of a strength, asymptotic or by a number of toys.

        Raises:
            InputError: A fit does not converge.
        """
        how: dict[str, Any] = {"calctype": "asymptotics"}
        if toys:
            how = {"calctype": "toybased", "ntoys": toys, "track_progress": False}
        observed, expected = self._fitted(
            lambda: pyhf.infer.hypotest(
                strength,
                self._data,
                self._model,
                par_bounds=self._reaching(strength),
                return_expected_set=True,
                **how,
            )
        )
        return Tested(float(observed), np.array([float(one) for one in expected]))

    def deviance(self, strength: float) -> tuple[float, float]:
        """Return -2 ln L of a strength, all else at its best values.

        Less that of the auxiliary measurements at their nominal values: these are Poisson numbers
        that grow with the simulation, so that models of other signals have other constants.

        Returns:
            Of the observed events, and of those that are expected at strength zero.
        """
        start = self._model.config.suggested_init()
        start[self._poi] = 0.0
        asimov = self._model.expected_data(start)
        auxiliary = np.asarray(self._model.config.auxdata)
        constant = -2 * float(np.sum(self._model.constraint_logpdf(auxiliary, np.array(start))))

        def fit(data: Any) -> float:
            _, value = pyhf.infer.mle.fixed_poi_fit(
                strength,
                data,
                self._model,
                par_bounds=self._reaching(strength),
                return_fitted_val=True,
            )
            return float(value) - constant

        return self._fitted(lambda: fit(self._data)), self._fitted(lambda: fit(asimov))

    def _reaching(self, strength: float) -> list[tuple[float, float]]:
        """Return the bounds of all parameters, those of the strength beyond one that is tested."""
        bounds = [tuple(pair) for pair in self._bounds]
        low, high = bounds[self._poi]
        bounds[self._poi] = (low, max(high, strength))
        return bounds

    def limits(self) -> Limits:
        """Return limits by asymptotic distributions."""
        known: dict[float, Array] = {}

        def cls(strength: float) -> Array:
            if strength not in known:
                known[strength] = self.tested(strength).all
            return known[strength]

        reach = self._reach()
        strengths = np.linspace(reach / _POINTS, reach, _POINTS)
        scan = np.array([cls(strength) for strength in strengths.tolist()])
        upper = np.array([_refined(cls, strengths, scan[:, k], k) for k in range(scan.shape[1])])
        return Limits(self.best(), self.tested(), upper, strengths, scan)

    def limits_by_toys(self, asymptotic: Limits, toys: int) -> Limits:
        """Return limits by toys, scanning where asymptotic ones are."""
        found = asymptotic.upper[np.isfinite(asymptotic.upper)]
        low, high = (found.min(), found.max()) if len(found) else (self.largest,) * 2
        strengths = np.geomspace(low / _TOYS_BEYOND, high * _TOYS_BEYOND, _TOY_POINTS)
        strengths = np.unique(np.minimum(strengths, self.largest))
        scan = np.array([self.tested(strength, toys).all for strength in strengths.tolist()])
        upper = np.array([_between(strengths, column) for column in scan.T])
        return Limits(asymptotic.best, self.tested(toys=toys), upper, strengths, scan)

    def _reach(self) -> float:
        """Return a strength beyond all limits, or the largest."""
        high = self.largest
        if self.tested(high).all.max() > LEVEL:
            return high
        low = 0.0
        while high - low > 0.1 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self.tested(middle).all.max() > LEVEL else (low, middle)
        return min(_BEYOND * high, self.largest)

    def _fitted(self, call: Callable[[], Any]) -> Any:
        try:
            with np.errstate(all="ignore"):
                return call()
        except pyhf.exceptions.FailedMinimization as error:
            raise InputError(
                f"a fit of pyhf does not converge ({str(error)[:120]}); "
                "take wider bins, or simulate more events"
            ) from None


def _crossing(scan: Array) -> int | None:
    """Return the first point of a scan whose CLs is below the level, and stays there."""
    above = np.flatnonzero(~(scan < LEVEL))
    first = int(above[-1]) + 1 if len(above) else 0
    return first if first < len(scan) else None


def _between(grid: Array, scan: Array) -> float:
    """Return the limit between points of a scan, where log CLs is a line."""
    k = _crossing(scan)
    if k is None:
        return np.inf
    low, high = (0.0, 1.0) if k == 0 else (grid[k - 1], scan[k - 1])
    logs = np.log(np.maximum([high, scan[k]], np.finfo(float).tiny))
    share = (logs[0] - np.log(LEVEL)) / (logs[0] - logs[1])
    return float(low + share * (grid[k] - low))


def _refined(cls: Callable[[float], Array], grid: Array, scan: Array, which: int) -> float:
    """Return the limit where CLs itself crosses the level."""
    k = _crossing(scan)
    if k is None:
        return np.inf
    low = grid[k - 1] if k else 0.1 * grid[0]
    if k == 0 and cls(float(low))[which] < LEVEL:
        return float(low)
    found = brentq(
        lambda s: float(np.log(max(cls(s)[which], 1e-300) / LEVEL)),
        float(low),
        float(grid[k]),
        rtol=_PRECISION,
    )
    return float(found)
