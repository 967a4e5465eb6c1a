"""Hard processes of the events that Pythia 8 generates, and log responses of their weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np

from steps.arrays import Array
from steps.physics.partons import PartonDistribution, StrongCoupling
from steps.physics.reweighting import (
    HardProcess,
    alpha_s_powers,
    of_entry,
    product,
    varies_coupling,
)

# Codes of soft processes, whose cross sections do not come from parton densities.
_SOFT = (*range(101, 107), *range(151, 160))
_ACCURACY = 1e-6


class HardProcessError(ValueError):
    """Ratios of densities do not tell weights of these events; one line."""


class Watch:
    """Collects the hard processes of events while Pythia generates them."""

    def __init__(self, pythia: Any) -> None:
        """Watch a Pythia that is not yet initialised."""
        import pythia8mc

        codes: dict[tuple[float, float], int] = {}

        # Batches hold all but the code of the process. An event is found again by its momentum
        # fractions, since Pythia gives up on some and tries again.
        class Hooks(pythia8mc.UserHooks):  # type: ignore[misc]
            def canVetoProcessLevel(self) -> bool:
                return True

            def doVetoProcessLevel(self, event: Any) -> bool:
                about = pythia.infoPython()
                codes[about.x1(), about.x2()] = about.code()
                return False

        self._pythia, self._codes, self._hooks = pythia, codes, Hooks()
        self._columns: list[dict[str, Array]] = []
        pythia.addUserHooksPtr(self._hooks)

    def add(self, info: ak.Array, chosen: Array) -> None:
        """Keep what Pythia says of some events of the last batch.

        Args:
            info: Its ``info`` of all events, ``(n,)``.
            chosen: Indices of those to keep.
        """
        names = ("id1", "id2", "x1", "x2", "pdf1", "pdf2", "Q2Fac", "Q2Ren")
        columns = {name: np.asarray(ak.to_numpy(info[name][chosen])) for name in names}
        fractions = zip(columns["x1"].tolist(), columns["x2"].tolist(), strict=True)
        columns["code"] = np.array([self._codes[x] for x in fractions], dtype=int)
        self._columns.append(columns)
        self._codes.clear()

    def log_responses(
        self, n_events: int, entries: Sequence[Mapping[str, Any]], power: int | None
    ) -> dict[str, Array]:
        """Return log responses of the events kept.

        Args:
            n_events: How many of them, the first ones.
            entries: Complete entries of ``systematics`` of types ``scale`` and ``pdf``.
            power: Power of alpha_s in processes that are not known; None: there is none.

        Returns:
            Log responses ``(n, m)`` by the entry's name.
        """
        found = self._found(n_events)
        densities, coupling = _densities(self._pythia), _coupling(self._pythia)
        codes = found["code"]
        varied = any(varies_coupling(entry) for entry in entries)
        powers = alpha_s_powers(codes, power) if varied else np.zeros(len(codes))
        process = _hard_process(found, powers)
        return {e["name"]: of_entry(process, e, densities, coupling) for e in entries}

    def check(self) -> None:
        """Check that the events kept are drawn from one proton's densities at the scale told.

        Raises:
            HardProcessError: They are not.
        """
        found = self._found(None)
        process = _hard_process(found, np.zeros(len(found["code"])))
        ours = product(_densities(self._pythia), process, process.q2_fac)
        theirs = found["pdf1"] * found["pdf2"]
        if not np.allclose(ours, theirs, rtol=_ACCURACY, atol=0.0):
            raise HardProcessError("its two beams have different parton densities")

    def _found(self, n_events: int | None) -> dict[str, Array]:
        names = self._columns[0]
        return {n: np.concatenate([c[n] for c in self._columns])[:n_events] for n in names}


def codes(pythia: Any) -> dict[int, str]:
    """Return codes and names of the hard processes that Pythia generates, once it made an event.

    Raises:
        HardProcessError: Some are soft, or there are two in an event.
    """
    about = pythia.infoPython()
    found = {int(code): str(about.nameProc(code)) for code in about.codesHard()}
    for code, name in found.items():
        if code in _SOFT:
            raise HardProcessError(f"{name} is no hard process")
    if pythia.flag("SecondHard:generate"):
        raise HardProcessError("its events have two hard processes (SecondHard:generate)")
    return found


def _hard_process(found: Mapping[str, Array], powers: Array) -> HardProcess:
    pdg_id, x = (np.stack([found[f"{name}{k}"] for k in (1, 2)], -1) for name in ("id", "x"))
    return HardProcess(pdg_id, x, found["Q2Fac"], found["Q2Ren"], powers)


def _densities(pythia: Any) -> PartonDistribution:
    # Its second kind is that of the hard process (PDF:useHard).
    return PartonDistribution(pythia.getPDFPtr(2212, 2))


def _coupling(pythia: Any) -> StrongCoupling:
    value, order = (f"SigmaProcess:alphaS{name}" for name in ("value", "order"))
    return StrongCoupling(pythia.parm(value), pythia.mode(order))
