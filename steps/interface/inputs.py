"""The input files of users: schema, defaults and typed access."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from steps.interface.errors import InputError

_SCHEMAS = Path(__file__).parent / "schemas"
_DEFAULT_CARDS = Path(__file__).parents[2] / "inputs" / "ph" / "cards"


@dataclass(frozen=True)
class PhInput:
    """Input of the physics workflow, with defaults filled in.

    ``benchmarks`` maps names to parameter values by parameter name; the other attributes are the
    sections of the file.
    """

    path: Path
    parameters: Sequence[Mapping[str, Any]]
    benchmarks: Mapping[str, Mapping[str, float]]
    morphing: Mapping[str, Any]
    generator: Mapping[str, Any]
    shower_card: Path
    detector: Mapping[str, Any]
    observables: Sequence[Mapping[str, Any]]
    cuts: Sequence[Mapping[str, Any]]


def load_ph(path: Path) -> PhInput:
    """Read the input file of the physics workflow.

    Raises:
        InputError: The file is absent, not YAML, or does not fit the schema.
    """
    content = _load(path, "ph")
    names = [p["parameter_name"] for p in content["parameters"]]
    _reject_duplicates(path, "parameters", "parameter_name", names)
    for section in ("benchmarks", "observables"):
        _reject_duplicates(path, section, "name", [item["name"] for item in content[section]])
    parameters = [
        dict(p) | {"parameter_range": _parameter_range(path, p)} for p in content["parameters"]
    ]
    return PhInput(
        path=path,
        parameters=parameters,
        benchmarks={b["name"]: _benchmark(path, b, names) for b in content["benchmarks"]},
        morphing=content["set_morphing"],
        generator=_generator(path, content["generator"]),
        shower_card=_card(path, "shower", content["shower"], "card", "pythia8.cmnd"),
        detector=_detector(path, content["detector"]),
        observables=content["observables"],
        cuts=content["cuts"],
    )


def _card(
    path: Path, where: str, section: Mapping[str, Any], key: str, default: str | None
) -> Path | None:
    """Return the path of a card, which an input file gives relative to itself."""
    given = section.get(key)
    if given is None and default is None:
        return None
    card = path.parent / given if given else _DEFAULT_CARDS / default
    if not card.is_file():
        raise InputError(f"{path}: {where}: {key}: no file {card}; check the path")
    return card.resolve()


_SIGNAL = {
    "name": "signal",
    "process_card": str(_DEFAULT_CARDS / "proc_card_signal.dat"),
    "run_card": str(_DEFAULT_CARDS / "run_card_signal.dat"),
    "is_background": False,
    "branching_ratio": 2.27e-3,
}


def _generator(path: Path, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section ``generator`` with the cards of its backend as paths."""
    if section["backend"] == "builtin":
        return dict(section)
    processes = section.get("processes", [_SIGNAL])
    _reject_duplicates(path, "generator: processes", "name", [p["name"] for p in processes])
    if all(process["is_background"] for process in processes):
        raise InputError(
            f"{path}: generator: processes: all are backgrounds; add one that depends on the "
            "parameters"
        )
    cards = {
        "param_card": _card(
            path,
            "generator",
            section,
            "param_card",
            # The model's own, unless the process is the shipped one.
            None if "processes" in section else "param_card_template.dat",
        ),
        "configuration_card": _card(
            path, "generator", section, "configuration_card", "me5_configuration.txt"
        ),
        "processes": [
            process
            | {
                key: _card(path, f"generator: processes: {process['name']}", process, key, None)
                for key in ("process_card", "run_card")
            }
            for process in processes
        ],
    }
    return dict(section) | cards


def _detector(path: Path, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section ``detector`` with the card of its backend as a path."""
    if section["backend"] == "parametrised":
        return dict(section)
    return dict(section) | {"card": _card(path, "detector", section, "card", None)}


def _parameter_range(path: Path, parameter: Mapping[str, Any]) -> tuple[float, float]:
    value = parameter["parameter_range"]
    try:
        if isinstance(value, str):
            value = [float(part) for part in value.strip().strip("()[]").split(",")]
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (low < high and math.isfinite(high - low)):
        raise InputError(
            f"{path}: parameters: {parameter['parameter_name']}: parameter_range is "
            f"{parameter['parameter_range']!r}; write two rising numbers such as (-3.0, 3.0)"
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


@dataclass(frozen=True)
class MlInput:
    """Input of the machine-learning workflow, with defaults filled in.

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
    include_xsec: Sequence[bool]
    histogram_vars: Sequence[str]
    fisher_information: Mapping[str, Any]
    plotting: Mapping[str, Any]
    training: Mapping[str, Any]


def load_ml(path: Path) -> MlInput:
    """Read the input file of the machine-learning workflow.

    Raises:
        InputError: The file is absent, not YAML, does not fit the schema or contradicts itself.
    """
    content = _load(path, "ml")
    methods = content["methods"]
    for method in methods:
        if method not in content:
            raise InputError(
                f"{path}: methods: {method} has no block of its own; add '{method}: theta_0: ...' "
                "that says where it samples"
            )
    limits = content["asymptotic_limits"]
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
    for name, (low, high) in zip(axes, region, strict=True):
        if not low < high:
            raise InputError(
                f"{path}: asymptotic_limits: region: {name}: min {low} is not below max {high}"
            )
    plotting = content["plotting"]
    for key in ("all_methods_pvalue", "correlations_methods"):
        named = plotting.get(key, methods)
        for method in [named] if isinstance(named, str) else named:
            if method not in methods:
                raise InputError(
                    f"{path}: plotting: {key}: {method} is not among the methods that run "
                    f"({', '.join(methods)})"
                )
    variables = content["histogram_vars"]
    return MlInput(
        path=path,
        estimator=content["estimator"],
        methods=methods,
        thetas={method: content[method] for method in methods},
        region=region,
        resolutions=limits["resolutions"],
        theta_true=[float(v) for v in limits["theta_true"]],
        include_xsec=content["include_xsec"],
        histogram_vars=[variables] if isinstance(variables, str) else variables,
        fisher_information=content["fisher_information"],
        plotting={"all_methods_pvalue": methods[0], "correlations_methods": methods} | plotting,
        training=content["training"],
    )


def _reject_duplicates(path: Path, section: str, key: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: {section}: {key} '{name}' appears twice; rename one")


def _load(path: Path, kind: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text; give a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{path}: {line}{problem}; mend the YAML") from None
    _reject_unusable(path, content)
    schema = _schema(kind)
    errors = jsonschema.Draft7Validator(schema).iter_errors(content)
    error = jsonschema.exceptions.best_match(errors)
    if error is not None:
        raise InputError(f"{path}: {_describe(error)}")
    _fill_defaults(content, schema)
    return content


def _reject_unusable(path: Path, content: Any, where: str = "") -> None:
    if isinstance(content, float) and not math.isfinite(content):
        raise InputError(f"{path}: {where}{content}; give a finite number")
    items = content.items() if isinstance(content, dict) else ()
    if isinstance(content, list):
        items = enumerate(content, start=1)
    for key, value in items:
        if isinstance(content, dict) and not isinstance(key, str):
            raise InputError(f"{path}: {where}key {key!r} is not text to YAML; put it in quotes")
        _reject_unusable(path, value, f"{where}{key}: ")


def _describe(error: jsonschema.ValidationError) -> str:
    where = ": ".join(str(p + 1) if isinstance(p, int) else p for p in error.absolute_path)
    remedy = error.schema.get("description") if isinstance(error.schema, dict) else None
    message = error.message if len(error.message) < 160 else f"{error.message[:157]}..."
    if error.validator == "required":
        missing = error.message.split("'")[1]
        message = f"key '{missing}' is missing"
        remedy = error.schema.get("properties", {}).get(missing, {}).get("description", "add it")
    elif error.validator == "enum":
        message = f"{error.instance!r} is not known"
    elif error.validator == "additionalProperties":
        remedy = f"known keys: {', '.join(sorted(error.schema['properties']))}"
    text = f"{where}: {message}" if where else message
    return " ".join((f"{text}; {remedy}" if remedy else text).split())


@cache
def _schema(kind: str) -> dict[str, Any]:
    return json.loads((_SCHEMAS / f"{kind}.json").read_text())


def _fill_defaults(content: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Insert the defaults of a schema, also those of optional sections that are absent."""
    for key, sub in schema.get("properties", {}).items():
        if key not in content and "default" in sub:
            content[key] = json.loads(json.dumps(sub["default"]))
        if isinstance(content.get(key), dict):
            _fill_defaults(content[key], sub)
        elif isinstance(content.get(key), list):
            for item in content[key]:
                if isinstance(item, dict):
                    _fill_defaults(item, sub["items"])
