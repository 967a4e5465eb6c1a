"""Templates of events of a MadMiner file, and the workspace that is made of them."""

from pathlib import Path

import data_files
import h5py
import numpy as np
import pytest
from inference.toys import Toy

from steps.events import madminer_file
from steps.inference import samples
from steps.recasting.analysis import Analysis
from steps.recasting.model import STRENGTH, Expectation, workspace
from steps.recasting.selecting import Events
from steps.recasting.templates import Histogram, Template
from steps.stage.errors import InputError

EDGES = np.array([-2.0, 0.0, 1.0, 2.0])
ANALYSIS = Analysis("x", EDGES, ["y > -1"])
THETA = np.array([0.5])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Signal and background, a nuisance parameter of weights, and one of shifted events."""
    arrays = data_files.with_background()
    shifted = [f"shifted/jes/{side}" for side in ("up", "down")]
    for name in shifted:
        arrays[f"{name}/processes"] = np.arange(100) % 2
        weights = arrays[f"{name}/weights"].copy()
        weights[1::2] = weights[1::2, :1]
        arrays[f"{name}/weights"] = weights
    return data_files.write(tmp_path / "file.h5", arrays)


def test_events_are_reweighted_and_selected(path: Path) -> None:
    """Against the polynomial of each event's weight, written out."""
    with h5py.File(path) as file:
        x, y = file["samples/observations"][()].T
        sm, plus, minus = file["samples/weights"][:, :3].T
        background = file["samples/sampling_benchmarks"][()] < 0
    linear, quadratic = (plus - minus) / 2, (plus + minus) / 2 - sm
    weights = sm + 0.5 * linear + 0.25 * quadratic
    events = Events.read(path)
    for is_background in (False, True):
        chosen = (y > -1) & (background == is_background)
        expected, squares = (
            np.histogram(x[chosen], EDGES, weights=w[chosen])[0] for w in (weights, weights**2)
        )
        found = events.background(ANALYSIS) if is_background else events.signal(ANALYSIS, THETA)
        np.testing.assert_allclose(found.nominal.values, expected)
        np.testing.assert_allclose(found.nominal.variances, squares)


def test_systematics_vary_the_histogram(path: Path) -> None:
    """Weights by their responses, a shifted detector by its own events."""
    events = Events.read(path)
    signal, background = events.signal(ANALYSIS, THETA), events.background(ANALYSIS)
    for template in (signal, background):
        assert set(template.variations) == {"mu", "jes"}
        np.testing.assert_allclose(template.side("mu", 0), 1.1 * template.nominal.values)
        np.testing.assert_allclose(template.side("mu", 1), 0.9 * template.nominal.values)
    up, down = madminer_file.read_shifted(path, "jes")
    for number, template in enumerate((signal, background)):
        for side, shifted in enumerate((up, down)):
            x, y = shifted.observations.T
            sm, plus, minus = shifted.weights.T
            weights = sm + 0.25 * (plus - minus) + 0.25 * ((plus + minus) / 2 - sm)
            chosen = (y > -1) & (shifted.processes == number)
            expected = np.histogram(x[chosen], EDGES, weights=weights[chosen])[0]
            np.testing.assert_allclose(template.side("jes", side), expected)


def test_a_file_without_backgrounds_has_none(tmp_path: Path) -> None:
    data_files.write(tmp_path / "file.h5", data_files.sound())
    assert Events.read(tmp_path / "file.h5").background(ANALYSIS) is None


def test_any_file_of_madminer_is_read_as_madminer_reads_it(tmp_path: Path) -> None:
    """Events of several benchmarks count as drawn from their mixture."""
    toy = Toy(1).write(tmp_path, 600)
    own, theirs = madminer_file.read_mixture(tmp_path / "toy.h5"), samples.mixture(toy.path)
    np.testing.assert_allclose(own.weights, theirs["weights"])
    np.testing.assert_array_equal(own.points, theirs["benchmarks"])


def test_the_sum_of_weights_before_cuts_is_a_polynomial(path: Path) -> None:
    assert Events.read(path).before_cuts(THETA) is None
    names = madminer_file.read_processes(path).names
    at_benchmarks = np.tile([[2.0, 3.5, 1.5]], (len(names), 1))
    madminer_file.write_cross_sections(path, at_benchmarks)
    # 2 + t + t^2 / 2 of each process of the signal.
    events = Events.read(path)
    expected = len(events.signal_names()) * (2 + 0.5 + 0.125)
    assert events.before_cuts(THETA) == pytest.approx(expected)


def filled(*values: float, error: float = 0.1) -> Histogram:
    return Histogram(EDGES, np.array(values), (error * np.array(values)) ** 2)


def modifiers(sample: dict) -> dict[str, str]:
    return {modifier["name"]: modifier["type"] for modifier in sample["modifiers"]}


SIDES = {
    "norm": (filled(11, 22, 33), filled(9, 18, 27)),
    "shape": (filled(11, 20, 30), filled(9, 20, 30)),
}
BACKGROUND = Template(filled(10, 20, 30), SIDES)


def test_a_workspace_has_what_is_uncertain() -> None:
    expectation = Expectation(Template(filled(1, 2, 3)), None, BACKGROUND, np.array([9.0, 21, 30]))
    expectation.check()
    found = workspace(expectation)
    background, signal = found["channels"][0]["samples"]
    assert signal["data"] == [1, 2, 3]
    assert modifiers(signal) == {STRENGTH: "normfactor", "simulated_signal": "shapesys"}
    assert modifiers(background) == {
        "simulated_background": "shapesys",
        "norm": "normsys",
        "shape": "histosys",
    }
    assert background["modifiers"][0]["data"] == pytest.approx([1, 2, 3])
    assert background["modifiers"][1]["data"] == pytest.approx({"hi": 1.1, "lo": 0.9})
    assert found["observations"][0]["data"] == [9, 21, 30]


def test_the_standard_model_is_what_remains_without_the_signal() -> None:
    signal, reference = Template(filled(4, 2, 1)), Template(filled(1, 2, 3))
    expectation = Expectation(signal, reference, BACKGROUND, np.array([9.0, 21, 30]))
    samples = {
        sample["name"]: sample for sample in workspace(expectation)["channels"][0]["samples"]
    }
    assert samples["signal"]["data"] == [3, 0, -2]
    assert samples["standard_model"]["data"] == [1, 2, 3]
    # Noise of the simulation counts once.
    assert "simulated_signal" not in modifiers(samples["signal"])
    assert samples["standard_model"]["modifiers"][0]["data"] == pytest.approx([0.4, 0.2, 0.3])


def test_the_strength_stops_before_a_bin_expects_nothing() -> None:
    signal, reference = Template(filled(4, 2, 1)), Template(filled(1, 2, 3))
    expectation = Expectation(signal, reference, BACKGROUND, np.array([9.0, 21, 30]))
    assert expectation.largest_strength() == pytest.approx(0.99 * 33 / 2)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"observed": np.ones(2)}, "the data have 2 bins, the signal 3"),
        ({"observed": np.array([1.0, -1.0, 1.0])}, "the data have a negative number of events"),
        ({"background": None}, "no background is expected in the bin from -2 to 0"),
        ({"background": Template(filled(1, 0, 1))}, "no background is expected in the bin from 0"),
        ({"signal": Template(filled(0, 0, 0))}, "no signal event passes the selection"),
        ({"background": Template(Histogram(EDGES + 1, *np.ones((2, 3))))}, "have other bins"),
    ],
)
def test_what_makes_no_likelihood_is_one_line(changes: dict, error: str) -> None:
    parts = {
        "signal": Template(filled(1, 2, 3)),
        "reference": None,
        "background": BACKGROUND,
        "observed": np.ones(3),
    }
    with pytest.raises(InputError, match=error):
        Expectation(**{**parts, **changes}).check()


def test_the_standard_model_itself_is_no_signal() -> None:
    same = Template(filled(1, 2, 3))
    with pytest.raises(InputError, match="is the Standard Model itself"):
        workspace(Expectation(same, same, BACKGROUND, np.ones(3)))
