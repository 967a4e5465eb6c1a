"""Events of a MadMiner file and their weights at any parameter point."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.madminer.library import DataAnalyzer, SampleAugmenter

Reference = str | Array
"""A benchmark, by name, or a parameter point ``(n_parameters,)``."""


class Events:
    """The events of a file; nuisance parameters are at their nominal values."""

    def __init__(self, data_file: str) -> None:
        """Open a MadMiner file."""
        self._data = DataAnalyzer(data_file, include_nuisance_parameters=False)

    @property
    def n(self) -> int:
        """Number of events."""
        return int(self._data.n_samples)

    def point(self, reference: Reference) -> Array:
        """Return the parameter point ``(n_parameters,)`` of a benchmark or point."""
        return np.asarray(self._data._get_theta_value(reference), dtype=float)

    def cross_section(self, point: Array) -> float:
        """Return the cross section after cuts at a parameter point, in pb."""
        return float(self._data.xsecs(thetas=[point])[0][0])

    def weighted(self, reference: Reference) -> tuple[Array, Array]:
        """Return observations ``(n, n_observables)`` and weights ``(n,)`` in pb.

        Args:
            reference: Benchmark or parameter point.
        """
        x, weights = self._data.weighted_events(theta=reference)
        return x, weights

    def gradients(self, point: Array) -> Array:
        """Return the gradients ``(n_parameters, n)`` of all events' weights at a point, in pb."""
        gradients: Array = self._data.weighted_events(theta=point, derivative=True)[1]
        return gradients.T

    def drawn(self) -> tuple[Array, Array, Array]:
        """Return all events, and where they were drawn.

        Returns:
            Observations ``(n, n_observables)``; weights of the benchmarks ``(n, n_benchmarks)`` in
            pb; the number of the benchmark that each was drawn at, -1 for backgrounds, ``(n,)``.
        """
        loader = self._data.event_loader(batch_size=None, return_sampling_ids=True)
        x, weights, drawn = next(loader)
        return x, weights, drawn

    @property
    def benchmarks(self) -> Array:
        """Parameter points of the benchmarks, ``(n_benchmarks, n_parameters)``."""
        return np.array([list(b.values.values()) for b in self._data.benchmarks.values()])

    @property
    def exponents(self) -> Array:
        """Powers of the parameters in each monomial of the weights, ``(n, n_parameters)``."""
        return np.asarray(self._data.morpher.components, dtype=int)


class Sampler:
    """Draws unweighted samples with joint ratio and score, by NumPy's global state."""

    def __init__(self, data_file: str, *, nuisance: bool) -> None:
        """Open a MadMiner file.

        Args:
            data_file: The file.
            nuisance: Whether to include nuisance parameters.
        """
        self._sampler = SampleAugmenter(data_file, include_nuisance_parameters=nuisance)
        self.n_parameters = int(self._sampler.n_parameters)

    def ratio(
        self, theta_0: tuple[str, Any], theta_1: tuple[str, Any], **options: Any
    ) -> Mapping[str, Array]:
        """Draw from two hypotheses; columns ``x, theta, y, r_xz, t_xz``.

        Args:
            theta_0: MadMiner's method of sampling and its argument, for the numerator.
            theta_1: The same for the denominator.
            options: Size and partition, see :meth:`local`.
        """
        x, theta, _, y, r_xz, t_xz, _ = self._sampler.sample_train_ratio(
            theta0=theta_0, theta1=theta_1, **_complete(options)
        )
        return {"x": x, "theta": theta, "y": y, "r_xz": r_xz, "t_xz": t_xz}

    def local(self, theta: tuple[str, Any], **options: Any) -> Mapping[str, Array]:
        """Draw from one hypothesis; columns ``x, theta, t_xz``.

        Args:
            theta: MadMiner's method of sampling and its argument.
            options: ``n_samples``, ``partition``, ``test_split`` and ``validation_split``.
        """
        x, theta_, t_xz, _ = self._sampler.sample_train_local(theta=theta, **_complete(options))
        return {"x": x, "theta": theta_, "t_xz": t_xz}


def _complete(options: Mapping[str, Any]) -> dict[str, Any]:
    # All events serve every parameter point: with the default the nearest benchmark's alone would.
    return {
        "sample_only_from_closest_benchmark": False,
        "folder": None,
        "filename": None,
    } | dict(options)
