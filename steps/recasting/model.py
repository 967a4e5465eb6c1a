"""The likelihood of an analysis as a workspace of pyhf: HistFactory's, of one channel.

Expected events are b + s_SM + mu (s - s_SM), or b + mu s where the Standard Model has no part in
the signal: mu = 0 is the Standard Model, mu = 1 the signal at its parameter point. A workspace is
plain data (https://pyhf.readthedocs.io/en/stable/likelihood.html); pyhf itself is not needed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.recasting.templates import Template
from steps.stage.errors import InputError

STRENGTH = "mu_SIG"
"""Name of the parameter of interest, as HEPData's workspaces have it: a scale may be called mu."""

_CHANNEL = "selected"
# Responses that differ by less between bins are one factor.
_SAME = 1e-6
# The strength may go so far towards where a bin would expect no event.
_ROOM = 0.99
# Standard deviations, of statistics alone, that the strength may be from zero at most.
_FAR = 40.0


@dataclass(frozen=True)
class Expectation:
    """Events that are expected, in the same bins, and those that are observed.

    Attributes:
        signal: The signal at its parameter point.
        reference: Its part at the Standard Model; None where it has none.
        background: What is no signal at all; None where there is none.
        observed: Number of events in each bin, ``(n,)``.
    """

    signal: Template
    reference: Template | None
    background: Template | None
    observed: Array

    def check(self) -> None:
        """Refuse what no likelihood can be made of.

        Raises:
            InputError: Bins differ, or nothing is expected in one.
        """
        edges = self.signal.nominal.edges
        for template in (self.reference, self.background):
            if template is not None and not np.array_equal(template.nominal.edges, edges):
                raise InputError(
                    f"the histograms of signal and background have other bins ({_bins(edges)} and "
                    f"{_bins(template.nominal.edges)}); fill them with the same"
                )
        if len(self.observed) != len(edges) - 1:
            raise InputError(
                f"the data have {len(self.observed)} bins, the signal {len(edges) - 1}; "
                "fill them with the same"
            )
        if not (np.isfinite(self.observed).all() and (self.observed >= 0).all()):
            raise InputError("the data have a negative number of events in a bin; fill them again")
        expected = self.background_and_reference()
        if (bad := expected <= 0).any():
            k = int(np.argmax(bad))
            raise InputError(
                f"no background is expected in the bin from {edges[k]:g} to {edges[k + 1]:g}; "
                "take wider bins, or simulate more events"
            )
        if not self.signal.nominal.values.any():
            raise InputError("no signal event passes the selection; loosen it")

    def background_and_reference(self) -> Array:
        """Return the events expected at mu = 0, ``(n,)``."""
        parts = [t.nominal.values for t in (self.reference, self.background) if t is not None]
        found: Array = np.sum([np.zeros(len(self.observed)), *parts], axis=0)
        return found

    def change(self) -> Array:
        """Return the change of the expected events by mu, ``(n,)``."""
        reference = 0.0 if self.reference is None else self.reference.nominal.values
        found: Array = self.signal.nominal.values - reference
        return found

    def largest_strength(self) -> float:
        """Return the largest strength to consider: all bins expect events, and it is far away."""
        base, change = self.background_and_reference(), self.change()
        information = float(np.sum(change**2 / base))
        if not information > 0:
            raise InputError("the signal is the Standard Model itself; choose another point")
        far = _FAR / np.sqrt(information)
        falling = change < 0
        return float(min([far, *(_ROOM * base[falling] / -change[falling])]))


def _bins(edges: Array) -> str:
    return f"{len(edges) - 1} bins from {edges[0]:g} to {edges[-1]:g}"


def workspace(expectation: Expectation) -> dict[str, Any]:
    """Return the workspace, as JSON can say it."""
    parameters = _nuisance_parameters(expectation)
    signal, reference = expectation.signal, expectation.reference
    if reference is None:
        return _workspace(
            expectation,
            _background(expectation, parameters),
            _sample("signal", signal, parameters),
            expectation.largest_strength(),
        )
    # The two are of the same events, whose noise counts once: as that of the larger.
    noise = np.maximum(signal.nominal.variances, reference.nominal.variances)
    values = signal.nominal.values - reference.nominal.values
    sides = {
        name: (
            signal.side(name, 0) - reference.side(name, 0),
            signal.side(name, 1) - reference.side(name, 1),
        )
        for name in parameters
    }
    modifiers = [m for name in parameters for m in _modifier(name, values, sides[name])]
    return _workspace(
        expectation,
        _background(expectation, parameters, noise),
        {"name": "signal", "data": values.tolist(), "modifiers": modifiers},
        expectation.largest_strength(),
    )


def without_signal(expectation: Expectation) -> dict[str, Any]:
    """Return the workspace of strength zero: its signal has no events."""
    nothing = {"name": "signal", "data": [0.0] * len(expectation.observed), "modifiers": []}
    background = _background(expectation, _nuisance_parameters(expectation))
    return _workspace(expectation, background, nothing, 1.0)


def _workspace(
    expectation: Expectation,
    background: Sequence[Mapping[str, Any]],
    signal: Mapping[str, Any],
    largest: float,
) -> dict[str, Any]:
    strength = {"name": STRENGTH, "type": "normfactor", "data": None}
    samples = [*background, {**signal, "modifiers": [strength, *signal["modifiers"]]}]
    poi = {"name": STRENGTH, "bounds": [[0.0, largest]], "inits": [min(1.0, largest)]}
    return {
        "channels": [{"name": _CHANNEL, "samples": samples}],
        "observations": [{"name": _CHANNEL, "data": expectation.observed.tolist()}],
        "measurements": [{"name": "limits", "config": {"poi": STRENGTH, "parameters": [poi]}}],
        "version": "1.0.0",
    }


def _background(
    expectation: Expectation, parameters: Sequence[str], noise: Array | None = None
) -> list[dict[str, Any]]:
    """Return the samples of strength zero; ``noise`` are variances of the Standard Model's."""
    samples = []
    if expectation.background is not None:
        samples.append(_sample("background", expectation.background, parameters))
    if expectation.reference is not None:
        samples.append(_sample("standard_model", expectation.reference, parameters, noise))
    return samples


def _nuisance_parameters(expectation: Expectation) -> list[str]:
    templates = (expectation.background, expectation.reference, expectation.signal)
    found = [name for template in templates if template for name in template.variations]
    return list(dict.fromkeys(found))


def _sample(
    name: str, template: Template, parameters: Sequence[str], variances: Array | None = None
) -> dict[str, Any]:
    """Return a sample with the errors of its simulation, a Poisson constraint in each bin."""
    values = template.nominal.values
    errors = np.sqrt(template.nominal.variances if variances is None else variances)
    modifiers: list[Mapping[str, Any]] = []
    if (used := np.where(values > 0, errors, 0.0)).any():
        modifiers.append({"name": f"simulated_{name}", "type": "shapesys", "data": used.tolist()})
    for parameter in parameters:
        sides = (template.side(parameter, 0), template.side(parameter, 1))
        modifiers += _modifier(parameter, values, sides)
    return {"name": name, "data": values.tolist(), "modifiers": modifiers}


def _modifier(name: str, values: Array, sides: tuple[Array, Array]) -> list[Mapping[str, Any]]:
    """Return what a nuisance parameter does: a factor, a change of each bin, or nothing."""
    if all(np.array_equal(side, values) for side in sides):
        return []
    size = np.abs(values).sum()
    factors = [float(side @ values / (values @ values)) if size else 0.0 for side in sides]
    same = all(
        factor > 0 and np.abs(side - factor * values).sum() < _SAME * size
        for factor, side in zip(factors, sides, strict=True)
    )
    if same:
        data: dict[str, Any] = {"hi": factors[0], "lo": factors[1]}
        return [{"name": name, "type": "normsys", "data": data}]
    data = {"hi_data": sides[0].tolist(), "lo_data": sides[1].tolist()}
    return [{"name": name, "type": "histosys", "data": data}]
