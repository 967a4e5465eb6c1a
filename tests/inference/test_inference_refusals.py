"""Stages refuse what does not belong together: status 1, and one line that says what to do."""

import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from broken import BROKEN, broken

from inference.chains import call
from steps.inference.morphing.polynomial import monomials
from steps.settings import arguments, learning, stages
from steps.stage import results


@pytest.fixture
def refused(capsys):
    """Return a function that runs a stage and returns the line with which it ends."""

    def run(argv):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            call(argv)
        assert end.value.code == 1
        lines = [text for text in capsys.readouterr().err.splitlines() if text]
        assert [text for text in lines if not text.startswith("progress: ")] == lines[-1:]
        assert lines[-1].startswith("error: ")
        return lines[-1]

    return run


def evaluating(run, data_file, *options):
    model = run.folder / "training_carl_0" / "Model.tar.gz"
    common = ("--model-file", model, "--data-file", data_file)
    return run.stage("evaluating", "evaluated", *common, *options)


def settings_file(run, folder, stage, **changes):
    """Write the settings of a stage as stage check does, but for some of them."""
    content = yaml.safe_load((run.folder / "input.yml").read_text()) | changes
    path = folder / "changed.yml"
    path.write_text(yaml.safe_dump(content))
    parameters = arguments.parameters.read({})
    spec = learning.read(path, parameters)
    stages.write_all(folder, learning.divide(spec, parameters))
    return folder / f"{stages.name(stage)}.yml"


def test_the_input_file_keeps_events_of_the_training_from_the_test(carl, line, refused):
    options = ("--data-file", line.path, "--mlflow-args-e", "test_split=0.5")
    error = refused(carl.stage("check", "checked", *options))
    assert "test_split 0.5 exceeds the 0.2" in error
    assert "give both the same" in error


@pytest.mark.parametrize("way", ["--overrides", "--settings"])
def test_the_sample_keeps_events_of_the_training_from_the_test(carl, line, refused, tmp_path, way):
    """By hand with another test_split; by settings that are consistent, but not the sample's."""
    argv = list(evaluating(carl, line.path))
    if way == "--overrides":
        argv += ["--overrides", "test_split=0.5"]
    else:
        both = {"sampling": {"test_split": 0.5}, "evaluating": {"test_split": 0.5}}
        place = argv.index("--input-file")
        argv[place : place + 2] = [way, settings_file(carl, tmp_path, stages.Evaluating, **both)]
    error = refused(argv)
    assert "test_split: 0.5 exceeds the 0.2 of the training sample" in error
    assert "give both the same" in error


def test_fewer_events_may_be_tested(carl, line):
    call(evaluating(carl, line.path, "--overrides", "test_split=0.1", "n_samples_test=100"))


def test_another_data_file(carl, line, refused, tmp_path):
    other = tmp_path / "other.h5"
    shutil.copyfile(line.path, other)
    call(evaluating(carl, other, "--overrides", "n_samples_test=100"))
    with other.open("ab") as file:
        file.write(b"\0")
    error = refused(evaluating(carl, other))
    assert f"{other}: not the data file" in error
    assert "give that one, or draw and train again" in error


def test_a_method_that_the_input_does_not_name(carl, line, refused):
    content = yaml.safe_load((carl.folder / "input.yml").read_text())
    other = carl.folder / "other.yml"
    content |= {"methods": ["alice"], "alice": content["carl"]}
    other.write_text(yaml.safe_dump(content))
    argv = [other if word == carl.folder / "input.yml" else word for word in
            evaluating(carl, line.path)]  # fmt: skip
    assert "methods: carl is not among those" in refused(argv)


def training(run, sample, *options):
    return run.stage("training", "trained", "--sample-dir", sample, *options)


def sample_of(run):
    return run.sample("carl")


def test_another_share_of_validation(carl, refused):
    error = refused(training(carl, sample_of(carl), "--overrides", "valid_split=0.3"))
    assert "valid_split: 0.3, but the sample was drawn with 0.2" in error
    assert "draw it again" in error


def test_the_same_share_of_validation_is_no_other(carl):
    call(training(carl, sample_of(carl), "--overrides", "valid_split=0.2", "num_epochs=1"))


def test_a_training_that_diverges_at_once(carl, refused):
    options = ("--overrides", "learning_rate=1e6", "batch_size=50")
    error = refused(training(carl, sample_of(carl), *options))
    assert "carl: the loss of the first epoch is not a number; lower learning_rate" in error


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "0.0.1"}, "made by version 0.0.1 of the workflow"),
        ({"version": None}, "made by version None of the workflow"),
    ],
)
def test_a_sample_of_another_version(carl, refused, tmp_path, change, told):
    sample = shutil.copytree(sample_of(carl), tmp_path / "sample")
    about = yaml.safe_load((sample / "sample.yml").read_text())
    (sample / "sample.yml").write_text(yaml.safe_dump(about | change))
    error = refused(training(carl, sample))
    assert told in error
    assert "run the earlier stages again" in error


@pytest.mark.parametrize("text", [None, "", "- a list", "{", "method: carl"])
def test_a_sample_that_no_stage_made(carl, refused, tmp_path, text):
    sample = shutil.copytree(sample_of(carl), tmp_path / "sample")
    if text is None:
        (sample / "sample.yml").unlink()
    else:
        (sample / "sample.yml").write_text(text)
    error = refused(training(carl, sample))
    assert "not made by a stage of this workflow" in error
    assert "check the path" in error


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"evaluating": {"luminosity": 5.0}}, ["luminosity", "grid"]),
        ({"asymptotic_limits": {"zoom": False}}, ["grid"]),
    ],
)
def test_a_reference_of_other_data(carl, line, refused, tmp_path, change, told):
    content = yaml.safe_load((carl.folder / "input.yml").read_text())
    for section, values in change.items():
        content[section] = content.get(section, {}) | values
    (tmp_path / "input.yml").write_text(yaml.safe_dump(content))
    argv = carl.stage("reference", "other", "--data-file", line.path)
    call([tmp_path / "input.yml" if word == carl.folder / "input.yml" else word for word in argv])
    files = ("--result-files", carl.folder / "evaluating_carl_0" / "Results_carl.tar.gz")
    reference = ("--reference-file", carl.folder / "other" / "reference.h5")
    error = refused(carl.stage("plotting", "plotted", *files, *reference))
    assert any(f"{name} is not that of the reference file" in error for name in told)
    assert "evaluate with the same settings and data" in error


def test_a_method_without_results(carl, line, refused):
    content = yaml.safe_load((carl.folder / "input.yml").read_text())
    other = carl.folder / "both.yml"
    content |= {"methods": ["carl", "alice"], "alice": content["carl"]}
    other.write_text(yaml.safe_dump(content))
    files = ("--result-files", carl.folder / "evaluating_carl_0" / "Results_carl.tar.gz")
    reference = ("--reference-file", carl.folder / "reference" / "reference.h5")
    argv = carl.stage("plotting", "plotted", *files, *reference)
    argv = [other if word == carl.folder / "input.yml" else word for word in argv]
    assert "methods: no results of alice; evaluate it, or leave it out" in refused(argv)


@pytest.mark.parametrize("drawn", ["morphing", "parameterized"])
def test_a_sample_of_another_estimator(chain, small, refused, drawn):
    """Events as they are, or samples of training and validation: one is not the other."""
    made = chain(small)
    (wanted,) = {"morphing", "parameterized"} - {drawn}
    made.write_input(["alices"], estimator=drawn)
    options = ("--data-file", small.path, "--overrides", "n_samples_train=500")
    call(made.stage("sampling", "sampling", *options))
    made.write_input(["alices"], estimator=wanted)
    sample = ("--sample-dir", made.sample("alices"), "--overrides", "num_epochs=1")
    error = refused(made.stage("training", "trained", *sample))
    assert f"estimator: {wanted}" in error
    assert "draw it again" in error


# ------------------------------------------------------------------ before anything runs
@pytest.fixture
def checked(chain, small, refused, tmp_path):
    """Return a function that checks an input and a data file, and returns the refusal."""

    def run(*options, methods=("alice", "alices"), data_file=small.path, **changes):
        made = chain(small)
        made.write_input(methods, **changes)
        error = refused(made.stage("check", "checked", "--data-file", data_file, *options))
        assert not (made.folder / "checked" / "settings").exists()
        return error

    return run


@pytest.fixture
def other(small, tmp_path):
    """Return a function that copies the toy's file, but for what another changes."""

    def make(change):
        path = tmp_path / "other.h5"
        shutil.copyfile(small.path, path)
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def exchange(file, name, values):
    del file[name]
    file[name] = values


def test_events_of_negative_weight(checked, other, chain, small):
    def change(file):
        weights = file["samples/weights"][()]
        weights[::10] *= -1
        exchange(file, "samples/weights", weights)

    path = other(change)
    error = checked(data_file=path)
    assert f"{path}: events have negative weights" in error
    assert "use estimator: parameterized" in error
    # MadMiner's networks take them, whatever the estimator says.
    made = chain(small)
    made.write_input(["alice"], estimator="parameterized")
    call(made.stage("check", "checked", "--data-file", path))
    made.write_input(["carl", "sally"])
    call(made.stage("check", "checked", "--data-file", path))


def test_a_morphing_of_odd_powers(checked, other):
    powers = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [2, 1], [0, 2]])

    def change(file):
        at_benchmarks = monomials(file["benchmarks/values"][()], powers)
        exchange(file, "morphing/components", powers)
        exchange(file, "morphing/morphing_matrix", np.linalg.inv(at_benchmarks))

    path = other(change)
    error = checked(data_file=path)
    assert f"{path}: the morphing has odd powers" in error
    assert "use estimator: parameterized" in error


def test_nuisance_parameters_that_networks_do_not_know(checked):
    error = checked("--mlflow-args-s", "nuisance_flag=1")
    assert "nuisance_flag: 1, but networks of estimator: morphing have no nuisance" in error
    assert "use parameterized, or 0" in error


def test_a_true_point_outside_the_region(checked):
    limits = {
        "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(2)},
        "resolutions": [7, 5],
        "theta_true": [0.0, -1.5],
    }
    error = checked(asymptotic_limits=limits)
    assert "theta_true: -1.5 of theta_1 is outside its region from -1.0 to 1.0" in error
    assert "widen the region" in error


def test_more_parameters_than_a_grid_can_have(checked, other):
    """Of networks that need one; four of the file are made of its two."""

    def change(file):
        for name, values in file["parameters"].items():
            exchange(file, f"parameters/{name}", np.concatenate([values[()]] * 2))
        names = np.array([b"a", b"b", b"c", b"d"])
        exchange(file, "parameters/names", names)
        values = file["benchmarks/values"][()]
        exchange(file, "benchmarks/values", np.hstack([values, 0 * values]))
        powers = file["morphing/components"][()]
        exchange(file, "morphing/components", np.hstack([powers, 0 * powers]))

    limits = {
        "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(4)},
        "resolutions": [3] * 4,
        "theta_true": [0.0] * 4,
    }
    error = checked(methods=["sally"], data_file=other(change), asymptotic_limits=limits)
    assert "methods: sally: limits need a grid, for which 4 parameters are too many" in error
    assert "use alice or alices with estimator: morphing" in error


def test_observables_that_the_file_does_not_have(checked):
    error = checked(reference_vars=["x7"])
    assert "reference_vars: no observable 'x7'; choose from x0, x1" in error
    error = checked(morphing={"kinds": {"x7": "plain"}})
    assert "morphing: kinds: no observable 'x7'" in error


def test_a_cut_that_no_event_is_below(checked, other):
    def change(file):
        x = np.abs(file["samples/observations"][()])
        x[:, 0] += 2 - x[:, 0].min()
        exchange(file, "samples/observations", x)

    path = other(change)
    limits = {
        "region": {f"theta_{k}": {"min": -1.0, "max": 1.0} for k in range(2)},
        "resolutions": [7, 5],
        "theta_true": [0.0, 0.0],
        "clip": {"observable": "x0", "values": [2.0, 3.0]},
    }
    error = checked(data_file=path, asymptotic_limits=limits)
    assert f"clip: values: no event of {path} has x0 below 2; the lowest is 2, raise it" in error


# ------------------------------------------------------------------ broken files
def packed_again(archive, folder, change):
    """Unpack an archive, change the folder in it, and pack it."""
    with tarfile.open(archive) as content:
        content.extractall(folder / "in", filter="data")
    change(folder / "in")
    with tarfile.open(folder / "changed.tar.gz", "w:gz") as content:
        for path in sorted((folder / "in").iterdir()):
            content.add(path, path.name)
    return folder / "changed.tar.gz"


def replaced(name, content):
    """Return a change of the one file of that name."""

    def change(place):
        (path,) = place.rglob(name)
        path.write_bytes(content)

    return change


def without(name):
    def change(place):
        (path,) = place.rglob(name)
        path.unlink()

    return change


def pickled(place):
    (path,) = place.rglob("*_state_dict.pt")
    torch.save(Path, path)


def evaluate(run, data_file, model, *options):
    common = ("--model-file", model, "--data-file", data_file)
    return run.stage("evaluating", "evaluated", *common, *options)


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_model_is_refused(carl, line, refused, tmp_path, way):
    model = broken(carl.folder / "training_carl_0/Model.tar.gz", way, tmp_path)
    error = refused(evaluate(carl, line.path, model))
    assert error.startswith(f"error: {model}: cannot be read as an archive (")
    assert error.endswith("; run the step that made it again")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("training.yml"), "not made by a stage of this workflow"),
        (without("losses.npy"), "cannot be read as a model of stage training ("),
        (without("*_state_dict.pt"), "cannot be read as a model of stage training ("),
        (without("*_x_stds.npy"), "cannot be read as a model of stage training ("),
        (without("*_settings.json"), "cannot be read as a model of stage training ("),
        (replaced("losses.npy", b"text"), "cannot be read as a model of stage training ("),
        (replaced("*_state_dict.pt", b"text"), "cannot be read as a model of stage training ("),
        (replaced("*_settings.json", b"{}"), "cannot be read as a model of stage training ("),
        (replaced("training.yml", b"{version: 1"), "not made by a stage of this workflow"),
        (pickled, "cannot be read as a model of stage training ("),
        (lambda place: (place / "second").mkdir(), "cannot be read as a model of stage training ("),
        (lambda place: (place / "a").symlink_to("/etc"), "will not unpack 'a', which is neither"),
    ],
)
def test_a_model_that_training_did_not_make_is_refused(carl, line, refused, tmp_path, change, told):
    model = carl.folder / "training_carl_0/Model.tar.gz"
    error = refused(evaluate(carl, line.path, packed_again(model, tmp_path, change)))
    assert told in error


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_reference_is_refused(carl, line, refused, tmp_path, way):
    reference = broken(carl.reference, way, tmp_path)
    model = carl.folder / "training_carl_0/Model.tar.gz"
    for argv in (
        evaluate(carl, line.path, model, "--reference-file", reference),
        carl.stage("sampling", "drawn", "--data-file", line.path, "--reference-file", reference),
    ):
        error = refused(argv)
        assert error.startswith(f"error: {reference}: ")
        assert error.endswith("; run the stage that made it again")


def test_a_reference_that_another_stage_wrote_is_refused(carl, line, refused, tmp_path):
    results.write(tmp_path / "reference.h5", {"x": 1.0})
    options = ("--data-file", line.path, "--reference-file", tmp_path / "reference.h5")
    error = refused(carl.stage("sampling", "drawn", *options))
    assert "has no 'expectation/region'; give what the right stage wrote" in error


@pytest.mark.parametrize("way", BROKEN)
def test_broken_results_are_refused(carl, refused, tmp_path, way):
    archive = broken(carl.folder / "evaluating_carl_0/Results_carl.tar.gz", way, tmp_path)
    options = ("--result-files", archive, "--reference-file", carl.reference)
    error = refused(carl.stage("plotting", "plotted", *options))
    assert error.startswith(f"error: {archive}: cannot be read as an archive (")


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_sample_is_refused(carl, refused, tmp_path, way):
    if way in ("absent", "other"):
        pytest.skip("told by what is missing, or no other HDF5")
    column = broken(sample_of(carl) / "x_carl_train.npy", way, tmp_path)
    error = refused(training(carl, column.parent))
    assert error.startswith(f"error: {column}: cannot be read as a column of a sample (")


@pytest.mark.parametrize("stage", ["check", "reference", "sampling"])
@pytest.mark.parametrize("way", [*BROKEN, "NaN"])
def test_a_broken_data_file_is_refused_by_every_stage(carl, line, refused, tmp_path, stage, way):
    """By the first one, and by others that are called alone."""
    if way == "NaN":
        path = tmp_path / "data.h5"
        shutil.copyfile(line.path, path)
        with h5py.File(path, "a") as file:
            file["samples/weights"][7] = np.nan
    else:
        (tmp_path / "one").mkdir()
        shutil.copyfile(line.path, tmp_path / "one/data.h5")
        path = broken(tmp_path / "one/data.h5", way, tmp_path)
    argv = list(carl.stage(stage, "made", "--data-file", path))
    if stage != "check":
        place = argv.index("--input-file")
        which = {"reference": stages.Reference, "sampling": stages.Sampling}[stage]
        argv[place : place + 2] = ["--settings", settings_file(carl, tmp_path, which)]
    error = refused(argv)
    assert error.startswith(f"error: {path}: ")
    assert not (carl.folder / "made/settings").exists()


@pytest.mark.parametrize("way", ["absent", "folder"])
def test_a_data_file_that_is_gone_is_refused_by_evaluating(carl, line, refused, tmp_path, way):
    shutil.copytree(Path(line.path).parent, tmp_path / "one")
    path = broken(tmp_path / "one" / Path(line.path).name, way, tmp_path)
    argv = list(evaluating(carl, path))
    place = argv.index("--input-file")
    argv[place : place + 2] = ["--settings", settings_file(carl, tmp_path, stages.Evaluating)]
    assert f"{path}: cannot be read as a file" in refused(argv)
