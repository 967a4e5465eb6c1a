"""Faults of the existing implementation that must not come back; 4 is in tests/madminer."""

import tarfile

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from inference.chains import call
from inference.toys import analysed, train
from steps.inference import histograms, networks
from steps.inference.histograms import Histogram
from steps.inference.methods import METHODS
from steps.inference.statistics import CONFIDENCE_LEVELS, grid, level, p_values
from steps.madminer.library import QuadraticMorphingAwareRatioEstimator, Trainer
from steps.plots import catalogue, figures
from steps.settings import overrides
from steps.stage import results

REGION = [(-1.0, 1.0), (-1.0, 1.0)]
TRUE = (0.6, -0.3)


def likelihood(toy, name, sally):
    """Return points, and the likelihood of kinematics and rate, at the asymmetric truth."""
    points = grid(REGION, (11, 21))
    given = analysed(toy, TRUE, points, 100.0)
    if name == "histogram":
        fold = np.arange(len(given.simulation.x)) % 2
        histogram = Histogram.of(given.simulation, range(2), fold)
        options = (np.array(REGION), np.array(TRUE), 100.0)
        (found,) = histograms.likelihoods(histogram, *options, with_rate=True)
        return points, found(points)
    kinematics = {
        "exact ratio": lambda: given.of_ratio(
            lambda x, thetas: np.stack([toy.log_ratio(x, theta) for theta in thetas]), [np.zeros(2)]
        ),
        "sally": lambda: given.of_score(lambda x: sally[0].score(x, 2)),
    }[name]()
    return points, (kinematics + given.rate())[0]


def asymmetric(toy, name, sally):
    """Return axes, best fit and q at the asymmetric truth."""
    points, found = likelihood(toy, name, sally)
    axes = [np.linspace(-1, 1, 11), np.linspace(-1, 1, 21)]
    return axes, points[found.argmax()], 2 * (found.max() - found).reshape(11, 21)


@pytest.mark.parametrize("name", ["exact ratio", "histogram", "sally"])
def test_fault_7_asymmetric_truth_is_found_where_it_is(toy, sally, name):
    axes, best_fit, q = asymmetric(toy, name, sally)
    # One step of the grid is 0.2 and 0.1; swapped axes would be off by 0.9.
    np.testing.assert_allclose(best_fit, TRUE, atol=0.21)
    assert q[8, 7] < level(0.32, 2)
    assert q[np.searchsorted(axes[0], -0.3), np.searchsorted(axes[1], 0.6)] > level(1e-3, 2)


def contours(ax):
    return [item for item in ax.get_children() if isinstance(item, ContourSet)]


def result(q, best_fit):
    return figures.Result(
        label="ALICE",
        role=figures.Role.NETWORK,
        with_rate=True,
        color="C0",
        q=q,
        error=np.zeros_like(q),
        p_values=p_values(q, 2),
        best_fit=best_fit,
    )


def about(axes, theta_true):
    levels = {name: level(p, 2) for name, p in CONFIDENCE_LEVELS.items()}
    return figures.Grid(axes, ["t0", "t1"], theta_true, levels)


def drawn(function, where, of):
    extra = (of, "68") if function is figures.all_methods else ()
    return function(where, [of], *extra).axes[0]


@pytest.mark.parametrize("function", [figures.all_methods, figures.all_methods_separate])
def test_fault_7_asymmetric_truth_is_drawn_where_it_is(toy, sally, function):
    axes, best_fit, q = asymmetric(toy, "exact ratio", sally)
    ax = drawn(function, about(axes, TRUE), result(q, best_fit))

    # Image: rows are the vertical axis; its brightest cell is the best fit.
    (image,) = [item for item in ax.collections if isinstance(item, QuadMesh)]
    shades = np.asarray(image.get_array())
    assert shades.shape == (21, 11)
    row, column = np.unravel_index(np.argmax(shades), shades.shape)
    corners = image.get_coordinates()
    centre = corners[row : row + 2, column : column + 2].mean(axis=(0, 1))
    np.testing.assert_allclose(centre, best_fit, atol=1e-9)

    lines = [item for item in contours(ax) if not item.filled]
    vertices = np.concatenate([p.vertices for line in lines for p in line.get_paths()])
    np.testing.assert_allclose(vertices.mean(axis=0), TRUE, atol=0.2)

    markers = {line.get_marker(): line.get_xydata() for line in ax.lines if len(line.get_xdata())}
    np.testing.assert_allclose(markers["*"][0], best_fit)
    np.testing.assert_allclose(markers["x"][0], TRUE)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t0", "t1")
    mpl.pyplot.close("all")


def test_fault_8_sally_limits_come_from_the_sally_model(toy, sally):
    points = grid(REGION, (5, 5))
    given = analysed(toy, TRUE, points, 100.0)
    # One hidden unit: two or more random ones would pass both observables on.
    nothing = {"num_epochs": 1, "learning_rate": 1e-12, "hidden_layers": (1,)}
    untrained, _, _ = train(toy, "sally", 500, seed=9, **nothing)

    def limits(evaluate):
        (found,) = given.of_score(evaluate)
        return p_values(2 * (found.max() - found), 2)

    trained, random = (limits(lambda x, m=m: m.score(x, 2)) for m in (sally[0], untrained))
    histogram = limits(lambda x: x[:, :1])
    assert np.abs(trained - random).max() > 0.1
    assert np.abs(trained - histogram).max() > 0.1


@pytest.mark.parametrize(("text", "flag"), [("0", False), ("1", True)])
def test_fault_9_nuisance_flag(text, flag):
    assert bool(overrides.parse("mlflow_args_s", f"nuisance_flag={text}")["nuisance_flag"]) is flag


def test_fault_10_contours_are_drawn_at_68_and_95_percent():
    assert CONFIDENCE_LEVELS == {"68": 0.32, "95": 0.05}
    axes = [np.linspace(-3, 3, 61), np.linspace(-3, 3, 61)]
    q = axes[0][:, None] ** 2 + axes[1] ** 2
    where, of = about(axes, (0, 0)), result(q, np.zeros(2))

    def radii(ax):
        lines = [item for item in contours(ax) if not item.filled]
        return [np.hypot(*p.vertices.T).mean() for item in lines for p in item.get_paths()]

    # In two dimensions p = exp(-q / 2): radii 1.51 and 2.45, where "1 sigma" would be 1.
    expected = [np.sqrt(-2 * np.log(p)) for p in (0.32, 0.05)]
    separate = drawn(figures.all_methods_separate, where, of)
    np.testing.assert_allclose(radii(separate), expected, rtol=0.01)
    limits = catalogue.Limits(where, [of], of, [], 1e4)
    options = {"all_methods": True}
    report = catalogue.Report(limits, [], CONFIDENCE_LEVELS, {}, {}, options)
    together = catalogue.PLOTS[0][1](report)["all_methods"].axes[0]
    np.testing.assert_allclose(radii(together), expected[:1], rtol=0.01)
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
