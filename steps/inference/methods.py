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
        uses_alpha: Whether its loss has a second part, the joint score's, weighted by ``alpha``.
        source: Paper that introduces it.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    likelihood: Likelihood
    uses_alpha: bool
    source: str


_RATIO = ("x", "theta", "y", "r_xz", "t_xz")
_SCORE = ("x", "t_xz")
_DENSITY = ("x", "theta", "t_xz")
_TABLE = (
    Method("alice", Kind.RATIO, _RATIO, Likelihood.SUM, False, "arXiv:1808.00973"),
    Method("alices", Kind.RATIO, _RATIO, Likelihood.SUM, True, "arXiv:1808.00973"),
    Method("carl", Kind.RATIO, _RATIO, Likelihood.SUM, False, "arXiv:1506.02169"),
    Method("cascal", Kind.RATIO, _RATIO, Likelihood.SUM, True, "arXiv:1805.00020"),
    Method("rascal", Kind.RATIO, _RATIO, Likelihood.SUM, True, "arXiv:1805.00020"),
    Method("rolr", Kind.RATIO, _RATIO, Likelihood.SUM, False, "arXiv:1805.00020"),
    Method("sally", Kind.SCORE, _SCORE, Likelihood.HISTOGRAM, False, "arXiv:1805.00020"),
    Method("sallino", Kind.SCORE, _SCORE, Likelihood.PROJECTION, False, "arXiv:1805.00020"),
    Method("scandal", Kind.DENSITY, _DENSITY, Likelihood.SUM, True, "arXiv:1805.12244"),
)
METHODS = {method.name: method for method in _TABLE}
ESTIMATORS = ("parameterized", "quadratic")
"""How networks of ratio methods depend on the parameters."""
