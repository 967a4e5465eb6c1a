"""Sections of the input file as the backends complete and check them; what they write for jobs."""

import numpy as np
import pytest

from steps.backends import builtin, detectors, generators, plans, processes
from steps.physics.generator import Grid
from steps.stage.errors import SettingError

BUILTIN = {
    "backend": "builtin",
    "energy": 13000.0,
    "pdf": "NNPDF31_lo_as_0130",
    "scale": 125.0,
    "branching_ratio": 1.0,
    "cuts": {"pt_min": 10.0},
}
PARAMETER = {"parameter_name": "C", "lha_block": "DIM6", "lha_id": 2}
PROCESS = {"name": "signal", "is_background": False, "branching_ratio": 1.0}


def card(where, given, default):
    """A reader of cards that tells what it was asked for."""
    return {"name": given or default, "text": f"{where} {given or default}\n"}


# ------------------------------------------------------------------ what is completed
def test_what_needs_no_card_reads_none():
    def refuse(*asked):
        raise AssertionError(asked)

    assert generators.complete(BUILTIN, refuse) == BUILTIN
    assert detectors.complete({"backend": "delphes"}, refuse) == {"backend": "delphes"}
    # A card of another detector is no setting of this one.
    section = {"backend": "parametrised", "card": "cms.tcl"}
    assert detectors.complete(section, refuse) == {"backend": "parametrised"}


def test_delphes_gets_the_text_of_its_card():
    section = detectors.complete({"backend": "delphes", "card": "cms.tcl"}, card)
    assert section["card"] == {"name": "cms.tcl", "text": "detector: card cms.tcl\n"}


def test_madgraph_without_processes_has_the_cards_of_the_shipped_one():
    section = generators.complete({"backend": "madgraph", "branching_ratio": 0.5}, card)
    (process,) = section["processes"]
    assert (process["name"], process["is_background"]) == ("signal", False)
    assert process["branching_ratio"] == 0.5
    assert process["process_card"]["name"] == "proc_card_signal.dat"
    assert process["run_card"]["name"] == "run_card_signal.dat"
    assert section["param_card"]["name"] == "param_card_template.dat"
    assert section["configuration_card"]["name"] == "me5_configuration.txt"


def test_madgraph_s_own_processes_have_the_model_s_parameter_card():
    own = PROCESS | {"process_card": "my_proc.dat", "run_card": "my_run.dat"}
    section = {"backend": "madgraph", "branching_ratio": 1.0, "processes": [own]}
    made = generators.complete(section, card)
    assert made["param_card"] is None
    (process,) = made["processes"]
    assert process["process_card"] == {
        "name": "my_proc.dat",
        "text": "generator: processes: signal: process_card my_proc.dat\n",
    }
    assert generators.complete(section | {"param_card": "p.dat"}, card)["param_card"] == {
        "name": "p.dat",
        "text": "generator: param_card p.dat\n",
    }
    # Stage pythia finds cards in the process folder.
    assert generators.choose(made).event_settings == {
        "backend": "madgraph",
        "processes": [{"name": "signal", "branching_ratio": 1.0}],
    }


@pytest.mark.parametrize(
    ("processes", "named"),
    [
        ([PROCESS, PROCESS], "generator: processes: name 'signal' appears twice"),
        ([PROCESS | {"is_background": True}], "all are backgrounds"),
    ],
)
def test_processes_that_cannot_be(processes, named):
    with pytest.raises(SettingError, match=named):
        generators.complete(
            {"backend": "madgraph", "processes": processes, "branching_ratio": 1.0}, card
        )


def test_processes_of_pythia_are_split_from_those_of_madgraph():
    pythia = {"name": "ggF", "backend": "pythia", "card": "ggf.cmnd"}
    own = PROCESS | {"process_card": "p.dat", "run_card": "r.dat"}
    both = {"backend": "madgraph", "processes": [own | {"backend": "madgraph"}, pythia]}
    assert processes.split(both) == ({"backend": "madgraph", "processes": [own]}, [pythia])
    # Without one of MadGraph there is the shipped one.
    assert processes.split(both | {"processes": [pythia]}) == ({"backend": "madgraph"}, [pythia])
    assert processes.split(BUILTIN) == (BUILTIN, [])


def test_a_process_of_pythia_has_its_card_and_the_energy_of_the_others():
    given = {"name": "ggF", "backend": "pythia", "card": "ggf.cmnd", "is_background": False}
    text = {"name": "ggf.cmnd", "text": "generator: processes: ggF: card ggf.cmnd\n"}
    made = processes.complete(given, card, 13000.0)
    assert made == {
        "name": "ggF",
        "num_events": None,
        "events_per_job": None,
        "card": text,
        "filter": {},
        "energy": 13000.0,
    }
    wide = {"jets": {"number": 1, "pt_min": 1.0, "mass_min": 2.0, "mass_max": 1.0}}
    with pytest.raises(SettingError, match="ggF: filter: jets: mass_min is not below mass_max"):
        processes.check(made | {"card": text | {"text": ""}, "filter": wide})


@pytest.mark.parametrize(
    ("cards", "energy"),
    [
        (["  6500.0 = ebeam1\n  6500 = ebeam2 ! GeV\n"], 13000.0),
        (["# 1.0 = ebeam1\n 7e3 = ebeam1\n7000=ebeam2\n"], 14000.0),
        ([""], 13000.0),
        (["", " 6500. = ebeam1\n"], 13000.0),
        ([" 4000.0 = ebeam1\n"], "4000.0, 6500.0"),
        (["", " 7000 = ebeam1\n 7000 = ebeam2\n"], "6500.0, 6500.0.*7000.0, 7000.0"),
    ],
)
def test_madgraph_s_energy_is_that_of_its_run_cards(cards, energy):
    made = [PROCESS | {"run_card": {"name": "r.dat", "text": text}} for text in cards]
    generator = generators.choose({"backend": "madgraph", "processes": made})
    if isinstance(energy, float):
        assert generator.energy == energy
    else:
        with pytest.raises(SettingError, match=f"ebeam1, ebeam2 = .*{energy}.*give all the same"):
            _ = generator.energy
    assert generators.choose(BUILTIN).energy == 13000.0


# ------------------------------------------------------------------ what is checked
@pytest.mark.parametrize(
    ("change", "parameter", "named"),
    [
        ({}, {"lha_id": 3}, r"parameters: .* does not know parameter dim6 3; .*choose"),
        ({"pdf": "NoSuchSet"}, {}, "generator: pdf: .*NoSuchSet"),
        ({"cuts": {"pt_min": 4000.0}}, {}, "generator: cuts: pt_min"),
    ],
)
def test_the_builtin_generator_refuses_by_key(change, parameter, named):
    with pytest.raises(SettingError, match=f"^{named}") as error:
        generators.choose(BUILTIN | change).check([PARAMETER | parameter])
    assert "\n" not in str(error.value)
    generators.choose(BUILTIN).check([PARAMETER])


def test_morphing_is_checked_with_the_name_of_the_generator_alone():
    key = ("dim6", 2)
    benchmarks, weights = [{key: v} for v in (0.0, 1.0, -1.0)], np.array([0.75, 0.375, -0.125])
    for name in generators.NAMES:
        generator = generators.choose({"backend": name})
        generator.check_morphing(benchmarks, weights, {key: 0.5})
    with pytest.raises(SettingError, match=r"parameters, set_morphing: .*max_overall_power of 2"):
        generators.choose({"backend": "builtin"}).check_morphing(benchmarks, weights, {key: 0.6})


def test_coefficients_of_the_card():
    values = {("dim6", 2): 16.52, ("dim6", 5): 0.0}
    assert builtin.wilson_coefficients(values) == {"CWL2": 16.52, "CPWL2": 0.0}
    with pytest.raises(ValueError, match=r"dim6 3.*dim6 2 \(CWL2\)"):
        builtin.wilson_coefficients({("dim6", 3): 1.0})


# ------------------------------------------------------------------ what jobs are handed
def test_plan_and_grid_round_trip(tmp_path):
    plan = plans.Plan("signal", "sm", 2, 300, 2**32 - 1)
    assert plan.label == "signal_sm_2"
    edges = [np.sort(np.random.default_rng(i).random(5 + i)) for i in range(6)]
    plans.write(tmp_path / "sm_2", plan)
    builtin.write_grid(tmp_path / "sm_2", Grid(edges, 0.0061, 1e-5, 0.3))
    assert plans.read(tmp_path / "sm_2") == plan
    grid = builtin.read_grid(tmp_path / "sm_2")
    assert (grid.cross_section, grid.error, grid.max_weight) == (0.0061, 1e-5, 0.3)
    for axis, expected in zip(grid.edges, edges, strict=True):
        np.testing.assert_array_equal(axis, expected)


@pytest.mark.parametrize(
    ("process", "benchmark", "label"), [("", "w", "w_0"), ("ttbar", "", "ttbar_0")]
)
def test_labels_leave_out_what_there_is_not(process, benchmark, label):
    assert plans.Plan(process, benchmark, 0, 1, 1).label == label
