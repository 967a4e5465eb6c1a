"""The matrix element against MadGraph's numbers and the symmetries it must have."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.physics import amplitude, phase_space

# From MadGraph5_aMC@NLO 3.5.7 with the UFO model EWdim6; the file states process and units.
REFERENCE = json.loads((Path(__file__).parent / "madgraph_me2.json").read_text())
POINTS = np.array(REFERENCE["points"])
CP_ODD = np.array([1, 1, -1, 1, -1, 1])  # sign of each coefficient under a reflection


def form(p, anti_a=False, anti_b=False):
    """Quadratic form at momenta ``(n, >= 4, 4)`` ordered a, b, 3, 4."""
    anti = [np.full(len(p), flag) for flag in (anti_a, anti_b)]
    return amplitude.quadratic_form(amplitude.sub_amplitudes(*np.moveaxis(p, 1, 0)[:4], *anti))


@pytest.fixture(scope="module")
def momenta():
    """Random collisions off the reference table, ``(n, 4, 4)``."""
    kin = phase_space.kinematics(
        np.random.default_rng(1).random((3000, 6)), 13e3, 125.0, phase_space.Cuts()
    )
    return np.stack([kin.pa, kin.pb, kin.p3, kin.p4], 1)[kin.measure > 0][:200]


def close(actual, expected, rtol=1e-7):
    """Compare forms coefficient by coefficient, on the scale that positivity sets for each."""
    aa, bb, cc = (np.sqrt(np.abs(expected[:, i])) for i in (0, 3, 5))
    scale = np.stack([aa * aa, aa * bb, aa * cc, bb * bb, bb * cc, cc * cc], -1)
    np.testing.assert_array_less(np.abs(actual - expected), rtol * scale)


@pytest.mark.parametrize("value", REFERENCE["values"], ids=lambda v: f"{v['CWL2']},{v['CPWL2']}")
def test_agrees_with_madgraph(value):
    me2 = form(POINTS) @ amplitude.monomials([value])[0]
    np.testing.assert_allclose(me2, value["me2"], rtol=1e-6)


def test_electroweak_inputs_give_the_model_w_mass():
    assert pytest.approx(REFERENCE["inputs"]["MW (derived)"], rel=1e-12) == amplitude.M_W
    # v from the masses and from the Fermi constant are one number.
    assert pytest.approx((np.sqrt(2) * amplitude.G_FERMI) ** -0.5, rel=1e-6) == amplitude.VEV


directions = st.tuples(
    st.floats(1e-2, 1e4), st.floats(-1, 1), st.floats(0, 2 * np.pi), st.sampled_from([0, 1])
)


def massless(energy, cos, phi, on_axis):
    sin = 0.0 if on_axis else np.sqrt(1 - cos**2)
    cos = np.copysign(1.0, cos) if on_axis else cos
    return energy * np.array([[1.0, sin * np.cos(phi), sin * np.sin(phi), cos]])


@given(directions, directions)
def test_current_is_conserved(outgoing, incoming):
    p, q = massless(*outgoing), massless(*incoming)
    current = amplitude.left_handed_current(p, q)
    scale = np.abs(current).max() * np.abs(np.concatenate([p, q])).max() + 1e-300
    assert np.abs(amplitude.minkowski(current, q - p))[0] < 1e-7 * scale
    # |J|^2 summed with the metric is -4 p.q for a left-handed current.
    square = amplitude.minkowski(current, current.conj())[0]
    assert abs(square + 4 * amplitude.minkowski(p, q)[0]) < 1e-7 * 4 * p[0, 0] * q[0, 0]


def boost(axis, rapidity):
    matrix = np.eye(4)
    matrix[0, 0] = matrix[axis, axis] = np.cosh(rapidity)
    matrix[0, axis] = matrix[axis, 0] = np.sinh(rapidity)
    return matrix


def rotation(i, j, angle):
    matrix = np.eye(4)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


@pytest.mark.parametrize(
    "transform",
    [
        boost(3, 1.2),
        boost(3, -2.0),
        boost(1, 0.7),
        rotation(1, 2, 2.1),
        rotation(1, 3, np.pi),
        rotation(2, 3, 0.4) @ boost(2, -0.5) @ rotation(1, 2, 1.0),
    ],
)
@pytest.mark.parametrize("anti_b", [False, True])
def test_is_lorentz_invariant(momenta, transform, anti_b):
    expected = form(momenta, False, anti_b)
    close(form(momenta @ transform.T, False, anti_b), expected, rtol=1e-6)


@pytest.mark.parametrize("anti_b", [False, True])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_reflection_flips_the_terms_odd_in_cpwl2(momenta, axis, anti_b):
    mirror = np.ones(4)
    mirror[axis] = -1
    plain = form(momenta, False, anti_b)
    assert np.abs(plain[:, [2, 4]]).max() > 0
    close(form(momenta * mirror, False, anti_b), plain * CP_ODD, rtol=1e-6)


def test_reversing_both_lines_changes_nothing(momenta):
    # The generator computes one form for q q and qbar qbar, one for q qbar and qbar q.
    close(form(momenta, True, True), form(momenta, False, False))
    close(form(momenta, True, False), form(momenta, False, True))
    assert not np.allclose(form(momenta, False, True), form(momenta), rtol=0.1, atol=0)


def test_lines_are_interchangeable(momenta):
    close(form(momenta[:, [1, 0, 3, 2]]), form(momenta))


@given(
    st.lists(st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_quadratic_form_is_the_square(points, seed):
    parts = np.random.default_rng(seed).normal(size=(2, 5, 3)) * [1, 0.01, 0.01]
    amplitudes = parts[0] + 1j * parts[1]
    named = [{"CWL2": a, "CPWL2": b} for a, b in points]
    me2 = amplitude.quadratic_form(amplitudes) @ amplitude.monomials(named).T
    direct = 0.25 * np.abs(amplitudes @ np.array([[1, a, b] for a, b in points]).T) ** 2
    np.testing.assert_allclose(me2, direct, rtol=1e-9, atol=1e-12 * np.abs(me2).max() + 1e-13)


def test_missing_coefficients_are_zero():
    np.testing.assert_array_equal(amplitude.monomials([{}, {"CPWL2": 2.0}])[0], np.eye(6)[0])
    np.testing.assert_array_equal(amplitude.monomials([{"CPWL2": 2.0}])[0], [1, 0, 2, 0, 0, 4])
