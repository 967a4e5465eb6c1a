"""The script that tests what limits promise: its comparisons and its report."""

import numpy as np
import pytest

from scripts import validate_limits
from scripts.validate_limits import Compared, Drawn, End, Sample, Scatter, Seeds
from steps.inference.intervals import Estimate, Piece
from steps.inference.judging import Names
from steps.inference.morphing.polynomial import monomials

EXPONENTS = np.array([[0], [1], [2]])


def sample(benchmarks: list[float], n: int, rng: np.random.Generator) -> Sample:
    """Events whose weights are squares (1 + a theta)^2, of a cross section that a fixes."""
    points = np.array(benchmarks)[:, None]
    a = rng.normal(0.5, 0.1, n)
    coefficients = np.stack([np.ones(n), 2 * a, a**2], axis=-1) / n
    events = {
        "index": np.arange(n),
        "x": rng.normal(size=(n, 2)),
        "weights": coefficients @ monomials(points, EXPONENTS).T,
        "benchmarks": points,
        "exponents": EXPONENTS,
    }
    return Sample(events, Names(["c"], ["x0", "x1"], [f"b{k}" for k in range(len(points))]))


def estimate(*pieces: tuple[float, float], error: float = 0.1, edge: bool = False) -> Estimate:
    found = tuple(Piece(low, high, error, error, edge, False) for low, high in pieces)
    return Estimate(0.0, error, {"68": found})


def drawn() -> Drawn:
    return Drawn("toy", [0], [0.0], 50.0, 1000, 1.0, 1)


def compared(*ends: tuple[float, float], reasons: tuple[str, ...] = ()) -> Compared:
    return Compared(drawn(), reasons, [End(*end) for end in ends], True, False, {}, 1.0)


def test_samples_of_other_benchmarks_are_joined_to_their_mean():
    rng = np.random.default_rng(1)
    parts = [sample([0, 1, -1], 300, rng), sample([0, 2, 1], 100, rng)]
    joined = validate_limits.joined(parts)

    assert joined.size == 400
    at_sm = [part.events["weights"][:, 0].sum() for part in parts]
    assert joined.events["weights"][:, 0].sum() == pytest.approx(np.average(at_sm, weights=[3, 1]))
    # The second's last benchmark is the first's second.
    moved = joined.events["weights"][300:, 1] / 0.25
    assert moved == pytest.approx(parts[1].events["weights"][:, 2])


def test_a_part_counts_for_all():
    whole = sample([0, 1, -1], 1000, np.random.default_rng(1))
    part = whole.some(np.arange(0, 1000, 2), [1])

    assert part.names.observables == ["x1"]
    assert part.events["x"][:, 0] == pytest.approx(whole.events["x"][::2, 1])
    assert part.events["weights"][:, 0].sum() == pytest.approx(1.0)


def test_ends_are_compared_in_statistical_errors_and_in_their_own():
    found, full = [estimate((-0.9, 1.2))], [estimate((-1.0, 1.0))]
    low, high = validate_limits.ends(found, full, 0.0)
    assert (low.shift, low.pull) == (pytest.approx(0.1), pytest.approx(1.0))
    assert (high.shift, high.pull) == (pytest.approx(0.2), pytest.approx(2.0))
    # Three quarters of the events in common: half the error is left.
    assert validate_limits.ends(found, full, 0.75)[1].pull == pytest.approx(4.0)


def test_ends_at_an_edge_are_not_compared():
    cut = [estimate((-0.9, 1.2), edge=True)]
    assert len(validate_limits.ends(cut, [estimate((-1.0, 1.0))], 0.0)) == 1


def test_the_share_of_needless_marks_is_told():
    rows = [
        compared((0.1, 1.0), (0.2, -1.0)),
        compared((0.1, 0.5), reasons=("noisy",)),
        compared((0.8, 2.0), reasons=("far off",)),
    ]
    text = validate_limits.random_section(rows)
    assert "half a statistical error | 1 of 2 |" in text
    assert "marked of those that do not | 1 of 1 |" in text
    assert "2 ends: width | 1.00 |" in text
    assert "far off |" in text


def test_draws_are_repeated_and_within_bounds():
    whole = sample([0, 1, -1], 30_000, np.random.default_rng(1))
    first, again = (
        validate_limits.draw("toy", whole, np.random.default_rng(5), 1.0) for _ in range(2)
    )
    assert first == again
    assert len({one.n_expected for one in first}) == 1
    for one in first:
        assert 1000 <= one.n_events <= 15_000
        assert 20 <= one.n_expected <= 30_000 / 25
        assert abs(one.truth[0]) < one.half_width


def test_predicted_and_actual_scatter_of_normal_numbers_agree():
    rng = np.random.default_rng(1)
    found = Scatter(["end"], rng.normal(0, 0.5, (2000, 1)), np.full((2000, 1), 0.5))
    assert found.predicted / found.actual == pytest.approx(1, abs=0.05)
    assert "2000 samples" in validate_limits.scatter_section(found)


def test_areas_are_told_relative_to_the_reference():
    row = Seeds(0.05, {"68": [1.0, 1.02, 0.97], "95": [2.0, 2.0, 2.1]})
    text = validate_limits.seeds_section([row])
    assert "| 1 | 0.050 | +2.0 % and -3.0 % | +0.0 % and +5.0 % |" in text


def test_sections_of_other_parts_are_kept_in_order():
    text = validate_limits.with_section("", "coverage", "of toys")
    text = validate_limits.with_section(text, "seeds", "of networks")
    text = validate_limits.with_section(text, "coverage", "of more toys")
    assert text.index("of networks") < text.index("of more toys")
    assert "of toys" not in text
    assert text.count("\n## ") == 2
