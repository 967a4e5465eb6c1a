"""More parameters than a grid has: intervals, pairs, findings, figures."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import yaml
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import minimize
from scipy.stats import chi2

from inference.chains import Chain
from inference.exact import Many, exact_sample
from steps.inference import cross_fitted, extremes, intervals, judging, reliability, summary
from steps.inference.frames import Frame
from steps.inference.likelihood import Densities
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.targets import Target
from steps.stage import results

LUMINOSITY = 300.0
LEVEL = float(chi2.isf(0.32, df=4))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return Many().write(tmp_path_factory.mktemp("many"), 3_000)


@pytest.fixture(scope="module")
def target():
    return Target(np.array([[-0.5, 0.5]] * 4), np.zeros(4), LUMINOSITY, (True,))


@pytest.fixture(scope="module")
def exact(many, target):
    """Sample and likelihoods with exact densities, and two bags."""
    sample, _ = exact_sample(many, n_bags=2)
    region, truth = target.region, target.theta_true
    return sample, cross_fitted.likelihoods(sample, region, truth, LUMINOSITY, with_rate=True)


@pytest.fixture(scope="module")
def nodes():
    """Points of a quadrature of p(x|0), and their weights."""
    at, weight = hermegauss(5)
    x = np.stack(np.meshgrid(*[at] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    weights = np.stack(np.meshgrid(*[weight / weight.sum()] * 4, indexing="ij")).prod(axis=0)
    return x * np.sqrt(1 + Many().noise ** 2), weights.ravel()


@pytest.fixture(scope="module")
def curve(nodes, target):
    """Limits of the exact likelihood of data expected at zero."""
    toy, (x, weights) = Many(), nodes
    benchmarks = np.array(list(toy.benchmarks.values()))
    exponents = [e for e in product(range(3), repeat=4) if sum(e) <= 2]
    polynomial = Polynomial.of(np.array(exponents), target.region)
    spread = 1 + toy.noise**2
    squares = [toy._square(b, x / spread, toy.noise**2 / spread) for b in benchmarks]
    densities = polynomial.coefficients(np.stack(squares, axis=-1), benchmarks)
    norm = weights @ densities
    counts = LUMINOSITY * weights
    rate = LUMINOSITY * norm
    likelihood = Densities(polynomial, target.region, counts, densities, norm, rate)
    return Frame(target, [9] * 4).curve("k", [likelihood])


@pytest.fixture(scope="module")
def deviance(nodes):
    """-2 ln L of the same, from the toy's formulas alone."""
    toy, (x, weights) = Many(), nodes

    def deviance(theta):
        expected = LUMINOSITY * toy.cross_section(theta)
        kinematics = LUMINOSITY * weights @ toy.log_ratio(x, theta)
        return -2 * (kinematics + LUMINOSITY * np.log(expected) - expected)

    return deviance


def test_intervals_are_those_of_the_closed_form(deviance, curve):
    """The profile over the other three, by another minimiser."""
    best = deviance(np.zeros(4))

    def profiled(number, value):
        others = [k for k in range(4) if k != number]
        theta = np.zeros(4)

        def of(free):
            theta[number], theta[others] = value, free
            return deviance(theta)

        return minimize(of, np.zeros(3), tol=1e-8).fun - best

    found = intervals.from_arrays(curve, "k").profiled
    for number in (0, 3):
        [piece] = found[number].pieces["95"]
        q = [profiled(number, end) for end in (piece.low, piece.high)]
        assert q == pytest.approx([intervals.LEVELS["95"]] * 2, abs=2e-3)


def test_a_frame_of_four_parameters_has_pairs_and_no_grid(curve, target):
    frame = Frame(target, [9, 7, 9, 9])
    assert not frame.has_grid
    shared = frame.arrays(300.0)
    assert shared["expectation/resolutions"].tolist() == [9, 7, 9, 9]
    assert "expectation/grid" not in shared
    assert not any(name.startswith(("log_likelihood", "uncertainty")) for name in curve)
    pairs = {name for name in curve if name.startswith("pairs/k/")}
    assert pairs == {f"pairs/k/{i}_{j}" for i in range(4) for j in range(i + 1, 4)}
    assert curve["pairs/k/0_3"].shape == (9, 9)


def test_pairs_are_profiled(deviance, curve):
    at = np.linspace(-0.5, 0.5, 9)[[3, 5]]

    def of(free):
        return deviance(np.array([at[0], free[0], at[1], free[1]]))

    wanted = minimize(of, np.zeros(2), tol=1e-8).fun - deviance(np.zeros(4))
    assert curve["pairs/k/0_2"][3, 5] == pytest.approx(wanted, abs=2e-3)


def test_extents_of_pairs_are_told(curve, target):
    arrays = curve | Frame(target, [9] * 4).arrays(300.0)
    shown = summary.Curve.read([arrays], "k", [9] * 4)
    assert shown.surface is None
    names = ["a", "b", "c", "d"]
    joint = summary.table(shown, names)["joint_contours_of_pairs"]
    assert set(joint) == {"a, b", "a, c", "a, d", "b, c", "b, d", "c, d"}
    extent = joint["a, b"]["68 % CL"]["extent"]["a"]
    [piece] = intervals.from_arrays(curve, "k").profiled[0].pieces["68"]
    # Two degrees of freedom instead of one: sqrt(2.28) times as wide.
    width = extent["high"] - extent["low"]
    assert width == pytest.approx(1.51 * (piece.high - piece.low), rel=0.1)
    alone, pair = shown.of_parameters([1]), shown.of_parameters([1, 3])
    assert alone.q == pytest.approx(pair.q.min(axis=1), abs=0.05)
    assert shown.best_fit() == pytest.approx(np.zeros(4), abs=0.01)


@dataclass(frozen=True)
class Parabola:
    """ln L = -0.5 (theta - centre)^T A (theta - centre), the best of several."""

    matrix: np.ndarray
    centres: np.ndarray
    region: np.ndarray

    def _values(self, points):
        away = points[None] - self.centres[:, None]
        return -0.5 * np.einsum("cgi,ij,cgj->cg", away, self.matrix, away)

    def __call__(self, points):
        return self._values(points).max(axis=0)

    def gradient(self, point):
        nearest = self._values(point[None])[:, 0].argmax()
        return -self.matrix @ (point - self.centres[nearest])


@pytest.fixture
def parabola():
    covariance = np.array(
        [[0.04, 0.01, 0, 0], [0.01, 0.02, 0.005, 0], [0, 0.005, 0.03, 0], [0, 0, 0, 0.01]]
    )
    return Parabola(np.linalg.inv(covariance), np.zeros((1, 4)), np.array([[-1.0, 1.0]] * 4))


def test_extremes_of_a_parabola(parabola):
    covariance = np.linalg.inv(parabola.matrix)
    points = extremes.points(parabola, np.zeros(4), LEVEL)
    for axis, (low, high) in enumerate(points.reshape(4, 2, 4)):
        reach = np.sqrt(LEVEL / covariance[axis, axis]) * covariance[axis]
        assert high == pytest.approx(reach, abs=1e-4)
        assert low == pytest.approx(-reach, abs=1e-4)


def test_extremes_at_the_edge_of_the_region(parabola):
    region = parabola.region.copy()
    region[0] = [-0.1, 1.0]
    points = extremes.points(replace(parabola, region=region), np.zeros(4), LEVEL)
    assert points[0, 0] == pytest.approx(-0.1)
    assert points[1, 0] == pytest.approx(np.sqrt(LEVEL * 0.04), abs=1e-4)


def test_extremes_of_two_pieces(parabola):
    centres = np.array([[-0.5, 0, 0, 0], [0.5, 0, 0, 0]])
    both = Parabola(4 * parabola.matrix, centres, parabola.region)
    points = extremes.points(both, centres[0], LEVEL)
    reach = np.sqrt(LEVEL * 0.01)
    assert [points[0, 0], points[1, 0]] == pytest.approx([-0.5 - reach, 0.5 + reach], abs=1e-3)


def test_best_fits_of_bags(parabola):
    moved = replace(parabola, centres=np.full((1, 4), 0.1))
    fits = extremes.best_fits([parabola, moved], np.zeros(4))
    assert fits == pytest.approx(np.array([np.zeros(4), np.full(4, 0.1)]), abs=1e-3)


def test_facts_without_a_grid(exact, target):
    sample, likelihoods = exact
    names = judging.Names(list("abcd"), [], [])
    case = judging.Case(Frame(target, [9] * 4), target.region, sample.weights, names)
    facts = judging.facts(case, likelihoods)
    assert facts.simulation.points.shape == (8, 4)
    best = extremes.best_fits(likelihoods[:1], target.theta_true)
    q = 2 * (likelihoods[0](best) - likelihoods[0](facts.simulation.points))
    assert q == pytest.approx(np.full(8, LEVEL), abs=0.02)
    assert facts.contour.extent[:, 0] == pytest.approx(facts.simulation.points[::2].diagonal())
    assert facts.contour.extent[:, 1] == pytest.approx(facts.simulation.points[1::2].diagonal())
    assert facts.contour.uncertainty is not None
    assert reliability.findings(facts) == []
    cut = replace(target, region=0.1 * target.region)
    facts = judging.facts(replace(case, frame=Frame(cut, [9] * 4)), _within(likelihoods, cut))
    assert facts.contour.extent == pytest.approx(cut.region)


def _within(likelihoods, target):
    return [replace(likelihood, region=target.region) for likelihood in likelihoods]


def test_the_stages(many, tmp_path):
    run = Chain(many, tmp_path)
    limits = {
        "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(4)},
        "resolutions": [4] * 4,
        "theta_true": [0.0] * 4,
    }
    changes = {"asymptotic_limits": limits, "include_xsec": [True]}
    run.write_input(["alice"], estimator="morphing", evaluating={"luminosity": 300}, **changes)
    run.run()
    shown = tmp_path / "plotting" / "plots"
    assert {"pairs.png", "closure_ALICE.png"} <= {path.name for path in shown.iterdir()}
    assert not list(shown.glob("all_methods*"))
    found = yaml.safe_load((shown / "limits.yml").read_text())
    assert len(found["limits"]["ALICE"]["joint_contours_of_pairs"]) == 6
    assert set(found["limits"]["ALICE"]["intervals"]) == {"t0", "t1", "t2", "t3"}
    assert found["luminosity_supported_in_1/fb"]["ALICE"].startswith("not known")
    assert set(found["linear_and_quadratic"]["ALICE"]["t3"]) >= {"linear", "quadratic"}
    reference = results.read(run.reference)
    assert reference["pairs/reference/with_rate/1_2"].shape == (4, 4)
