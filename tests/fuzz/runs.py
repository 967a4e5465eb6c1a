"""Mutants that the check accepts, run through all stages at a tiny size."""

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from steps.physics import generator
from steps.stage import command
from tests.fuzz import children
from tests.fuzz.children import Send
from tests.fuzz.mutants import Mutant
from tests.fuzz.verdicts import FINDING, REFUSED, Verdict, call, place, unclear

RESULTS = "results"

# Of a run: seconds of the processor, seconds in all on a machine that has other things to do, and
# bytes of memory.
_SECONDS, _PATIENCE = 150, 1800
_MEMORY = 16 << 30
_EVENTS = 200
_OVERRIDES = {
    "mlflow_args_s": "n_samples_train=500 n_sampling_runs=1",
    "mlflow_args_t": "num_epochs=1 batch_size=100",
    "mlflow_args_e": "n_toys=0 n_samples_test=100",
}
_STAGES = ("configure", "generate", "pythia", "delphes", "combine")


def run(mutant: Mutant, folder: Path, data_file: Path) -> Verdict:
    """Run the stages that a mutant matters to, in a process of their own.

    Args:
        mutant: A mutant of an input file, card, sweep, or of the parameters.
        folder: Folder to replace.
        data_file: Events for machine learning, where the mutant does not change these.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (verdict,) = children.verdicts(_report, mutant, folder, data_file, patience=_PATIENCE)
    return verdict


def events(folder: Path) -> Path:
    """Make the events of the default physics input, and return their file."""
    mutant = Mutant("ph/input.yml", ())
    files = place(mutant, folder / "inputs")
    _shrink(files["ph"])
    for name, function, argv in _physics(mutant, files["ph"], folder):
        ended = call(command.run, function, argv=argv)
        if ended.status:
            raise RuntimeError(f"{name}: {ended}")
    return folder / "combine/data/combined_delphes.h5"


def _report(send: Send, mutant: Mutant, folder: Path, data_file: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    used = int(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + _SECONDS, used + _SECONDS))
    # Of libraries that do not ask Python.
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    _hurry(mutant)
    send(_run(mutant, folder, data_file))


def _hurry(mutant: Mutant) -> None:
    """Leave out most of what takes long and hardly differs: fine grids, and drawing figures."""
    from matplotlib.figure import Figure

    generator.adapt = partial(generator.adapt, evaluations=2000, iterations=3)
    if not _often(mutant, 4):
        Figure.savefig = lambda figure, path: path.touch()


def _often(mutant: Mutant, every: int) -> bool:
    """Choose every so many-th mutant, the same ones each time."""
    return sum(change.seed for change in mutant.changes) % every == 0


def _run(mutant: Mutant, folder: Path, data_file: Path) -> Verdict:
    files = place(mutant, folder / "inputs")
    for path in files.values():
        _shrink(path)
    stages: list[Iterator[Stage]] = []
    done = folder / "plotting/plots/limits.yml"
    if mutant.base.startswith("ph/") or mutant.base == "parameters":
        _adapt(files["ml"], files["ph"])
        data_file = folder / "combine/data/combined_delphes.h5"
        stages.append(_physics(mutant, files["ph"], folder))
    if _often(mutant, 2) or not stages:
        stages.append(_learning(mutant, files["ml"], data_file, folder))
    else:
        done = data_file
    for half in stages:
        for name, function, argv in half:
            ended = call(command.run, function, argv=argv)
            if ended.traceback:
                return Verdict(FINDING, f"{name}: {ended.traceback}")
            if ended.status:
                said = [x for x in ended.lines if x.startswith("error: ")]
                wrong = f"{len(said)} lines" if len(said) != 1 else unclear(said[0])
                text = f"{name}: {' '.join(said) or ended.lines[-3:]}"
                return Verdict(FINDING if wrong else REFUSED, f"{wrong}: {text}" if wrong else text)
    return Verdict(RESULTS if done.exists() else FINDING, f"{done.name}")


# A stage: its name, its main function and its command line.
Stage = tuple[str, Callable[[], None], list[Any]]


def _physics(mutant: Mutant, path: Path, folder: Path) -> Iterator[Stage]:
    # The physics half's own way to call its stages one by one.
    main = import_module("steps.ph.__main__").main
    given = {"num_events": str(_EVENTS)} | mutant.parameters()
    # Only of the size of a run that is not tiny.
    given |= {"num_events": str(_EVENTS), "num_procs_per_job": "0"}
    words = [f"--{k.replace('_', '-')}={v}" for k, v in given.items() if k not in _OVERRIDES]
    for stage in _STAGES:
        yield stage, main, [stage, "--input-file", path, "--workdir", folder, *words]


def _learning(mutant: Mutant, path: Path, data_file: Path, folder: Path) -> Iterator[Stage]:
    def stage(name: str, place: str = "", **options: Any) -> Stage:
        argv: list[Any] = ["--output-dir", folder / (place or name)]
        for key, value in options.items():
            words = value if isinstance(value, list) else [value]
            argv += [f"--{key.replace('_', '-')}", *words]
        if name != "check_ml":
            argv += ["--settings", settings / f"{name}.yml"]
        return name, import_module(f"steps.ml.{name.removesuffix('_ml')}").main, argv

    given = mutant.parameters()
    seed = [f"--seed={given['seed']}"] if "seed" in given else []
    texts = [f"--{k.replace('_', '-')}={given.get(k, '')} {v}" for k, v in _OVERRIDES.items()]
    settings = folder / "check_ml/settings"
    name, main, argv = stage("check_ml", input_file=path, data_file=data_file)
    sweep = path.parents[1] / mutant.base
    argv += ["--sweep-file", sweep] if mutant.base.startswith("sweeps/") else []
    yield name, main, [*argv, *texts, *seed]

    observed = folder / "check_ml/observed.h5"
    yield stage("reference", data_file=data_file, observed_file=observed)
    reference = folder / "reference/reference.h5"
    yield stage("sampling", data_file=data_file, reference_file=reference)
    of_training = sorted(settings.glob("training_*.yml")) or [settings / "training.yml"]
    models: list[Path] = []
    for sample in sorted((folder / "sampling/data").glob("Samples_*")):
        for one in of_training[-2:]:
            place = f"training_{len(models)}"
            name, main, argv = stage("training", place, sample_dir=sample)
            yield name, main, [*argv[:-1], one]
            models.append(folder / place / "Model.tar.gz")
    results: list[Path] = []
    for number, model in enumerate(models):
        place = f"evaluating_{number}"
        yield stage(
            "evaluating",
            place,
            data_file=data_file,
            reference_file=reference,
            model_file=model,
            observed_file=observed,
        )
        results += sorted((folder / place).glob("Results_*.tar.gz"))
    yield stage("plotting", result_files=results, reference_file=reference)


def _shrink(path: Path) -> None:
    """Make small what an accepted file asks for, and no parameter of the workflow says."""
    content = yaml.safe_load(path.read_text())
    if "methods" in content:
        _limit(content.setdefault("morphing", {}), "n_bags", 2)
        for method in content["methods"]:
            _limit(content[method]["theta_0"], "sampling_number", 5)
        limits = content["asymptotic_limits"]
        limits["resolutions"] = [min(n, 9) for n in limits["resolutions"]]
    else:
        _limit(content["set_morphing"], "n_trials", 20)
        for process in content.get("generator", {}).get("processes", ()):
            _limit(process, "num_events", 1000)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def _limit(section: dict[str, Any], key: str, most: int) -> None:
    section[key] = min(section.get(key, most), most)


def _adapt(path: Path, physics: Path) -> None:
    """Let machine learning be short, and name what a changed physics input still has."""
    content = yaml.safe_load(path.read_text())
    observables = yaml.safe_load(physics.read_text())["observables"]
    content |= {"methods": ["alices"], "histogram_vars": observables[0]["name"]}
    content |= {"fisher_information": {"bool": False}, "plotting": {}}
    del content["alice"], content["sally"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
