"""Training samples: their points, partitions and columns."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from inference.toys import SM, draw
from steps.events.madminer_file import replace_events
from steps.inference import samples

GAUSSIAN = {"prior_shape": "gaussian", "prior_param_0": 0.0, "prior_param_1": 0.3}
FLAT = {"prior_shape": "flat", "prior_param_0": -1.0, "prior_param_1": 1.0}
RANDOM = {
    "sampling_method": "random_morphing_points",
    "sampling_number": 20,
    "prior": [{"parameter_0": FLAT}, {"parameter_1": GAUSSIAN}],
}
POINTS = [[0.5, -0.25], [0.0, 0.75], [-0.5, 0.0]]
BENCHMARKS = {"sampling_method": "benchmarks", "sampling_arg": ["w", "v"]}
GIVEN = {"sampling_method": "morphing_points", "sampling_arg": POINTS}
ONE = {"sampling_method": "morphing_points", "sampling_arg": POINTS[0]}


@pytest.mark.parametrize("method", ["carl", "alices"])
def test_random_points_are_shared_by_numerator_and_denominator(small, method):
    sample = draw(small, method, {"theta_0": RANDOM, "theta_1": SM})
    of = [np.unique(sample["theta"][sample["y"].ravel() == y], axis=0) for y in (0, 1)]
    assert of[0].shape == (20, 2)
    np.testing.assert_array_equal(*of)


@pytest.mark.parametrize(
    ("theta_0", "points"),
    [
        (SM, [[0, 0]]),
        (BENCHMARKS, [[0, 1], [1, 0]]),
        (GIVEN, sorted(POINTS)),
        (ONE, POINTS[:1]),
        (RANDOM, None),
    ],
    ids=["benchmark", "benchmarks", "morphing_points", "one point", "random"],
)
@pytest.mark.parametrize("method", ["alice", "sally", "scandal"])
def test_sampling_methods_and_columns(small, method, theta_0, points):
    is_ratio = method == "alice"
    sample = draw(small, method, {"theta_0": theta_0} | ({"theta_1": SM} if is_ratio else {}))
    widths = {"x": 2, "theta": 2, "t_xz": 2} | ({"y": 1, "r_xz": 1} if is_ratio else {})
    n = len(sample["x"])
    assert abs(n - 2000) <= 40
    assert {name: column.shape for name, column in sample.items()} == {
        name: (n, width) for name, width in widths.items()
    }
    assert {column.dtype for column in sample.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(column).all() for column in sample.values())
    if points is not None:
        np.testing.assert_allclose(np.unique(sample["theta"], axis=0), points)


PARTITIONS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def numbered(small, tmp_path_factory):
    """The toy, every event with its own number as both observables."""
    path = tmp_path_factory.mktemp("numbered") / "toy.h5"
    path.write_bytes(Path(small.path).read_bytes())
    with h5py.File(path) as file:
        group = file["samples"]
        weights, sampled = group["weights"][()], group["sampling_benchmarks"][()]
    number = np.arange(len(weights), dtype=float)
    replace_events(path, np.stack([number, number], axis=-1), weights, sampled)
    return replace(small, path=str(path)), len(weights)


@pytest.mark.parametrize("method", ["sally", "carl", "scandal"])
@pytest.mark.parametrize(("test_split", "valid_split"), [(0.2, 0.2), (0.3, 0.5)])
def test_partitions_share_no_event_and_are_as_large_as_asked(
    numbered, method, test_split, valid_split
):
    """In the file's order: training, validation, test; each reaches all but the ends of its own."""
    toy, n = numbered
    splits = {"test_split": test_split, "valid_split": valid_split}
    seen = {
        part: np.unique(draw(toy, method, n=20_000, partition=part, **splits)["x"]).astype(int)
        for part in PARTITIONS
    }
    assert sum(map(len, seen.values())) == len(np.unique(np.concatenate(list(seen.values()))))
    ends = n * np.cumsum([(1 - test_split) * (1 - valid_split), (1 - test_split) * valid_split])
    ranges = zip([0, *ends], [*ends, n], strict=True)
    for part, (first, last) in zip(PARTITIONS, ranges, strict=True):
        margin = 0.02 * (last - first)
        assert first - 1 <= seen[part].min() < first + margin, part
        assert last - margin < seen[part].max() <= last, part


def test_validation_is_of_the_same_points_as_training(small):
    training, validation = (
        draw(small, "alices", {"theta_0": RANDOM, "theta_1": SM}, partition=part)
        for part in ("train", "validation")
    )
    points = [np.unique(sample["theta"], axis=0) for sample in (training, validation)]
    np.testing.assert_array_equal(*points)
    assert not np.isin(validation["x"], training["x"]).any()


def test_priors_have_the_shape_they_name():
    spec = RANDOM | {"sampling_number": 20_000}
    method, points = samples.parameter_points(spec, 2, np.random.default_rng(1))
    flat, gaussian = np.array(points).T
    assert method == "morphing_points"
    assert -1 <= flat.min() < -0.99 < 0.99 < flat.max() <= 1
    np.testing.assert_allclose([flat.std(), gaussian.std()], [3**-0.5, 0.3], rtol=0.02)


@pytest.mark.parametrize("spec", [RANDOM, GIVEN])
def test_wrong_number_of_parameters_is_refused(spec):
    with pytest.raises(ValueError, match="2 parameters are given, the data file has 3"):
        samples.parameter_points(spec, 3, np.random.default_rng(1))


def test_same_seed_same_sample(small):
    thetas = {"theta_0": RANDOM, "theta_1": SM}
    first, second, other = (draw(small, "alices", thetas, seed=seed) for seed in (1, 1, 2))
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name])
    assert not np.array_equal(first["x"], other["x"])


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (SM, "sm"),
        ({"sampling_method": "benchmarks", "sampling_arg": ["w"]}, "w"),
        (BENCHMARKS, None),
        (ONE, POINTS[0]),
        ({"sampling_method": "morphing_points", "sampling_arg": POINTS[:1]}, POINTS[0]),
        (GIVEN, None),
        (RANDOM, None),
    ],
)
def test_single_points_are_recognised(block, expected):
    found = samples.single_point(block)
    if isinstance(expected, list):
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected
