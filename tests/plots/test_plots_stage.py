"""Stage plotting on results whose limits are known: paraboloids of one to four parameters."""

import sys
import tarfile
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import yaml
from matplotlib import pyplot as plt

from steps.inference import intervals, observing
from steps.inference.evidence import KINDS
from steps.inference.nuisance import breakdown
from steps.inference.statistics import grid
from steps.ml import plotting
from steps.settings import stages
from steps.stage import provenance, results
from steps.stage.errors import InputError, SettingError

NAMES = ["cHW", "cHB", "cHd", "cHu"]
WIDTH, RESOLUTION = 0.4, 7
LUMINOSITY = 2e4
PARTS = {"rate": 1.4, "histogram": 1.2, "reference": 1.0}


def expectation(n):
    region = np.array([[-2.0, 2.0]] * n)
    points = {"grid": grid(region.tolist(), [RESOLUTION] * n)} if n < 4 else {}
    shared = {
        "region": region,
        "theta_true": np.zeros(n),
        "luminosity": np.array(LUMINOSITY),
        "n_expected": np.array(45.27),
    }
    return {f"expectation/{name}": array for name, array in (shared | points).items()}


def curve(n, name, scale=1.0, error=0.1):
    """Return a paraboloid about zero whose widths are scaled; four parameters have no grid."""

    def estimate():
        reach = {"68": 1.0, "95": 1.96, "joint_68": 1.51, "joint_95": 2.45}
        return intervals.Estimate(
            0.0,
            0.01,
            {
                level: (intervals.Piece(-k * width, k * width, 0.01, 0.02, False, False),)
                for level, k in reach.items()
            },
        )

    width = WIDTH * scale
    estimates = tuple(estimate() for _ in range(n))
    arrays = intervals.to_arrays(intervals.Intervals(estimates, estimates), name)
    if n < 4:
        q = ((expectation(n)["expectation/grid"] / width) ** 2).sum(axis=1)
        arrays |= {f"log_likelihood/{name}": -q / 2, f"uncertainty/{name}": np.full(len(q), error)}
    return arrays


def reference(n):
    arrays = expectation(n) | curve(n, "rate", PARTS["rate"])
    for name in ("histogram", "reference"):
        for rate, more in (("with_rate", 1.0), ("kinematics", 1.1)):
            arrays |= curve(n, f"{name}/{rate}", PARTS[name] * more)
    return arrays | {
        "parameters": np.array(NAMES[:n], "S"),
        "histogram_vars": np.array(["pt_j1"], "S"),
        "reference_vars": np.array(["pt_j1", "delta_phi_jj"], "S"),
        "fisher/rate": np.eye(n),
        "fisher_error/rate": np.full((n, n), 0.1),
        "n_expected_error": np.array(0.314),
    }


def evaluation(n):
    return (
        expectation(n)
        | curve(n, "with_rate", 1.05)
        | curve(n, "kinematics", 1.15)
        | {"losses": np.ones((3, 2)), "fisher/alices": 2 * np.eye(n)}
        | {f"findings/{name}": np.array([], "S") for name in ("with_rate", "kinematics")}
    )


SETTINGS = stages.Plotting(
    methods=["alices"],
    resolutions=[RESOLUTION, RESOLUTION],
    theta_true=[0.0, 0.0],
    include_xsec=[True, False],
    plotting={
        "all_methods": False,
        "all_methods_pvalue": "alices",
        "all_methods_separate": False,
        "correlations": True,
        "correlations_methods": ["alices"],
        "rates": True,
    },
)


@pytest.fixture
def plot(tmp_path, monkeypatch):
    """Return a function that runs the stage and returns ``limits.yml`` and names of figures."""

    def run(of_reference, *evaluations, settings=SETTINGS):
        files = []
        for k, arrays in enumerate(evaluations):
            folder = tmp_path / f"run_{k}"
            folder.mkdir()
            results.write(folder / "results.h5", arrays)
            provenance.write(folder / "training.yml", {"method": "alices", "run": k})
            files.append(tmp_path / f"Results_{k}.tar.gz")
            with tarfile.open(files[-1], "w:gz") as archive:
                for name in ("results.h5", "training.yml"):
                    archive.add(folder / name, arcname=name)
        results.write(tmp_path / "reference.h5", of_reference)
        stages.write(tmp_path / "settings.yml", settings)
        options = {
            "--settings": [tmp_path / "settings.yml"],
            "--result-files": files,
            "--reference-file": [tmp_path / "reference.h5"],
            "--output-dir": [tmp_path / "out"],
        }
        words = [str(word) for key, values in options.items() for word in (key, *values)]
        monkeypatch.setattr(sys, "argv", ["plotting", *words])
        plotting.main()
        plots = tmp_path / "out" / "plots"
        table = yaml.safe_load((plots / "limits.yml").read_text())
        return table, {path.stem for path in plots.glob("*.png")}

    yield run
    plt.close("all")


def of(n, **changes):
    return replace(SETTINGS, resolutions=[RESOLUTION] * n, theta_true=[0.0] * n, **changes)


FEW = {"luminosity", "losses"}
LIMITS = {"all_methods": True, "all_methods_separate": True}


def test_the_table_begins_with_what_people_ask_first(plot, capsys):
    table, names = plot(reference(2), evaluation(2))
    assert list(table)[:5] == [
        "theta_true",
        "luminosity_in_1/fb",
        "events_expected",
        "region",
        "limits",
    ]
    assert table["theta_true"] == {"cHW": 0.0, "cHB": 0.0}
    assert table["luminosity_in_1/fb"] == 20.0
    assert table["events_expected"] == {"value": 45.27, "error": 0.31}
    assert table["region"] == {"cHW": [-2.0, 2.0], "cHB": [-2.0, 2.0]}
    both = ("histogram of pt_j1", "reference (pt_j1, delta_phi_jj)", "ALICES")
    assert list(table["limits"]) == [
        "rate",
        *(name + end for name in both for end in ("", " (kinematics)")),
    ]
    # The error of q is 0.1 at the contour: one where the luminosity is ten times as high.
    supported = table["luminosity_supported_in_1/fb"]
    assert set(supported) == {"ALICES", "ALICES (kinematics)"}
    assert supported["ALICES"]["value"] == pytest.approx(200, rel=0.15)
    assert table["fisher_information"] == {
        "rate": [[1.0, 0.0], [0.0, 1.0]],
        "alices": [[2.0, 0.0], [0.0, 2.0]],
    }
    errors = table["errors_of_fisher_information"]
    assert errors["rate"] == [[0.1, 0.1], [0.1, 0.1]]
    assert errors["alices"].startswith("not known")
    assert names == FEW
    said = capsys.readouterr()
    assert yaml.safe_load(said.out) == table
    assert said.err == ""


def test_limits_are_those_of_each_likelihood(plot):
    limits = plot(reference(2), evaluation(2))[0]["limits"]
    scales = {
        "rate": 1.4,
        "histogram of pt_j1": 1.2,
        "reference (pt_j1, delta_phi_jj) (kinematics)": 1.1,
        "ALICES": 1.05,
        "ALICES (kinematics)": 1.15,
    }
    for label, scale in scales.items():
        (piece,) = limits[label]["intervals"]["cHB"]["others profiled"]["68 % CL"]
        assert piece["high"] == pytest.approx(WIDTH * scale)
        joint = limits[label]["joint_contours_of_2_parameters"]["68 % CL"]["extent"]["cHB"]
        assert joint["low"] == pytest.approx(-1.51 * WIDTH * scale, abs=1e-4)
        assert joint["high_error"] == 0.02
    assert limits["ALICES"]["reliable"] is True
    assert limits["rate"]["reliable"] == "not judged"


def test_only_what_is_asked_for_is_told(plot):
    alone = of(2, include_xsec=[False], plotting=SETTINGS.plotting | {"rates": False})
    given = {k: v for k, v in evaluation(2).items() if "with_rate" not in k}
    table, names = plot(reference(2), given, settings=alone)
    assert all(label.endswith("(kinematics)") for label in table["limits"])
    assert names == FEW


def test_networks_that_are_not_reliable_are_told_in_one_line_each(plot, capsys):
    findings = {"findings/with_rate": np.array(["few events; simulate more", "far; train"], "S")}
    table, _ = plot(reference(2), evaluation(2) | findings, evaluation(2))
    assert table["limits"]["ALICES"]["reliable"] is False
    assert table["limits"]["ALICES"]["why"] == ["few events; simulate more", "far; train"]
    assert capsys.readouterr().err.splitlines() == [
        "warning: ALICES is not reliable: few events; simulate more | far; train"
    ]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_all_figures_of_limits_by_number_of_parameters(plot, n):
    settings = of(n, include_xsec=[True], plotting=SETTINGS.plotting | LIMITS)
    table, names = plot(reference(n), evaluation(n), settings=settings)
    assert names == FEW | set(LIMITS)
    size = {1: "length", 2: "area", 3: "volume"}[n]
    joint = table["limits"]["ALICES"][f"joint_contours_of_{n}_parameters"]
    assert joint["68 % CL"][size]["value"] > 0


def test_more_than_three_parameters_have_intervals_alone(plot):
    table, names = plot(
        reference(4), evaluation(4), settings=of(4, plotting=SETTINGS.plotting | LIMITS)
    )
    assert names == {"losses"}
    (piece,) = table["limits"]["ALICES"]["intervals"]["cHu"]["others at truth"]["95 % CL"]
    assert piece["low"] == pytest.approx(-1.96 * 1.05 * WIDTH)


def test_toys_are_shown(plot):
    flat = np.full(RESOLUTION**2, 3.0)
    toys = {f"thresholds/with_rate/{level}": flat for level in ("68", "95")}
    shares = [0.68, 0.01, 0.95, 0.02], [0.67, 0.03, 0.94, 0.04]
    toys["coverage/with_rate"] = np.array([[0.0, 0.5, *shares[0], *shares[1]]])
    table, names = plot(reference(2), evaluation(2) | toys)
    assert names == FEW | {"coverage"}
    assert table["limits"]["ALICES"]["coverage"] == [
        {
            "at": {"cHW": 0.0, "cHB": 0.5},
            "chi-squared": {
                "68 % CL": {"value": 0.68, "error": 0.01},
                "95 % CL": {"value": 0.95, "error": 0.02},
            },
            "pseudo-experiments": {
                "68 % CL": {"value": 0.67, "error": 0.03},
                "95 % CL": {"value": 0.94, "error": 0.04},
            },
        }
    ]


def test_the_worst_test_of_the_ratio_of_each_kind_is_told(plot):
    found = [
        {f"evidence/with_rate/{kind}": np.array([p, 0.3, 0.1]) for kind in KINDS}
        for p in (0.5, 0.2)
    ]
    limits = plot(reference(2), *(evaluation(2) | each for each in found))[0]["limits"]
    told = limits["ALICES"]["tests_of_the_ratio"]
    assert set(told) == set(KINDS)
    assert told["closure"] == {"global_p": 0.2, "change_of_q": 0.3, "error": 0.1}
    assert "tests_of_the_ratio" not in limits["ALICES (kinematics)"]


def test_sums_over_events_may_differ_in_the_last_digits(plot):
    nearly = {"expectation/n_expected": np.array(45.27 * (1 + 1e-15))}
    plot(reference(2), evaluation(2) | nearly)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_expected", np.array(45.28)),
        ("luminosity", np.array(1e4)),
        ("theta_true", np.array([0.0, 0.1])),
        ("grid", np.zeros((3, 2))),
    ],
)
def test_results_of_other_data_are_refused(plot, name, value):
    with pytest.raises(InputError, match=f"{name} is not that of the reference file"):
        plot(reference(2), evaluation(2) | {f"expectation/{name}": value})


def test_results_without_limits_that_are_asked_for_are_refused(plot):
    given = {k: v for k, v in evaluation(2).items() if "with_rate" not in k}
    with pytest.raises(InputError, match="no limits of with_rate; make it with the same include"):
        plot(reference(2), given)


def test_a_reference_without_limits_that_are_asked_for_is_refused(plot):
    given = {k: v for k, v in reference(2).items() if "kinematics" not in k}
    with pytest.raises(InputError, match="no limits of reference/kinematics"):
        plot(given, evaluation(2))


def test_a_reference_on_another_grid_is_refused(plot):
    with pytest.raises(InputError, match=r"limits at 49 points, not at \[7, 8\]"):
        plot(reference(2), evaluation(2), settings=replace(SETTINGS, resolutions=[7, 8]))


def test_methods_without_results_are_refused(plot):
    with pytest.raises(SettingError, match="no results of sally"):
        plot(reference(2), evaluation(2), settings=of(2, methods=["alices", "sally"]))


# ------------------------------------------------------------------ limits against a cut
def clipped(n, *names, cuts=(500.0, 1000.0, np.inf)):
    """Limits below each cut but the first, which has too few events."""
    arrays = {
        "clip/observable": np.array(b"m_jj"),
        "clip/cuts": np.array(cuts),
        "clip/n_expected": np.array([[10.0 * k, 0.1] for k in range(len(cuts))]),
        "clip/effective": np.array([7.0, 900.0, 1000.0])[: len(cuts)],
    }
    for number in range(1, len(cuts)):
        for name in names:
            found = curve(n, name, 3.0 / number) | {f"findings/{name}": np.array([], "S1")}
            arrays |= {f"clip/{number}/{key}": values for key, values in found.items()}
    return arrays


PARTS_CLIPPED = ("rate", *(f"{of}/{rate}" for of in ("histogram", "reference")
                           for rate in ("with_rate", "kinematics")))  # fmt: skip


@pytest.mark.parametrize("n", [2, 4])
def test_limits_against_a_cut_are_told_and_drawn(plot, capsys, n):
    mine = evaluation(n) | clipped(n, "with_rate", "kinematics")
    doubt = {"clip/1/findings/with_rate": np.array(["far; cut higher"], "S")}
    table, names = plot(
        reference(n) | clipped(n, *PARTS_CLIPPED), mine | doubt, mine, settings=of(n)
    )
    assert "clipping" in names
    scan = table["clipping"]
    assert scan["observable"] == "m_jj"
    first, second, last = scan["ALICES"]
    line = (
        "no limits from 7 effective simulated events with m_jj below 500, fewer than 20; "
        "raise the cut or simulate more events"
    )
    assert first == {
        "below": 500.0,
        "events_expected": {"value": 0.0, "error": 0.1},
        "effective_simulated_events": 7,
        "reliable": False,
        "why": [line],
    }
    assert (second["reliable"], second["why"]) == (False, ["far; cut higher"])
    assert (last["below"], last["reliable"]) == ("no cut", True)
    (piece,) = last["intervals"]["cHB"]["95 % CL"]
    assert piece["high"] == pytest.approx(1.96 * 1.5 * WIDTH)
    assert capsys.readouterr().err.splitlines() == [f"warning: clipping: {line}"]


def test_without_a_scan_nothing_of_it_is_told(plot):
    table, names = plot(reference(2), evaluation(2))
    assert "clipping" not in table
    assert "clipping" not in names


def test_methods_without_a_scan_are_left_out(plot):
    table, names = plot(reference(2) | clipped(2, *PARTS_CLIPPED), evaluation(2))
    assert "clipping" in names
    assert not any("ALICES" in label for label in table["clipping"])


@pytest.mark.parametrize("there", [clipped(2, *PARTS_CLIPPED), {}])
def test_results_of_other_cuts_are_refused(plot, there):
    mine = evaluation(2) | clipped(2, "with_rate", "kinematics", cuts=(500.0, 900.0, np.inf))
    with pytest.raises(InputError, match="clip/cuts is not that of the reference file"):
        plot(reference(2) | there, mine)


# ------------------------------------------------------------------------------ observed events


def seen(arrays, n, pseudo=None, names=("with_rate", "kinematics")):
    """Return arrays with the same limits given observed events, and what these are."""
    facts = {
        "source": "data.csv",
        "events": 40,
        "warnings": ["data.csv: 40 events: a line"],
        "pseudo": pseudo or {},
    }
    made = arrays | observing.about(facts)
    for name in names:
        of = f"observed/{name}"
        made |= curve(n, of, 1.1)
        made |= {f"truth/{of}": np.array([1.2, 0.55, 0.6, 80.0])}
        if "/" not in name and name != "rate":
            made |= {
                f"findings/{of}": np.array([], "S"),
                f"goodness/{of}/pt_j1": np.array([3.5, 4.0, 0.4]),
                f"goodness/{of}/all": np.array([0.4, 1.0, 0.45]),
            }
    if n > 3:
        made |= {
            f"pairs/{prefix}{name}/{i}_{j}": np.add.outer(*[np.linspace(-3, 3, 9) ** 2] * 2)
            for name in names
            for prefix in ("", "observed/")
            for i, j in combinations(range(n), 2)
        }
    return made


PARTS_SEEN = (
    "rate",
    *(
        f"{name}/{end}"
        for name in ("histogram", "reference")
        for end in ("with_rate", "kinematics")
    ),
)
PSEUDO = {
    "theta": dict(zip(NAMES, [0.3, -0.2, 0.1, 0.0], strict=True)),
    "seed": 3,
    "luminosity": 2e4,
}


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("pseudo", [None, PSEUDO])
def test_observed_limits_are_in_table_and_figures(plot, n, pseudo):
    arrays = (seen(reference(n), n, pseudo, PARTS_SEEN), seen(evaluation(n), n, pseudo))
    plots = {**SETTINGS.plotting, **LIMITS}
    table, names = plot(*arrays, settings=of(n, plotting=plots))
    assert table["observed"] == {
        "file": "data.csv",
        "events": 40,
        "pseudo-data": {"theta": PSEUDO["theta"], "seed": 3, "luminosity_in_1/fb": 20.0}
        if pseudo
        else False,
        "warnings": ["data.csv: 40 events: a line"],
    }
    found = table["limits"]["ALICES"]["observed"]
    assert found["of"] == ("pseudo-data" if pseudo else "data")
    assert found["true_point"] == {
        "q": 1.2,
        "p_by_chi-squared": 0.55,
        "p_by_pseudo-experiments": 0.6,
    }
    assert found["goodness_of_fit"] == {
        "pseudo-experiments": 80,
        "p": 0.45,
        "of_each": {"pt_j1": {"chi2": 3.5, "bins": 4, "p": 0.4}},
    }
    assert "goodness_of_fit" not in table["limits"]["rate"]["observed"]
    assert {"all_methods", "all_methods_separate"} <= names if n < 4 else "pairs" in names


def test_results_must_be_of_the_same_observed_events(plot):
    other = seen(evaluation(2), 2, PSEUDO)
    with pytest.raises(InputError, match=r"observed events are data.csv, those of .* data.csv"):
        plot(seen(reference(2), 2, None, PARTS_SEEN), other)


# ------------------------------------------------------------------------------ systematics


def full(n, *names):
    """Return limits with systematic uncertainties, twice as wide as those of statistics."""
    made = {"nuisance/names": np.array(["scale", "energy"], "S")}
    best = np.append(np.zeros(n), [0.1, -0.3])
    fit = breakdown.Fit(best, 0.0, np.eye(n + 2), 2)
    errors = np.full((n, 2), 2.0)
    parts = breakdown.Split(errors, errors / 2, {"scale": errors / 4, "energy": errors / 3})
    for name in names:
        made |= curve(n, f"systematics/{name}", 2.0)
        made |= breakdown.to_arrays(fit, np.full((2, n, 4), 0.2), parts, name)
        made[f"findings/systematics/{name}"] = np.array([b"pulled; simulate more"])
    return made


def test_limits_with_systematics_are_told_and_drawn(plot):
    row = np.array([[0.0, 0.0, 0.66, 0.02, 0.94, 0.01, *[np.nan] * 4]])
    mine = evaluation(2) | full(2, "with_rate", "kinematics")
    mine |= {"coverage/systematics/with_rate": row}
    plots = {**SETTINGS.plotting, **LIMITS}
    table, names = plot(reference(2), mine, settings=of(2, plotting=plots))
    assert {"impacts_ALICES", "impacts_ALICES_kinematics", "coverage", "all_methods"} <= names
    limits = table["limits"]["ALICES"]["with_systematics"]
    assert (limits["reliable"], limits["why"]) == (False, ["pulled; simulate more"])
    assert table["limits"]["ALICES"]["reliable"] is True
    assert limits["pulls"]["energy"] == {"value": -0.3, "error": 1.0}
    (covered,) = limits["coverage"]
    assert set(covered) == {"at", "chi-squared"}
    assert covered["chi-squared"]["68 % CL"] == {"value": 0.66, "error": 0.02}


def test_observed_limits_with_systematics_are_told_beside_the_expected_ones(plot):
    names = ("with_rate", "kinematics")
    mine = seen(evaluation(2), 2) | full(2, *names, *(f"observed/{name}" for name in names))
    for name in names:
        mine[f"truth/systematics/observed/{name}"] = np.array([0.9, 0.64, 0.7, 50.0])
        mine[f"goodness/systematics/observed/{name}/all"] = np.array([0.4, 1.0, 0.5])
    table, figures = plot(seen(reference(2), 2, None, PARTS_SEEN), mine)
    observed = table["limits"]["ALICES"]["observed"]
    assert observed["true_point"]["q"] == 1.2
    found = observed["with_systematics"]
    assert found["true_point"]["q"] == 0.9
    assert found["goodness_of_fit"]["p"] == 0.5
    assert set(found) >= {"intervals", "errors_by_source", "pulls", "impacts", "reliable"}
    assert "true_point" not in table["limits"]["ALICES"]["with_systematics"]
    assert "impacts_ALICES" in figures


def test_limits_with_systematics_below_cuts_are_told(plot):
    mine = evaluation(2) | full(2, "with_rate", "kinematics")
    mine |= clipped(2, "with_rate", "kinematics")
    more = clipped(2, "systematics/with_rate", "systematics/kinematics")
    table, _ = plot(reference(2) | clipped(2, *PARTS_CLIPPED), mine | more)
    first, second, _ = table["clipping"]["ALICES"]
    assert "intervals" not in first["with_systematics"]
    assert second["with_systematics"]["intervals"] == second["intervals"]
    assert "with_systematics" not in table["clipping"]["rate"][1]
