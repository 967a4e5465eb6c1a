"""Where limits are set: the parameter points that all methods share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from steps.arrays import Array
from steps.inference import intervals
from steps.inference.likelihood import Interpolated, Likelihood
from steps.inference.statistics import grid
from steps.inference.surfaces import MOST_PARAMETERS
from steps.inference.targets import Target

NAMES = {True: "with_rate", False: "kinematics"}
"""Names of likelihoods with and without the number of events."""

# Parameters of a joint contour where there is no grid of all.
_PAIR = 2


@dataclass(frozen=True)
class Frame:
    """A grid of parameter points for limits; of more than three parameters, grids of all pairs.

    Attributes:
        target: What limits are wanted of; the grid fills its region.
        resolutions: Points along each parameter.
    """

    target: Target
    resolutions: Sequence[int]

    @property
    def has_grid(self) -> bool:
        """Whether there is a grid of all parameters."""
        return len(self.resolutions) <= MOST_PARAMETERS

    @cached_property
    def points(self) -> Array:
        """The grid's points, ``(g, p)``; the last parameter varies fastest."""
        return grid(self.target.region.tolist(), self.resolutions)

    def arrays(self, n_expected: float) -> dict[str, Array]:
        """Return what results must share to be shown together, as ``expectation/<name>``.

        Args:
            n_expected: Number of events expected at the true point.
        """
        points = {"grid": self.points} if self.has_grid else {"resolutions": self.resolutions}
        shared = points | {
            "region": self.target.region,
            "theta_true": self.target.theta_true,
            "luminosity": self.target.luminosity,
            "n_expected": n_expected,
        }
        return {f"expectation/{name}": np.asarray(value) for name, value in shared.items()}

    def interpolated(self, values: Array) -> Interpolated:
        """Return a likelihood between the points, given its logarithm at these ``(g,)``."""
        ends = zip(self.target.region.tolist(), self.resolutions, strict=True)
        axes = [np.linspace(low, high, n) for (low, high), n in ends]
        return Interpolated(axes, values.reshape(self.resolutions))

    def curve(
        self, name: str, likelihoods: Sequence[Likelihood], further: float = 0.0
    ) -> dict[str, Array]:
        """Return what likelihoods say, as arrays.

        Args:
            name: Name of the likelihood, ``kinematics`` for instance.
            likelihoods: The nominal one and those of the bags.
            further: Error of an interval's ends that bags do not see, in units of half of it.

        Returns:
            ``log_likelihood/<name>`` ``(g,)``; ``uncertainty/<name>`` ``(g,)``, the standard
            deviation of q = -2 ln(L / L_best) over the bags, NaN for fewer than two; and
            ``intervals/<name>/...``, see :func:`steps.inference.intervals.to_arrays`, with the
            extents of joint contours as profiled intervals of level ``joint_68``, … For more
            than three parameters, in place of the first two ``pairs/<name>/<i>_<j>`` ``(n, n)``,
            the nominal q of parameters i and j, the others at their best values, on a grid from
            edge to edge of as many points as the finer of both resolutions.
        """
        truth = self.target.theta_true.tolist()
        of = len(self.resolutions) if self.has_grid else _PAIR
        joint = intervals.joint_levels(of)
        found = intervals.intervals(likelihoods, truth, profiled_alone=joint)
        found = intervals.widened(found, further)
        shown = self._on_grid if self.has_grid else self._pairs
        return shown(name, likelihoods) | intervals.to_arrays(found, name)

    def _on_grid(self, name: str, likelihoods: Sequence[Likelihood]) -> dict[str, Array]:
        values = np.array([likelihood(self.points) for likelihood in likelihoods])
        q = 2 * (values.max(axis=1, keepdims=True) - values)
        spread = q[1:].std(axis=0, ddof=1) if len(q) > 2 else np.full(len(self.points), np.nan)
        return {f"log_likelihood/{name}": values[0], f"uncertainty/{name}": spread}

    def _pairs(self, name: str, likelihoods: Sequence[Likelihood]) -> dict[str, Array]:
        return {
            f"pairs/{name}/{i}_{j}": intervals.pairwise(
                likelihoods[0], i, j, max(self.resolutions[i], self.resolutions[j])
            )
            for i, j in combinations(range(len(self.resolutions)), 2)
        }
