"""The input file of the physics half: read, checked, and divided among its stages."""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from steps.backends import detectors, generators, processes
from steps.events import expressions
from steps.events.origin import SIGNAL
from steps.physics.shower import CardError, check_settings
from steps.settings import arguments, stages, systematics
from steps.settings.document import load, reject_duplicates
from steps.settings.parameters import Parameters
from steps.settings.theory import Theory
from steps.stage.errors import InputError, SettingError
from steps.stage.texts import TextError, read_text

# For each benchmark: every job is a step of its own, with a folder and two files.
_MOST_JOBS = 10_000
_FARTHEST = 1e6
_DEFAULT_CARDS = Path(__file__).parents[2] / "inputs" / "ph" / "cards"


@dataclass(frozen=True)
class PhysicsInput:
    """The input file, with defaults filled in.

    ``benchmarks`` maps names to parameter values by parameter name, ``outside_basis`` has the names
    of those that the morphing basis is to do without; the other attributes are the sections of the
    file. Cards are in them as ``name`` and ``text``.
    """

    path: Path
    parameters: Sequence[Mapping[str, Any]]
    benchmarks: Mapping[str, Mapping[str, float]]
    outside_basis: Sequence[str]
    morphing: Mapping[str, Any]
    num_events: int
    events_per_job: int
    generator: Mapping[str, Any]
    pythia_processes: Sequence[Mapping[str, Any]]
    k_factor: float
    k_factors: Mapping[str, float]
    shower_card: Mapping[str, str]
    detector: Mapping[str, Any]
    observables: Sequence[Mapping[str, Any]]
    cuts: Sequence[Mapping[str, Any]]
    systematics: Sequence[Mapping[str, Any]]

    @property
    def theory(self) -> Theory:
        """What machine learning can refer to; the morphing will add benchmarks."""
        return Theory(
            parameters=[p["parameter_name"] for p in self.parameters],
            observables=[o["name"] for o in self.observables],
            benchmarks=self.benchmarks,
            complete=False,
        )


def read(path: Path, parameters: Parameters) -> PhysicsInput:
    """Read the input file and check all of it.

    Raises:
        InputError: The first thing that is wrong, in one line.
    """
    spec = _load(path)
    try:
        _check_expressions(spec)
        generators.choose(spec.generator).check(spec.parameters)
        generators.check_variations(spec.generator, spec.systematics)
        _check_shower(spec.shower_card)
        for process in spec.pythia_processes:
            processes.check(process)
            processes.check_variations(process, spec.shower_card, spec.systematics)
        detectors.choose(spec.detector)
    except SettingError as error:
        raise InputError(f"{path}: {error}") from None
    _check_jobs(spec, parameters)
    return spec


def _check_jobs(spec: PhysicsInput, parameters: Parameters) -> None:
    """Refuse jobs without events, and more jobs than a run can have."""
    jobs = parameters.num_procs_per_job
    places = ["", *(f"processes: {process['name']}: " for process in spec.pythia_processes)]
    sizes = [_size(spec, parameters), *_sizes_of_processes(spec, parameters)]
    for place, size in zip(places, sizes, strict=True):
        n_events, per_job = size["num_events"], size["events_per_job"]
        if jobs > n_events:
            raise InputError(
                f"num_procs_per_job: {jobs} jobs for {n_events} events per benchmark; "
                "choose fewer jobs"
            )
        if n_events > _MOST_JOBS * per_job:
            key = f"{spec.path}: generator: {place}events_per_job"
            raise InputError(
                f"{'num_procs_per_job' if jobs else key}: {n_events} events of a benchmark in "
                f"jobs of {per_job} are more than {_MOST_JOBS} jobs; choose larger jobs"
            )


def find_programs(spec: PhysicsInput) -> None:
    """Check that the programs are on this machine that an input file asks for.

    Raises:
        InputError: One is missing.
    """
    try:
        generators.choose(spec.generator).find_programs()
        detectors.choose(spec.detector).find_programs()
    except SettingError as error:
        raise InputError(f"{spec.path}: {error}") from None


def divide(spec: PhysicsInput, parameters: Parameters) -> list[stages.Settings]:
    """Return the settings of each stage."""
    return [
        stages.Configure(
            parameters=spec.parameters,
            benchmarks=spec.benchmarks,
            outside_basis=spec.outside_basis,
            morphing=spec.morphing,
            generator={"backend": spec.generator["backend"]},
            seed=parameters.seed,
        ),
        stages.Generate(
            generator=spec.generator,
            pythia_processes=[
                {**process, **size}
                for process, size in zip(
                    spec.pythia_processes, _sizes_of_processes(spec, parameters), strict=True
                )
            ],
            **_size(spec, parameters),
            seed=parameters.seed,
        ),
        stages.Pythia(
            generator=generators.choose(spec.generator).event_settings,
            shower_card=spec.shower_card,
            systematics=systematics.of_generation(spec.systematics),
        ),
        stages.Delphes(
            detector=spec.detector,
            observables=spec.observables,
            cuts=spec.cuts,
            systematics=systematics.of_detector(spec.systematics),
        ),
        stages.Combine(
            k_factor=spec.k_factor,
            k_factors=spec.k_factors,
            systematics=spec.systematics,
            seed=parameters.seed,
        ),
    ]


def _check_shower(card: Mapping[str, str]) -> None:
    try:
        check_settings(card["text"].splitlines())
    except CardError as error:
        raise SettingError(f"shower: {card['name']}: {error}; mend it") from None


def _size(spec: PhysicsInput, parameters: Parameters) -> dict[str, int]:
    """Return how many events a benchmark has, and each of its jobs."""
    n_events = parameters.num_events or spec.num_events
    return _in_jobs(n_events, spec.events_per_job, parameters)


def _sizes_of_processes(spec: PhysicsInput, parameters: Parameters) -> list[dict[str, int]]:
    """Return how many events the processes have that Pythia generates itself, and their jobs.

    Their shares stay as they are where a parameter of the workflow replaces the generator's number.
    """
    usual = _size(spec, parameters)["num_events"]
    return [
        _in_jobs(
            math.ceil(usual * (process["num_events"] or spec.num_events) / spec.num_events),
            process["events_per_job"] or spec.events_per_job,
            parameters,
        )
        for process in spec.pythia_processes
    ]


def _in_jobs(n_events: int, per_job: int, parameters: Parameters) -> dict[str, int]:
    jobs = parameters.num_procs_per_job
    return {
        "num_events": n_events,
        "events_per_job": math.ceil(n_events / jobs) if jobs else per_job,
    }


def of_stage(args: argparse.Namespace, stage: type[stages.S]) -> stages.S:
    """Return the settings of a stage from its command line; see :mod:`arguments`.

    Raises:
        InputError: They are not what they should be.
    """
    if args.settings:
        return stages.read(args.settings, stage)
    parameters = arguments.given(args)
    return stages.pick(divide(read(args.input_file, parameters), parameters), stage)


def _load(path: Path) -> PhysicsInput:
    content = load(path, "ph")
    names = [p["parameter_name"] for p in content["parameters"]]
    reject_duplicates(path, "parameters", "parameter_name", names)
    for listed in ("benchmarks", "observables"):
        reject_duplicates(path, listed, "name", [item["name"] for item in content[listed]])
    parameters = [
        dict(p) | {"parameter_range": list(_parameter_range(path, p))}
        for p in content["parameters"]
    ]
    # Not the generator's: its settings reach jobs, which must not change with their number.
    sizes = {key: content["generator"].pop(key) for key in ("num_events", "events_per_job")}
    benchmarks = [b["name"] for b in content["benchmarks"]]
    of_processes = _processes(path, content["generator"], benchmarks)
    section, pythia_processes = processes.split(content["generator"])

    card = partial(_card, path.parent)
    try:
        generator = generators.complete(section, card)
        energy = generators.choose(generator).energy if pythia_processes else 0.0
        pythia_processes = [processes.complete(p, card, energy) for p in pythia_processes]
        detector = detectors.complete(content["detector"], card)
        shower_card = card("shower: card", content["shower"].get("card"), "pythia8.cmnd")
        known = [*generators.processes(generator), *(p["name"] for p in pythia_processes)]
        entries = systematics.complete(content["systematics"], known, path.parent)
    except SettingError as error:
        raise InputError(f"{path}: {error}") from None
    return PhysicsInput(
        path=path,
        parameters=parameters,
        benchmarks={b["name"]: _benchmark(path, b, names) for b in content["benchmarks"]},
        outside_basis=[b["name"] for b in content["benchmarks"] if not b["in_basis"]],
        morphing=content["set_morphing"],
        **sizes,
        generator=generator,
        pythia_processes=pythia_processes,
        **of_processes,
        shower_card=shower_card,
        detector=detector,
        observables=content["observables"],
        cuts=[{key: cut[key] for key in ("expression", "required")} for cut in content["cuts"]],
        systematics=entries,
    )


def _processes(path: Path, section: dict[str, Any], benchmarks: Sequence[str]) -> dict[str, Any]:
    """Check the names of processes, and take their factors, which stage combine applies."""
    given = section.get("processes", [])
    reject_duplicates(path, "generator: processes", "name", [p["name"] for p in given])
    # Names of jobs begin with those of processes, or of benchmarks where there is one process.
    own = all(p["backend"] == processes.BACKEND for p in given)
    taken = {*benchmarks, *([SIGNAL] if own else [])}
    for process in given:
        if process["backend"] == processes.BACKEND and process["name"] in taken:
            raise InputError(
                f"{path}: generator: processes: name '{process['name']}' is that of a benchmark "
                "or of the generator's own process; rename it"
            )
    return {
        "k_factor": section.pop("k_factor"),
        "k_factors": {process["name"]: process.pop("k_factor") for process in given},
    }


def _card(folder: Path, where: str, given: str | None, default: str) -> dict[str, str]:
    """Read a card, which an input file gives relative to itself."""
    card = folder / given if given else _DEFAULT_CARDS / default
    try:
        return {"name": given or default, "text": read_text(card)}
    except OSError:
        raise SettingError(f"{where}: no file {card}; check the path") from None
    except TextError as error:
        raise SettingError(f"{where}: {card} {error}") from None


def _parameter_range(path: Path, parameter: Mapping[str, Any]) -> tuple[float, float]:
    value = parameter["parameter_range"]
    try:
        if isinstance(value, str):
            value = [float(part) for part in value.strip().strip("()[]").split(",")]
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not -_FARTHEST <= low < high <= _FARTHEST:
        raise InputError(
            f"{path}: parameters: {parameter['parameter_name']}: parameter_range is "
            f"{parameter['parameter_range']!r}; write two rising numbers such as (-3.0, 3.0), "
            f"within {_FARTHEST:g}"
        )
    return low, high


def _benchmark(path: Path, benchmark: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    where = f"{path}: benchmarks: {benchmark['name']}"
    numbers = [key.rsplit("_", 1)[1] for key in benchmark if key.startswith("parameter_name_")]
    for key in benchmark:
        if key.startswith("value_") and key.removeprefix("value_") not in numbers:
            raise InputError(f"{where}: {key} has no parameter_name_{key[6:]}; add it")
    values = {}
    for number in numbers:
        name = benchmark[f"parameter_name_{number}"]
        if name not in names:
            raise InputError(
                f"{where}: parameter_name_{number} is '{name}', which is no parameter; "
                f"choose from {', '.join(names)}"
            )
        if f"value_{number}" not in benchmark:
            raise InputError(f"{where}: value_{number} is missing; give the value of {name}")
        if name in values:
            raise InputError(f"{where}: {name} is given twice; remove one")
        values[name] = float(benchmark[f"value_{number}"])
    for name in names:
        if name not in values:
            raise InputError(f"{where}: no value for parameter {name}; add it")
    return {name: values[name] for name in names}


def _check_expressions(spec: PhysicsInput) -> None:
    names = [o["name"] for o in spec.observables]
    for observable in spec.observables:
        _parse(f"observables: {observable['name']}: definition", observable["definition"])
    for number, cut in enumerate(spec.cuts, start=1):
        _parse(f"cuts: {number}: expression", cut["expression"], names)
    codes = []
    for parameter in spec.parameters:
        where = f"parameters: {parameter['parameter_name']}"
        transform = parameter["param_card_transform"]
        if transform not in (None, "", "_"):
            _parse(f"{where}: param_card_transform", transform, ["theta"])
        code = (parameter["lha_block"].lower(), parameter["lha_id"])
        if code in codes:
            raise SettingError(f"{where}: lha_block and lha_id are used twice; choose others")
        codes.append(code)


def _parse(where: str, text: str, names: Sequence[str] = ()) -> None:
    try:
        expressions.parse(text, names)
    except expressions.ExpressionError as error:
        raise SettingError(f"{where}: {error}; mend the expression (docs/inputs.md)") from None
