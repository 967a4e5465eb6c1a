"""Cross-checks before a run: each mistake is one line that names file, key and remedy."""

import re
from pathlib import Path

import pytest
import yaml

from steps.settings import learning, parameters, theory, whole
from steps.stage.errors import InputError

SMM = {"sampling_method": "benchmark", "sampling_arg": "smm"}
TWO = {"sampling_method": "morphing_points", "sampling_arg": [[0.0, 0.0], [0.5, 0.0]]}
BOTH = {"sampling_method": "benchmarks", "sampling_arg": ["sm", "w"]}
FLAT = {"prior_shape": "flat", "prior_param_0": -1.5, "prior_param_1": 1.5}
CLIP = {"observable": "m_jj", "values": [500, 1000]}
INPUTS = Path(__file__).parents[2] / "inputs"


@pytest.fixture
def files(tmp_path: Path):
    """Copies of the shipped inputs, each changed by a function of its content."""

    def make(half: str, change=lambda content: None) -> Path:
        content = yaml.safe_load((INPUTS / half / "input.yml").read_text())
        content.pop("shower", None)
        change(content)
        path = tmp_path / f"{half}.yml"
        path.write_text(yaml.safe_dump(content))
        return path

    return make


def check(parameters=None, **files) -> list[str]:
    return whole.check(parameters or {}, **files)


def refused(**arguments) -> str:
    with pytest.raises(InputError) as error:
        check(**arguments)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_shipped_inputs_pass_without_a_warning(files) -> None:
    assert check(ph=files("ph"), ml=files("ml"), parameters={"seed": 1}) == []


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda c: c["observables"][0].update(definition="jet[0].pt"), "pt_j1: definition: .*jet"),
        (lambda c: c["observables"][0].update(definition="__import__('os')"), "definition"),
        (lambda c: c["cuts"][0].update(expression="pt_j3 > 30"), "cuts: 1: expression: .*pt_j3"),
        (lambda c: c["parameters"][0].update(param_card_transform="16*x"), "transform: .*'x'"),
        (lambda c: c["parameters"][0].update(lha_id=7), "dim6 7.* knows dim6 2"),
        (lambda c: c["parameters"][0].update(lha_id=5), "used twice"),
        (lambda c: c["generator"].update(pdf="NNPDF99"), "generator: pdf: .*NNPDF99"),
        (lambda c: c["generator"]["cuts"].update(pt_min=7000.0), "pt_min"),
        (lambda c: c.update(shower={"card": "none.cmnd"}), "shower: card: no file"),
        (lambda c: c["parameters"][0].update(parameter_range=[None, 1]), "two rising numbers"),
        (lambda c: c.update({True: 1}), "key True is not text"),
    ],
)
def test_physics_mistakes(files, change, pattern: str) -> None:
    path = files("ph", change)
    message = refused(ph=path)
    assert message.startswith(str(path))
    assert re.search(pattern, message)


SYSTEMATIC_MISTAKES = [
    ("{name: a, type: nrm, value: 0.1}", "type: 'nrm' is not known; choose from norm"),
    ("{name: a, type: norm}", "a: key 'value' is missing"),
    ("{name: a, type: norm, value: -0.1}", "a: value: -0.1; give a relative uncertainty"),
    ("{name: a, type: norm, value: 0.1, scale: mu}", "a: a norm has no 'scale'; remove it"),
    ("{name: a, type: norm, value: 0.1, processes: [b]}", "a: processes: 'b' .* from signal"),
    ("{name: a, type: scale, scale: mur, value: '0.5,2'}", "no strong coupling.* choose muf"),
    ("{name: a, type: scale, scale: mu, value: '0.5,1,2,4'}", "two positive factors"),
    ("{name: a, type: scale, scale: mu, value: '1'}", "two positive factors"),
    ("{name: a, type: scale, scale: mu, value: 'x,2'}", "two positive factors"),
    ("{name: a, type: scale, value: '0.5,2'}", "a: key 'scale' is missing"),
    ("{name: a, type: pdf, value: NNPDF99}", "a: value: .*NNPDF99"),
    ("{name: a, type: pdf, value: [1]}", "a: value: .*; give the name of a set"),
    ("{name: a, type: shower, variation: mpi, value: '0.5,2'}", "choose from isr, fsr"),
    ("{name: a, type: shower, variation: isr, value: '-1,2'}", "two positive factors"),
    ("{name: a, type: detector, object: e, value: 0.1}", "choose from j, a"),
    ("{name: a, type: detector, object: j, value: 1.5}", "a: value: 1.5 .* below 1"),
]


@pytest.mark.parametrize(("entry", "pattern"), SYSTEMATIC_MISTAKES)
def test_mistakes_in_systematics(files, entry: str, pattern: str) -> None:
    path = files("ph", lambda c: c.update(systematics=[yaml.safe_load(entry)]))
    message = refused(ph=path)
    assert message.startswith(str(path))
    assert re.search(pattern, message)


def test_names_of_systematics_are_unique(files) -> None:
    sets = ["NNPDF31_lo_as_0118", "NNPDF23_lo_as_0130_qed"]
    entries = [
        {"name": "a", "type": "pdf", "value": sets},
        {"name": "a_2", "type": "norm", "value": 0.1},
    ]
    path = files("ph", lambda c: c.update(systematics=entries))
    assert "name 'a_2' appears twice; rename one" in refused(ph=path)


def test_a_parameter_needs_no_transform(files) -> None:
    path = files("ph", lambda c: c["parameters"][0].pop("param_card_transform"))
    assert check(ph=path) == []


def test_card_that_pythia_does_not_know(files, tmp_path: Path) -> None:
    (tmp_path / "my.cmnd").write_text("25:onMde = off\n")
    path = files("ph", lambda c: c.update(shower={"card": "my.cmnd"}))
    assert "my.cmnd: Pythia 8 does not understand the setting '25:onMde = off'" in refused(ph=path)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda c: c.update(histogram_vars="pt_j9"), "histogram_vars: .*pt_j9.*pt_j1"),
        (lambda c: c["sally"].update(theta_0=SMM), "sally: theta_0: .*'smm'.*sm"),
        (lambda c: c["alice"]["theta_0"]["prior"].pop(), "alice: theta_0: prior: 1 .* has 2"),
        (lambda c: c.update(reference_vars=["pt_j9"]), "reference_vars: .*pt_j9.*pt_j1"),
        (lambda c: c["asymptotic_limits"].update(clip=CLIP), "clip: observable: .*m_jj.*pt_j1"),
        (lambda c: c.update(morphing={"kinds": {"pt_j9": "plain"}}), "morphing: kinds: .*pt_j9"),
        (lambda c: c.update(estimator="quadratic"), "quadratic works for one parameter"),
        (lambda c: c["fisher_information"].update(theta_true=[0.0]), "theta_true: 1 .* has 2"),
        (lambda c: c["fisher_information"].pop("observable"), "observable is missing"),
        (lambda c: c["sally"].update(theta_0=TWO), "sally: theta_0: .*learnt at one point"),
        (lambda c: c["sally"].update(theta_0=BOTH), "sally: theta_0: .*learnt at one point"),
    ],
)
def test_machine_learning_mistakes(files, change, pattern: str) -> None:
    path = files("ml", change)
    message = refused(ph=files("ph"), ml=path)
    assert message.startswith(str(path))
    assert re.search(pattern, message)


@pytest.mark.parametrize(
    ("parameters", "pattern"),
    [
        ({"seed": "x"}, "seed"),
        ({"num_events": -1}, "num_events"),
        ({"num_events": 2, "num_procs_per_job": 3}, "num_procs_per_job: 3 jobs"),
        ({"num_procs_per_job": -1}, "num_procs_per_job: -1; give a whole number from 0"),
        ({"mlflow_args_t": "epochs=3"}, "mlflow_args_t.*num_epochs"),
        ({"mlflow_args_e": "luminosity=-1"}, "mlflow_args_e: luminosity=-1: .* 1/pb"),
        ({"num_events": float("inf")}, "num_events: inf"),
        ({"num_events": 10.5}, "num_events: 10.5"),
        ({"mlflow_args_s": "nuisance_flag=1"}, "nuisance_flag: 1, but .*estimator: morphing"),
        ({"mlflow_args_e": "test_split=0.5"}, "test_split 0.5 exceeds the 0.2 of mlflow_args_s"),
        ({"mlflow_args_s": "test_split=0.1"}, "test_split 0.2 exceeds the 0.1 of mlflow_args_s"),
        (
            {"mlflow_args_s": "valid_split=0.1", "mlflow_args_t": "valid_split=0.3"},
            "valid_split 0.3 is not the 0.1 of mlflow_args_s",
        ),
    ],
)
def test_parameter_mistakes(files, parameters, pattern: str) -> None:
    assert re.search(pattern, refused(ph=files("ph"), ml=files("ml"), parameters=parameters))


def test_a_theory_of_more_than_three_parameters_is_for_networks_that_need_no_grid(files) -> None:
    """Whatever MadMiner's networks are named would need a grid of limits."""

    def four(content) -> None:
        region = content["asymptotic_limits"]["region"]
        content["asymptotic_limits"] |= {"resolutions": [3] * 4, "theta_true": [0.0] * 4}
        content["asymptotic_limits"]["region"] = dict.fromkeys(
            (f"theta_{k}" for k in range(4)), region["theta_0"]
        )
        content["alice"]["theta_0"]["prior"] = [{f"parameter_{k}": FLAT} for k in range(4)]
        content["alices"]["theta_0"] = content["alice"]["theta_0"]
        content["fisher_information"] = {"bool": False}

    names = ["a", "b", "c", "d"]
    of = theory.Theory(names, ["pt_j1"], {"sm": dict.fromkeys(names, 0.0)}, complete=True)

    def read(change):
        path = files("ml", lambda content: (four(content), change(content)))
        return learning.read(path, parameters.read({}))

    spec = read(lambda c: c.update(methods=["alice", "alices"]))
    learning.check_against(spec, of)
    with pytest.raises(InputError, match=r"methods: sally: limits need a grid, .* 4 parameters"):
        learning.check_against(read(lambda c: None), of)
    spec = read(lambda c: c.update(methods=["alice", "alices"], estimator="parameterized"))
    with pytest.raises(InputError, match=r"methods: alice, alices: .* estimator: morphing"):
        learning.check_against(spec, of)


def test_data_files_are_looked_into(files, tmp_path: Path) -> None:
    (tmp_path / "no.h5").write_text("text")
    assert "cannot be read" in refused(ml=files("ml"), data_file=tmp_path / "no.h5")


def test_a_region_beyond_the_prior_is_a_warning(files) -> None:
    def widen(content) -> None:
        content["asymptotic_limits"]["region"]["theta_1"]["max"] = 20.0

    (first, second) = check(ml=files("ml", widen))
    assert "alice: trains from -1.5 to 1.5" in first
    assert "alices" in second
