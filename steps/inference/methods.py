"""The inference methods and all that tells one from another.

Schemas, documentation and dispatch come from this table.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a method's network estimates."""

    RATIO = "likelihood ratio"
    SCORE = "score"
    DENSITY = "likelihood"


class Likelihood(Enum):
    """How the log likelihood of a parameter point is made from what a network estimates."""

    SUM = "sum of the log ratios of the expected events"
    HISTOGRAM = "histogram of all components of the score"
    PROJECTION = "histogram of the score's projection on theta - theta_ref"


@dataclass(frozen=True)
class Method:
    """An inference method.

    Attributes:
        name: Name in input files.
        kind: What its network estimates; networks of one kind are evaluated alike.
        columns: Columns of the sample that it trains on.
        likelihood: How limits are made.
        estimators: Forms that a network of a ratio can have.
        uses_alpha: Whether its loss has a second part, the joint score's, weighted by ``alpha``.
        source: Paper that introduces it.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    likelihood: Likelihood
    estimators: tuple[str, ...]
    uses_alpha: bool
    source: str

    def form(self, estimator: str) -> str:
        """Return the form of its network; ``estimator`` is the one that is asked for of ratios."""
        match self.kind:
            case Kind.RATIO:
                return estimator if estimator in self.estimators else self.estimators[0]
            case Kind.SCORE:
                return "score"
            case Kind.DENSITY:
                return "likelihood"

    def cross_fits(self, estimator: str) -> bool:
        """Return whether its networks are ours, which know the polynomial, or MadMiner's."""
        return self.form(estimator) == _MORPHING


_RATIO = ("x", "theta", "y", "r_xz", "t_xz")
_SCORE = ("x", "t_xz")
_DENSITY = ("x", "theta", "t_xz")
_THETA = ("parameterized", "quadratic")  # how MadMiner's networks depend on the parameters
_MORPHING = "morphing"  # ours, which know how weights depend on them
_ALL = (*_THETA, _MORPHING)
_SUM = Likelihood.SUM
_TABLE = (
    Method("alice", Kind.RATIO, _RATIO, _SUM, _ALL, False, "arXiv:1808.00973"),
    Method("alices", Kind.RATIO, _RATIO, _SUM, _ALL, True, "arXiv:1808.00973"),
    Method("carl", Kind.RATIO, _RATIO, _SUM, _THETA, False, "arXiv:1506.02169"),
    Method("cascal", Kind.RATIO, _RATIO, _SUM, _THETA, True, "arXiv:1805.00020"),
    Method("rascal", Kind.RATIO, _RATIO, _SUM, _THETA, True, "arXiv:1805.00020"),
    Method("rolr", Kind.RATIO, _RATIO, _SUM, _THETA, False, "arXiv:1805.00020"),
    Method("sally", Kind.SCORE, _SCORE, Likelihood.HISTOGRAM, (), False, "arXiv:1805.00020"),
    Method("sallino", Kind.SCORE, _SCORE, Likelihood.PROJECTION, (), False, "arXiv:1805.00020"),
    Method("scandal", Kind.DENSITY, _DENSITY, _SUM, (), True, "arXiv:1805.12244"),
)
METHODS = {method.name: method for method in _TABLE}
ESTIMATORS = _ALL
"""Forms of the networks of ratio methods; a method that lacks the one asked for has the first."""
