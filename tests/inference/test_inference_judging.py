"""Facts that limits are judged by, the luminosity they support, and what their thresholds cover."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import chi2

from steps.inference import covering, evidence, judging, reliability, support
from steps.inference.frames import Frame
from steps.inference.likelihood import Densities
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.targets import Target

REGION = np.array([[-1.0, 1.0], [-2.0, 2.0]])
LEVEL = float(chi2.isf(0.32, df=2))


@dataclass(frozen=True)
class Normal:
    """A likelihood of two independent normal parameters."""

    centre: tuple[float, float]
    widths: tuple[float, float] = (0.2, 0.5)
    region: np.ndarray = None

    def __call__(self, points):
        return -0.5 * (((points - self.centre) / self.widths) ** 2).sum(axis=1)

    def gradient(self, point):
        return -(point - self.centre) / np.square(self.widths)


def normal(centre):
    return Normal(tuple(centre), region=REGION)


def case(trained=REGION, luminosity=1000.0):
    target = Target(REGION, np.zeros(2), luminosity, [True])
    frame = Frame(target, [41, 41])
    names = judging.Names(["a", "b"], ["x"], ["sm"])
    return judging.Case(frame, trained, lambda points: np.full((len(points), 500), 1e-4), names)


def bags(spread, n=20, seed=1):
    rng = np.random.default_rng(seed)
    return [normal(rng.normal(0, spread * np.array([0.2, 0.5]))) for _ in range(n)]


def test_facts_of_a_normal_likelihood():
    facts = judging.facts(case(), [normal((0.05, 0.0)), *bags(0.1)])
    reach = np.sqrt(LEVEL) * np.array([0.2, 0.5])
    np.testing.assert_allclose(
        facts.contour.extent, [[0.05 - reach[0], 0.05 + reach[0]], [-reach[1], reach[1]]], atol=0.02
    )
    assert facts.contour.q == pytest.approx(LEVEL)
    assert facts.simulation.n_expected == pytest.approx(50)
    assert facts.simulation.effective == pytest.approx(500)
    assert facts.best_fit.q_truth == pytest.approx((0.05 / 0.2) ** 2, abs=1e-3)
    # q of a bag's best fit is that of two normal numbers a tenth of a width wide.
    shifted = [normal((0.0, 0.0)), *bags(0.1, n=200)]
    assert judging.facts(case(), shifted).best_fit.q_bags.mean() == pytest.approx(0.02, rel=0.3)
    # On the contour q changes by twice its root for each width that the best fit moves.
    assert facts.contour.uncertainty == pytest.approx(2 * np.sqrt(LEVEL) * 0.1, rel=0.4)


def test_points_are_the_extremes_of_the_contour():
    points = judging.facts(case(), [normal((0.0, 0.0))]).simulation.points
    reach = np.sqrt(LEVEL) * np.array([0.2, 0.5])
    expected = [[-reach[0], 0], [reach[0], 0], [0, -reach[1]], [0, reach[1]]]
    np.testing.assert_allclose(points, expected, atol=0.25)
    np.testing.assert_allclose(normal((0, 0))(points), -LEVEL / 2, rtol=0.1)


def test_one_likelihood_alone_has_no_uncertainty():
    assert judging.facts(case(), [normal((0.0, 0.0))]).contour.uncertainty is None


def test_a_wrong_best_fit_is_reliable_at_a_lower_luminosity():
    """The best fit is off by a width and a half; q of that is proportional to the luminosity."""
    likelihoods = [normal((0.3, 0.0)), *bags(0.02)]
    assert reliability.findings(judging.facts(case(), likelihoods))
    found = support.supported_luminosity(case(), likelihoods, lambda points, target: ())
    assert 0 < found < 1000
    scaled = [support.Scaled(each, found / 1000) for each in likelihoods]
    assert not reliability.findings(judging.facts(case(luminosity=found), scaled))


def test_no_luminosity_is_supported_where_a_test_fails_at_any():
    failed = evidence.Check("closure", "x", 0, 1e-9, 1e-3, 5.0, 0.1)
    found = support.supported_luminosity(
        case(), [normal((0.0, 0.0)), *bags(0.02)], lambda points, target: [failed]
    )
    assert np.isnan(found)
    assert "no luminosity" in reliability.together(found).remedy


def test_a_scaled_likelihood_has_a_scaled_gradient():
    scaled = support.Scaled(normal((0.1, 0.2)), 0.25)
    point = np.array([0.5, 0.5])
    np.testing.assert_allclose(scaled.gradient(point), 0.25 * normal((0.1, 0.2)).gradient(point))
    assert scaled(point[None])[0] == pytest.approx(0.25 * normal((0.1, 0.2))(point[None])[0])
    np.testing.assert_array_equal(scaled.region, REGION)


def test_findings_are_lines_of_bytes():
    finding = reliability.Finding("q is off by ± 2", "generate more")
    assert judging.lines([finding])[0].decode() == "q is off by ± 2; generate more"
    assert judging.lines([]).size == 0


# ------------------------------------------------------------------ pseudo-experiments
def counting(n_expected=400.0):
    """A counting experiment s = n (1 + theta)^2, nearly Gaussian."""
    region = np.array([[-0.4, 0.4]])
    polynomial = Polynomial.of(np.array([[0], [1], [2]]), region)
    points = np.array([[-0.4], [0.0], [0.4]])
    monomials = polynomial.weights(points)
    rate = np.linalg.solve(monomials, n_expected * (1 + points[:, 0]) ** 2)
    likelihood = Densities(polynomial, region, np.array([n_expected]), rate[None], rate, rate)
    target = Target(region, np.zeros(1), 1.0, [True])

    def counts(point):
        return n_expected * (1 + point) ** 2

    return Frame(target, [41]), likelihood, counts


def test_thresholds_of_a_counting_experiment_are_those_of_chi_squared():
    frame, likelihood, counts = counting()
    rng = np.random.default_rng(1)
    thresholds, coverage = covering.toys(
        frame, likelihood, counts, 3000, [[0.0], [0.1], [0.9]], rng
    )
    assert set(thresholds) == {"68", "95"}
    near = np.abs(frame.points[:, 0]) < 0.1
    for level, p_value in (("68", 0.32), ("95", 0.05)):
        np.testing.assert_allclose(thresholds[level][near], chi2.isf(p_value, df=1), rtol=0.12)
    assert coverage.shape == (2, 1 + 8)
    np.testing.assert_allclose(coverage[:, [1, 5]], 0.68, atol=0.03)
    np.testing.assert_allclose(coverage[:, [3, 7]], 0.95, atol=0.02)


def test_a_likelihood_narrower_than_the_grid_has_thresholds_too():
    frame, likelihood, counts = counting(1e6)
    rng = np.random.default_rng(1)
    thresholds, _ = covering.toys(frame, likelihood, counts, 50, [[0.0]], rng)
    assert np.isfinite(thresholds["68"]).all()
