"""The settings of each stage: exactly what it uses, complete, in one small file.

Stage ``check`` writes these files; a stage reads nothing else of what the user wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from steps.stage.errors import InputError
from steps.stage.texts import read_yaml

Section = Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """Settings of a stage, whose file is named as the class, in small letters."""


@dataclass(frozen=True)
class Configure(Settings):
    """Of stage configure; ``benchmarks`` are parameter values by benchmark and parameter."""

    parameters: Sequence[Section]
    benchmarks: Mapping[str, Mapping[str, float]]
    outside_basis: Sequence[str]
    morphing: Section
    generator: Section
    seed: int


@dataclass(frozen=True)
class Generate(Settings):
    """Of stage generate; ``num_events`` are those of a benchmark, in all its jobs.

    ``pythia_processes`` have ``num_events`` and ``events_per_job`` of their own.
    """

    generator: Section
    pythia_processes: Sequence[Section]
    num_events: int
    events_per_job: int
    seed: int


@dataclass(frozen=True)
class Pythia(Settings):
    """Of stage pythia; ``shower_card`` has ``name`` and ``text``.

    ``systematics`` are those of scales, parton densities and the shower.
    """

    generator: Section
    shower_card: Mapping[str, str]
    systematics: Sequence[Section]


@dataclass(frozen=True)
class Delphes(Settings):
    """Of stage delphes; ``systematics`` are those of the detector."""

    detector: Section
    observables: Sequence[Section]
    cuts: Sequence[Section]
    systematics: Sequence[Section]


@dataclass(frozen=True)
class Combine(Settings):
    """Of stage combine; ``systematics`` are all of them.

    ``k_factor`` is that of processes that ``k_factors`` does not name.
    """

    k_factor: float
    k_factors: Mapping[str, float]
    systematics: Sequence[Section]
    seed: int


@dataclass(frozen=True)
class Expectation(Settings):
    """The expected data, and where limits are set; ``luminosity`` in 1/pb.

    ``include_xsec`` says whether limits are with the number of events, without, or both.
    """

    region: Sequence[Sequence[float]]
    theta_true: Sequence[float]
    luminosity: float
    include_xsec: Sequence[bool]


@dataclass(frozen=True)
class Reference(Expectation):
    """Of stage reference; ``n_samples_train`` events fill histograms, 0 for all.

    ``clip`` has the cuts of a scan, ``observable`` and ``values``; empty for none. ``kinds`` are
    those of observables that networks of responses would not recognise.
    """

    resolutions: Sequence[int]
    zoom: bool
    clip: Section
    histogram_vars: Sequence[str]
    reference_vars: Sequence[str]
    kinds: Mapping[str, str]
    n_samples_train: int
    n_bags: int
    fisher_information: Section
    seed: int


@dataclass(frozen=True)
class Sampling(Expectation):
    """Of stage sampling; ``thetas`` are the blocks ``theta_0`` and ``theta_1`` by method."""

    thetas: Mapping[str, Mapping[str, Section]]
    estimator: str
    n_samples_train: int
    n_sampling_runs: int
    nuisance_flag: int
    test_split: float
    valid_split: float
    seed: int


@dataclass(frozen=True)
class Training(Settings):
    """Of stage training; ``valid_split`` is None where that of the sample is as good as any."""

    estimator: str
    fit: Section
    morphing: Section
    valid_split: float | None


@dataclass(frozen=True)
class Evaluating(Expectation):
    """Of stage evaluating; ``clip`` as that of stage reference."""

    resolutions: Sequence[int]
    clip: Section
    thetas: Mapping[str, Mapping[str, Section]]
    test_split: float
    n_samples_train: int
    n_samples_test: int
    n_bags: int
    toys: Section
    fisher_information: Section


@dataclass(frozen=True)
class Plotting(Settings):
    """Of stage plotting."""

    methods: Sequence[str]
    resolutions: Sequence[int]
    theta_true: Sequence[float]
    include_xsec: Sequence[bool]
    plotting: Section


S = TypeVar("S", bound=Settings)


class _Plain(yaml.SafeDumper):
    """Writes equal parts out, each in its place, and cards as they stand."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _text)


def name(stage: type[Settings]) -> str:
    """Return the name of a stage."""
    return stage.__name__.lower()


def write(path: Path, settings: Settings) -> None:
    """Write the settings of a stage."""
    text = yaml.dump(asdict(settings), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    path.write_text(f"# Settings of stage {name(type(settings))}, checked and complete.\n{text}")


def read(path: Path, stage: type[S]) -> S:
    """Read the settings of a stage.

    Raises:
        InputError: The file is not what stage check writes for this stage.
    """
    content = read_yaml(path)
    wanted = {field.name for field in fields(stage)}
    if not isinstance(content, dict) or set(content) != wanted:
        raise InputError(
            f"{path}: no settings of stage {name(stage)}; give the file that stage check made, "
            "or the whole input file as --input-file"
        )
    return stage(**content)


def pick(made: Sequence[Settings], stage: type[S]) -> S:
    """Return the settings of one stage out of those of all."""
    return next(settings for settings in made if isinstance(settings, stage))


def write_all(folder: Path, made: Sequence[Settings]) -> None:
    """Write the settings of stages into a folder, each as ``<stage>.yml``."""
    for settings in made:
        write(folder / f"{name(type(settings))}.yml", settings)
