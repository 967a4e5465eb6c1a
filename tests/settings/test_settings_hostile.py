"""What fuzzing found: values of odd kinds, sizes and spellings are refused in one line."""

from pathlib import Path

import pytest
import yaml

from steps.settings import parameters, whole
from steps.stage.errors import InputError

INPUTS = Path(__file__).parents[2] / "inputs"
PH = "ph/input.yml"
ML = "ml/input.yml"
GAUSSIAN = {"prior_shape": "gaussian", "prior_param_0": 0.0, "prior_param_1": 0.0}


def point(*values):
    return {"sampling_method": "morphing_points", "sampling_arg": list(values)}


def put(value, *keys):
    """Return a change that sets a value below keys."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        (PH, put("sm\n", "benchmarks", 0, "name"), "benchmarks: 1: name: 'sm\\n' does not fit"),
        (PH, put("x" * 101, "observables", 0, "name"), "observables: 1: name: "),
        (PH, put({1: 2}, "generator"), "generator: key 1 is not text to YAML"),
        (PH, put(1, "generator", "energy\n"), "generator: key 'energy ' is not known; known keys:"),
        (PH, put(10**12, "generator", "num_events"), "generator: num_events: 1000000000000 is"),
        (PH, put(1e308, "generator", "energy"), "generator: energy: 1e+308 is greater"),
        (PH, put(1e-320, "generator", "scale"), "generator: scale: 1e-320 is less"),
        (PH, put(9, "set_morphing", "max_overall_power"), "set_morphing: max_overall_power: 9 is"),
        (PH, put(1e300, "benchmarks", 1, "value_1"), "benchmarks: 2: value_1: 1e+300 is greater"),
        (PH, put([1, 2], "shower"), "shower: [1, 2] is not a mapping; "),
        (PH, put([{"a": 1}], "parameters", 0, "parameter_range"), "parameters: CWL2: parameter_ra"),
        (PH, put("/dev/zero", "shower", "card"), "shower: card: /dev/zero is longer than"),
        (PH, put("1[0]", "observables", 0, "definition"), "mend the expression (docs/inputs.md)"),
        (ML, put({"a": 1}, "asymptotic_limits", "region"), "region: key 'a' is not known; one"),
        (ML, put(1, "asymptotic_limits", "region", "theta_0\n"), "key 'theta_0 ' is not known"),
        (ML, put([5000, 5], "asymptotic_limits", "resolutions"), "resolutions: 1: 5000 is"),
        (ML, put([10**9], "training", "hidden_layers"), "training: hidden_layers: 1: 1000000000"),
        (ML, put([5, 3, 1], "fisher_information", "histogram_bins"), "[5, 3, 1]; give rising"),
        (ML, put([9, 3], "fisher_information", "histogram_range"), "[9, 3]; give rising numbers"),
        (ML, put(point([0.0, 0.0], 1.0), "alice", "theta_1"), "alice: theta_1: sampling_arg: "),
        (
            ML,
            put(GAUSSIAN, "alice", "theta_0", "prior", 1, "parameter_1"),
            "alice: theta_0: prior: 2: gaussian of width 0; give a width above 0",
        ),
        (
            ML,
            put(9.0, "alice", "theta_0", "prior", 0, "parameter_0", "prior_param_0"),
            "alice: theta_0: prior: 1: flat from 9 to 1.5; give two rising numbers",
        ),
    ],
)
def test_hostile_values_are_refused(tmp_path: Path, file: str, change, expected: str) -> None:
    contents = {
        half: yaml.safe_load((INPUTS / half / "input.yml").read_text()) for half in ("ph", "ml")
    }
    del contents["ph"]["shower"]["card"]
    change(contents[file[:2]])
    paths = {}
    for half, content in contents.items():
        paths[half] = tmp_path / f"{half}.yml"
        paths[half].write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as error:
        whole.check({}, **paths)
    line = str(error.value)
    assert line.startswith(f"{paths[file[:2]]}: ")
    assert expected in line
    assert line.isprintable()
    assert "; " in line


@pytest.mark.parametrize("name", ["seed", "num_events", "num_procs_per_job"])
@pytest.mark.parametrize("value", ["-1", "1e400", 10**4000, "nan", "1.5", "9" * 5000, "a\nb", True])
def test_counts_are_whole_numbers_of_sensible_size(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name}: .*; give a whole number from 0 to "):
        parameters.read({name: value})


def test_jobs_are_not_a_million() -> None:
    given = {"num_events": 10**9, "num_procs_per_job": 10**6}
    with pytest.raises(InputError, match=r"^num_procs_per_job: 1000000000 events .* 10000 jobs;"):
        whole.check(given, ph=INPUTS / PH)
