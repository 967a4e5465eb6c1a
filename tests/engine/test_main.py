"""The command line: from options to the workflow, without running it."""

import pytest

from scripts import run
from steps.settings import whole
from steps.stage.errors import InputError


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Everything ``main`` asks of the modules it calls; the specifications are small ones."""
    asked = {}
    folder = tmp_path / "repository"
    inputs = folder / "inputs"
    (inputs / "profiles").mkdir(parents=True)
    for name in ("a.yml", "b.yml", "c.h5"):
        (inputs / name).write_text("")
    (inputs / "profiles/default.yml").write_text(
        "input_file_ph: a.yml\ninput_file_ml: b.yml\nseed: 1\nmlflow_args_s: ''\n"
    )
    references = {
        "all": ["input_file_ph", "input_file_ml", "seed", "mlflow_args_s"],
        "ph": ["input_file", "seed"],
        "ml": ["input_file", "data_file", "mlflow_args_s"],
    }
    targets = {}
    for name, names in references.items():
        lines = [f"- {{step: init, output: {each}}}" for each in names]
        (folder / f"{name}.yml").write_text("\n".join(lines))
        specification = run.Specification(folder, f"{name}.yml")
        targets[name] = run.TARGETS[name]._replace(specification=specification)
    monkeypatch.setattr(run, "TARGETS", targets)
    monkeypatch.setattr(run, "ROOT", folder)
    monkeypatch.setattr(
        run,
        "execute",
        lambda spec, values, place, site, fresh: asked.update(
            place=place, site=site, values=values, fresh=fresh
        ),
    )
    monkeypatch.setattr(
        whole, "check", lambda values, **files: asked.update(checked=files, given=values) or []
    )
    monkeypatch.chdir(tmp_path)
    asked["inputs"] = inputs
    return asked


@pytest.mark.parametrize(
    ("arguments", "ph", "ml", "data_file", "place"),
    [
        (["all"], "a.yml", "b.yml", None, ".yadage"),
        (["ph"], "a.yml", None, None, ".yadage-ph"),
        (["ml", "--data-file", "c.h5"], None, "b.yml", "c.h5", ".yadage-ml"),
        (["all", "--input-file-ph", "b.yml", "--workdir", "x"], "b.yml", "b.yml", None, "x"),
    ],
)
def test_files_are_checked_and_passed(asked, tmp_path, arguments, ph, ml, data_file, place):
    assert run.main(arguments) == 0
    checked = asked["checked"]
    expected = {"ph": ph, "ml": ml, "data_file": data_file}
    for name, file in expected.items():
        assert checked[name] == (asked["inputs"] / file if file else None)
    assert checked["programs"] is True
    assert asked["given"] == asked["values"]
    assert asked["place"] == tmp_path / place
    assert asked["site"].runtime == "native"
    assert asked["site"].cores >= 1


def test_empty_options_count_as_not_given(asked, tmp_path):
    """A Makefile passes its variables on whether they are set or not."""
    arguments = ["ph", "--workdir", "", "--input-file-ph", "", "--data-file", ""]
    assert run.main(arguments) == 0
    assert asked["place"] == tmp_path / ".yadage-ph"


def test_wrong_input_is_one_line(asked, monkeypatch, capsys):
    def refuse(values, **files):
        raise InputError("a.yml: methods: unknown method 'bob'; use one of …")

    monkeypatch.setattr(whole, "check", refuse)
    assert run.main(["all"]) == 2
    assert capsys.readouterr().err == "error: a.yml: methods: unknown method 'bob'; use one of …\n"
    assert "values" not in asked


def test_results_are_shown(asked, capsys):
    assert run.main(["all", "--workdir", "here"]) == 0
    assert capsys.readouterr().out == (
        "plots:     here/workflow_ml/plotting/plots\n"
        "data file: here/workflow_ph/combine/data/combined_delphes.h5\n"
    )
