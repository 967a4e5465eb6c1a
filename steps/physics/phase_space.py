"""Phase space of p p -> j j H: unit hypercube to momenta, with the measure of the cross section."""

from dataclasses import dataclass

import numpy as np

from steps.arrays import Array

DIMENSIONS = 6
GEV2_TO_PB = 0.3893793721e9


@dataclass(frozen=True)
class Cuts:
    """Parton-level cuts of the generation.

    Attributes:
        pt_min: Least transverse momentum of either outgoing quark, GeV.
        eta_max: Largest absolute pseudorapidity of either outgoing quark.
        delta_r_min: Least distance of the outgoing quarks in (eta, phi).
        m_jj_min: Least invariant mass of the outgoing quarks, GeV.
    """

    pt_min: float = 10.0
    eta_max: float = float("inf")
    delta_r_min: float = 0.0
    m_jj_min: float = 0.0


@dataclass(frozen=True)
class Kinematics:
    """Points in phase space; every momentum is ``(n, 4)`` in GeV, ordered (E, px, py, pz).

    ``measure`` is ``(n,)``: dsigma = f_a f_b |M|^2 measure du^6, in pb GeV^2; zero outside.
    """

    pa: Array
    pb: Array
    p3: Array
    p4: Array
    higgs: Array
    x1: Array
    x2: Array
    measure: Array

    def __getitem__(self, index: Array) -> "Kinematics":
        return Kinematics(**{name: value[index] for name, value in vars(self).items()})


def kinematics(u: Array, energy: float, m_higgs: float, cuts: Cuts) -> Kinematics:
    """Map points of the unit hypercube to two massless partons and a Higgs boson.

    The cross section in transverse momenta and rapidities is
    dsigma = f1 f2 |M|^2 / (2 s^) (2 pi)^-5 (1/8) (2/s) d2pT3 d2pT4 dy3 dy4 dyH.

    Args:
        u: Points ``(n, 6)`` in [0, 1): log pT of either quark, their azimuthal distance, the
            rapidities of the quarks and of the Higgs boson.  The event's overall azimuth is
            fixed; see :func:`rotate`.
        energy: Centre-of-mass energy of the collider in GeV.
        m_higgs: Mass of the Higgs boson in GeV.
        cuts: Parton-level cuts; the measure vanishes where they fail.

    Returns:
        Momenta, momentum fractions and the measure.
    """
    log_range = np.log(0.5 * energy / cuts.pt_min)
    pt3, pt4 = cuts.pt_min * np.exp(log_range * u[:, :2].T)
    dphi = 2 * np.pi * u[:, 2]
    px = -pt3 - pt4 * np.cos(dphi)
    py = -pt4 * np.sin(dphi)
    mt = np.sqrt(m_higgs**2 + px**2 + py**2)

    y3_max, y4_max, yh_max = (np.arccosh(np.maximum(0.5 * energy / m, 1)) for m in (pt3, pt4, mt))
    y3, y4 = (2 * u[:, 3] - 1) * y3_max, (2 * u[:, 4] - 1) * y4_max
    yh = (2 * u[:, 5] - 1) * yh_max

    p3 = np.stack([pt3 * np.cosh(y3), pt3, np.zeros_like(pt3), pt3 * np.sinh(y3)], -1)
    p4 = np.stack(
        [pt4 * np.cosh(y4), pt4 * np.cos(dphi), pt4 * np.sin(dphi), pt4 * np.sinh(y4)], -1
    )
    higgs = np.stack([mt * np.cosh(yh), px, py, mt * np.sinh(yh)], -1)
    total = p3 + p4 + higgs
    x1 = (total[:, 0] + total[:, 3]) / energy
    x2 = (total[:, 0] - total[:, 3]) / energy
    zero = np.zeros_like(x1)
    pa = 0.5 * energy * np.stack([x1, zero, zero, x1], -1)
    pb = 0.5 * energy * np.stack([x2, zero, zero, -x2], -1)

    jacobian = (pt3 * pt4 * log_range) ** 2 * (2 * np.pi) ** 2 * 8 * y3_max * y4_max * yh_max
    flux = 2 * x1 * x2 * energy**2
    measure = GEV2_TO_PB * jacobian / flux / (2 * np.pi) ** 5 / 8 * 2 / energy**2
    m_jj2 = 2 * pt3 * pt4 * (np.cosh(y3 - y4) - np.cos(dphi))
    distance2 = (y3 - y4) ** 2 + np.minimum(dphi, 2 * np.pi - dphi) ** 2
    inside = (
        (x1 < 1)
        & (x2 < 1)
        & (np.maximum(np.abs(y3), np.abs(y4)) < cuts.eta_max)
        & (distance2 >= cuts.delta_r_min**2)
        & (m_jj2 >= cuts.m_jj_min**2)
    )
    return Kinematics(pa, pb, p3, p4, higgs, x1, x2, np.where(inside, measure, 0.0))


def rotate(momenta: Array, angle: Array) -> Array:
    """Rotate four-momenta ``(n, 4)`` about the beam axis by angles ``(n,)`` in radians."""
    e, px, py, pz = momenta.T
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([e, c * px - s * py, s * px + c * py, pz], -1)
