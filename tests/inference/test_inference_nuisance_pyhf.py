"""One observable in bins, a theory quadratic in theta: the same model in pyhf.

Numbers are those of pyhf 0.7.6 (Minuit), one workspace for each theta: samples ``signal`` with the
contents S.(1, theta, theta^2) and ``background``; ``normsys`` for the luminosity and the background
factors exp(+-a); ``histosys`` for the shapes, contents times exp(+-a).
"""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from inference.nuisance_models import Source, histogram, quadratic
from steps.inference import intervals
from steps.inference.nuisance import breakdown
from steps.inference.nuisance.likelihood import Data
from steps.inference.nuisance.profiling import Profiled, corrected

SIGNAL = 10 * np.array(
    [[6, 2, 1.5], [8, 4, 2.5], [9, 6, 5], [6, 6, 8], [3, 4.5, 9], [1, 2.5, 7]], dtype=float
)
BACKGROUND = 10 * np.array([60.0, 42.0, 28.0, 17.0, 9.0, 4.0])
SHAPE_SIGNAL = np.array([-0.05, -0.02, 0.02, 0.06, 0.10, 0.14])
SHAPE_BACKGROUND = np.array([0.06, 0.02, -0.03, -0.08, -0.12, -0.18])
LUMINOSITY, NORMALISATION = np.log(1.04), np.log(1.15)
DATA = np.array([690.0, 520.0, 421.0, 272.0, 171.0, 84.0])
THETAS = np.linspace(-1.4, 1.2, 14)

# Interpolation code1, exp(a nu), of one normsys for each bin: our form.
EXPONENTIAL = {
    "best": 0.54626,
    "nu": [-0.040034, -0.021635, 0.039031, 0.284191],
    "68": (0.41430, 0.66665),
    "95": (0.25432, 0.77878),
    "q": [
        *(22.36101, 11.41659, 4.64622, 2.40314, 3.79883, 6.44723, 8.09585),
        *(7.62548, 4.86502, 1.20743, 0.19346, 4.58969, 14.80210, 30.25092),
    ],
}
# Codes 4 and 4p, its defaults.
DEFAULT = {
    "best": 0.54621,
    "nu": [-0.039884, -0.022514, 0.039745, 0.286209],
    "68": (0.41291, 0.66552),
    "95": (0.25338, 0.78047),
    "q": [
        *(19.17020, 10.88573, 4.69297, 2.40742, 3.90674, 6.94096, 8.84226),
        *(8.14635, 4.92422, 1.18199, 0.19732, 4.48835, 13.32006, 25.19117),
    ],
}


def joint():
    """Nuisance parameters in the order of the facts above."""
    polynomial = quadratic(1, reach=1.6)
    benchmarks = np.array([[-1.0], [0.0], [1.0]])
    contents = SIGNAL @ np.array([benchmarks[:, 0] ** k for k in range(3)])
    signal = polynomial.coefficients(contents, benchmarks)
    sources = [
        Source(signal, {2: SHAPE_SIGNAL}, {0: LUMINOSITY}),
        Source(BACKGROUND[:, None], {3: SHAPE_BACKGROUND}, {0: LUMINOSITY, 1: NORMALISATION}),
    ]
    return histogram(polynomial, sources, Data(DATA, np.zeros(4)))


def test_it_is_pyhf_with_the_same_interpolation():
    profiled = Profiled(joint())
    theta, value = intervals.best_fit(profiled)
    best = breakdown.fit(joint(), theta)
    np.testing.assert_allclose(theta, EXPONENTIAL["best"], atol=2e-4)
    np.testing.assert_allclose(best.pulls[:, 0], EXPONENTIAL["nu"], atol=2e-3)
    q = 2 * (value - profiled(THETAS[:, None]))
    np.testing.assert_allclose(q, EXPONENTIAL["q"], rtol=1e-3, atol=1e-4)


def test_intervals_are_those_of_pyhf():
    [likelihood] = corrected([joint().nominal()], Profiled(joint()), tolerance=1e-5)
    estimate = intervals.intervals([likelihood], [0.0]).profiled[0]
    for level in ("68", "95"):
        # Further pieces are about the second minimum.
        [piece] = [p for p in estimate.pieces[level] if p.low < estimate.best_fit < p.high]
        for facts, share in ((EXPONENTIAL, 0.001), (DEFAULT, 0.02)):
            half = 0.5 * (facts[level][1] - facts[level][0])
            np.testing.assert_allclose((piece.low, piece.high), facts[level], atol=share * half)


# The interpolations of pyhf's defaults written out (arXiv:2211.15838; CERN-OPEN-2012-016).


def code4(nu, up, down):
    """Factor of a normsys: exponential beyond 1, between a polynomial of sixth order."""
    if abs(nu) >= 1:
        return up**nu if nu > 0 else down**-nu
    rows, wanted = [], []
    for at, ratio, sign in ((1.0, up, 1), (-1.0, down, -1)):
        log = np.log(ratio)
        k = np.arange(1, 7)
        rows += [at**k, k * at ** (k - 1.0), k * (k - 1) * at ** (k - 2.0)]
        wanted += [ratio - 1, sign * log * ratio, log**2 * ratio]
    return 1 + np.linalg.solve(np.array(rows), wanted) @ nu ** np.arange(1, 7)


def code4p(nu, up, down):
    """Shift of a histosys: linear beyond 1, between a polynomial; up and down are shifts."""
    if abs(nu) >= 1:
        return nu * up if nu > 0 else -nu * down
    mean, bend = 0.5 * (up - down), (up + down) / 16
    return nu * (mean + nu * bend * (15 + nu**2 * (3 * nu**2 - 10)))


def written_out(theta):
    """Profiled -2 ln L with these."""
    signal = SIGNAL @ [1, theta, theta**2]

    def deviance(nu):
        luminosity, normalisation = (
            code4(x, np.exp(a), np.exp(-a))
            for x, a in ((nu[0], LUMINOSITY), (nu[1], NORMALISATION))
        )
        shapes = [
            of + code4p(x, of * np.expm1(a), of * np.expm1(-a))
            for of, x, a in (
                (signal, nu[2], SHAPE_SIGNAL),
                (BACKGROUND, nu[3], SHAPE_BACKGROUND),
            )
        ]
        rate = luminosity * (shapes[0] + normalisation * shapes[1])
        return 2 * np.sum(rate - DATA * np.log(rate)) + np.sum(nu**2)

    return minimize(deviance, np.zeros(4), options={"gtol": 1e-5}).fun


def test_the_difference_to_the_defaults_is_their_interpolation():
    low = written_out(DEFAULT["best"])
    q = np.array([written_out(theta) for theta in THETAS]) - low
    np.testing.assert_allclose(q, DEFAULT["q"], rtol=1e-3, atol=1e-4)
    for end, away in zip(DEFAULT["68"], (-0.05, 0.05), strict=True):
        found = brentq(
            lambda theta: written_out(theta) - low - 1, end - away, end + away, xtol=1e-5
        )
        assert found == pytest.approx(end, abs=2e-4)
    # Within 5 % of q where it is of interest.
    profiled = Profiled(joint())
    ours = 2 * (intervals.best_fit(profiled)[1] - profiled(THETAS[:, None]))
    near = ours < 6
    np.testing.assert_allclose(ours[near], q[near], rtol=0.05)
