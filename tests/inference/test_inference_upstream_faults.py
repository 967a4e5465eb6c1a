"""Faults of the existing implementation that must not come back (numbers: upstream-faults.md)."""

import tarfile

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from madminer.ml import QuadraticMorphingAwareRatioEstimator
from madminer.utils import histo
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from steps.inference import estimators
from steps.inference.analysis import Analysis
from steps.inference.statistics import grid, limits
from steps.interface import madminer as compatibility
from steps.interface import overrides, results
from steps.plots import figures

REGION = [(-1.0, 1.0), (-1.0, 1.0)]
TRUE = (0.6, -0.3)
TEST_SPLIT = 0.2


def analysis(toy, theta_true=TRUE, resolutions=(11, 21), luminosity=100.0, **options):
    points = grid(REGION[: toy.n_parameters], resolutions)
    return points, Analysis(toy.path, theta_true, points, luminosity, TEST_SPLIT, **options)


def test_fault_4_histogram_limits_run_only_with_the_patch(toy, monkeypatch):
    _, patched = analysis(toy, resolutions=(3, 3))
    assert np.isfinite(patched.from_histogram(["x0"])).all()
    monkeypatch.setattr(histo, "np", np)
    with pytest.raises(TypeError, match="normed"):
        patched.from_histogram(["x0"])


def test_fault_4_patched_histogram_counts_as_numpy_does():
    x = np.array([[0.5], [1.5], [1.7]])
    counted, _ = histo.np.histogramdd(x, bins=[[0, 1, 2]], normed=False, weights=[1, 2, 3])
    np.testing.assert_array_equal(counted, [1, 5])
    assert histo.np.log is np.log
    assert compatibility.histo.np is histo.np


def asymmetric(toy, name, sally):
    """Return axes and limits (rate and kinematics) at the asymmetric truth."""
    points, given = analysis(toy)
    kinematics = {
        "exact ratio": lambda: given.from_log_ratio(
            lambda x, thetas: np.stack([toy.log_ratio(x, theta) for theta in thetas])
        ),
        "histogram": lambda: given.from_histogram(["x0", "x1"]),
        "sally": lambda: given.from_sally(str(sally[1])),
    }[name]()
    found = limits(kinematics + given.rate(), 2)
    axes = [np.linspace(-1, 1, 11), np.linspace(-1, 1, 21)]
    return axes, points[found.best_fit], found.p_values.reshape(11, 21)


@pytest.mark.parametrize("name", ["exact ratio", "histogram", "sally"])
def test_fault_7_asymmetric_truth_is_found_where_it_is(toy, sally, name):
    axes, best_fit, p_values = asymmetric(toy, name, sally)
    # One step of the grid is 0.2 and 0.1; swapped axes would be off by 0.9.
    np.testing.assert_allclose(best_fit, TRUE, atol=0.21)
    assert p_values[8, 7] > 0.32
    assert p_values[np.searchsorted(axes[0], -0.3), np.searchsorted(axes[1], 0.6)] < 1e-3


def contours(ax):
    return [item for item in ax.get_children() if isinstance(item, ContourSet)]


@pytest.mark.parametrize("function", [figures.all_methods, figures.all_methods_separate])
def test_fault_7_asymmetric_truth_is_drawn_where_it_is(toy, sally, function):
    axes, best_fit, p_values = asymmetric(toy, "exact ratio", sally)
    result = figures.Result("ALICE", p_values, best_fit, True, "C0")
    extra = (result,) if function is figures.all_methods else ()
    ax = function(axes, ["t0", "t1"], TRUE, [result], *extra).axes[0]

    # Image: rows are the vertical axis; its brightest cell is the best fit.
    (image,) = [item for item in ax.collections if isinstance(item, QuadMesh)]
    shades = np.asarray(image.get_array())
    assert shades.shape == (21, 11)
    row, column = np.unravel_index(np.argmax(shades), shades.shape)
    corners = image.get_coordinates()
    centre = corners[row : row + 2, column : column + 2].mean(axis=(0, 1))
    np.testing.assert_allclose(centre, best_fit, atol=1e-9)

    vertices = np.concatenate([p.vertices for c in contours(ax) for p in c.get_paths()])
    np.testing.assert_allclose(vertices.mean(axis=0), TRUE, atol=0.2)

    markers = {line.get_marker(): line.get_xydata() for line in ax.lines if len(line.get_xdata())}
    np.testing.assert_allclose(markers["*"][0], best_fit)
    np.testing.assert_allclose(markers["x"][0], TRUE)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t0", "t1")
    mpl.pyplot.close("all")


def test_fault_8_sally_limits_come_from_the_sally_model(toy, sally, train, tmp_path):
    _, given = analysis(toy, resolutions=(5, 5))
    # One hidden unit: two or more random ones would pass both observables on.
    nothing = {"num_epochs": 1, "learning_rate": 1e-12, "hidden_layers": (1,)}
    untrained, _, _ = train(toy, "sally", 500, seed=9, **nothing)
    untrained.save(str(tmp_path / "untrained"))
    trained = limits(given.from_sally(str(sally[1])), 2).p_values
    random = limits(given.from_sally(str(tmp_path / "untrained")), 2).p_values
    histogram = limits(given.from_histogram(["x0"]), 2).p_values
    assert np.abs(trained - random).max() > 0.1
    assert np.abs(trained - histogram).max() > 0.1


@pytest.mark.parametrize(("text", "flag"), [("0", False), ("1", True)])
def test_fault_9_nuisance_flag(text, flag):
    assert bool(overrides.Sampling.parse(f"nuisance_flag={text}").nuisance_flag) is flag


def test_fault_10_contours_are_drawn_at_68_and_95_percent():
    assert figures.CONFIDENCE == {"68 % CL": 0.32, "95 % CL": 0.05}
    axes = [np.linspace(-3, 3, 61), np.linspace(-3, 3, 61)]
    q = axes[0][:, None] ** 2 + axes[1] ** 2
    result = figures.Result("ALICE", np.exp(-q / 2), np.zeros(2), True, "C0")
    separate = figures.all_methods_separate(axes, ["a", "b"], (0, 0), [result]).axes[0]
    together = figures.all_methods(axes, ["a", "b"], (0, 0), [result], result).axes[0]
    (levels,) = contours(separate)
    np.testing.assert_allclose(levels.levels, [0.05, 0.32])
    for path, level in zip(levels.get_paths(), (0.05, 0.32), strict=True):
        # In two dimensions p = exp(-q / 2): radii 2.45 and 1.51, where "1 sigma" would be 1.
        radius = np.hypot(*path.vertices.T).mean()
        np.testing.assert_allclose(radius, np.sqrt(-2 * np.log(level)), rtol=0.01)
    np.testing.assert_allclose(contours(together)[0].levels, [0.32])
    mpl.pyplot.close("all")


def test_fault_11_sampling_runs_are_separate(chain, line):
    """Two runs give two samples, two networks and two results of each method, and a plot."""
    run = chain(line)
    run.write_input(["carl"])
    folder = run.run(n_runs=2)
    samples = [folder / "sampling" / "data" / f"Samples_carl_{k}" for k in (0, 1)]
    x = [np.load(sample / "x_carl_train.npy") for sample in samples]
    assert not np.array_equal(*x)
    likelihoods = []
    for k in (0, 1):
        evaluated = folder / f"evaluating_carl_{k}"
        with tarfile.open(evaluated / "Results_carl.tar.gz") as archive:
            assert yaml.safe_load(archive.extractfile("training.yml"))["run"] == k
        likelihoods.append(results.read(evaluated / "results.h5")["log_likelihood/kinematics"])
    assert not np.array_equal(*likelihoods)
    assert (folder / "plotting" / "plots" / "all_methods.png").exists()


def test_fault_15_correlation_uses_the_quadratic_estimator(chain, line):
    """One parameter, estimator quadratic, all stages; the joint plot shows that network."""
    run = chain(line)
    run.write_input(["alice"], estimator="quadratic")
    folder = run.run()
    evaluated = folder / "evaluating_alice_0"
    saved = evaluated / "models" / "alice" / "alice"
    model = QuadraticMorphingAwareRatioEstimator()
    model.load(str(saved))
    assert isinstance(estimators.load(saved, "alice", "quadratic"), type(model))

    arrays = results.read(evaluated / "results.h5")
    x, points = np.linspace(-2, 2, 7)[:, None], np.array([[-0.5], [0.0], [0.7]])
    expected, _ = model.evaluate_log_likelihood_ratio(x, points, evaluate_score=False)
    np.testing.assert_allclose(estimators.log_ratio(model, x, points), expected, atol=1e-5)
    assert expected[1] == pytest.approx(0, abs=1e-6)
    assert len(arrays["joint/truth"]) == len(arrays["joint/estimate"])
    assert np.isfinite(arrays["joint/estimate"]).all()
    plots = {path.name for path in (folder / "plotting" / "plots").iterdir()}
    assert {"all_methods.png", "all_methods_separate.png", "correlation_ALICE.png"} <= plots


def test_quadratic_with_two_parameters_is_refused(train, toy):
    with pytest.raises(ValueError, match="one parameter"):
        train(toy, "alice", 500, estimator="quadratic")


@pytest.mark.parametrize("method", ["sally", "alices"])
def test_fault_16_training_settings_are_honoured(line, train, monkeypatch, method):
    seen = []
    make = compatibility.Trainer.make_dataloaders

    def spy(*args):
        seen.append(make(*args))
        return seen[-1]

    monkeypatch.setattr(compatibility.Trainer, "make_dataloaders", spy)
    _, losses, sample = train(line, method, 1000, num_epochs=3, batch_size=100, valid_split=0.3)
    n = len(sample["x"])
    assert losses.shape == (3, 2)
    ((training, validation),) = seen
    assert len(training) == -(-(n - int(0.3 * n)) // 100)
    assert len(validation) == -(-int(0.3 * n) // 100)
    assert {len(columns[0]) for columns in list(training)[:-1]} == {100}
