"""Settings of the stages: what each gets of the input file, and whose file it refuses."""

import pytest
import yaml
from stages import ROOT, call_stage, checked, refusal

from steps.stage.errors import InputError

STAGES = ("configure", "generate", "pythia", "delphes", "combine")
# What each stage reads besides, none of which a refusal looks at.
FILES = {
    "configure": {},
    "generate": {"config_file": "none.h5"},
    "pythia": {"job_dir": "none"},
    "delphes": {"events_dir": "none"},
    "combine": {"config_file": "none.h5", "data_files": ["none.h5"]},
}


@pytest.fixture(scope="module")
def content():
    """The shipped input file with a shower card of its own."""
    content = yaml.safe_load((ROOT / "inputs/ph/input.yml").read_text())
    return content | {"shower": {"card": "my.cmnd"}}


@pytest.fixture(scope="module")
def usual(tmp_path_factory, content):
    """Folder of the settings that the tests change."""
    folder = tmp_path_factory.mktemp("usual")
    write(folder, content)
    checked(folder / "input.yml", folder)
    return folder


def write(folder, content, card="PartonLevel:MPI = off\n"):
    (folder / "input.yml").write_text(yaml.safe_dump(content))
    (folder / "my.cmnd").write_text(card)


def texts(folder):
    return {path.stem: path.read_text() for path in (folder / "settings").iterdir()}


def test_each_stage_has_its_settings(usual):
    found = texts(usual)
    assert set(found) == set(STAGES)
    for stage, text in found.items():
        assert text.startswith(f"# Settings of stage {stage}, checked and complete.\n")
        assert str(usual) not in text
    # A card stands there as it was written.
    assert yaml.safe_load(found["pythia"])["shower_card"] == {
        "name": "my.cmnd",
        "text": "PartonLevel:MPI = off\n",
    }
    assert yaml.safe_load(found["combine"]) == {
        "k_factor": 1.0,
        "k_factors": {},
        "systematics": [],
        "seed": 1,
    }


@pytest.mark.parametrize(
    ("changed", "given", "concerned"),
    [
        ("nothing", {}, []),
        ("comment", {}, []),
        ("card", {}, ["pythia"]),
        ("observable", {}, ["delphes"]),
        ("cut", {}, ["delphes"]),
        ("benchmark", {}, ["configure"]),
        ("num_events", {}, ["generate"]),
        ("", {"num_events": 77}, ["generate"]),
        ("", {"num_procs_per_job": 2}, ["generate"]),
        ("events_per_job", {}, ["generate"]),
        ("", {"seed": 2}, ["combine", "configure", "generate"]),
        ("generator", {}, ["generate", "pythia"]),
    ],
)
def test_a_change_concerns_the_stages_that_it_should(
    tmp_path, content, usual, changed, given, concerned
):
    content = yaml.safe_load(yaml.safe_dump(content))
    card = "PartonLevel:MPI = off\n"
    match changed:
        case "card":
            card += "PartonLevel:ISR = off\n"
        case "observable":
            content["observables"][0]["definition"] = "j[1].pt"
        case "cut":
            content["cuts"] = []
        case "benchmark":
            content["benchmarks"][1]["value_1"] = 1.5
        case "num_events":
            content["generator"]["num_events"] = 78
        case "events_per_job":
            content["generator"]["events_per_job"] = 78
        case "generator":
            content["generator"]["scale"] = 80.0
    write(tmp_path, content, card)
    if changed == "comment":
        with (tmp_path / "input.yml").open("a") as file:
            file.write("# Words.\n")
    before, after = texts(usual), checked(tmp_path / "input.yml", tmp_path, **given)
    assert sorted(stage for stage in before if before[stage] != after[stage]) == concerned


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (8000, 8000)),
        ({"num_events": 20_000}, (20_000, 8000)),
        ({"num_procs_per_job": 0}, (8000, 8000)),
        ({"num_procs_per_job": 4}, (8000, 2000)),
        ({"num_events": 100, "num_procs_per_job": 3}, (100, 34)),
        ({"num_events": 3, "num_procs_per_job": 3}, (3, 1)),
    ],
)
def test_a_job_has_its_size_from_the_file_or_from_the_number_of_jobs(
    tmp_path, content, given, expected
):
    write(tmp_path, content)
    made = yaml.safe_load(checked(tmp_path / "input.yml", tmp_path, **given)["generate"])
    assert (made["num_events"], made["events_per_job"]) == expected


@pytest.mark.parametrize("stage", STAGES)
def test_settings_of_another_stage_are_refused(usual, tmp_path, stage):
    for other in (*STAGES, "input"):
        file = usual / "settings" / f"{other}.yml" if other != "input" else usual / "input.yml"
        options = {"settings": file, "output_dir": tmp_path, **FILES[stage]}
        if other == stage:
            continue
        with pytest.raises(InputError) as error:
            call_stage(stage, options)
        assert str(error.value) == (
            f"{file}: no settings of stage {stage}; give the file that stage check made, "
            "or the whole input file as --input-file"
        )
    line = refusal(stage, options)
    assert line.startswith(f"error: {usual / 'input.yml'}: no settings of stage {stage}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("both", [{}, {"settings": "a.yml", "input_file": "b.yml"}])
def test_a_stage_wants_settings_or_a_whole_file(tmp_path, both, capsys):
    with pytest.raises(SystemExit) as stop:
        call_stage("configure", {"output_dir": tmp_path, **both})
    assert stop.value.code == 2
    assert "--settings" in capsys.readouterr().err


def test_a_check_that_fails_leaves_earlier_settings(tmp_path, content):
    write(tmp_path, content)
    before = checked(tmp_path / "input.yml", tmp_path)
    write(tmp_path, content, "No:such = setting\n")
    line = refusal("check", {"input_file": tmp_path / "input.yml", "output_dir": tmp_path})
    assert line.startswith(f"error: {tmp_path / 'input.yml'}: shower: my.cmnd: ")
    assert texts(tmp_path) == before
