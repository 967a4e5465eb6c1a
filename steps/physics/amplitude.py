"""Tree-level amplitude of Higgs production by W-boson fusion, q q' -> q'' q''' H.

Standard Model plus the operators of the EWdim6 model that change the HWW vertex: the CP-even
``CWL2`` (coefficient of O_W) and the CP-odd ``CPWL2`` (coefficient of O_W-tilde).  One diagram
contributes: either quark line emits a W, the two fuse into the Higgs.  The amplitude is linear in
the Wilson coefficients, so |M|^2 is a quadratic form whose coefficients are computed once per
phase-space point; every parameter point is then a weighted sum.

Conventions follow the EWdim6 UFO model (Degrande et al., Annals Phys. 335 (2013) 21,
arXiv:1205.4231) as implemented in MadGraph5_aMC@NLO.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from steps.arrays import Array

# Electroweak inputs of the model: alpha(M_Z), G_F [GeV^-2] and M_Z [GeV] fix everything else.
ALPHA_EW = 1 / 127.9
G_FERMI = 1.16637e-5
M_Z = 91.1876
M_H = 125.0
WIDTH_W = 2.085
M_W = float(
    np.sqrt(M_Z**2 / 2 + np.sqrt(M_Z**4 / 4 - np.pi * ALPHA_EW * M_Z**2 / (G_FERMI * np.sqrt(2))))
)
SIN2_THETA_W = 1 - M_W**2 / M_Z**2
G_WEAK = float(np.sqrt(4 * np.pi * ALPHA_EW / SIN2_THETA_W))
VEV = 2 * M_W / G_WEAK

# Wilson coefficients the amplitude depends on, as (LHA block, LHA code) of the parameter card.
WILSON_COEFFICIENTS = {("dim6", 2): "CWL2", ("dim6", 5): "CPWL2"}
COEFFICIENT_ORDER = ("CWL2", "CPWL2")

_METRIC = np.array([1.0, -1.0, -1.0, -1.0])
_TEV2_TO_GEV2 = 1e-6


def minkowski(p: Array, q: Array) -> Array:
    """Return the Minkowski product p.q of four-vectors ``(..., 4)`` ordered (E, px, py, pz)."""
    product: Array = np.sum(p * q * _METRIC, axis=-1)
    return product


def left_handed_current(outgoing: Array, incoming: Array) -> Array:
    """Return the massless current J^mu = u-bar_L(outgoing) gamma^mu u_L(incoming).

    Args:
        outgoing: Four-momenta ``(n, 4)`` in GeV of the spinor on the left.
        incoming: Four-momenta ``(n, 4)`` in GeV of the spinor on the right.

    Returns:
        Complex current ``(n, 4)`` in GeV with upper Lorentz index.
    """
    left, right = _weyl_spinor(outgoing).conj(), _weyl_spinor(incoming)
    (l1, l2), (r1, r2) = left.T, right.T
    # sigma-bar^mu = (1, -sigma_i)
    return np.stack(
        [
            l1 * r1 + l2 * r2,
            -(l1 * r2 + l2 * r1),
            1j * (l1 * r2 - l2 * r1),
            -(l1 * r1 - l2 * r2),
        ],
        axis=-1,
    )


def _weyl_spinor(p: Array) -> Array:
    """Left-handed Weyl spinor ``(n, 2)`` with u u^dagger = p.sigma, stable for any sign of pz."""
    e, px, py, pz = p.T
    forward = pz > 0
    norm = np.sqrt(e + np.abs(pz))
    transverse = -(px + np.where(forward, -1j, 1j) * py) / norm
    return np.stack([np.where(forward, transverse, norm), np.where(forward, norm, transverse)], -1)


def sub_amplitudes(
    pa: Array, pb: Array, p3: Array, p4: Array, anti_a: Array, anti_b: Array
) -> Array:
    """Return the amplitudes of the Standard Model and of either operator at unit coefficient.

    Args:
        pa, pb: Incoming parton momenta ``(n, 4)`` in GeV, ordered (E, px, py, pz).
        p3, p4: Outgoing parton momenta ``(n, 4)`` in GeV of the lines of a and b.
        anti_a, anti_b: Whether the parton is an antiquark, boolean ``(n,)``.

    Returns:
        Complex array ``(n, 3)``: Standard Model [GeV^-1], CWL2 and CPWL2 [TeV^2/GeV].
    """
    j1 = _line_current(pa, p3, anti_a)
    j2 = _line_current(pb, p4, anti_b)
    q1, q2 = pa - p3, pb - p4
    k = -(q1 + q2)

    j1_j2 = minkowski(j1, j2)
    dipole = (
        minkowski(j1, k) * minkowski(j2, q1)
        + minkowski(j1, q2) * minkowski(j2, k)
        - (minkowski(q1, k) + minkowski(q2, k)) * j1_j2
    )
    lower = [v * _METRIC for v in (j1, j2, q1, q2)]
    vertex = np.stack(
        [
            j1_j2,
            0.5 * _TEV2_TO_GEV2 * dipole,
            2.0 * _TEV2_TO_GEV2 * _levi_civita(*lower),
        ],
        axis=-1,
    )
    propagators = _propagator(minkowski(q1, q1)) * _propagator(minkowski(q2, q2))
    coupling = 0.5 * G_WEAK**2 * 0.5 * G_WEAK**2 * VEV
    amplitudes: Array = coupling * propagators[:, None] * vertex
    return amplitudes


def _line_current(incoming: Array, outgoing: Array, anti: Array) -> Array:
    anti = anti[:, None]
    return left_handed_current(
        np.where(anti, incoming, outgoing), np.where(anti, outgoing, incoming)
    )


def _levi_civita(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Contract epsilon^{mu nu rho sigma} with four vectors, by cofactors of 2x2 minors."""

    def minor(v: Array, w: Array, i: int, j: int) -> Array:
        value: Array = v[:, i] * w[:, j] - v[:, j] * w[:, i]
        return value

    pairs = [(0, 1, 2, 3, 1), (0, 2, 1, 3, -1), (0, 3, 1, 2, 1), (1, 2, 0, 3, 1), (1, 3, 0, 2, -1)]
    pairs.append((2, 3, 0, 1, 1))
    terms = [sign * minor(a, b, i, j) * minor(c, d, k, m) for i, j, k, m, sign in pairs]
    contracted: Array = np.sum(terms, axis=0)
    return contracted


def _propagator(q2: Array) -> Array:
    return 1.0 / (q2 - M_W**2 + 1j * M_W * WIDTH_W)


def quadratic_form(amplitudes: Array) -> Array:
    """Return the coefficients of the spin- and colour-averaged |M|^2 as a quadratic polynomial.

    With c = (1, CWL2, CPWL2), |M|^2 = sum_{i<=j} coefficient_ij c_i c_j.

    Args:
        amplitudes: Complex array ``(n, 3)`` from :func:`sub_amplitudes`.

    Returns:
        Real array ``(n, 6)`` in the order (11, 1a, 1b, aa, ab, bb), a = CWL2, b = CPWL2 in TeV^-2.
    """
    a0, a1, a2 = amplitudes.T
    spin_average = 0.25
    return spin_average * np.stack(
        [
            np.abs(a0) ** 2,
            2 * np.real(a0 * a1.conj()),
            2 * np.real(a0 * a2.conj()),
            np.abs(a1) ** 2,
            2 * np.real(a1 * a2.conj()),
            np.abs(a2) ** 2,
        ],
        axis=-1,
    )


def monomials(points: Sequence[Mapping[str, float]]) -> Array:
    """Return the monomials that multiply :func:`quadratic_form` at parameter points.

    Args:
        points: For each point the Wilson coefficients in TeV^-2 by name; missing ones are zero.

    Returns:
        Real array ``(n_points, 6)``.
    """
    a, b = (np.array([p.get(name, 0.0) for p in points]) for name in COEFFICIENT_ORDER)
    return np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=-1)
