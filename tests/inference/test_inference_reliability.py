"""What marks a result as not reliable, and what is said to mend it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, ncx2

from steps.inference import reliability
from steps.inference.evidence import Check
from steps.inference.reliability import BestFit, Contour, Facts, Simulation, findings, noise

LEVEL = float(chi2.ppf(0.68, 2))

GOOD = Facts(
    simulation=Simulation(
        n_expected=45.0,
        luminosity=10_000.0,
        effective=3000.0,
        points=np.array([[0.6, 0.0], [-0.6, 0.2]]),
        effective_at_points=np.array([2500.0, 2000.0]),
    ),
    contour=Contour(
        names=["theta_0", "theta_1"],
        region=np.array([[-1.5, 1.5], [-1.5, 1.5]]),
        searched=np.array([[-2.0, 2.0], [-1.5, 1.5]]),
        extent=np.array([[-0.7, 0.8], [-0.9, 0.9]]),
        q=LEVEL,
        uncertainty=0.24,
    ),
    best_fit=BestFit(0.03, np.array([0.02, 0.03, 0.01, 0.05, 0.02])),
    checks=[Check("closure", "pt", 0, 1e-9, 0.001, 0.3, 0.02)],
)


def simulation(**changes):
    return replace(GOOD, simulation=replace(GOOD.simulation, **changes))


def contour(**changes):
    return replace(GOOD, contour=replace(GOOD.contour, **changes))


def only(facts):
    (finding,) = findings(facts)
    assert "\n" not in finding.reason + finding.remedy
    return finding


def test_a_good_result_is_not_marked():
    assert findings(GOOD) == []
    assert findings(replace(contour(uncertainty=None), best_fit=None, checks=())) == []


def test_uncertainty_above_one_is_found():
    # W Z: 14 000 expected, 1 570 effective, bags say 18.
    facts = replace(
        contour(uncertainty=18.0),
        simulation=replace(
            GOOD.simulation,
            n_expected=14_000.0,
            effective=1570.0,
            effective_at_points=np.array([1600.0, 1700.0]),
        ),
    )
    finding = only(facts)
    assert "18 (bags)" in finding.reason
    assert finding.remedy == (
        "needs about 99 times more events at 10/fb; these support up to 0.10/fb"
    )


def test_without_bags_effective_events_tell():
    facts = replace(simulation(effective=100.0), best_fit=None)
    facts = replace(facts, contour=replace(facts.contour, uncertainty=None))
    facts = replace(
        facts, simulation=replace(facts.simulation, effective_at_points=np.array([150.0, 150.0]))
    )
    assert "effective events" in only(facts).reason
    assert reliability.uncertainty(facts) == pytest.approx(noise(LEVEL, 0.45))
    # The rule of eleven effective events for each expected one.
    assert reliability.supported_luminosity(facts) == pytest.approx(1e4 / 0.45 / 11, rel=5e-3)


@given(measured=st.floats(0.05, 50), luminosity=st.floats(1, 1e6))
def test_at_the_supported_luminosity_the_uncertainty_is_one(measured, luminosity):
    facts = simulation(luminosity=luminosity)
    facts = replace(facts, contour=replace(facts.contour, uncertainty=measured))
    ratio = reliability.supported_luminosity(facts) / luminosity
    t = GOOD.simulation.n_expected / GOOD.simulation.effective
    assert measured * noise(LEVEL, ratio * t) / noise(LEVEL, t) == pytest.approx(1)
    assert (ratio < 1) == (measured > 1)


def test_a_best_fit_off_the_truth_is_found():
    shifted = replace(GOOD, best_fit=BestFit(0.5, GOOD.best_fit.q_bags))
    finding = only(shifted)
    assert "q = 0.5" in finding.reason
    assert "more epochs" in finding.remedy
    assert "1.8/fb" in finding.remedy


@pytest.mark.parametrize(
    ("q_truth", "q_bags", "marked"),
    [
        (0.05, [0.001] * 5, False),  # far from the truth for its noise, but too little to matter
        (0.5, [0.4, 0.2, 0.6, 0.3, 0.5], False),  # noise explains it
        (0.5, [0.02] * 5, True),
        (0.5, [], False),  # without bags only what is large
        (1.2, [], True),
        (5.8, [3.0] * 5, True),
        (0.5, [0.0] * 5, False),
    ],
)
def test_both_size_and_significance_mark_a_best_fit(q_truth, q_bags, marked):
    found = findings(replace(GOOD, best_fit=BestFit(q_truth, np.array(q_bags))))
    assert bool(found) == marked


@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_best_fits_that_noise_explains_are_seldom_unlikely(n_parameters):
    rng = np.random.default_rng(n_parameters)
    truth = rng.chisquare(n_parameters, 4000)
    bags = rng.chisquare(n_parameters, (4000, 5))
    p_values = [BestFit(q, b).p_value for q, b in zip(truth, bags, strict=True)]
    assert np.mean(np.array(p_values) < 0.05) < 0.06
    shifted = ncx2.rvs(n_parameters, 100, size=500, random_state=1)
    power = [BestFit(q, b).p_value < 0.01 for q, b in zip(shifted, bags[:500], strict=True)]
    assert np.mean(power) > 0.8


@pytest.mark.parametrize(
    ("p_global", "change", "marked"),
    [(0.001, 1.4, True), (0.001, -1.4, True), (0.001, 0.9, False), (0.3, 4.0, False)],
)
def test_a_test_marks_if_it_fails_by_more_than_one(p_global, change, marked):
    check = Check("norm", "sm", 2, 1e-6, p_global, change, 0.12)
    found = findings(replace(GOOD, checks=[*GOOD.checks, check]))
    assert bool(found) == marked
    if marked:
        assert found[0].reason.startswith(f"norm fails for sm by {change:+.1f} ± 0.1 in q")
        assert "5.1/fb" in found[0].remedy


def test_the_worst_test_of_each_kind_is_told_once():
    checks = [
        Check(kind, subject, 0, 1e-6, 0.001, change, 0.1)
        for kind, subject, change in [
            ("closure", "pt", 1.5),
            ("closure", "phi", -2.5),
            ("norm", "sm", 3.0),
        ]
    ]
    reasons = [finding.reason for finding in findings(replace(GOOD, checks=checks))]
    assert [reason.split(" by ")[0] for reason in reasons] == [
        "closure fails for phi",
        "norm fails for sm",
    ]


def test_networks_of_a_wide_region_are_better_trained_in_a_smaller_one():
    facts = replace(
        contour(extent=np.array([[-0.1, 0.2], [-0.9, 0.9]])), best_fit=BestFit(2.0, np.empty(0))
    )
    assert "more epochs in theta_0 -0.25 … 0.35;" in only(facts).remedy


def test_a_contour_that_benchmarks_do_not_carry_is_found():
    facts = simulation(effective_at_points=np.array([2500.0, 60.0]))
    # By the rule; bags that see less noise would need fewer events.
    finding = only(replace(facts, contour=replace(facts.contour, uncertainty=None)))
    assert "only 60 (3000 at the truth; 496 are needed)" in finding.reason
    assert finding.remedy == (
        "add a benchmark near theta_0 = -0.6, theta_1 = 0.2, or about 8.3 times more events; "
        "these support up to 1.2/fb"
    )


def test_a_contour_as_well_carried_as_the_truth_is_not_marked():
    # Below the rule of eleven, but bags measured less noise than it says.
    facts = simulation(n_expected=400.0, effective_at_points=np.array([2900.0, 2950.0]))
    assert findings(replace(facts, contour=replace(facts.contour, uncertainty=0.9))) == []


def test_a_contour_beyond_the_training_is_found_but_not_one_at_the_edge_of_the_search():
    finding = only(contour(extent=np.array([[-0.7, 1.6], [-1.5, 1.5]])))
    assert finding.reason.endswith("in theta_0")
    assert finding.remedy == "train for this luminosity and true point"
    assert findings(contour(extent=np.array([[-0.7, 0.8], [-1.5, 1.5]]))) == []


@given(st.floats(0.1, 10), st.floats(0.01, 100))
def test_tolerable_inverts_noise(q, change):
    assert noise(q, reliability.tolerable(q, change)) == pytest.approx(change)


def test_luminosities_are_plain_numbers():
    for measured in (1.01, 20.0, 3e3):
        remedy = only(contour(uncertainty=measured)).remedy
        assert re.fullmatch(
            r"needs about [\d.]+ times more events at 10/fb; these support up to [\d.]+/fb", remedy
        )
