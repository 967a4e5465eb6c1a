"""Evaluations put together, of networks that are exact and of such that are not."""

import zlib
from dataclasses import dataclass, replace

import numpy as np
import pytest

from inference.exact import exact_sample
from steps.inference import evaluation, evidence, frames, intervals, judging
from steps.inference.evaluation import Evaluated, Wanted
from steps.inference.frames import Frame
from steps.inference.statistics import CONFIDENCE_LEVELS
from steps.inference.targets import Target

REGION = np.array([[-1.0, 1.0]] * 2)
NAMES = judging.Names(["t0", "t1"], ["x0", "x1"], ["sm", "w", "a", "b", "c", "d"])
WANTED = Wanted("alice", 0, [], None, np.zeros(2), 500)


def random(*purpose):
    return np.random.default_rng([zlib.crc32(word.encode()) for word in purpose])


def frame(theta_true=(0.0, 0.0), rates=(True, False), luminosity=20.0):
    return Frame(Target(REGION, np.array(theta_true), luminosity, rates), [9, 7])


@pytest.fixture(scope="module")
def exact(small):
    """Networks that know the densities."""
    sample, x = exact_sample(small, n_bags=2)
    benchmarks = np.array(list(small.benchmarks.values()), dtype=float)
    names = replace(NAMES, benchmarks=list(small.benchmarks))
    return Evaluated(sample, x, benchmarks, frame(), names)


@pytest.fixture(scope="module")
def found(exact):
    """What is told of these, with all that may be wanted."""
    wanted = replace(
        WANTED, n_toys=20, covered=[[0.2, 0.1], [3.0, 0.0]], information=np.array([0.1, 0.0])
    )
    return evaluation.of_cross_fitted(exact, wanted, random)


def wrong(exact, slope):
    """Return networks whose densities are off by a factor that an observable fixes."""
    factor = np.exp(slope * np.tanh(exact.x[:, 0]))
    events = exact.sample.events
    # Of the terms that are not constant: a common factor cancels.
    densities = events.densities.copy()
    densities[:, :, 1:] *= factor[:, None]
    events = replace(events, densities=densities)
    return replace(exact, sample=replace(exact.sample, events=events))


def test_exact_networks_are_relied_on(found):
    for name in frames.NAMES.values():
        assert found[f"findings/{name}"].size == 0
        for kind in evidence.KINDS:
            p_global, change, error = found[f"evidence/{name}/{kind}"]
            assert p_global > 0.001
            assert error > 0
            assert np.isfinite(change)
    np.testing.assert_allclose(found["closure/slope"], 1.0, atol=0.05)


def test_all_that_is_wanted_is_told(found):
    assert found["fisher/alice"].shape == (2, 2)
    assert (found["fisher_error/alice"] > 0).all()
    assert found["joint/truth"].shape == found["joint/estimate"].shape == (500,)
    assert found["truncation/linear"].shape[0] == 2
    for name in frames.NAMES.values():
        assert found[f"log_likelihood/{name}"].shape == (63,)
        for level in CONFIDENCE_LEVELS:
            assert found[f"thresholds/{name}/{level}"].shape == (63,)
        # Of the truth and of the one point that is inside the region.
        np.testing.assert_array_equal(found[f"coverage/{name}"][:, :2], [[0.0, 0.0], [0.2, 0.1]])


def test_nothing_else_is_told(exact):
    """Linear terms expand about zero and count events."""
    off = replace(exact, frame=frame((0.1, 0.0), [False]))
    kinds = {key.split("/")[0] for key in evaluation.of_cross_fitted(off, WANTED, random)}
    assert kinds == {
        *("log_likelihood", "uncertainty", "intervals", "findings", "evidence"),
        *("closure", "joint", "held_out_loss"),
    }


def test_the_same_random_numbers_make_the_same_results(exact, found):
    again = evaluation.of_cross_fitted(exact, replace(WANTED, n_toys=20), random)
    for name, values in again.items():
        if not name.startswith("coverage/"):
            np.testing.assert_array_equal(values, found[name], err_msg=name)


def test_wrong_networks_are_told_with_what_they_support(exact):
    off = replace(wrong(exact, 1.0), frame=frame(rates=[True], luminosity=300.0))
    lines = evaluation.of_cross_fitted(off, WANTED, random)["findings/with_rate"]
    assert len(lines) > 1
    assert lines[-1].startswith(b"taken together; limits are supported up to about")


def test_facts_hold_the_tests_at_the_contour(exact):
    likelihoods = [_Normal(np.zeros(2), np.array([0.2, 0.3]))] * 3
    facts, tests = exact.judged(likelihoods)
    assert facts.checks == tests.checks
    assert facts.simulation.points.shape == (4, 2)
    again = exact.tested(facts.simulation.points, exact.frame.target)
    assert again.checks == tests.checks


# ------------------------------------------------------------------ on a grid
@dataclass(frozen=True)
class _Normal:
    centre: np.ndarray
    widths: np.ndarray
    region: np.ndarray = None

    def __call__(self, points):
        return -0.5 * (((points - self.centre) / self.widths) ** 2).sum(axis=1)


def test_limits_on_a_grid_are_those_of_normal_likelihoods():
    """Shapes fix both parameters; the number of events fixes the first further."""
    fine = Frame(Target(REGION, np.zeros(2), 1000.0, (True, False)), [41, 41])
    case = judging.Case(fine, REGION, lambda points: np.full((len(points), 500), 1e-4), NAMES)
    centres = np.array([[0.0, 0.0], [0.02, 0.0], [-0.02, 0.0]])
    kinematics = np.array([_Normal(c, np.array([0.2, 0.25]))(fine.points) for c in centres])
    rate = np.array([-0.5 * ((fine.points[:, 0] - c[0]) / 0.15) ** 2 for c in centres])
    arrays = evaluation.of_grid(case, kinematics, rate)
    widths = {"kinematics": (0.2, 0.25), "with_rate": (0.12, 0.25)}
    for name, of_name in widths.items():
        for estimate, width in zip(
            intervals.from_arrays(arrays, name).profiled, of_name, strict=True
        ):
            (piece,) = estimate.pieces["68"]
            assert [piece.low, piece.high] == pytest.approx([-width, width], 1e-3)
        assert arrays[f"findings/{name}"].size == 0
    together = (kinematics + rate)[0]
    np.testing.assert_allclose(arrays["log_likelihood/with_rate"], together, atol=1e-12)


def test_a_contour_that_leaves_the_region_of_training_is_told():
    fine = Frame(Target(REGION, np.zeros(2), 1000.0, (False,)), [41, 41])
    trained = np.array([[-0.1, 0.1], [-1.0, 1.0]])
    case = judging.Case(fine, trained, lambda points: np.full((len(points), 1000), 5e-5), NAMES)
    values = _Normal(np.zeros(2), np.array([0.2, 0.25]))(fine.points)[None]
    arrays = evaluation.of_grid(case, values, np.zeros_like(values))
    assert set(arrays) & {"findings/with_rate", "log_likelihood/with_rate"} == set()
    (line,) = arrays["findings/kinematics"]
    assert b"leaves the region of training in t0" in line
