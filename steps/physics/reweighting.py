"""Weights of events at other scales and with other parton densities, by ratios of densities.

A cross section at lowest order is f_a(x_a, mu_F^2) f_b(x_b, mu_F^2) alpha_s(mu_R^2)^n times what
depends on neither scale nor densities, so that these ratios are exact, event by event.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from steps.arrays import Array
from steps.physics.partons import PartonDensities, PartonDistribution, find_set

Distribution = Callable[[Array, Array, Array], Array]
"""x f of PDG codes, momentum fractions and squared scales, all ``(n,)``; see
:class:`steps.physics.partons.PartonDistribution`."""
Coupling = Callable[[Array], Array]
"""alpha_s at squared scales in GeV^2; see :class:`steps.physics.partons.StrongCoupling`."""
_D = TypeVar("_D")

# Where a density vanishes in one set alone; no event of a typical sample is near.
_LARGEST = 1e3


@dataclass(frozen=True)
class HardProcess:
    """The hard processes of ``n`` events.

    Attributes:
        pdg_id: PDG codes of the incoming partons, ``(n, 2)``.
        x: Their momentum fractions, ``(n, 2)``.
        q2_fac: Squared factorisation scales in GeV^2, ``(n,)``.
        q2_ren: Squared renormalisation scales in GeV^2, ``(n,)``.
        alpha_s_power: Powers of alpha_s, ``(n,)``; see :func:`alpha_s_powers`.
    """

    pdg_id: Array
    x: Array
    q2_fac: Array
    q2_ren: Array
    alpha_s_power: Array


def log_ratio(varied: Array, nominal: Array) -> Array:
    """Return log(varied / nominal), at most that of 1000 either way; for instance of densities."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = varied / nominal
    found: Array = np.log(np.clip(np.nan_to_num(ratio, nan=1.0), 1 / _LARGEST, _LARGEST))
    return found


def scale_factors(scale: str, factor: float) -> tuple[float, float]:
    """Return the factors on factorisation and renormalisation scale.

    Args:
        scale: Which varies, in MadMiner's words: ``mu`` (both), ``muf``, ``mur``.
        factor: The factor.
    """
    return (1.0 if scale == "mur" else factor), (1.0 if scale == "muf" else factor)


def of_sets(
    names: Sequence[str],
    nominal: _D,
    load: Callable[[str], _D],
    ratio: Callable[[_D, _D], Array],
) -> Array:
    """Return log responses to other sets of parton densities, or to the members of one.

    Members for errors are compared with the central member of their own set; those of a Hessian set
    at another confidence level than one standard deviation are scaled to it.

    Args:
        names: Names of sets; see :func:`steps.physics.partons.find_set`.
        nominal: The densities that the events were drawn with.
        load: From one of a set's files to its densities.
        ratio: From varied and nominal densities to log responses ``(n,)``.

    Returns:
        Log responses ``(n, m)``.
    """
    sets = [find_set(name) for name in names]
    if not sets[0].error_type:
        return np.stack([ratio(load(found.files[0]), nominal) for found in sets], axis=-1)
    central, *members = sets[0].files
    own = load(central)
    logs: Array = np.stack([ratio(load(file), own) for file in members], axis=-1)
    return logs / sets[0].sigmas


def of_entry(
    process: HardProcess, entry: Mapping[str, Any], nominal: Distribution, coupling: Coupling
) -> Array:
    """Return log responses to one entry of the section ``systematics``.

    Args:
        process: The events.
        entry: A complete entry of type ``scale`` or ``pdf``; see :mod:`steps.settings.systematics`.
        nominal: The parton densities that the events were drawn with.
        coupling: The strong coupling that they were drawn with.

    Returns:
        Log responses ``(n, m)``.
    """
    if entry["type"] == "scale":
        factors = [scale_factors(entry["scale"], factor) for factor in entry["value"]]
        return np.stack([of_scales(process, nominal, coupling, *f) for f in factors], axis=-1)
    load: Callable[[str], Distribution] = PartonDistribution.of_file
    return of_sets(entry["value"], nominal, load, lambda v, n: of_densities(process, v, n))


def of_tables(varied: PartonDensities, nominal: PartonDensities, pdg_id: Array, x: Array) -> Array:
    """Return log responses of events drawn at one fixed scale, ``(n,)``.

    Args:
        varied: Densities of another set or at another scale.
        nominal: Those that the events were drawn with.
        pdg_id: PDG codes of the incoming partons, ``(n, 2)``.
        x: Their momentum fractions, ``(n, 2)``.
    """
    return log_ratio(varied.product(pdg_id, x), nominal.product(pdg_id, x))


def of_densities(process: HardProcess, varied: Distribution, nominal: Distribution) -> Array:
    """Return log responses to other parton densities at the same scales, ``(n,)``.

    Args:
        process: The events.
        varied: The other densities.
        nominal: Those that the events were drawn with.
    """
    q2 = process.q2_fac
    return log_ratio(product(varied, process, q2), product(nominal, process, q2))


def of_scales(
    process: HardProcess,
    densities: Distribution,
    coupling: Coupling,
    factorisation: float,
    renormalisation: float,
) -> Array:
    """Return log responses to factors on the scales, ``(n,)``.

    Args:
        process: The events.
        densities: The parton densities that the events were drawn with.
        coupling: The strong coupling that they were drawn with.
        factorisation: Factor on the factorisation scale (not its square).
        renormalisation: Factor on the renormalisation scale.
    """
    logs = np.zeros(len(process.x))
    if factorisation != 1.0:
        q2 = process.q2_fac
        shifted = product(densities, process, factorisation**2 * q2)
        logs += log_ratio(shifted, product(densities, process, q2))
    if renormalisation != 1.0:
        alphas = coupling(renormalisation**2 * process.q2_ren) / coupling(process.q2_ren)
        logs += process.alpha_s_power * np.log(alphas)
    return logs


def product(densities: Distribution, process: HardProcess, q2: Array) -> Array:
    """Return x_a f_a(x_a) x_b f_b(x_b) of the incoming partons at squared scales, ``(n,)``."""
    sides = [densities(process.pdg_id[:, side], process.x[:, side], q2) for side in (0, 1)]
    both: Array = sides[0] * sides[1]
    return both


def varies_coupling(entry: Mapping[str, Any]) -> bool:
    """Return whether the strong coupling varies with an entry of the section ``systematics``."""
    return bool(entry["type"] == "scale" and entry["scale"] != "muf")


def alpha_s_powers(codes: Iterable[int], unknown: int | None = None) -> Array:
    """Return the powers of alpha_s in processes of Pythia 8 at their lowest order.

    Args:
        codes: Pythia's codes of the processes, ``(n,)``.
        unknown: Power in those that are not in the table; None: there is none.

    Raises:
        KeyError: A code is not in the table; the exception holds it.
    """
    known = _ALPHA_S_POWERS
    if unknown is None:
        return np.array([known[int(code)] for code in codes])
    return np.array([known.get(int(code), unknown) for code in codes])


# By the codes in Pythia's manual.
_ALPHA_S_POWERS = {
    code: power
    for power, codes in {
        # Electroweak exchange; two photons; one or two weak bosons, with a photon, from photons;
        # top quarks by such forces; the Higgs boson from fermions or photons, with W or Z, or by
        # weak-boson fusion.
        0: (
            *(204, 211, 212, *range(221, 226), 231, 232, 233, 243, 244, 253, 254),
            *(*range(261, 267), 275, 285, 603, 604, 605, 606, 901, *range(903, 908)),
        ),
        # Photon and jet; weak boson and jet; jets or top quarks from a photon; bottom quark to H.
        1: (201, 202, 241, 242, 251, 252, *range(271, 275), *range(281, 285), 607, 617, 911),
        # Two jets; two photons by a loop; top quarks; H by a loop; H with top or bottom quarks.
        2: (*range(111, 117), *range(121, 125), 205, 601, 602, 902, 908, 909, 912, 913),
        # Three jets; photon and jet by a loop; H and jet by a loop.
        3: (*range(131, 141), 203, 914, 915, 916),
    }.items()
    for code in codes
}
