"""From the theory's parameters to values of the model's parameter card."""

from collections.abc import Mapping

from steps.events import expressions
from steps.events.madminer_file import Setup

_NO_TRANSFORM = ("", "_", "None")


def card_values(setup: Setup, point: Mapping[str, float]) -> dict[tuple[str, int], float]:
    """Return the parameter card's values by (block, code) at a point, given by name.

    Raises:
        steps.events.expressions.ExpressionError: A transform does not parse.
    """
    values = {}
    for name, (block, code, transform) in setup.parameters.items():
        theta = point[name]
        if transform not in _NO_TRANSFORM:
            expression = expressions.parse(transform, ["theta"])
            theta = float(expression.evaluate({"theta": theta})[0])
        values[block.lower(), code] = theta
    return values
