"""Input files: upstream's formats are understood, mistakes end in one line with a remedy."""

import copy
from pathlib import Path

import pytest
import yaml

from steps.settings import learning, parameters, physics
from steps.stage.errors import InputError

ROOT = Path(__file__).parents[2]

# As upstream's users write them, range as text and benchmarks numbered.
PH = """
parameters:
  - parameter_name: 'CWL2'
    lha_block: 'dim6'
    lha_id: 2
    morphing_max_power: 2
    param_card_transform: '16.52*theta'
    parameter_range: (-10.0,10.0)
  - parameter_name: 'CPWL2'
    lha_block: 'dim6'
    lha_id: 5
    morphing_max_power: 2
    param_card_transform: '16.52*theta'
    parameter_range: (-10.0,10.0)
benchmarks:
  - {benchmark: 1, name: 'sm', parameter_name_1: 'CWL2', value_1: 0.0,
     parameter_name_2: 'CPWL2', value_2: 0.0}
  - {benchmark: 2, name: 'w', parameter_name_1: 'CPWL2', value_1: 0.0,
     parameter_name_2: 'CWL2', value_2: 10}
set_morphing:
  max_overall_power: 2
  include_existing_benchmarks: True
  n_trials: 1000
observables:
  - {name: 'pt_j1', definition: 'j[0].pt', required: False, default: 0.}
  - name: 'delta_phi_jj'
    definition: '(j[0].phi - j[1].phi) * (-1. + 2.*float(j[0].eta > j[1].eta))'
    required: True
cuts:
  - {cut: 1, expression: 'pt_j1 > 30.'}
"""

ML = """
estimator: parameterized
methods: [alice, alices, sally]
asymptotic_limits:
  region:
    theta_0: {min: -20, max: 20}
    theta_1: {min: -20, max: 20}
  resolutions: [25, 25]
  theta_true: [0., 0.]
alice: &ratio
  theta_0:
    sampling_method: random_morphing_points
    sampling_number: 20
    prior:
      - parameter_0: {prior_shape: gaussian, prior_param_0: 0., prior_param_1: 1.}
      - parameter_1: {prior_shape: gaussian, prior_param_0: 0., prior_param_1: 1.}
  theta_1:
    sampling_method: benchmark
    sampling_arg: sm
alices: *ratio
carl: *ratio
rascal:
  theta_0: {sampling_method: benchmarks, sampling_arg: [sm, w]}
  theta_1: {sampling_method: morphing_points, sampling_arg: [[0., 0.], [1., 2.]]}
sally:
  theta_0: {sampling_method: benchmark, sampling_arg: sm}
scandal:
  theta_0: {sampling_method: benchmark, sampling_arg: sm}
include_xsec: [True, False]
histogram_vars: pt_j1
fisher_information:
  bool: True
  observable: pt_j1
  histogram_bins: [30., 60., 100.]
  histogram_range: [30., 400.]
  theta_true: [0., 0.]
plotting:
  all_methods: True
  all_methods_pvalue: alices
  all_methods_separate: True
  correlations: True
  correlations_methods: [alices, alice]
  rates: True
"""

USUAL = parameters.read({})
LOADERS = {
    "ph": (lambda path: physics.read(path, USUAL), PH),
    "ml": (lambda path: learning.read(path, USUAL), ML),
}
SHIPPED = ROOT / "inputs"


def load(tmp_path, kind, change=lambda content: None):
    loader, text = LOADERS[kind]
    # A copy, so that a change does not reach through YAML's aliases.
    content = yaml.load(text, Loader=yaml.SafeLoader)
    content = {key: copy.deepcopy(value) for key, value in content.items()}
    change(content)
    path = tmp_path / "input.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return loader(path)


def test_upstream_physics_input(tmp_path):
    spec = load(tmp_path, "ph")
    assert [p["parameter_range"] for p in spec.parameters] == [[-10.0, 10.0]] * 2
    assert spec.parameters[0]["param_card_transform"] == "16.52*theta"
    # In the parameters' order, whatever the benchmark's.
    assert list(spec.benchmarks["w"].items()) == [("CWL2", 10.0), ("CPWL2", 0.0)]
    assert spec.morphing["max_overall_power"] == 2
    assert [o["required"] for o in spec.observables] == [False, True]
    assert spec.observables[1]["default"] is None
    assert spec.cuts[0]["required"] is False
    # What upstream's file does not know has its default.
    assert spec.num_events == 10_000
    assert spec.generator["cuts"]["pt_min"] == 10.0
    assert spec.generator["branching_ratio"] == pytest.approx(2.27e-3)
    shipped = (ROOT / "inputs/ph/cards/pythia8.cmnd").read_text()
    assert spec.shower_card == {"name": "pythia8.cmnd", "text": shipped}


def test_upstream_learning_input(tmp_path):
    spec = load(tmp_path, "ml")
    assert list(spec.methods) == ["alice", "alices", "sally"]
    assert list(spec.region) == [(-20.0, 20.0)] * 2
    assert list(spec.histogram_vars) == ["pt_j1"]
    assert spec.thetas["alice"]["theta_1"] == {"sampling_method": "benchmark", "sampling_arg": "sm"}
    assert set(spec.thetas) == set(spec.methods)
    assert list(spec.include_xsec) == [True, False]
    assert spec.training["hidden_layers"]
    # What upstream's file does not know has its default.
    assert spec.zoom is True
    assert spec.reference_vars == []
    assert spec.morphing["n_bags"] == 20
    assert spec.morphing["kinds"] == {}


def test_networks_know_the_polynomial_by_default(tmp_path):
    assert load(tmp_path, "ml", remover("estimator")).estimator == "morphing"
    assert learning.read(SHIPPED / "ml/input.yml", USUAL).estimator == "morphing"


@pytest.mark.parametrize("text", ["(-10.0,10.0)", "( -10 , 10 )", "[-10, 10]", "-10,10", [-10, 10]])
def test_spellings_of_a_range(tmp_path, text):
    spec = load(tmp_path, "ph", lambda c: c["parameters"][0].update(parameter_range=text))
    assert spec.parameters[0]["parameter_range"] == [-10.0, 10.0]


def test_card_is_relative_to_the_input_file(tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "my.cmnd").write_text("25:onMode = off\n")
    spec = load(tmp_path, "ph", lambda c: c.update(shower={"card": "cards/my.cmnd"}))
    assert spec.shower_card == {"name": "cards/my.cmnd", "text": "25:onMode = off\n"}


def test_shipped_inputs_load():
    assert "sm" in physics.read(SHIPPED / "ph/input.yml", USUAL).benchmarks
    assert learning.read(SHIPPED / "ml/input.yml", USUAL).methods


def setter(*keys, value):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def clip(**section):
    return setter("asymptotic_limits", "clip", value=section)


def remover(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


PROCESS = {"name": "signal", "process_card": "proc.dat", "run_card": "run.dat"}

GGF = {"name": "ggF", "backend": "pythia", "card": "x.cmnd"}
JETS = {"number": 2, "pt_min": 20.0}
# Processes beside the built-in one, and what is said of them.
PYTHIA_S = [
    (
        [{"name": "ggF", "card": "x.cmnd"}],
        ["generator: processes: 1: ", "backend: pythia", "missing"],
    ),
    ([GGF | {"backend": "madgraph"}], ["processes: 1: backend", "those of backend: pythia"]),
    ([GGF | {"backend": "sherpa"}], ["processes: 1: backend"]),
    ([{"name": "ggF", "backend": "pythia"}], ["processes: 1", "'card' is missing", "Pythia 8"]),
    ([GGF], ["generator: processes: ggF: card", "no file"]),
    ([GGF | {"is_background": True}], ["is_background", "always is a background"]),
    ([GGF | {"branching_ratio": 0.5}], ["branching_ratio", "correct by k_factor"]),
    ([GGF | {"run_card": "x"}], ["run_card", "take this from their card"]),
    ([GGF | {"k_factor": 0.0}], ["processes: 1: k_factor"]),
    ([GGF | {"num_events": 0}], ["processes: 1: num_events"]),
    ([GGF | {"events_per_job": 0.5}], ["processes: 1: events_per_job", "whole number"]),
    ([GGF | {"crad": "x"}], ["crad", "known keys", "filter"]),
    ([GGF | {"filter": {"taus": JETS}}], ["filter", "taus", "known keys: jets, leptons, photons"]),
    ([GGF | {"filter": {"jets": {"number": 2}}}], ["filter: jets", "'pt_min' is missing"]),
    ([GGF | {"filter": {"jets": JETS | {"pt": 1.0}}}], ["filter: jets", "known keys", "eta_max"]),
    ([GGF, GGF], ["generator: processes", "ggF", "twice"]),
    ([GGF | {"name": "signal"}], ["processes: name 'signal'", "rename it"]),
    ([GGF | {"name": "sm"}], ["processes: name 'sm'", "benchmark", "rename it"]),
]

MISTAKES = [
    # kind, change, words that the line must have
    ("ph", remover("benchmarks", 1, "value_1"), ["benchmarks: w", "value_1", "CPWL2"]),
    (
        "ph",
        remover("benchmarks", 1, "parameter_name_2"),
        ["benchmarks: w", "parameter_name_2", "add"],
    ),
    (
        "ph",
        setter("benchmarks", 0, "parameter_name_1", value="CW"),
        ["benchmarks: sm", "CW", "CPWL2"],
    ),
    ("ph", setter("benchmarks", 1, "name", value="sm"), ["benchmarks", "sm", "twice"]),
    ("ph", setter("benchmarks", 1, "name", value="a b"), ["benchmarks", "a b", "letters"]),
    ("ph", setter("benchmarks", 1, "value_1", value="ten"), ["benchmarks", "value_1", "number"]),
    ("ph", remover("benchmarks"), ["benchmarks", "missing", "parameter points"]),
    ("ph", setter("parameters", 0, "parameter_name", value="CPWL2"), ["parameters", "twice"]),
    ("ph", setter("parameters", value=[]), ["parameters"]),
    ("ph", remover("parameters", 0, "lha_id"), ["parameters", "lha_id", "missing"]),
    ("ph", setter("parameters", 0, "lha_idd", value=1), ["parameters", "lha_idd", "lha_id"]),
    *(
        ("ph", setter("parameters", 0, "parameter_range", value=value), ["parameter_range", "CWL2"])
        for value in ("(10,-10)", "(1,1)", "(1)", "(a,b)", "", "(-1,0,1)", "(nan,1)", [1], [2, 1])
    ),
    ("ph", setter("cuts", value=[{"cut": 1, "expression": ""}]), ["cuts: 1: expression", "mend"]),
    ("ph", setter("observables", 0, "definition", value=""), ["pt_j1: definition", "mend"]),
    ("ph", setter("generator", value={"energy": -1}), ["generator", "energy"]),
    ("ph", setter("generator", value={"backend": "sherpa"}), ["backend", "builtin"]),
    (
        "ph",
        setter("generator", value={"backend": "madgraph", "energy": 1.0}),
        ["generator", "energy", "MadGraph takes this from its cards"],
    ),
    (
        "ph",
        setter("generator", value={"param_card": "x.dat"}),
        ["generator", "param_card", "backend: madgraph"],
    ),
    (
        "ph",
        setter("generator", value={"backend": "madgraph", "processes": [{"name": "signal"}]}),
        ["generator", "process_card", "missing"],
    ),
    (
        "ph",
        setter("generator", value={"backend": "madgraph", "processes": [PROCESS, PROCESS]}),
        ["generator: processes", "signal", "twice"],
    ),
    (
        "ph",
        setter("generator", value={"backend": "madgraph", "processes": [PROCESS]}),
        ["generator: processes: signal: process_card", "no file"],
    ),
    (
        "ph",
        setter(
            "generator",
            value={"backend": "madgraph", "processes": [{**PROCESS, "is_background": True}]},
        ),
        ["all are backgrounds"],
    ),
    (
        "ph",
        setter("generator", value={"backend": "madgraph", "k_factor": 2.0}),
        ["generator: k_factor", "each of the processes has its own"],
    ),
    *(("ph", setter("generator", value={"processes": made}), words) for made, words in PYTHIA_S),
    (
        "ph",
        setter("detector", value={"backend": "delphes", "card": "none.tcl"}),
        ["detector: card", "none.tcl"],
    ),
    ("ph", setter("observable", value=[]), ["observable", "observables"]),
    ("ph", setter("observables", 0, "required", value="maybe"), ["required", "True"]),
    ("ph", setter("observables", 1, "name", value="pt_j1"), ["observables", "pt_j1", "twice"]),
    ("ph", remover("set_morphing"), ["set_morphing", "max_overall_power"]),
    ("ml", setter("methods", value=["alice", "alicia"]), ["methods", "alicia", "scandal"]),
    ("ml", setter("methods", value=["alice", "alice"]), ["methods", "each once"]),
    ("ml", setter("methods", value="alice"), ["methods", "list"]),
    ("ml", setter("methods", value=["cascal"]), ["cascal", "block"]),
    ("ml", setter("estimator", value="linear"), ["estimator", "quadratic"]),
    ("ml", remover("alice", "theta_1"), ["alice", "theta_1"]),
    ("ml", setter("alice", "theta_0", "sampling_method", value="all"), ["alice", "benchmark"]),
    ("ml", remover("alice", "theta_0", "prior"), ["alice", "prior"]),
    ("ml", remover("alice", "theta_0", "sampling_number"), ["alice", "sampling_number"]),
    ("ml", remover("sally", "theta_0", "sampling_arg"), ["sally", "sampling_arg"]),
    ("ml", setter("asymptotic_limits", "resolutions", value=[25]), ["resolutions", "2 parameters"]),
    ("ml", setter("asymptotic_limits", "theta_true", value=[0]), ["theta_true", "2 parameters"]),
    (
        "ml",
        setter("asymptotic_limits", "theta_true", value=[0.0, 20.5]),
        ["theta_true", "20.5 of theta_1", "widen the region"],
    ),
    ("ml", setter("asymptotic_limits", "zoom", value="yes"), ["zoom", "True or False"]),
    ("ml", clip(values=[500]), ["clip", "observable", "missing"]),
    ("ml", clip(observable="a", values=[]), ["clip: values", "list of cuts"]),
    ("ml", clip(observable=1, values=[500]), ["clip: observable", "name of an observable"]),
    ("ml", clip(observable="a", values=[0, 500]), ["clip: values: 1: 0", "a positive number"]),
    ("ml", clip(observable="a", values=["x"]), ["clip: values: 1", "a positive number"]),
    (
        "ml",
        clip(observable="a", values=[500, 300, 700]),
        ["clip: values: 300 comes after 500", "ascending"],
    ),
    ("ml", clip(observable="a", values=[500, 500]), ["clip: values: 500 comes after 500"]),
    ("ml", setter("histogram_vars", value=["a", "b", "c"]), ["histogram_vars", "one or two"]),
    ("ml", setter("reference_vars", value=["a", "b", "c"]), ["reference_vars", "one or two"]),
    ("ml", setter("morphing", value={"n_folds": 3}), ["morphing", "n_folds"]),
    ("ml", setter("morphing", value={"kinds": {"a": "round"}}), ["kinds", "angle", "plain"]),
    ("ml", setter("asymptotic_limits", "region", "theta_0", "max", value=-30), ["theta_0", "max"]),
    ("ml", remover("asymptotic_limits"), ["asymptotic_limits", "missing"]),
    ("ml", remover("histogram_vars"), ["histogram_vars", "missing"]),
    ("ml", setter("plotting", "all_methods_pvalue", value="carl"), ["all_methods_pvalue", "carl"]),
    ("ml", setter("plotting", "correlations_methods", value=["carl"]), ["correlations_methods"]),
    ("ml", setter("include_xsec", value=["yes"]), ["include_xsec"]),
    ("ml", setter("trainnig", value={}), ["trainnig", "training"]),
    ("ml", setter("training", value={"activation": "step"}), ["activation", "tanh"]),
]


@pytest.mark.parametrize(("kind", "change", "words"), MISTAKES)
def test_mistakes_are_named_in_one_line(tmp_path, kind, change, words):
    with pytest.raises(InputError) as error:
        load(tmp_path, kind, change)
    message = str(error.value)
    assert message.startswith(str(tmp_path / "input.yml"))
    assert "\n" not in message
    assert len(message) < 500
    for word in words:
        assert word in message


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["cannot be read", "check the path"]),
        ("a: [1, 2", ["line", "mend"]),
        ("a:\n\t- 1", ["line 2", "mend"]),
        ("a: b: c", ["line 1", "mend"]),
        ("", ["instead of sections"]),
        ("just text", ["instead of sections"]),
        ("- 1\n- 2", ["instead of sections"]),
    ],
)
def test_files_that_are_no_input(tmp_path, kind, content, words):
    path = tmp_path / "input.yml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as error:
        LOADERS[kind][0](path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("raw", [b"\xff\xfe\x00binary", b"a: \x00", b"a: !!python/object:os.x {}"])
def test_binary_and_python_tags_are_refused(tmp_path, kind, raw):
    path = tmp_path / "input.yml"
    path.write_bytes(raw)
    with pytest.raises(InputError) as error:
        LOADERS[kind][0](path)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_input_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        physics.read(tmp_path, USUAL)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("kind", "keys"),
    [("ph", ("benchmarks", 0, "value_1")), ("ml", ("asymptotic_limits", "theta_true", 0))],
)
def test_numbers_are_finite(tmp_path, kind, keys, value):
    with pytest.raises(InputError):
        load(tmp_path, kind, setter(*keys, value=value))


def test_madgraph_by_default_generates_the_shipped_process():
    spec = physics.read(SHIPPED / "ph/madgraph.yml", USUAL)
    (process,) = spec.generator["processes"]
    assert process["name"] == "signal"
    assert not process["is_background"]
    for name, card in (
        ("proc_card_signal.dat", process["process_card"]),
        ("param_card_template.dat", spec.generator["param_card"]),
    ):
        assert card == {
            "name": f"cards/{name}",
            "text": (SHIPPED / "ph/cards" / name).read_text(),
        }
    builtin = physics.read(SHIPPED / "ph/input.yml", USUAL)
    assert builtin.parameters == spec.parameters
    assert builtin.benchmarks == spec.benchmarks
    assert builtin.observables == spec.observables


def test_madgraph_without_processes_has_the_shipped_one(tmp_path):
    spec = load(tmp_path, "ph", setter("generator", value={"backend": "madgraph"}))
    shipped = physics.read(SHIPPED / "ph/madgraph.yml", USUAL)
    for ours, theirs in zip(
        spec.generator["processes"], shipped.generator["processes"], strict=True
    ):
        assert texts(ours) == texts(theirs)
    ours, theirs = spec.generator["configuration_card"], shipped.generator["configuration_card"]
    assert ours["text"] == theirs["text"]


def texts(process):
    return {k: v["text"] if isinstance(v, dict) else v for k, v in process.items()}
