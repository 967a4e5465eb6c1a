"""Fits of pyhf's models with gradients: without them one takes twenty times as long."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyhf
from scipy.optimize import Bounds, minimize

from steps.arrays import Array

_STEP = 1e-6


class Optimizer(pyhf.optimize.scipy_optimizer):  # type: ignore[misc]
    """Pyhf's optimiser by SciPy, with the gradient by differences.

    Pyhf's NumPy backend has none, and evaluates points that are steps of the parameters one after
    the other. A model of many points at the same time takes hardly longer than for one.
    """

    def minimize(
        self,
        objective: Callable[..., Array],
        data: Sequence[float],
        pdf: Any,
        init_pars: Sequence[float],
        par_bounds: Sequence[tuple[float, float]],
        fixed_vals: Sequence[tuple[int, float]] | None = None,
        **options: Any,
    ) -> Any:
        """Minimise pyhf's ``objective``; see ``pyhf.optimize.mixins.OptimizerMixin.minimize``.

        Raises:
            pyhf.exceptions.FailedMinimization: It does not converge.
        """
        start = np.array(init_pars, dtype=float)
        for index, value in fixed_vals or ():
            start[index] = value
        free = np.setdiff1d(np.arange(len(start)), [index for index, _ in fixed_vals or ()])
        if not len(free):
            value = np.asarray(objective(start, data, pdf))[0]
            return (start, value) if options.get("return_fitted_val") else start
        low, high = np.array(par_bounds, dtype=float)[free].T
        many = _of_points(pdf, len(free) + 1)
        observed = np.tile(np.asarray(data, dtype=float), (len(free) + 1, 1))

        def value_and_gradient(x: Array) -> tuple[float, Array]:
            steps = np.where(x + _STEP > high, -_STEP, _STEP)
            points = np.tile(start, (len(free) + 1, 1))
            points[:, free] = x
            points[np.arange(1, len(points)), free] += steps
            values = np.asarray(objective(points, observed, many))
            return float(values[0]), (values[1:] - values[0]) / steps

        found = minimize(
            value_and_gradient,
            np.clip(start[free], low, high),
            jac=True,
            method="SLSQP",
            bounds=Bounds(low, high),
            options={"maxiter": 500, "ftol": 1e-9},
        )
        if not found.success:
            raise pyhf.exceptions.FailedMinimization(found)
        fitted = start.copy()
        fitted[free] = found.x
        if options.get("return_fitted_val"):
            return fitted, np.asarray(found.fun)
        return fitted


@lru_cache(maxsize=8)
def _of_points(pdf: Any, n: int) -> Any:
    """Return a model that is evaluated at ``n`` points at the same time."""
    return pyhf.Model(
        pdf.spec,
        batch_size=n,
        poi_name=pdf.config.poi_name,
        validate=False,
        modifier_settings=pdf.config.modifier_settings,
    )
