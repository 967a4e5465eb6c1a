"""Cross-checks of all inputs of a run, before anything runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steps.events import expressions, madminer_file
from steps.interface import overrides
from steps.interface.errors import InputError
from steps.interface.inputs import MlInput, PhInput, load_ml, load_ph
from steps.physics import builtin
from steps.physics.partons import PartonDensities
from steps.physics.shower import CardError, check_settings
from steps.programs import delphes, madgraph

_LEAST = {"num_events": 0, "num_procs_per_job": 1, "seed": 0}


def check_inputs(
    ph: Path | None = None,
    ml: Path | None = None,
    data_file: Path | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> list[str]:
    """Check input files against their schemas, against each other and against the data file.

    Args:
        ph: Input file of the physics workflow, if that runs.
        ml: Input file of the machine-learning workflow, if that runs.
        data_file: MadMiner file, if machine learning runs alone.
        parameters: Parameters of the workflow by name.

    Returns:
        Warnings, one line each: what is allowed but unlikely to be meant.

    Raises:
        InputError: The first thing that is wrong, in one line.
    """
    values = parameters or {}
    for name, low in _LEAST.items():
        if name in values and not _is_count(values[name], low):
            raise InputError(f"{name}: {values[name]!r}; give a whole number, at least {low}")
    sampling, _, evaluating = (
        kind.parse(str(values.get(kind.argument, "")))
        for kind in (overrides.Sampling, overrides.Training, overrides.Evaluating)
    )
    if evaluating.test_split > sampling.test_split:
        raise InputError(
            f"mlflow_args_e: test_split {evaluating.test_split:g} exceeds the "
            f"{sampling.test_split:g} of mlflow_args_s: networks would be judged on events that "
            "they trained on; give both the same"
        )

    physics = load_ph(ph) if ph else None
    if physics:
        _check_ph(physics, values)
    warnings = []
    if ml:
        spec = load_ml(ml)
        warnings = _extrapolations(spec)
        if physics:
            _check_ml(
                spec,
                [p["parameter_name"] for p in physics.parameters],
                [o["name"] for o in physics.observables],
                physics.benchmarks,
                complete=False,
            )
        elif data_file:
            setup = _read_setup(data_file)
            _check_ml(spec, list(setup.parameters), setup.observables, setup.benchmarks, True)
    return warnings


def _extrapolations(spec: MlInput) -> list[str]:
    """Warn of methods whose networks are asked about points far from all they trained on."""
    warnings = []
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
                warnings.append(
                    f"{spec.path}: {method}: trains from {start:g} to {end:g}, but the region of "
                    f"the limits is {low:g} to {high:g}; beyond its prior a network guesses"
                )
                break
    return warnings


def _is_count(value: Any, low: int) -> bool:
    try:
        return int(str(value)) >= low
    except ValueError:
        return False


def _check_ph(spec: PhInput, values: Mapping[str, Any]) -> None:
    names = [o["name"] for o in spec.observables]
    for observable in spec.observables:
        where = f"{spec.path}: observables: {observable['name']}: definition"
        _parse(where, observable["definition"])
    for number, cut in enumerate(spec.cuts, start=1):
        where = f"{spec.path}: cuts: {cut.get('cut', number)}: expression"
        _parse(where, cut["expression"], names)
    codes = []
    for parameter in spec.parameters:
        where = f"{spec.path}: parameters: {parameter['parameter_name']}"
        _parse(f"{where}: param_card_transform", parameter["param_card_transform"], ["theta"])
        code = (parameter["lha_block"].lower(), parameter["lha_id"])
        if code in codes:
            raise InputError(f"{where}: lha_block and lha_id are used twice; choose others")
        codes.append(code)
    if spec.generator["backend"] == "builtin":
        _check_builtin(spec, codes)
    try:
        check_settings(spec.shower_card.read_text().splitlines())
    except CardError as error:
        raise InputError(f"{spec.shower_card}: {error}; mend the card") from None
    n_events = int(values.get("num_events", 0)) or spec.generator["num_events"]
    if int(values.get("num_procs_per_job", 1)) > n_events:
        raise InputError(
            f"num_procs_per_job: {values['num_procs_per_job']} jobs for {n_events} events per "
            "benchmark; choose fewer jobs"
        )


def _check_builtin(spec: PhInput, codes: Sequence[tuple[str, int]]) -> None:
    try:
        builtin.wilson_coefficients(dict.fromkeys(codes, 0.0))
    except ValueError as error:
        raise InputError(f"{spec.path}: parameters: {error}; choose from these") from None
    try:
        PartonDensities(spec.generator["pdf"], spec.generator["scale"])
    except ValueError as error:
        raise InputError(f"{spec.path}: generator: pdf: {error}; choose one it ships") from None
    if spec.generator["cuts"]["pt_min"] >= 0.25 * spec.generator["energy"]:
        raise InputError(
            f"{spec.path}: generator: cuts: pt_min leaves no phase space; choose a lower one"
        )


def check_programs(ph: Path) -> None:
    """Check that the programs are on this machine that an input file asks for.

    Raises:
        InputError: One is missing.
    """
    spec = load_ph(ph)
    if spec.generator["backend"] == "madgraph":
        try:
            madgraph.find([p["process_card"] for p in spec.generator["processes"]])
        except madgraph.MadGraphError as error:
            raise InputError(f"{spec.path}: generator: {error}") from None
    if spec.detector["backend"] == "delphes":
        try:
            delphes.find()
        except delphes.DelphesError as error:
            raise InputError(f"{spec.path}: detector: {error}") from None


def _parse(where: str, text: str | None, names: Sequence[str] = ()) -> None:
    if text in (None, "", "_"):
        return
    try:
        expressions.parse(text, names)
    except expressions.ExpressionError as error:
        raise InputError(f"{where}: {error}") from None


def _read_setup(data_file: Path) -> madminer_file.Setup:
    try:
        setup = madminer_file.read_setup(data_file)
    except OSError:
        raise InputError(f"{data_file}: cannot be read as HDF5; give a MadMiner file") from None
    except KeyError:
        raise InputError(f"{data_file}: is no MadMiner file; give one that has events") from None
    if not setup.observables:
        raise InputError(f"{data_file}: has no events; give the combined file")
    return setup


def _check_ml(
    spec: MlInput,
    parameters: Sequence[str],
    observables: Sequence[str],
    benchmarks: Mapping[str, Mapping[str, float]],
    complete: bool,
) -> None:
    """Check against a theory's parameters; ``complete`` if ``benchmarks`` has all of them."""
    n = len(parameters)

    def same_number(key: str, given: int) -> None:
        if given != n:
            raise InputError(
                f"{spec.path}: {key}: {given} parameters, but the theory has {n} "
                f"({', '.join(parameters)}); give one entry for each"
            )

    def known_observables(key: str, names: Sequence[str]) -> None:
        for name in names:
            if name not in observables:
                raise InputError(
                    f"{spec.path}: {key}: no observable '{name}'; choose from "
                    f"{', '.join(observables)}"
                )

    same_number("asymptotic_limits: region", len(spec.region))
    known_observables("histogram_vars", spec.histogram_vars)
    if spec.estimator == "quadratic" and n > 1:
        raise InputError(
            f"{spec.path}: estimator: quadratic works for one parameter, the theory has {n}; "
            "use parameterized"
        )
    if spec.estimator == "quadratic":
        for method, thetas in spec.thetas.items():
            reference = thetas.get("theta_1", {}).get("sampling_arg")
            values = benchmarks.get(reference, {}) if isinstance(reference, str) else {"": 1.0}
            if "theta_1" in thetas and any(values.values()):
                raise InputError(
                    f"{spec.path}: {method}: theta_1: a quadratic estimator compares to the "
                    "benchmark with all parameters zero; name that one or use parameterized"
                )
    fisher = spec.fisher_information
    if fisher["bool"]:
        for key in ("observable", "histogram_bins", "theta_true"):
            if key not in fisher:
                raise InputError(
                    f"{spec.path}: fisher_information: {key} is missing; add it or set bool: False"
                )
        known_observables("fisher_information: observable", [fisher["observable"]])
        same_number("fisher_information: theta_true", len(fisher["theta_true"]))
    for method, thetas in spec.thetas.items():
        for name, theta in thetas.items():
            where = f"{method}: {name}"
            if theta["sampling_method"] == "random_morphing_points":
                same_number(f"{where}: prior", len(theta["prior"]))
            elif theta["sampling_method"] == "morphing_points":
                points = theta["sampling_arg"]
                for point in points if isinstance(points[0], list) else [points]:
                    same_number(f"{where}: sampling_arg", len(point))
            else:
                argument = theta["sampling_arg"]
                for benchmark in [argument] if isinstance(argument, str) else argument:
                    added = not complete and benchmark.startswith("morphing_basis_vector_")
                    if benchmark not in benchmarks and not added:
                        raise InputError(
                            f"{spec.path}: {where}: sampling_arg: no benchmark '{benchmark}'; "
                            f"choose from {', '.join(benchmarks)}"
                        )
