"""The table of plots: which figures there are, and what they are made of."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from steps.plots import catalogue, figures
from steps.settings.schema import schema

ALL = {"all_methods": True, "all_methods_separate": True, "correlations": True}
RNG = np.random.default_rng(1)
POINTS = np.array([[0.5, 0.0], [0.0, -0.25]])


@dataclass
class Comparison:
    truth: np.ndarray
    estimate: np.ndarray
    correlation: float = 0.9
    slope: float = 1.0


COMPARISONS = [Comparison(np.arange(9.0), np.arange(9.0) + k) for k in (0.0, 1.0)]
JOINT = {"joint/truth": RNG.normal(size=200), "joint/estimate": RNG.normal(size=200)}
SCORE = {name: np.stack([array, -array], axis=-1) for name, array in JOINT.items()}
LEVELS = {"68 % CL": 2.28, "95 % CL": 5.99}
LOSSES = {"losses": np.ones((4, 2))}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def limits():
    axes = [np.linspace(-1, 1, 11), np.linspace(-1, 1, 13)]
    q = 8 * (axes[0][:, None] ** 2 + axes[1] ** 2)
    results = [
        figures.Result(
            label=label,
            role=figures.Role.NETWORK,
            with_rate=True,
            color="red",
            q=power * q,
            error=np.full_like(q, 0.1),
            p_values=np.exp(-power * q / 2),
            best_fit=np.zeros(2),
        )
        for power, label in enumerate(("ALICE", "SALLY", "SCANDAL"), start=1)
    ]
    rows = np.ones((46, 2, 5)) * np.geomspace(1e2, 3e6, 46)[:, None, None]
    return catalogue.Limits(
        grid=figures.Grid(axes, ["a", "b"], (0.0, 0.0), LEVELS),
        results=results,
        background=results[1],
        evolutions=[figures.Evolution(result, rows) for result in results],
        luminosity=1e4,
    )


def report(**options):
    ratio = JOINT | LOSSES | {"closure/points": POINTS}
    parts = {(edge, each): np.ones((2, 2)) for edge in ("chi-squared", "Neyman") for each in "ab"}
    return catalogue.Report(
        limits=limits(),
        coverages=[figures.Coverage("ALICE", POINTS, parts)],
        confidence={"a": 0.68, "b": 0.95},
        runs={"alice": [ratio, ratio], "sally": [SCORE | LOSSES], "scandal": [LOSSES]},
        closures={"alice": COMPARISONS, "sally": COMPARISONS, "scandal": []},
        options=ALL | {"correlations_methods": ["alice", "sally", "scandal"]} | options,
    )


NAMES = {
    *("all_methods", "all_methods_separate", "luminosity", "coverage", "losses"),
    *("correlation_ALICE", "correlation_SALLY"),
    *("closure_ALICE", "closure_SALLY"),
}


def test_all_figures_by_name():
    """No correlation where there are no joint quantities, no closure where nothing is compared."""
    assert set(catalogue.draw(report())) == NAMES


def test_without_limits_and_toys_there_are_the_figures_of_the_networks():
    """More than three parameters have no grid."""
    made = catalogue.draw(replace(report(), limits=None, coverages=[]))
    assert set(made) == NAMES - {"all_methods", "all_methods_separate", "luminosity", "coverage"}


@pytest.mark.parametrize(
    ("option", "gone"),
    [
        ("all_methods", {"all_methods"}),
        ("all_methods_separate", {"all_methods_separate"}),
        ("correlations", {"correlation_ALICE", "correlation_SALLY"}),
    ],
)
def test_switches_switch_their_figures_off(option, gone):
    assert set(catalogue.draw(report(**{option: False}))) == NAMES - gone


def test_switches_are_those_of_the_input_file():
    switches = {option for option, _ in catalogue.PLOTS if option}
    properties = schema("ml")["properties"]["plotting"]["properties"]
    booleans = {name for name, of in properties.items() if of.get("type") == "boolean"}
    # `rates` adds to the results, whatever is drawn of them.
    assert switches == booleans - {"rates"}


def test_correlations_of_the_methods_asked_for():
    names = set(catalogue.draw(report(correlations_methods=["sally"])))
    assert {name for name in names if name.startswith("correlation")} == {"correlation_SALLY"}


def test_all_methods_shows_the_first_confidence_level_over_the_background():
    made = catalogue.draw(report(correlations=False))
    together, separate = (made[name].axes for name in ("all_methods", "all_methods_separate"))
    for ax, count in ((together[0], 3), (separate[0], 2)):
        lines = [i for i in ax.collections if isinstance(i, ContourSet) and not i.filled]
        assert len(lines) == count
    first = next(i for i in together[0].collections if isinstance(i, ContourSet) and not i.filled)
    np.testing.assert_allclose(8 * (first.get_paths()[0].vertices ** 2).sum(axis=1), 2.28, rtol=0.1)
    (image,) = [item for item in together[0].collections if isinstance(item, QuadMesh)]
    np.testing.assert_allclose(
        np.asarray(image.get_array()), np.clip(limits().background.p_values.T, 1e-3, 1)
    )


def counted(figure):
    (image,) = [i for i in figure.axes[0].collections if isinstance(i, QuadMesh)]
    return np.ma.filled(image.get_array(), 0).sum()


def test_correlation_takes_all_runs_and_the_first_component_of_a_score():
    one, two = (catalogue.correlation("alice", [JOINT] * n)["correlation_ALICE"] for n in (1, 2))
    assert counted(two) == 2 * counted(one)
    figure = catalogue.correlation("sally", [SCORE])["correlation_SALLY"]
    assert figure.axes[0].get_xlabel() == "joint score"
    assert counted(figure) == counted(one)
    # The second component is minus the first: the same correlation, other events in the bins.
    expected = np.corrcoef(*JOINT.values())[0, 1]
    assert figure.axes[0].get_title() == f"SALLY: correlation {expected:.2f}"


def test_closure_labels_points_or_components():
    ratio = catalogue.closure("alice", [{"closure/points": POINTS}], COMPARISONS)["closure_ALICE"]
    score = catalogue.closure("sally", [{}], COMPARISONS)["closure_SALLY"]
    labels = [
        [text.get_text().split(":")[0] for text in figure.axes[0].get_legend().get_texts()]
        for figure in (ratio, score)
    ]
    assert labels == [["(0.50, 0.00)", "(0.00, -0.25)"], ["component 0", "component 1"]]
    assert ratio.axes[0].get_ylabel() == "log likelihood ratio of ALICE"
    assert score.axes[0].get_ylabel() == "score of SALLY"


def test_losses_of_all_methods():
    figure = catalogue._losses(report())["losses"]
    assert [ax.get_title() for ax in figure.axes] == ["ALICE", "SALLY", "SCANDAL"]
    assert [len(ax.lines) for ax in figure.axes] == [4, 2, 2]
