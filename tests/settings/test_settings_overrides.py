"""Overrides of the sections of an input file, and files of settings to compare."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.settings import overrides, parameters, sweeps
from steps.settings.schema import schema
from steps.stage.errors import InputError

S, T, E = overrides.SECTIONS


@pytest.mark.parametrize("argument", overrides.SECTIONS)
@pytest.mark.parametrize("text", ["", "''", '""', "  ", " '' "])
def test_no_overrides_are_none(argument, text):
    assert overrides.parse(argument, text) == {}


def test_upstream_overrides_are_understood():
    s = overrides.parse(S, "n_samples_train=1000 n_sampling_runs=2 nuisance_flag=0 test_split=0.5")
    assert s == {
        "n_samples_train": 1000,
        "n_sampling_runs": 2,
        "nuisance_flag": 0,
        "test_split": 0.5,
    }
    assert overrides.parse(S, "ntrainsamples=3") == {"n_sampling_runs": 3}
    t = overrides.parse(T, "alpha=10.0  batch_size=100 num_epochs=2 valid_split=0.3")
    assert t == {"alpha": 10.0, "batch_size": 100, "num_epochs": 2, "valid_split": 0.3}
    e = overrides.parse(
        E, "luminosity=10000.0 n_samples_test=100 n_samples_train=1000 test_split=0.5"
    )
    assert (e["luminosity"], e["n_samples_test"]) == (1e4, 100)
    assert overrides.parse(T, "hidden_layers=20,10 activation=relu") == {
        "hidden_layers": [20, 10],
        "activation": "relu",
    }


@given(st.integers(1, 10**6), st.floats(0, 1e6), st.integers(1, 10**5))
def test_values_survive(batch_size, alpha, num_epochs):
    # MLflow writes whole numbers as 2e3.
    text = f"num_epochs={float(num_epochs)!r} alpha={alpha!r} batch_size={batch_size}"
    parsed = overrides.parse(T, text)
    assert parsed == {"num_epochs": num_epochs, "alpha": alpha, "batch_size": batch_size}
    assert type(parsed["batch_size"]) is int
    assert type(parsed["num_epochs"]) is int
    assert type(parsed["alpha"]) is float


@pytest.mark.parametrize(
    ("argument", "text", "named"),
    [
        (T, "hidden_layers=64,,64", "hidden_layers=64,,64: does not fit; units"),
        (T, "hidden_layers=0", "units"),
        (T, "hidden_layers=1.5", "whole numbers"),
        (T, "activation=magic", "tanh, relu, elu, sigmoid"),
        (T, "learning_rate=0", "positive"),
        (T, "epochs=3", "num_epochs"),
        (T, "num_epochs", "num_epochs"),
        (T, "epochs=", "num_epochs"),
        (T, "num_epochs=2.5", "whole number"),
        (T, "num_epochs=0", "from 1"),
        (T, "num_epochs=-3", "from 1"),
        (T, "alpha=nan", "from 0"),
        (T, "alpha=inf", "from 0"),
        (T, "num_epochs=inf", "number"),
        (T, "num_epochs=nan", "number"),
        (T, "alpha=ten", "from 0"),
        (T, "alpha = 10", "alpha"),
        (T, "valid_split=1.0", "0.9"),
        (S, "nuisance_flag=2", "0 or 1"),
        (S, "nuisance_flag=True", "0 or 1"),
        (S, "test_split=0", "0.01"),
        (E, "luminosity=0", "1/pb"),
    ],
)
def test_bad_overrides_name_argument_and_remedy(argument, text, named):
    with pytest.raises(InputError) as error:
        overrides.parse(argument, text)
    message = str(error.value)
    assert message.startswith(argument)
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize("argument", overrides.SECTIONS)
def test_a_key_without_a_value_is_not_given(argument):
    """So entry points of an MLflow project leave parameters that they are not given."""
    known = schema("ml")["properties"][overrides.SECTIONS[argument]]["properties"]
    assert overrides.parse(argument, " ".join(f"{key}=" for key in known)) == {}
    one, *others = [f"{key}=" for key in known]
    text = " ".join([*others, f"{one}1000" if argument != T else "alpha=2"])
    assert len(overrides.parse(argument, text)) == 1
    assert overrides.parse(S, "ntrainsamples=") == {}


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_parses_or_is_an_input_error(text):
    for argument in overrides.SECTIONS:
        try:
            assert isinstance(overrides.parse(argument, text), dict)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it need not raise


def test_parameters_have_defaults_and_are_whole_numbers():
    usual = parameters.read({})
    assert (usual.seed, usual.num_events, usual.num_procs_per_job) == (1, 0, 0)
    # As REANA and command lines have them.
    given_ = parameters.read({"seed": "7", "num_events": 20, "mlflow_args_t": "alpha=2"})
    assert (given_.seed, given_.num_events) == (7, 20)
    assert given_.overrides["mlflow_args_t"] == "alpha=2"


def test_a_sweep_is_a_list_of_overrides(tmp_path):
    path = tmp_path / "sweep.yml"
    path.write_text("metric: slope_mean\nsettings: [{}, {hidden_layers: [8, 4], alpha: 2}]\n")
    read = sweeps.read(path)
    assert read.metric == "slope_mean"
    assert read.settings == [{}, {"hidden_layers": [8, 4], "alpha": 2.0}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("settings: []", "settings: must be a list of mappings"),
        ("settings: [{magic: 1}]", "settings: line 1: 'magic=1' is not key=value"),
        (
            "settings: [{}, {hidden_layers: [a]}]",
            "settings: line 2: hidden_layers=a: does not fit; units",
        ),
        ("settings: [", "mend the YAML"),
        ("text", "settings: must be a list of mappings"),
    ],
)
def test_a_wrong_sweep_is_one_line(tmp_path, content, expected):
    path = tmp_path / "sweep.yml"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        sweeps.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


def test_every_key_that_can_be_overridden_says_what_it_must_be():
    for section in overrides.SECTIONS.values():
        for key, of in schema("ml")["properties"][section]["properties"].items():
            assert of.get("description"), f"{section}: {key}"
            assert "\n" not in of["description"]
