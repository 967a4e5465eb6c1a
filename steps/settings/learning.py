"""The input file of the machine-learning half: read, checked, and divided among its stages."""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from steps.inference.methods import METHODS
from steps.settings import arguments, overrides, stages, theory
from steps.settings.document import load
from steps.settings.parameters import Parameters
from steps.settings.theory import Theory
from steps.stage.errors import InputError, SettingError

_VALID_SPLIT = 0.2
# Parameters of which a whole grid of limits can be made, as MadMiner's networks need; its points.
_MOST_GRID = 3
_MOST_POINTS = 2_000_000
_OF_NETWORKS = (
    *("alpha", "batch_size", "num_epochs", "hidden_layers"),
    *("activation", "learning_rate", "final_learning_rate"),
)


@dataclass(frozen=True)
class LearningInput:
    """The input file, with defaults filled in and overrides applied.

    ``methods`` are the names to run; ``thetas`` maps each to its ``theta_0`` (and ``theta_1``)
    block; ``region`` is one (low, high) pair per parameter; the rest are sections of the file.
    """

    path: Path
    estimator: str
    methods: Sequence[str]
    thetas: Mapping[str, Mapping[str, Any]]
    region: Sequence[tuple[float, float]]
    resolutions: Sequence[int]
    theta_true: Sequence[float]
    zoom: bool
    clip: Mapping[str, Any]
    include_xsec: Sequence[bool]
    histogram_vars: Sequence[str]
    reference_vars: Sequence[str]
    fisher_information: Mapping[str, Any]
    plotting: Mapping[str, Any]
    sampling: Mapping[str, Any]
    training: Mapping[str, Any]
    morphing: Mapping[str, Any]
    evaluating: Mapping[str, Any]
    toys: Mapping[str, Any]


def read(path: Path, parameters: Parameters) -> LearningInput:
    """Read the input file and check it against itself and the overrides.

    Raises:
        InputError: The first thing that is wrong, in one line.
    """
    spec = _read(path, parameters)
    sampling, evaluating = spec.sampling["test_split"], spec.evaluating["test_split"]
    if evaluating > sampling:
        raise InputError(
            f"mlflow_args_e: test_split {evaluating:g} exceeds the {sampling:g} of mlflow_args_s: "
            "networks would be judged on events that they trained on; give both the same"
        )
    return spec


def _read(path: Path, parameters: Parameters) -> LearningInput:
    given = {
        section: overrides.parse(argument, parameters.overrides[argument])
        for argument, section in overrides.SECTIONS.items()
    }
    content = load(path, "ml")
    for section, values in given.items():
        content[section] |= values
    content["morphing"] |= _of(given["training"], content["morphing"])
    spec = _structured(path, content)
    drawn, trained = spec.sampling.get("valid_split"), spec.training.get("valid_split")
    if None not in (drawn, trained) and drawn != trained:
        raise InputError(
            f"mlflow_args_t: valid_split {trained:g} is not the {drawn:g} of mlflow_args_s; "
            "give it once"
        )
    return spec


def divide(spec: LearningInput, parameters: Parameters) -> list[stages.Settings]:
    """Return the settings of each stage."""
    valid_split = spec.training.get("valid_split", spec.sampling.get("valid_split"))
    expectation: dict[str, Any] = {
        "region": [list(ends) for ends in spec.region],
        "theta_true": spec.theta_true,
        "luminosity": spec.evaluating["luminosity"],
        "include_xsec": spec.include_xsec,
    }
    judged: dict[str, Any] = {
        "resolutions": spec.resolutions,
        "clip": spec.clip,
        "n_samples_train": spec.evaluating["n_samples_train"],
        "n_bags": spec.morphing["n_bags"],
        "fisher_information": spec.fisher_information,
    }
    return [
        stages.Reference(
            **expectation,
            **judged,
            zoom=spec.zoom,
            histogram_vars=spec.histogram_vars,
            reference_vars=spec.reference_vars,
            kinds=spec.morphing["kinds"],
            seed=parameters.seed,
        ),
        stages.Sampling(
            **expectation,
            **{**spec.sampling, "valid_split": valid_split or _VALID_SPLIT},
            thetas=spec.thetas,
            estimator=spec.estimator,
            seed=parameters.seed,
        ),
        training(spec),
        stages.Evaluating(
            **expectation,
            **judged,
            thetas=spec.thetas,
            test_split=spec.evaluating["test_split"],
            n_samples_test=spec.evaluating["n_samples_test"],
            toys={**spec.toys, "n_toys": spec.evaluating["n_toys"]},
        ),
        stages.Plotting(
            methods=spec.methods,
            resolutions=spec.resolutions,
            theta_true=spec.theta_true,
            include_xsec=spec.include_xsec,
            plotting=spec.plotting,
        ),
    ]


def of_stage(args: argparse.Namespace, stage: type[stages.S]) -> stages.S:
    """Return the settings of a stage from its command line; see :mod:`arguments`.

    Raises:
        InputError: They are not what they should be, or do not fit the data file.
    """
    if args.settings:
        return stages.read(args.settings, stage)
    parameters = arguments.given(args)
    # The test_split of another stage is not given here; evaluating compares it to its sample's.
    spec = _read(args.input_file, parameters)
    if data_file := getattr(args, "data_file", None):
        check_against(spec, theory.of_file(data_file))
    return stages.pick(divide(spec, parameters), stage)


def training(spec: LearningInput, more: Mapping[str, Any] | None = None) -> stages.Training:
    """Return the settings of stage training, with more overrides on top."""
    section = {**spec.training, **(more or {})}
    return stages.Training(
        estimator=spec.estimator,
        fit={key: section[key] for key in _OF_NETWORKS},
        morphing={**spec.morphing, **_of(more or {}, spec.morphing)},
        valid_split=section.get("valid_split"),
    )


def _of(values: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values whose keys a section has."""
    return {key: value for key, value in values.items() if key in section}


def _structured(path: Path, content: Mapping[str, Any]) -> LearningInput:
    methods = content["methods"]
    for method in methods:
        if method not in content:
            raise InputError(
                f"{path}: methods: {method} has no block of its own; add '{method}: theta_0: ...' "
                "that says where it samples"
            )
    limits = content["asymptotic_limits"]
    plotting = content["plotting"]
    for key in ("all_methods_pvalue", "correlations_methods"):
        named = plotting.get(key, methods)
        for method in [named] if isinstance(named, str) else named:
            if method not in methods:
                raise InputError(
                    f"{path}: plotting: {key}: '{method}' is not among the methods that run; "
                    f"choose from {', '.join(methods)}"
                )
    variables = content["histogram_vars"]
    variables = [variables] if isinstance(variables, str) else variables
    return LearningInput(
        path=path,
        estimator=content["estimator"],
        methods=methods,
        thetas={method: content[method] for method in methods},
        region=_region(path, limits),
        resolutions=limits["resolutions"],
        theta_true=[float(v) for v in limits["theta_true"]],
        zoom=limits["zoom"],
        clip=_clip(path, limits),
        include_xsec=content["include_xsec"],
        histogram_vars=variables,
        reference_vars=content.get("reference_vars", []),
        fisher_information=content["fisher_information"],
        plotting={"all_methods_pvalue": methods[0], "correlations_methods": methods} | plotting,
        sampling=content["sampling"],
        training=content["training"],
        morphing=content["morphing"],
        evaluating=content["evaluating"],
        toys=content["toys"],
    )


def _region(path: Path, limits: Mapping[str, Any]) -> list[tuple[float, float]]:
    dimensions = len(limits["region"])
    axes = [f"theta_{k}" for k in range(dimensions)]
    if set(axes) != set(limits["region"]):
        raise InputError(
            f"{path}: asymptotic_limits: region: keys are {', '.join(limits['region'])}; "
            f"number them {', '.join(axes)}"
        )
    region = [(float(limits["region"][a]["min"]), float(limits["region"][a]["max"])) for a in axes]
    for key in ("resolutions", "theta_true"):
        if len(limits[key]) != dimensions:
            raise InputError(
                f"{path}: asymptotic_limits: {key} has {len(limits[key])} entries, but region has "
                f"{dimensions} parameters; give one per parameter"
            )
    if dimensions <= _MOST_GRID and math.prod(limits["resolutions"]) > _MOST_POINTS:
        raise InputError(
            f"{path}: asymptotic_limits: resolutions: {limits['resolutions']} are more than "
            f"{_MOST_POINTS} points; give smaller ones"
        )
    for name, (low, high) in zip(axes, region, strict=True):
        if not low < high:
            raise InputError(
                f"{path}: asymptotic_limits: region: {name}: min {low} is not below max {high}; "
                "swap or change them"
            )
    for name, (low, high), true in zip(axes, region, limits["theta_true"], strict=True):
        if not low <= true <= high:
            raise InputError(
                f"{path}: asymptotic_limits: theta_true: {true} of {name} is outside its region "
                f"from {low} to {high}; widen the region"
            )
    return region


def _clip(path: Path, limits: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the cuts of a scan; nothing for none."""
    section: dict[str, Any] = limits.get("clip", {})
    if not section:
        return {}
    values = [float(value) for value in section["values"]]
    for before, value in pairwise(values):
        if value <= before:
            raise InputError(
                f"{path}: asymptotic_limits: clip: values: {value:g} comes after {before:g}; "
                "give cuts in ascending order"
            )
    return {**section, "values": values}


def warnings(spec: LearningInput) -> list[str]:
    """Return what is allowed but unlikely to be meant, one line each."""
    found = []
    for method, thetas in spec.thetas.items():
        theta = thetas["theta_0"]
        if theta["sampling_method"] != "random_morphing_points":
            continue
        for (low, high), entry in zip(spec.region, theta["prior"], strict=False):
            (prior,) = entry.values()
            start, end = prior["prior_param_0"], prior["prior_param_1"]
            if prior["prior_shape"] == "gaussian":
                start, end = start - 3 * end, start + 3 * end
            if low < start or high > end:
                found.append(
                    f"{spec.path}: {method}: trains from {start:g} to {end:g}, but the region of "
                    f"the limits is {low:g} to {high:g}; beyond its prior a network guesses"
                )
                break
    return found


def check_against(spec: LearningInput, of: Theory) -> None:
    """Check the input file against a theory.

    Raises:
        InputError: The first thing that does not fit, in one line.
    """
    try:
        _check_estimator(spec, of)
        _check_names(spec, of)
        for method, thetas in spec.thetas.items():
            for name, theta in thetas.items():
                _check_theta(f"{method}: {name}", theta, of)
    except SettingError as error:
        raise InputError(f"{spec.path}: {error}") from None


def _same_number(key: str, given: int, of: Theory) -> None:
    n = len(of.parameters)
    if given != n:
        raise SettingError(
            f"{key}: {given} parameters, but the theory has {n} "
            f"({', '.join(of.parameters)}); give one entry for each"
        )


def _known_observables(key: str, names: Sequence[str], of: Theory) -> None:
    for name in names:
        if name not in of.observables:
            raise SettingError(
                f"{key}: no observable '{name}'; choose from {', '.join(of.observables)}"
            )


def _check_names(spec: LearningInput, of: Theory) -> None:
    _same_number("asymptotic_limits: region", len(spec.region), of)
    _known_observables("histogram_vars", spec.histogram_vars, of)
    _known_observables("reference_vars", spec.reference_vars, of)
    if spec.clip:
        _known_observables("asymptotic_limits: clip: observable", [spec.clip["observable"]], of)
    for point in spec.toys["points"]:
        _same_number("toys: points", len(point), of)
    _known_observables("morphing: kinds", list(spec.morphing["kinds"]), of)
    fisher = spec.fisher_information
    if not fisher["bool"]:
        return
    for key in ("observable", "histogram_bins", "theta_true"):
        if key not in fisher:
            raise SettingError(f"fisher_information: {key} is missing; add it or set bool: False")
    for key in ("histogram_bins", "histogram_range"):
        edges = fisher[key] if isinstance(fisher.get(key), list) else []
        if any(high <= low for low, high in pairwise(edges)):
            raise SettingError(f"fisher_information: {key}: {edges}; give rising numbers")
    _known_observables("fisher_information: observable", [fisher["observable"]], of)
    _same_number("fisher_information: theta_true", len(fisher["theta_true"]), of)


def _check_estimator(spec: LearningInput, of: Theory) -> None:
    ours = [m for m in spec.methods if METHODS[m].cross_fits(spec.estimator)]
    if ours and spec.sampling["nuisance_flag"]:
        raise SettingError(
            f"nuisance_flag: 1, but networks of estimator: {spec.estimator} have no nuisance "
            "parameters; use parameterized, or 0"
        )
    others = [m for m in spec.methods if m not in ours]
    if others and len(of.parameters) > _MOST_GRID:
        raise SettingError(
            f"methods: {', '.join(others)}: limits need a grid, for which {len(of.parameters)} "
            "parameters are too many; use alice or alices with estimator: morphing"
        )
    if spec.estimator != "quadratic":
        return
    if len(of.parameters) > 1:
        raise SettingError(
            f"estimator: quadratic works for one parameter, the theory has "
            f"{len(of.parameters)}; use morphing"
        )
    for method, thetas in spec.thetas.items():
        reference = thetas.get("theta_1", {}).get("sampling_arg")
        named = isinstance(reference, str)
        values = of.benchmarks.get(reference, {}) if named else {"": 1.0}
        if "theta_1" in thetas and any(values.values()):
            raise SettingError(
                f"{method}: theta_1: a quadratic estimator compares to the "
                "benchmark with all parameters zero; name that one or use morphing"
            )


def _check_prior(where: str, prior: Mapping[str, Any]) -> None:
    first, second = prior["prior_param_0"], prior["prior_param_1"]
    if prior["prior_shape"] == "flat" and not first < second:
        raise SettingError(f"{where}: flat from {first:g} to {second:g}; give two rising numbers")
    if prior["prior_shape"] == "gaussian" and not second > 0:
        raise SettingError(f"{where}: gaussian of width {second:g}; give a width above 0")


def _check_theta(where: str, theta: Mapping[str, Any], of: Theory) -> None:
    if theta["sampling_method"] == "random_morphing_points":
        _same_number(f"{where}: prior", len(theta["prior"]), of)
        for number, entry in enumerate(theta["prior"], start=1):
            _check_prior(f"{where}: prior: {number}", *entry.values())
        return
    argument = theta["sampling_arg"]
    if theta["sampling_method"] == "morphing_points":
        for point in argument if isinstance(argument[0], list) else [argument]:
            _same_number(f"{where}: sampling_arg", len(point), of)
        return
    for benchmark in [argument] if isinstance(argument, str) else argument:
        added = not of.complete and benchmark.startswith("morphing_basis_vector_")
        if benchmark not in of.benchmarks and not added:
            raise SettingError(
                f"{where}: sampling_arg: no benchmark '{benchmark}'; "
                f"choose from {', '.join(of.benchmarks)}"
            )
