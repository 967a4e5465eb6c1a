"""One settings file for each stage: what is in it, and what a change of the input changes."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from steps.settings import learning, parameters, physics, stages
from steps.settings.schema import schema
from steps.stage.errors import InputError

ROOT = Path(__file__).parents[2]
INPUTS = ROOT / "inputs"


def divided(half: str, path: Path | None = None, **values) -> dict[str, stages.Settings]:
    """Settings of the shipped input, or of another, by stage."""
    path, given = path or INPUTS / half / "input.yml", parameters.read(values)
    module = physics if half == "ph" else learning
    return {stages.name(type(s)): s for s in module.divide(module.read(path, given), given)}


@pytest.fixture
def changed(tmp_path: Path):
    """Return which stages' settings a change of an input file changes."""

    def stages_that_change(half: str, change) -> set[str]:
        content = yaml.safe_load((INPUTS / half / "input.yml").read_text())
        content.pop("shower", None)
        files = []
        for number, edit in enumerate((lambda c: None, change)):
            edit(content)
            files.append(tmp_path / f"{number}.yml")
            files[-1].write_text(yaml.safe_dump(content))
        one, two = (divided(half, file) for file in files)
        return {name for name in one if one[name] != two[name]}

    return stages_that_change


def test_settings_survive_their_file(tmp_path: Path) -> None:
    for half in ("ph", "ml"):
        for name, settings in divided(half).items():
            stages.write(tmp_path / f"{name}.yml", settings)
            read = stages.read(tmp_path / f"{name}.yml", type(settings))
            assert read == settings, name


def test_the_specification_publishes_one_file_for_each_stage() -> None:
    for half in ("ph", "ml"):
        steps = yaml.safe_load((ROOT / f"workflow/{half}/steps.yml").read_text())
        published = steps["check"]["publisher"]["publish"]
        expected = {name: f"{{output_dir}}/settings/{name}.yml" for name in divided(half)}
        if half == "ml":
            # Observed events are no settings: they were checked, and may be none.
            expected["observed"] = "{output_dir}/observed.h5"
        assert published == expected
        workflow = yaml.safe_load((ROOT / f"workflow/{half}/workflow.yml").read_text())
        for stage in workflow["stages"]:
            if stage["name"] == "check":
                continue
            given = stage["scheduler"]["parameters"]
            assert given["settings"] == {"step": "check", "output": stage["name"]}
            # Nothing else of what the user wrote: only data, places and the tracking server.
            ours = {k for k, v in given.items() if isinstance(v, dict) and v.get("step") == "init"}
            assert ours <= {"data_file", "mlflow_server", "mlflow_username"}, stage["name"]


def test_a_change_reaches_the_stages_that_use_it(changed) -> None:
    def plot(content) -> None:
        content["plotting"]["rates"] = False

    def epochs(content) -> None:
        content["training"]["num_epochs"] = 3

    def luminosity(content) -> None:
        content["evaluating"] = {"luminosity": 5.0}

    def observable(content) -> None:
        content["observables"][0]["default"] = 1.0

    def events(content) -> None:
        content["generator"]["num_events"] = 7

    def shower(content) -> None:
        content["shower"] = {"card": str(INPUTS / "ph/cards/pythia8.cmnd")}

    assert changed("ml", plot) == {"plotting"}

    def zoom(content) -> None:
        content["asymptotic_limits"]["zoom"] = False

    def reference(content) -> None:
        content["reference_vars"] = ["pt_j1"]

    def clip(content) -> None:
        content["asymptotic_limits"]["clip"] = {"observable": "pt_j1", "values": [100, 300]}

    def bags(content) -> None:
        content["morphing"] = {"n_bags": 7}

    def estimator(content) -> None:
        content["estimator"] = "parameterized"

    assert changed("ml", epochs) == {"training"}
    assert changed("ml", bags) == {"reference", "training", "evaluating"}
    assert changed("ml", clip) == {"reference", "evaluating"}
    assert changed("ml", estimator) == {"sampling", "training"}
    # What is sampled is told where the likelihood lives, and what of.
    assert changed("ml", luminosity) == {"reference", "sampling", "evaluating"}
    assert changed("ml", zoom) == changed("ml", reference) == {"reference"}
    assert changed("ph", observable) == {"delphes"}
    assert changed("ph", events) == {"generate"}
    assert changed("ph", shower) == {"pythia"}  # its name, as the user wrote it


@pytest.mark.parametrize(
    ("entry", "stage"),
    [
        ({"type": "norm", "value": 0.1}, set()),
        ({"type": "scale", "scale": "muf", "value": "0.5,2"}, {"pythia"}),
        ({"type": "pdf", "value": "NNPDF31_lo_as_0118"}, {"pythia"}),
        ({"type": "shower", "variation": "fsr", "value": [0.5, 2]}, {"pythia"}),
        ({"type": "detector", "object": "j", "value": 0.03}, {"delphes"}),
    ],
)
def test_a_systematic_reaches_the_stages_that_compute_it(changed, entry, stage) -> None:
    entries = [{"name": "a", **entry}]
    assert changed("ph", lambda c: c.update(systematics=entries)) == stage | {"combine"}


def test_overrides_come_over_the_input_file() -> None:
    made = divided(
        "ml",
        mlflow_args_s="n_samples_train=500",
        mlflow_args_t="hidden_layers=8,4 alpha=3 valid_split=0.1",
        mlflow_args_e="luminosity=300",
        seed=5,
    )
    assert made["sampling"].n_samples_train == 500
    # Validation has events of its own, which the sampling draws.
    assert made["sampling"].valid_split == made["training"].valid_split == 0.1
    assert made["training"].fit["hidden_layers"] == [8, 4]
    assert made["training"].fit["activation"] == "tanh"
    assert made["training"].fit["alpha"] == made["training"].morphing["alpha"] == 3
    assert made["training"].morphing["hidden_layers"] == [8, 4]
    assert made["evaluating"].luminosity == made["reference"].luminosity == 300
    assert made["sampling"].seed == made["reference"].seed == 5


def test_validation_has_a_default_share() -> None:
    made = divided("ml")
    assert made["sampling"].valid_split == 0.2
    assert made["training"].valid_split is None
    assert divided("ml", mlflow_args_s="valid_split=0.3")["training"].valid_split is None


def test_networks_are_set_completely() -> None:
    fit = divided("ml")["training"].fit
    section = set(schema("ml")["properties"]["training"]["properties"]) - {"valid_split"}
    assert set(fit) == section


def test_networks_that_know_the_polynomial_are_set_completely() -> None:
    section = set(schema("ml")["properties"]["morphing"]["properties"])
    assert set(divided("ml")["training"].morphing) == section
    text = "alpha=2 batch_size=70 num_epochs=3 hidden_layers=8,4 learning_rate=0.02"
    both = divided("ml", mlflow_args_t=text)["training"]
    for key in ("alpha", "batch_size", "num_epochs", "hidden_layers", "learning_rate"):
        assert both.morphing[key] == both.fit[key] != divided("ml")["training"].morphing[key]


def test_a_sweep_reaches_both_kinds_of_networks() -> None:
    spec = learning.read(INPUTS / "ml/input.yml", parameters.read({}))
    made = learning.training(spec, {"alpha": 2.0, "activation": "relu"})
    assert made.fit["alpha"] == made.morphing["alpha"] == 2.0
    assert made.fit["activation"] == "relu"
    assert "activation" not in made.morphing


@pytest.mark.parametrize("text", ["seed: 1\nextra: 2\n", "", "- 1\n", "methods: [alice]\n"])
def test_another_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(InputError, match="no settings of stage combine") as error:
        stages.read(tmp_path / "x.yml", stages.Combine)
    assert "\n" not in str(error.value)


def test_settings_classes_say_what_is_in_the_files() -> None:
    for half in ("ph", "ml"):
        for settings in divided(half).values():
            assert {field.name for field in fields(settings)} == set(vars(settings))


def step(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"steps.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


WHOLE = ("--input-file-ph", INPUTS / "ph/input.yml", "--input-file-ml", INPUTS / "ml/input.yml")


def test_the_whole_is_checked_before_any_event(tmp_path: Path) -> None:
    done = step("whole.check", *WHOLE, "--output-dir", tmp_path, "--seed", "1")
    assert (done.returncode, done.stderr) == (0, "")
    done = step(
        *("whole.check", *WHOLE, "--output-dir", tmp_path, "--mlflow-args-s", "test_split=0.1"),
        *("--mlflow-args-e", "''"),
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: mlflow_args_e: test_split 0.2 exceeds the 0.1")


def test_a_half_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    content = yaml.safe_load((INPUTS / "ph/input.yml").read_text())
    content["cuts"][0]["expression"] = "pt_j3 > 30"
    content.pop("shower")
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(content))
    out = ("--output-dir", tmp_path / "out")
    done = step("ph.check", "--input-file", tmp_path / "wrong.yml", *out)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/wrong.yml: cuts: 1: expression: 'pt_j3'")
    assert not (tmp_path / "out/settings").exists()


def test_jobs_of_a_process_may_have_a_size_of_their_own(tmp_path: Path) -> None:
    """Also as YAML's floating-point numbers, which a schema takes for whole ones."""
    path = INPUTS / "ph/jets_photons.yml"
    text = path.read_text().replace("cards/", f"{INPUTS}/ph/cards/")
    (tmp_path / "ph.yml").write_text(
        text.replace("num_events: 16000", "num_events: 1.6e+4")
        .replace("events_per_job: 2000 ", "events_per_job: 2000.0 ")
        .replace("num_events: 4000 ", "num_events: 4000.0 ")
    )
    settings = divided("ph", tmp_path / "ph.yml")["generate"]
    ggf, diphoton = ((p["num_events"], p["events_per_job"]) for p in settings.pythia_processes)
    assert (ggf, diphoton) == ((1400, 4000), (16000, 2000))
    sizes = (*ggf, *diphoton, settings.num_events, settings.events_per_job)
    assert all(type(size) is int for size in sizes)
    as_jobs = divided("ph", tmp_path / "ph.yml", num_procs_per_job=4, num_events=8000)["generate"]
    assert [p["events_per_job"] for p in as_jobs.pythia_processes] == [700, 8000]
