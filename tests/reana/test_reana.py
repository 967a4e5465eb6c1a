"""REANA: the specifications with its client, runs with its engine, on a stand-in for its server."""

import datetime
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from gherkin.parser import Parser
from reana_user import REANA, ROOT, SMALL, TOKEN, make, wait

import steps

pytestmark = pytest.mark.workflow
SPECIFICATIONS = ("reana.yaml", "reana-ph.yaml", "reana-ml.yaml", "reana-recast.yaml")


def specification(file: str) -> dict:
    return yaml.safe_load((ROOT / file).read_text())


# ---------------------------------------------------------------------------- specifications


def test_client_finds_nothing_wrong_but_what_it_finds_everywhere(tmp_path: Path) -> None:
    """The client takes the names of published outputs for undefined parameters, in any workflow."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "reana-check", f"VENV_REANA={REANA}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("Valid REANA specification file") == len(SPECIFICATIONS)
    assert "ERROR" not in shown.stdout
    publishers = [
        step["publisher"]
        for half in ("ph", "ml", "recast")
        for step in yaml.safe_load((ROOT / f"workflow/{half}/steps.yml").read_text()).values()
        if "publisher" in step
    ]
    outputs = {p["outputkey"] for p in publishers if "outputkey" in p}
    outputs |= {name for p in publishers for name in p.get("publish", ())}
    warnings = re.findall(r"WARNING: (.*)", shown.stdout)
    undefined = (
        r'Yadage parameter "(\w+)(!a)?" found on steps? .* is not defined in input parameters\.'
    )
    idle = r'Yadage input parameter "(\w+)()" found on steps? .* does not seem to be used\.'
    found = [re.fullmatch(f"{undefined}|{idle}", warning) for warning in warnings]
    assert all(found), warnings
    assert {match[1] for match in found if match[1] and not match[2]} <= outputs
    # It does not know Python's conversion '!a', and misses the parameters that it takes for others.
    quoted = {match[1] for match in found if match[2]}
    unused = {match[3] for match in found if match[3]}
    assert unused <= quoted
    assert quoted - unused <= outputs


@pytest.mark.parametrize("file", SPECIFICATIONS)
def test_parameters_are_those_of_the_profiles(file: str) -> None:
    name = "recast" if "recast" in file else "default"
    profile = yaml.safe_load((ROOT / f"inputs/profiles/{name}.yml").read_text())
    parameters = specification(file)["inputs"]["parameters"]
    assert set(parameters) - {"data_file"} <= set(profile)
    for name in set(parameters) - {"data_file"}:
        expected = profile[name]
        value = parameters[name]
        assert value == (f"inputs/{expected}" if name.startswith("input_file") else expected)


@pytest.mark.parametrize("file", SPECIFICATIONS)
def test_named_files_exist(file: str) -> None:
    content = specification(file)
    inputs = content["inputs"]
    named = [*inputs["directories"], content["workflow"]["file"], *content["tests"]["files"]]
    named += [v for k, v in inputs["parameters"].items() if k.startswith("input_file")]
    assert all((ROOT / name).exists() for name in named)


def test_every_step_asks_for_resources() -> None:
    for half in ("ph", "ml", "recast"):
        steps = yaml.safe_load((ROOT / f"workflow/{half}/steps.yml").read_text())
        for name, step in steps.items():
            if "process" not in step:
                continue
            resources = {k: v for item in step["environment"]["resources"] for k, v in item.items()}
            assert resources["compute_backend"] == "kubernetes", name
            assert re.fullmatch(r"\d+(\.\d)?(Mi|Gi)", resources["kubernetes_memory_limit"])
            assert float(resources["kubernetes_cpu_request"]) > 0
            assert 300 <= resources["kubernetes_job_timeout"] <= 14 * 86400


# ---------------------------------------------------------------------------- a user without access


@pytest.mark.parametrize("target", ["reana-run", "reana-status", "reana-download"])
@pytest.mark.parametrize("missing", ["REANA_SERVER_URL", "REANA_ACCESS_TOKEN"])
def test_missing_access_is_one_line(place: Path, target: str, missing: str) -> None:
    shown = make(place, target, **{missing: ""})
    assert shown.returncode != 0
    lines = [line for line in shown.stderr.splitlines() if not line.startswith("make:")]
    assert lines == [f"error: set {missing}: your cluster's address and your token"]
    assert not shown.stdout


def test_wrong_token_creates_nothing(place: Path) -> None:
    shown = make(place, "reana-run", "REANA_WORKON=stranger", REANA_ACCESS_TOKEN="wr0ng-t0ken")
    assert shown.returncode != 0
    assert not list(place.glob("stranger*"))
    assert "wr0ng-t0ken" not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        ("-p magic=1", {}, "-p magic=1: not a parameter of reana.yaml; known: "),
        ("", {"MLFLOW_TRACKING_URI": "sqlite:///m.db"}, "the cluster can reach servers alone"),
    ],
)
def test_mistakes_are_one_line(place: Path, arguments: str, variables: dict, expected: str) -> None:
    shown = make(place, "reana-run", "REANA_WORKON=wrong", f"ARGS={arguments}", **variables)
    (line,) = [line for line in shown.stderr.splitlines() if not line.startswith("make:")]
    assert line.startswith("error: ")
    assert expected in line
    assert not list(place.glob("wrong*"))


# ---------------------------------------------------------------------------- a whole run


@pytest.mark.slow
def test_whole_run_is_that_of_this_machine(whole: Path, tmp_path: Path) -> None:
    arguments = [word.strip("'") for word in SMALL]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.run", "all", "--workdir", tmp_path / "run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    places = (whole / "workspace", tmp_path / "run")
    data = [p / "workflow_ph/combine/data/combined_delphes.h5" for p in places]
    with h5py.File(data[0]) as one, h5py.File(data[1]) as two:
        for name in ("observations", "weights"):
            np.testing.assert_array_equal(one[f"samples/{name}"], two[f"samples/{name}"])
    limits = [(p / "workflow_ml/plotting/plots/limits.yml").read_text() for p in places]
    assert limits[0] == limits[1]


@pytest.mark.slow
def test_every_job_got_image_and_resources(whole: Path) -> None:
    version = steps.__version__
    jobs = [json.loads(path.read_text()) for path in (whole / "jobs").glob("*.json")]
    assert len(jobs) > 15
    for job in jobs:
        assert job["image"].endswith(f":{version}")
        assert {"compute_backend", "kubernetes_memory_limit"} <= set(job["resources"])


@pytest.mark.slow
def test_download_has_the_layout_of_a_local_run(place: Path, whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "got"
    for _ in range(2):  # a second download replaces the first
        shown = make(place, "reana-download", f"WORKDIR={target}")
        assert shown.returncode == 0, shown.stdout + shown.stderr
    names = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert {
        "workflow_ph/combine/data/combined_delphes.h5",
        "workflow_ml/plotting/plots/limits.yml",
        "workflow_ml/plotting/plots/all_methods.png",
    } <= names
    results = {Path(name).name for name in names if "/evaluating_" in name}
    assert results == {f"Results_{method}.tar.gz" for method in ("alice", "alices", "sally")}
    for name in names - {"reana-run.txt"}:
        assert (target / name).read_bytes() == (whole / "workspace" / name).read_bytes()
    shown = make(place, "reana-download", f"WORKDIR={ROOT / 'docs'}")
    assert shown.returncode != 0
    assert "not an earlier download" in shown.stderr


@pytest.mark.slow
def test_machine_learning_again_on_the_same_data(place: Path, whole: Path, tmp_path: Path) -> None:
    """Another workflow, whose data file was put into its workspace beforehand."""
    name = "madminer-again"
    data = whole / "workspace/workflow_ph/combine/data/combined_delphes.h5"
    target = place / f"{name}.1/workspace/workflow_ph/combine/data/combined_delphes.h5"

    content = specification("reana-ml.yaml")
    assert content["inputs"]["parameters"]["data_file"] == str(
        target.relative_to(place / f"{name}.1/workspace")
    )
    client = [REANA / "bin/reana-client"]
    environment = {"REANA_SERVER_URL": (place / "address").read_text(), "REANA_ACCESS_TOKEN": TOKEN}

    def call(*words: str | Path) -> None:
        done = subprocess.run(
            [*client, *words], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    for assignment in SMALL[5::2]:
        key, _, value = assignment.strip("'").partition("=")
        content["inputs"]["parameters"][key] = value
    (tmp_path / "reana.yaml").write_text(yaml.safe_dump(content))
    call("create", "-n", name, "-f", tmp_path / "reana.yaml")
    call("upload", "-w", name)
    target.parent.mkdir(parents=True)
    target.write_bytes(data.read_bytes())
    call("start", "-w", name)
    assert wait(place, name) == "finished", (place / "log").read_text()[-3000:]
    tables = [
        (run / "workspace/workflow_ml/plotting/plots/limits.yml").read_text()
        for run in (whole, place / f"{name}.1")
    ]
    assert tables[0] == tables[1]
    check_features(place / f"{name}.1", "reana-ml.yaml")


@pytest.mark.slow
def test_reinterpretation_ends_with_both_plots(place: Path) -> None:
    """Each step in what stands for its image; signal alone, so that it takes a minute."""
    name = "madminer-recast"
    arguments = ["input_file_ph=inputs/ph/input.yml", "num_events=600", "observable=pt_j1"]
    arguments += ["bins=30,100,200,600", "scan=-1,1,5;0", "num_procs_per_job=1"]
    words = " ".join(f"-p {shlex.quote(argument)}" for argument in arguments)
    variables = (f"REANA_WORKON={name}", "REANA_FILE=reana-recast.yaml", f"ARGS={words}")
    started = make(place, "reana-run", *variables)
    assert started.returncode == 0, started.stdout + started.stderr
    assert wait(place, name) == "finished", (place / "log").read_text()[-3000:]
    run = place / f"{name}.1"
    check_features(run, "reana-recast.yaml")
    outputs = specification("reana-recast.yaml")["outputs"]
    for path in (*outputs["files"], *outputs["directories"]):
        assert (run / "workspace" / path).exists(), path


@pytest.mark.parametrize(
    ("name", "file", "wrong", "expected"),
    [
        (
            "wronghalf",
            "reana-ph.yaml",
            "num_procs_per_job=99999",
            "num_procs_per_job: 99999 jobs for 8000 events",
        ),
        (
            "wrongwhole",
            "reana.yaml",
            "mlflow_args_s=test_split=0.1",
            "mlflow_args_e: test_split 0.2 exceeds the 0.1 of mlflow_args_s",
        ),
        (
            "wrongscan",
            "reana-recast.yaml",
            "scan=-1,1,5",
            "scan: '-1,1,5' has no range for each of CWL2, CPWL2; give 2 of the form",
        ),
        (
            "hostile",
            "reana.yaml",
            "mlflow_args_s=a';touch stolen;'",
            "mlflow_args_s: 'a';touch' is not key=value with a key out of ",
        ),
    ],
)
def test_wrong_input_is_refused_before_any_event(
    place: Path, name: str, file: str, wrong: str, expected: str
) -> None:
    """As on this machine, where the runner says the same before it starts."""
    arguments = ("REANA_WORKON=" + name, "REANA_FILE=" + file, f"ARGS=-p {shlex.quote(wrong)}")
    shown = make(place, "reana-run", *arguments)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert wait(place, name) == "failed"
    (log,) = (place / f"{name}.1/jobs").glob("*.log")
    assert log.name.endswith("-check.log")
    (line,) = log.read_text().splitlines()
    assert line.startswith(f"error: {expected}")
    assert not list(place.rglob("stolen"))

    target = {"reana.yaml": "all", "reana-recast.yaml": "ph-recast"}.get(file, "ph")
    profile = "recast" if target == "ph-recast" else "default"
    words = [target, "--profile", profile, "--workdir", place / "x", "-p", wrong]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.run", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"{line}\n")


@pytest.mark.slow
def test_server_gets_nothing_that_its_document_does_not_have(place: Path, whole: Path) -> None:
    invalid = place / "invalid"
    assert not invalid.exists(), invalid.read_text()


@pytest.mark.slow
def test_token_and_tracking_password_are_in_no_file(place: Path, whole: Path) -> None:
    shown = make(
        place,
        "reana-run",
        "REANA_WORKON=tracked",
        "ARGS=-p num_events=1 -p num_procs_per_job=5",  # ends at its first step
        MLFLOW_TRACKING_URI="https://emmy:n0ether-s3cret@mlflow.example.org",
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "reana-client secrets-add" in shown.stdout
    assert wait(place, "tracked") == "failed"
    state = json.loads((place / "tracked.1/state.json").read_text())
    parameters = state["inputs"]["parameters"]
    assert parameters["mlflow_server"] == "https://mlflow.example.org"
    files = [path for path in place.rglob("*") if path.is_file()]
    for secret in (TOKEN, "n0ether-s3cret"):
        assert secret not in shown.stdout + shown.stderr
        assert not [path for path in files if secret.encode() in path.read_bytes()]


# ---------------------------------------------------------------------------- features

Check = Callable[..., bool]


def size(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]


def job_logs(run: Path, step: str) -> str:
    return "".join(path.read_text() for path in (run / "jobs").glob(f"*-{step}.log"))


def minutes(run: Path) -> float:
    state = json.loads((run / "state.json").read_text())
    start, end = (
        datetime.datetime.fromisoformat(state[f"run_{what}_at"]) for what in ("started", "finished")
    )
    return (end - start).total_seconds() / 60


def has_outputs(run: Path) -> bool:
    outputs = specification("reana.yaml")["outputs"]
    return all(list((run / "workspace").glob(p)) for group in outputs.values() for p in group)


# The sentences of REANA's vocabulary that our features use, and what they mean.
SENTENCES: dict[str, Check] = {
    r"the workflow is finished": lambda run: (
        json.loads((run / "state.json").read_text())["status"] == "finished"
    ),
    r"the workflow execution completes": lambda run: (
        json.loads((run / "state.json").read_text())["status"] in ("finished", "failed")
    ),
    r'the engine logs should contain "(.*)"': lambda run, text: (
        text in (run / "engine.log").read_text()
    ),
    r'the job logs for the "(.*)" step should contain "(.*)"': lambda run, step, text: (
        text in job_logs(run, step)
    ),
    r"the workflow run duration should be less than (\d+) minutes": lambda run, most: (
        minutes(run) < int(most)
    ),
    r'the workspace should contain "(.*)"': lambda run, file: (run / "workspace" / file).exists(),
    r'the file "(.*)" should contain "(.*)"': lambda run, file, text: (
        text in (run / "workspace" / file).read_text()
    ),
    r'the size of the file "(.*)" should be between "(.*)" and "(.*)"': lambda run, file, *ends: (
        size(ends[0]) < (run / "workspace" / file).stat().st_size < size(ends[1])
    ),
    r"all the outputs should be included in the workspace": has_outputs,
}


def check_features(run: Path, file: str) -> None:
    for name in specification(file)["tests"]["files"]:
        feature = Parser().parse((ROOT / name).read_text())["feature"]
        assert feature["children"]
        for child in feature["children"]:
            for step in child["scenario"]["steps"]:
                matches = [(c, re.fullmatch(p, step["text"])) for p, c in SENTENCES.items()]
                ((check, match),) = [(c, m) for c, m in matches if m]
                assert check(run, *match.groups()), step["text"]


@pytest.mark.slow
def test_features_hold(whole: Path) -> None:
    check_features(whole, "reana.yaml")


@pytest.mark.slow
def test_features_of_physics_hold(whole: Path) -> None:
    check_features(whole, "reana-ph.yaml")
