"""A veto on showers that will not give the jets of a filter, before they are done.

A shower goes from hard emissions to soft ones. Below some transverse momentum the partons of the
filter's jets are there, or the jets will not come: such events are given up there, which saves the
rest of the shower and hadronisation, by far most of the time.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from steps.events.species import INVISIBLE
from steps.physics.passing import OBJECTS

# Shares of the filter's least transverse momentum at which a shower is looked at, and that partons
# must have there; and of its least mass. Lost so are 0.5 % of what passes (docs/backgrounds.md).
_SCALE = 2 / 3
_PT = 0.55
_MASS = 0.5
# Where Pythia looks at showers of resonances that decay.
_OF_DECAYS = 5


def hook(pythia: Any, wanted: Mapping[str, Mapping[str, float]]) -> Any:
    """Return Pythia's user hook that gives up events without hope of the filter's jets.

    Photons and leptons that the filter asks for are no jets. Where resonances decay to what makes
    jets, which the shower shows too late, no event is given up.

    Args:
        pythia: The generator.
        wanted: A filter with ``jets``, see :mod:`steps.physics.passing`.

    Returns:
        The hook, which Pythia does not keep alive. Its attribute ``left`` is the number of events
        that it may give up, and counts down; ``given_up`` sums the weights of those that it did.
    """
    import pythia8mc

    jets = wanted["jets"]
    kinds = [OBJECTS[kind] for kind in OBJECTS.keys() & wanted.keys()]
    quiet = {*INVISIBLE, *(species for kind in kinds for species in kind)}
    number, least = int(jets["number"]), (_PT * jets["pt_min"]) ** 2
    mass = _MASS * jets.get("mass_min", 0.0)

    def are_there(event: Any) -> bool:
        partons = []
        for each in _final(event):
            if each.idAbs() not in quiet and not each.isResonance():
                momentum = each.p()
                if momentum.pT2() > least:
                    partons.append(momentum)
        if len(partons) < number:
            return False
        return not mass or any(pythia8mc.m(*pair) > mass for pair in combinations(partons, 2))

    def may_come_from_decays(process: Any) -> bool:
        return any(
            each.idAbs() not in quiet and process[each.mother1()].isResonance()
            for each in _final(process)
        )

    class Hook(pythia8mc.UserHooks):  # type: ignore[misc]
        left = 0
        given_up = 0.0

        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return float(_SCALE * jets["pt_min"])

        def doVetoPT(self, place: int, event: Any) -> bool:
            if place == _OF_DECAYS or not self.left or are_there(event):
                return False
            if may_come_from_decays(pythia.process):
                return False
            self.left -= 1
            self.given_up += pythia.infoPython().weight()
            return True

    return Hook()


def _final(event: Any) -> Iterator[Any]:
    """Yield what is not branched or decayed; the first two are the protons, before them a sum."""
    for k in range(3, event.size()):
        if event[k].isFinal():
            yield event[k]
