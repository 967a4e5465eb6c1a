"""Limits of pyhf against our own likelihood, pseudo-experiments, and published workspaces."""

import json
import subprocess

import expectations
import numpy as np
import pyhf_side
import pytest
import yaml
from inference.toys import Toy
from scipy.stats import chi2

from steps.inference import histograms, samples
from steps.inference.simulation import Simulation
from steps.recasting import root_files
from steps.recasting.analysis import Analysis
from steps.recasting.model import Expectation, workspace
from steps.recasting.selecting import Events
from steps.recasting.templates import Histogram, Template, scale_factor

LUMINOSITY = 60.0


def crossing(theta: np.ndarray, q: np.ndarray, level: float) -> float:
    """Where a rising curve crosses a level, by its square root, which is nearly a line."""
    return float(np.interp(np.sqrt(level), np.sqrt(np.maximum(q, 0)), theta))


def test_limits_on_a_parameter_are_those_of_our_own_likelihood(tmp_path) -> None:
    """Median CLs of 5 % is where -2 ln L of the expected data has risen by 3.84."""
    toy = Toy(1).write(tmp_path, 40_000)
    region = np.array([[-1.0, 1.0]])
    simulation = Simulation.of(samples.mixture(toy.path), region, 0, np.random.default_rng(1))
    fold = np.arange(len(simulation.x)) % 4
    filled = histograms.Histogram.of(simulation, [0], fold)
    (own,) = histograms.likelihoods(filled, region, np.zeros(1), LUMINOSITY, with_rate=True)

    edges = np.concatenate([[-20.0], filled.edges[0], [20.0]])
    analysis, events = Analysis("x0", edges, ()), Events.read(tmp_path / "toy.h5")
    # Luminosities of the library are in 1/pb.
    factor = scale_factor(1.0, 1.0, LUMINOSITY / 1000)
    reference = _exact(events.signal(analysis, np.zeros(1)).scaled(factor))
    for side in (-1, 1):
        points = side * np.linspace(0.1, 0.6, 21)
        lines = own(np.concatenate([[0.0], points])[:, None])
        expected = crossing(np.abs(points), 2 * (lines[0] - lines[1:]), chi2.isf(0.05, 1))
        signals = [_exact(events.signal(analysis, np.array([p])).scaled(factor)) for p in points]
        observed = reference.nominal.values
        made = [workspace(Expectation(each, reference, None, observed)) for each in signals]
        median = np.array(pyhf_side.tested(made))[:, 3]
        inside = median > 1e-6
        limit = np.interp(-np.log(0.05), -np.log(median[inside]), np.abs(points)[inside])
        assert limit == pytest.approx(expected, rel=0.03)


def _exact(template: Template) -> Template:
    """The same without errors of the simulation, which our likelihood does not have."""
    nominal = template.nominal
    return Template(Histogram(nominal.edges, nominal.values, np.zeros(len(nominal.values))))


@pytest.mark.slow
def test_pulls_of_an_injected_strength_are_normal() -> None:
    given = {"workspace": workspace(expectations.expectation()), "strength": 1.0, "number": 1000}
    done = pyhf_side.python("tests/recast/pulls.py", said=json.dumps(given))
    assert done.returncode == 0, done.stderr
    pulls = np.array(json.loads(done.stdout))
    assert len(pulls) == 1000
    assert abs(pulls.mean()) < 0.1
    assert abs(pulls.std() - 1) < 0.1


# The example of pyhf's README (numbers too), and of its repository
# validation/data/2bin_histosys_example2.json as a workspace.
UNCORRELATED = (
    {"data": [50.0, 52.0], "errors": [3.0, 7.0], "sides": {}},
    [12.0, 11.0],
    [51.0, 48.0],
    {"name": "uncorr_bkguncrt", "type": "shapesys", "data": [3.0, 7.0]},
)
CORRELATED = (
    {"data": [100.0, 150.0], "errors": [0.0, 0.0], "sides": {"bkg_norm": [[102, 190], [98, 100]]}},
    [30.0, 95.0],
    [120.0, 180.0],
    {"name": "bkg_norm", "type": "histosys", "data": {"hi_data": [102, 190], "lo_data": [98, 100]}},
)


@pytest.mark.parametrize("published", [UNCORRELATED, CORRELATED])
def test_published_workspaces_have_the_cls_of_pyhf_itself(published, tmp_path) -> None:
    background, signal, observed, modifier = published
    _write(tmp_path, background, signal, observed)
    done = interpret(tmp_path)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load((tmp_path / "limits.yml").read_text())["asymptotic"]["CLs"]

    strength = {"name": "mu", "type": "normfactor", "data": None}
    channel = {
        "name": "singlechannel",
        "samples": [
            {"name": "signal", "data": signal, "modifiers": [strength]},
            {"name": "background", "data": background["data"], "modifiers": [modifier]},
        ],
    }
    spec = {
        "channels": [channel],
        "observations": [{"name": "singlechannel", "data": observed}],
        "measurements": [{"name": "Measurement", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    (tmp_path / "published.json").write_text(json.dumps(spec))
    command = [pyhf_side.tools() / "pyhf", "cls", tmp_path / "published.json"]
    own = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["observed"] == pytest.approx(own["CLs_obs"], rel=1e-3)
    assert list(found["expected"].values()) == pytest.approx(own["CLs_exp"], rel=1e-3)
    if published is UNCORRELATED:
        # As the README prints it.
        assert found["observed"] == pytest.approx(0.05251497, rel=1e-3)
        assert found["expected"]["median"] == pytest.approx(0.06445321, rel=1e-3)


def _write(folder, background, signal, observed) -> None:
    edges = np.array([0.0, 1.0, 2.0])

    def filled(values, errors=(0.0, 0.0)) -> Histogram:
        return Histogram(edges, np.array(values, dtype=float), np.array(errors) ** 2)

    sides = {name: (filled(up), filled(down)) for name, (up, down) in background["sides"].items()}
    template = Template(filled(background["data"], background["errors"]), sides)
    root_files.write(folder / "background.root", {"b": template}, {})
    root_files.write(folder / "signal.root", {"s": Template(filled(signal))}, {})
    root_files.write(folder / "data.root", {"d": Template(filled(observed))}, {})


def interpret(folder, *more) -> subprocess.CompletedProcess[str]:
    """Call the stage with the names that `_write` gives."""
    return pyhf_side.stage(
        "interpretation",
        *("--filesig", folder / "signal.root", "--histsig", "s"),
        *("--filebkg", folder / "background.root", "--histbkg", "b"),
        *("--filedata", folder / "data.root", "--histdat", "d"),
        *("--outputfile", folder / "limits.png", "--plotfile", folder / "results.png"),
        *more,
    )


@pytest.mark.slow
def test_limits_by_toys_agree_with_asymptotic_ones(tmp_path) -> None:
    """Within their noise: 100 toys have an error of 0.02 in a CLs of 5 %."""
    _write(tmp_path, UNCORRELATED[0], UNCORRELATED[1], UNCORRELATED[2])
    done = interpret(tmp_path, "--toys", "100")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load((tmp_path / "limits.yml").read_text())
    both = [found[how]["CLs"]["expected"]["median"] for how in ("asymptotic", "toys")]
    assert both[1] == pytest.approx(both[0], abs=0.06)
    both = [found[how]["upper_limit"]["observed"] for how in ("asymptotic", "toys")]
    assert both[1] == pytest.approx(both[0], rel=0.25)


def test_bins_that_differ_are_one_line(tmp_path) -> None:
    _write(tmp_path, UNCORRELATED[0], UNCORRELATED[1], UNCORRELATED[2])
    other = Histogram(np.array([0.0, 1.0, 3.0]), np.ones(2), np.zeros(2))
    root_files.write(tmp_path / "signal.root", {"s": Template(other)}, {})
    done = interpret(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the histograms of signal and background have other bins")
    assert len(done.stderr.splitlines()) == 1
