"""Faults of the existing implementation that must not come back; 4 is in tests/madminer."""

import tarfile

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from inference.chains import call
from inference.toys import train
from steps.inference import networks
from steps.inference.analysis import Analysis
from steps.inference.methods import METHODS
from steps.inference.statistics import CONFIDENCE_LEVELS, grid, limits
from steps.madminer.library import QuadraticMorphingAwareRatioEstimator, Trainer
from steps.ml import plotting
from steps.plots import catalogue, figures
from steps.settings import overrides
from steps.stage import results

REGION = [(-1.0, 1.0), (-1.0, 1.0)]
TRUE = (0.6, -0.3)
TEST_SPLIT = 0.2


def analysis(toy, theta_true=TRUE, resolutions=(11, 21), luminosity=100.0, **options):
    points = grid(REGION[: toy.n_parameters], resolutions)
    return points, Analysis(toy.path, theta_true, points, luminosity, TEST_SPLIT, **options)


def asymmetric(toy, name, sally):
    """Return axes and limits (rate and kinematics) at the asymmetric truth."""
    points, given = analysis(toy)
    kinematics = {
        "exact ratio": lambda: given.from_log_ratio(
            lambda x, thetas: np.stack([toy.log_ratio(x, theta) for theta in thetas])
        ),
        "histogram": lambda: given.from_histogram(["x0", "x1"]),
        "sally": lambda: given.from_score_histogram(str(sally[1])),
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
    about = figures.Grid(axes, ["t0", "t1"], TRUE)
    ax = function(about, [result], *extra, CONFIDENCE_LEVELS).axes[0]

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


def test_fault_8_sally_limits_come_from_the_sally_model(toy, sally, tmp_path):
    _, given = analysis(toy, resolutions=(5, 5))
    # One hidden unit: two or more random ones would pass both observables on.
    nothing = {"num_epochs": 1, "learning_rate": 1e-12, "hidden_layers": (1,)}
    untrained, _, _ = train(toy, "sally", 500, seed=9, **nothing)
    untrained.save(tmp_path / "untrained")
    trained = limits(given.from_score_histogram(str(sally[1])), 2).p_values
    random = limits(given.from_score_histogram(str(tmp_path / "untrained")), 2).p_values
    histogram = limits(given.from_histogram(["x0"]), 2).p_values
    assert np.abs(trained - random).max() > 0.1
    assert np.abs(trained - histogram).max() > 0.1


@pytest.mark.parametrize(("text", "flag"), [("0", False), ("1", True)])
def test_fault_9_nuisance_flag(text, flag):
    assert bool(overrides.parse("mlflow_args_s", f"nuisance_flag={text}")["nuisance_flag"]) is flag


def test_fault_10_contours_are_drawn_at_68_and_95_percent():
    assert CONFIDENCE_LEVELS == {"68": 0.32, "95": 0.05}
    assert plotting._CONFIDENCE == {"68 % CL": 0.32, "95 % CL": 0.05}
    axes = [np.linspace(-3, 3, 61), np.linspace(-3, 3, 61)]
    q = axes[0][:, None] ** 2 + axes[1] ** 2
    result = figures.Result("ALICE", np.exp(-q / 2), np.zeros(2), True, "C0")
    about = figures.Grid(axes, ["a", "b"], (0, 0))
    separate = figures.all_methods_separate(about, [result], plotting._CONFIDENCE).axes[0]
    (levels,) = contours(separate)
    np.testing.assert_allclose(levels.levels, [0.05, 0.32])
    for path, level in zip(levels.get_paths(), (0.05, 0.32), strict=True):
        # In two dimensions p = exp(-q / 2): radii 2.45 and 1.51, where "1 sigma" would be 1.
        radius = np.hypot(*path.vertices.T).mean()
        np.testing.assert_allclose(radius, np.sqrt(-2 * np.log(level)), rtol=0.01)
    report = catalogue.Report(
        about, plotting._CONFIDENCE, [result], result, {}, {}, {"all_methods": True}
    )
    together = catalogue.PLOTS[0][1](report)["all_methods"].axes[0]
    np.testing.assert_allclose(contours(together)[0].levels, [0.32])
    mpl.pyplot.close("all")


def test_fault_11_sampling_runs_are_separate(carl):
    """Two runs give two samples, two networks and two results of each method, and a plot."""
    folder = carl.folder
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
    ours = networks.load(saved, METHODS["alice"], "quadratic")

    arrays = results.read(evaluated / "results.h5")
    x, points = np.linspace(-2, 2, 7)[:, None], np.array([[-0.5], [0.0], [0.7]])
    expected, _ = model.evaluate_log_likelihood_ratio(x, points, evaluate_score=False)
    np.testing.assert_allclose(ours.log_ratio(x, points), expected, atol=1e-5)
    assert expected[1] == pytest.approx(0, abs=1e-6)
    assert len(arrays["joint/truth"]) == len(arrays["joint/estimate"])
    assert np.isfinite(arrays["joint/estimate"]).all()
    plots = {path.name for path in (folder / "plotting" / "plots").iterdir()}
    assert {"all_methods.png", "all_methods_separate.png", "correlation_ALICE.png"} <= plots


def test_quadratic_with_two_parameters_is_refused(small):
    with pytest.raises(ValueError, match="one parameter"):
        train(small, "alice", 500, estimator="quadratic")


@pytest.mark.parametrize("method", ["sally", "alices"])
def test_fault_16_training_settings_are_honoured(line, monkeypatch, method):
    seen = []
    make = Trainer.make_dataloaders

    def spy(*args):
        seen.append(make(*args))
        return seen[-1]

    monkeypatch.setattr(Trainer, "make_dataloaders", spy)
    _, losses, sample = train(line, method, 2500, num_epochs=3, batch_size=100)
    assert losses.shape == (3, 2)
    ((training, validation),) = seen
    n = len(sample["x"])
    assert abs(n - 2000) <= 50
    assert len(training) == -(-n // 100)
    assert len(validation) == 5
    assert {len(columns[0]) for columns in list(training)[:-1]} == {100}


@pytest.mark.parametrize("valid_split", [0.1, 0.3])
def test_fault_16_valid_split_is_honoured(chain, line, valid_split):
    """Sampling keeps that share of the sample, and training takes all that it finds."""
    run = chain(line)
    run.write_input(["sally"], sampling={"valid_split": valid_split, "n_samples_train": 1000})
    call(run.stage("sampling", "sampling", "--data-file", line.path))
    folder = run.folder / "sampling" / "data" / "Samples_sally_0"
    about = yaml.safe_load((folder / "sample.yml").read_text())
    n_validation = round(1000 * valid_split)
    assert about["partition"] == {"test_split": 0.2, "valid_split": valid_split}
    assert (about["n_train"], about["n_validation"]) == (1000 - n_validation, n_validation)
    for part in ("train", "validation"):
        assert len(np.load(folder / f"x_sally_{part}.npy")) == about[f"n_{part}"]
