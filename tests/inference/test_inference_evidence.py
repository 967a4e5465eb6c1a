"""Tests of ratios: exact ones pass as often as they should, spoiled ones are found."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from inference.toys import Toy
from steps.inference import evidence
from steps.inference.evidence import Judged, Ratios
from steps.inference.follow import effective_events

TOY = Toy(2)
POINTS = np.array([[0.4, 0.0], [0.0, 0.5], [-0.3, 0.3]])
BENCHMARKS = {name: np.array(TOY.benchmarks[name], dtype=float) for name in ("sm", "w")}
N_EXPECTED = 50.0


def latent(theta, n, rng):
    """Draw z at a parameter point, by rejection."""
    z = rng.normal(size=(20 * n, 2))
    density = TOY._square(theta, z, 0.0)
    return z[rng.uniform(0, density.max(), len(z)) < density][:n]


def judged(n: int, seed: int, points=POINTS) -> Judged:
    """Events of a mixture of two benchmarks with their exact ratios."""
    rng = np.random.default_rng(seed)
    z = np.concatenate([latent(theta, n // 2, rng) for theta in BENCHMARKS.values()])
    x = z + rng.normal(0, TOY.noise, z.shape)
    of_benchmarks = [TOY.log_ratio(x, theta) for theta in BENCHMARKS.values()]
    mixture_x = np.logaddexp(*of_benchmarks) - np.log(2)
    mixture_z = sum(
        TOY._square(theta, z, 0.0) / TOY.cross_section(theta) for theta in BENCHMARKS.values()
    )

    def ratios(thetas):
        return Ratios(
            np.stack([TOY.log_ratio(x, theta) - mixture_x for theta in thetas]),
            np.stack([TOY._square(theta, z, 0.0) / mixture_z for theta in thetas]),
        )

    return Judged(
        x=x,
        names=["x0", "x1"],
        points=ratios(points),
        truth=ratios([np.zeros(2)]),
        benchmarks=ratios(BENCHMARKS.values()),
        benchmark_names=list(BENCHMARKS),
        n_expected=N_EXPECTED,
    )


def spoiled(sample: Judged, by) -> Judged:
    """Multiply the ratios at the points by a factor ``(n,)`` or a number."""
    points = replace(sample.points, log_ratio=sample.points.log_ratio + np.log(by))
    return replace(sample, points=points)


def normalised(sample: Judged) -> Judged:
    """Give all ratios the mean one in the sample, as those of our networks have."""

    def of(ratios):
        return replace(ratios, log_ratio=np.log(ratios.estimate))

    return replace(
        sample,
        points=of(sample.points),
        truth=of(sample.truth),
        benchmarks=of(sample.benchmarks),
    )


@cache
def large() -> Judged:
    return judged(40_000, 3)


@cache
def repeated():
    """Evidence of many small samples, ratios normalised in every other one."""
    samples = (judged(2000, 100 + k) for k in range(120))
    return [
        evidence.gather(normalised(sample) if k % 2 else sample, seed=k)
        for k, sample in enumerate(samples)
    ]


def test_exact_ratios_fail_as_often_as_they_should():
    smallest = np.array([min(c.p_global for c in e.checks) for e in repeated()])
    assert 0.01 <= np.mean(smallest < 0.05) <= 0.09
    assert kstest(smallest, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (evidence.CLOSURE, "x0"),
        (evidence.CLOSURE, "projection 3"),
        (evidence.CALIBRATION, "ratio"),
        (evidence.NORM, "sm"),
        (evidence.NORM, "w"),
        (evidence.TWO_SAMPLES, "classifier"),
    ],
)
def test_p_values_of_exact_ratios_are_uniform(kind, subject):
    p_values = np.array(
        [
            next(c.p_value for c in e.checks if (c.kind, c.subject) == (kind, subject))
            for e in repeated()
        ]
    )
    assert kstest(p_values, "uniform").pvalue > 1e-3
    assert np.mean(p_values < 0.05) <= 0.11


def test_changes_of_q_have_their_errors():
    for subject in ("x0", "projection 0", "ratio", "w", "classifier"):
        first = [next(c for c in e.checks if c.subject == subject) for e in repeated()]
        pulls = np.array([check.change / check.error for check in first])
        assert abs(pulls.mean()) < 0.3
        assert pulls.std() == pytest.approx(1, abs=0.2)


def test_exact_ratios_of_many_events_pass():
    found = evidence.gather(large())
    assert min(check.p_global for check in found.checks) > 0.01
    assert {check.kind for check in found.checks} == {
        evidence.CLOSURE,
        evidence.CALIBRATION,
        evidence.NORM,
        evidence.TWO_SAMPLES,
    }
    np.testing.assert_allclose(found.norms, 1, atol=0.03)
    assert (abs(found.norms - 1) < 4.5 * found.norm_errors).all()
    assert (abs(found.area - 0.5) < 4 * found.area_error).all()
    pulls = (found.observed - found.estimated) / found.observed_error
    assert np.nanstd(pulls) == pytest.approx(1, abs=0.3)


def test_a_tilt_in_one_observable_is_found():
    x = large().x[:, 1]
    found = evidence.gather(spoiled(large(), 1 + 0.1 * np.tanh(x)))
    closure = found.worst(evidence.CLOSURE)
    assert (closure.subject, closure.p_global) == ("x1", pytest.approx(0.001, abs=0.001))
    assert found.worst(evidence.TWO_SAMPLES).p_global < 0.005
    assert (found.area > 0.5 + 3 * found.area_error).any()


def test_a_wrong_correlation_is_found_by_the_classifier():
    # Invisible in either observable alone.
    x = large().x
    found = evidence.gather(spoiled(large(), 1 + 0.2 * np.tanh(x[:, 0]) * np.tanh(x[:, 1])))
    assert found.worst(evidence.TWO_SAMPLES).p_global < 0.005
    assert found.worst(evidence.TWO_SAMPLES).p_value < 1e-4


def test_a_norm_off_by_a_percent_is_found():
    exact = judged(200_000, 4, POINTS[:1])
    check = evidence.gather(spoiled(exact, 1.01)).worst(evidence.NORM)
    assert check.subject == "mixture"
    assert check.p_global < 0.01
    assert check.change == pytest.approx(2 * N_EXPECTED * np.log(1.01), abs=3 * check.error)


def test_norm_on_a_benchmark_finds_what_the_mixture_hides():
    # All of the same tilt, and normalised over the mixture again.
    tilt = np.log1p(0.1 * np.tanh(large().x[:, 0]))
    benchmarks = replace(large().benchmarks, log_ratio=large().benchmarks.log_ratio + tilt)
    found = evidence.gather(normalised(replace(large(), benchmarks=benchmarks)))
    np.testing.assert_allclose(found.norms[:, 0], 1, rtol=1e-9)
    norm = found.worst(evidence.NORM)
    assert norm.subject != "mixture"
    assert norm.p_global < 0.005


def test_change_is_that_of_the_corrected_likelihood():
    # A function of one observable, in many bins: c(x) is known, and so is what it does to q.
    factor = 1 + 0.2 * np.tanh(large().x[:, 0])
    found = evidence.gather(spoiled(large(), factor))
    share = large().truth.exact[0] / len(factor)
    for point, estimate in enumerate(large().points.estimate):
        correction = np.log(np.mean(factor * estimate) / factor)
        expected = -2 * N_EXPECTED * share @ correction
        check = next(
            c
            for c in found.checks
            if (c.kind, c.subject, c.point) == (evidence.CLOSURE, "x0", point)
        )
        assert check.change == pytest.approx(expected, abs=0.03 * abs(expected) + 3 * check.error)


def test_area_is_that_of_weighted_events():
    rng = np.random.default_rng(5)
    score, first, second = rng.normal(size=300), rng.uniform(size=300), rng.uniform(size=300)
    second *= first.sum() / second.sum()
    ranks = evidence._rank(score, first)
    area = roc_auc_score(
        np.repeat([0, 1], 300),
        np.tile(score, 2),
        sample_weight=np.concatenate([first, second]),
    )
    assert second @ ranks / second.sum() == pytest.approx(area)


def test_area_finds_the_tilt_it_should():
    # Against the area of the best classifier, the tilt itself.
    factor = 1 + 0.3 * np.tanh(large().x[:, 1])
    tilted = spoiled(large(), factor)
    found = evidence.gather(tilted)
    for point, estimate in enumerate(tilted.points.estimate):
        best = large().points.exact[point] @ evidence._rank(-factor, estimate) / len(factor)
        assert found.area[point] == pytest.approx(best, abs=3 * found.area_error[point])


def test_ratios_of_events_without_hidden_momenta_are_exact():
    sample = large()
    exact = replace(sample.points, weights=np.exp(sample.points.log_ratio))
    found = evidence.gather(replace(sample, points=exact))
    changes = [c.change for c in found.checks if c.kind == evidence.CALIBRATION]
    assert np.isfinite([c.p_value for c in found.checks]).all()
    assert np.isfinite(changes).all()


@pytest.mark.parametrize("n", [40, 3000])
def test_few_events_and_a_constant_observable_tell_nothing_wrong(n):
    sample = judged(n, 7)
    constant = np.column_stack([sample.x, np.zeros(n)])
    found = evidence.gather(replace(sample, x=constant, names=["x0", "x1", "x2"]))
    of_constant = [check for check in found.checks if check.subject == "x2"]
    assert [check.p_value for check in of_constant] == pytest.approx([1.0] * len(POINTS))
    assert [check.change for check in of_constant] == pytest.approx([0.0] * len(POINTS), abs=1e-9)
    assert np.isfinite([(c.p_value, c.p_global, c.change, c.error) for c in found.checks]).all()


def test_same_seed_same_evidence():
    first, second = (evidence.gather(judged(2000, 9), seed=2) for _ in range(2))
    assert first.checks == second.checks


def test_units_of_weights_do_not_matter():
    sample = judged(2000, 9)
    scaled = replace(sample, points=replace(sample.points, weights=7 * sample.points.weights))
    for a, b in zip(evidence.gather(sample).checks, evidence.gather(scaled).checks, strict=True):
        assert a.p_value == pytest.approx(b.p_value, rel=1e-6)


def test_toy_is_what_it_should_be():
    sample = large()
    np.testing.assert_allclose(np.exp(sample.points.log_ratio).mean(axis=1), 1, atol=0.03)
    assert effective_events(sample.truth.weights[0]) > 10_000
