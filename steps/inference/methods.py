"""The inference methods of MadMiner and what tells them apart."""

from enum import Enum


class Kind(Enum):
    """What a method's network estimates."""

    RATIO = "likelihood ratio"
    SCORE = "score"
    DENSITY = "likelihood"


RATIO_METHODS = ("alice", "alices", "carl", "cascal", "rascal", "rolr")
SCORE_METHODS = ("sally", "sallino")
DENSITY_METHODS = ("scandal",)


def kind(method: str) -> Kind:
    """Return what the network of a method estimates.

    Raises:
        ValueError: There is no such method.
    """
    for members, result in (
        (RATIO_METHODS, Kind.RATIO),
        (SCORE_METHODS, Kind.SCORE),
        (DENSITY_METHODS, Kind.DENSITY),
    ):
        if method in members:
            return result
    raise ValueError(f"unknown method '{method}'")
