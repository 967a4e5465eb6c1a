"""Merging of profile and command line."""

import pytest

from scripts.engine import parameters
from scripts.engine.errors import UsageError


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "inputs"
    for name in ("profiles/small.yml", "ph/input.yml", "ml/input.yml"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (folder / "profiles/small.yml").write_text(
        "input_file_ph: ph/input.yml\ninput_file_ml: ml/input.yml\n"
        "num_procs_per_job: 2\nnum_events: 100\nseed: 1\nmlflow_args_s: ''\nmlflow_server:\n"
    )
    return folder


def merged(names, inputs, *assignments, rename=None, **files):
    profile = parameters.read_profile("small", inputs)
    given = parameters.from_command_line(assignments, files, inputs)
    return parameters.merge(names, profile, given, rename or {})


def test_references_of_a_workflow(tmp_path):
    path = tmp_path / "workflow.yml"
    path.write_text(
        """
stages:
- name: a
  scheduler:
    parameters:
      x: {step: init, output: seed}
      y: {stages: init, output: num_events, unwrap: true}
      z: {step: other, output: not_this}
- name: b
  scheduler:
    parameters:
      - {key: x, value: {step: init, output: seed}}
"""
    )
    assert parameters.referenced(path) == ["num_events", "seed"]


def test_only_what_the_workflow_references_is_passed(inputs):
    assert merged(["num_events", "seed"], inputs) == {"num_events": 100, "seed": 1}


def test_command_line_comes_on_top(inputs):
    names = ["num_procs_per_job", "seed"]
    assert merged(names, inputs, "seed=7", "njobs=3") == {"num_procs_per_job": 3, "seed": 7}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("0.5", 0.5),
        ("", ""),
        ("''", ""),
        ('"12"', "12"),
        ("a=1 b=2", "a=1 b=2"),
        ("key: value", "key: value"),
        ("[1, 2", "[1, 2"),
        ("a\\b", "a\\b"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_values_of_the_command_line(inputs, text, value):
    assert merged(["mlflow_args_s"], inputs, f"mlflow_args_s={text}") == {"mlflow_args_s": value}


def test_empty_strings_stay_strings(inputs):
    names = ["mlflow_args_s", "mlflow_server"]
    assert merged(names, inputs) == {"mlflow_args_s": "", "mlflow_server": ""}


def test_files_of_the_profile_are_in_inputs(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ph").mkdir()
    (tmp_path / "ph/input.yml").write_text("another one")
    values = merged(["input_file_ph"], inputs)
    assert values == {"input_file_ph": str(inputs / "ph/input.yml")}


def test_files_of_the_command_line_are_here_or_in_inputs(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text("")
    names = ["input_file_ml", "data_file"]
    values = merged(names, inputs, "data_file=mine.yml", input_file_ml="ml/input.yml")
    assert values["data_file"] == str(tmp_path / "mine.yml")
    assert values["input_file_ml"] == str(inputs / "ml/input.yml")


def test_histograms_may_be_at_an_address_or_not_there(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.root").write_text("")
    names = ["background_file", "measured_file"]
    assert merged(names, inputs) == dict.fromkeys(names, "")
    address = "https://some.where/background.root"
    given = (f"background_file={address}", "measured_file=data.root")
    expected = [address, str(tmp_path / "data.root")]
    assert merged(names, inputs, *given) == dict(zip(names, expected, strict=True))
    with pytest.raises(UsageError, match=r"no file 'none\.root'"):
        merged(names, inputs, "background_file=none.root")


def test_names_of_a_half(inputs):
    rename = {"input_file_ph": "input_file"}
    values = merged(["input_file"], inputs, rename=rename, input_file_ph="ml/input.yml")
    assert values == {"input_file": str(inputs / "ml/input.yml")}
    values = merged(["input_file"], inputs, rename=rename, input_file_ph="")
    assert values == {"input_file": str(inputs / "ph/input.yml")}


@pytest.mark.parametrize(
    ("names", "assignments", "files", "message"),
    [
        (["seed"], ["sede=1"], {}, r"-p sede: not a parameter .*\(known: seed\)"),
        (["seed"], ["seed"], {}, r"-p seed: must be NAME=VALUE"),
        (["seed"], [], {"data_file": "x"}, r"--data-file: not a parameter"),
        (["other"], [], {}, r"other: no value; .* -p other=VALUE"),
        (["data_file"], [], {}, r"data_file: no value; .* --data-file FILE"),
        (["data_file"], [], {"data_file": "x"}, r"--data-file: no file 'x' \(looked in .*inputs\)"),
    ],
)
def test_errors(inputs, names, assignments, files, message):
    with pytest.raises(UsageError, match=message):
        merged(names, inputs, *assignments, **files)


def test_missing_file_of_a_half_is_asked_for_by_its_option(inputs):
    (inputs / "profiles/small.yml").write_text("seed: 1")
    with pytest.raises(UsageError, match=r"input_file_ml: no value; .* --input-file-ml FILE"):
        merged(["input_file"], inputs, rename={"input_file_ml": "input_file"})


@pytest.mark.parametrize("text", ["- a", "a: {b: 1}", "a: [", ""])
def test_profile_that_is_no_flat_mapping(inputs, text):
    (inputs / "profiles/small.yml").write_text(text)
    with pytest.raises(UsageError, match=r"small\.yml: ") as error:
        parameters.read_profile("small", inputs)
    assert "\n" not in str(error.value)


def test_absent_profile_lists_the_others(inputs):
    with pytest.raises(UsageError, match=r"profiles in .*: small"):
        parameters.read_profile("big", inputs)


def test_observed_events_are_a_file_or_none(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["observed_file"]
    for text in ("", "''"):
        assert merged(names, inputs, f"observed_file={text}") == {"observed_file": ""}
    # Profiles from before there were any do not name them.
    assert merged(names, inputs) == {"observed_file": ""}
    for name in ("data.csv", "data.root"):
        (tmp_path / name).write_text("")
    values = merged(names, inputs, observed_file="data.csv")
    assert values == {"observed_file": str(tmp_path / "data.csv")}
    values = merged(names, inputs, observed_file="data.root:tree")
    assert values == {"observed_file": f"{tmp_path}/data.root:tree"}
    with pytest.raises(UsageError, match=r"--observed-file: no file 'x\.root:tree'"):
        merged(names, inputs, observed_file="x.root:tree")
