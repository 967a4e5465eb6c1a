"""What marks limits with nuisance parameters as not reliable."""

from dataclasses import replace

import numpy as np
import pytest

from inference.nuisance_models import random_joint
from inference.processes import Mixture, exact_model
from steps.inference.nuisance import breakdown, judging
from steps.inference.nuisance.likelihood import Data
from steps.inference.responding import Closure

NAMES = ["a", "b", "c", "d", "e"]


def shifted(joint, nu):
    """Return it given what it expects at nu."""
    counts = joint.expected(np.append(np.zeros(2), nu))
    return joint.of(Data(counts, joint.data.auxiliary))


def test_expected_data_of_the_model_itself_pull_nothing():
    joint = random_joint(3)
    best = breakdown.fit(joint, np.zeros(2))
    np.testing.assert_allclose(best.parameters, 0.0, atol=1e-4)
    assert judging.pulled(best, [joint] * 3, NAMES) == []


def test_a_pull_that_bags_do_not_explain_is_told():
    joint = random_joint(3)
    off = shifted(joint, 3.0 * np.eye(5)[1])
    best = breakdown.fit(off, np.zeros(2))
    assert best.pulls[1, 0] > best.pulls[1, 1]
    (finding,) = judging.pulled(best, [off] * 3, NAMES)
    assert finding.reason.startswith("data expected at nu = 0 pull b to +")
    # Of bags that scatter as much it is told, being more than a whole error; half of it is not.
    near = shifted(joint, 0.6 * np.eye(5)[1])
    scattered = [shifted(joint, sign * np.eye(5)[1]) for sign in (1.2, -1.2, 0.0)]
    assert judging.pulled(breakdown.fit(near, np.zeros(2)), scattered, NAMES) == []


def closure(off, error, process="background"):
    exact = np.full(4, 0.25)
    return Closure(process, "energy", 1, 0, exact * (1 + off), exact, error * exact)


@pytest.mark.parametrize(
    ("off", "error", "n", "found"),
    [
        (0.05, 0.01, 400.0, True),  # 400 x 0.05^2 = 1
        (0.05, 0.01, 40.0, False),  # too few events for it to matter
        (0.05, 0.05, 400.0, False),  # statistics explain it
        (0.005, 0.0001, 400.0, False),  # significant, but small
    ],
)
def test_a_response_is_told_that_neither_statistics_explain_nor_data_forgive(off, error, n, found):
    told = judging.unclosed([closure(off, error)], {"background": n}, ["x"])
    assert bool(told) is found
    if told:
        assert told[0].reason.startswith(
            "the response of background to energy = +1 is off by 4.8 % in x"
        )
        assert told[0].remedy == "simulate more events of background"


def test_the_worst_response_is_told():
    worst = closure(0.2, 0.01, "signal")
    expected = {"background": 400.0, "signal": 400.0}
    (told,) = judging.unclosed([closure(0.05, 0.01), worst], expected, ["x"])
    assert "signal" in told.reason


def test_exact_responses_close_and_none_do_not():
    toy = Mixture()
    model, _ = exact_model(toy, 20_000)
    drawn = toy.draw(20_000)
    events = drawn.events() | drawn.variations().to_arrays()
    expected = model.expected(np.zeros(1), 200.0)
    x = np.linspace(toy.cut, 6.0, 2001)
    for number, name in enumerate(toy.names):
        exact = 200.0 * np.trapezoid(toy.total(x, 0.0)[number], x)
        assert expected[name] == pytest.approx(exact, rel=1e-3)
    found = judging.closures(events, model.sample, np.zeros(1))
    assert len(found) == 2 * 3 * 2
    assert judging.unclosed(found, expected, ["x"]) == []
    wrong = model.sample.response.linear.copy()
    wrong[0, :, 0] = 0.0
    sample = replace(model.sample, response=replace(model.sample.response, linear=wrong))
    (told,) = judging.unclosed(judging.closures(events, sample, np.zeros(1)), expected, ["x"])
    assert "signal to scale" in told.reason
