"""Parameters of the machine-learning stages, and their overrides 'key=value key=value'."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Self

from steps.interface.errors import InputError

_NOTHING = ("", "''", '""')
_OLDER_NAMES = {"ntrainsamples": "n_sampling_runs"}
_ACTIVATIONS = ("tanh", "relu", "elu", "sigmoid")


def _field(default: Any, read: Callable[[str], Any], what: str) -> Any:
    """A parameter; ``read`` raises ValueError for a text that is not ``what``."""
    return field(default=default, metadata={"read": read, "what": what})


def _number(default: float, low: float, high: float, what: str) -> Any:
    kind = type(default)

    def read(text: str) -> float:
        number = kind(float(text))
        if not low <= number <= high or number != float(text):
            raise ValueError
        return number

    whole = "a whole number" if kind is int else "a number"
    return _field(default, read, f"{what} must be from {low:g} to {high:g}, {whole}")


def _layers(text: str) -> list[int]:
    units = [int(item) for item in text.split(",")]
    if min(units) < 1:
        raise ValueError
    return units


def _activation(text: str) -> str:
    if text not in _ACTIVATIONS:
        raise ValueError
    return text


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < 1e6:
        raise ValueError
    return rate


@dataclass(frozen=True)
class _Overridable:
    argument: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the defaults with the overrides of a text; ``''`` is none.

        Raises:
            InputError: A key is not known, or a value not of its kind and range.
        """
        known = {f.name: f.metadata for f in fields(cls)}
        values = {}
        for item in [] if text.strip() in _NOTHING else text.split():
            key, _, value = item.partition("=")
            key = _OLDER_NAMES.get(key, key)
            if key not in known:
                raise InputError(
                    f"{cls.argument}: '{item}' is not key=value with a key out of "
                    f"{', '.join(known)}; mend the override"
                )
            try:
                values[key] = known[key]["read"](value)
            except (ValueError, OverflowError):
                raise InputError(f"{cls.argument}: {item}: {known[key]['what']}") from None
        return cls(**values)


@dataclass(frozen=True)
class Sampling(_Overridable):
    """Parameters of stage sampling."""

    argument: ClassVar[str] = "mlflow_args_s"
    n_samples_train: int = _number(300_000, 100, 1e9, "events per method and run")
    n_sampling_runs: int = _number(1, 1, 1000, "independent samples and networks per method")
    nuisance_flag: int = _number(0, 0, 1, "whether to include nuisance parameters")
    test_split: float = _number(0.2, 0.01, 0.9, "share of the events kept for tests")


@dataclass(frozen=True)
class Training(_Overridable):
    """Parameters of stage training."""

    argument: ClassVar[str] = "mlflow_args_t"
    alpha: float = _number(1.0, 0, 1e6, "weight of the score in the loss")
    batch_size: int = _number(1000, 1, 1e6, "events per step of the optimiser")
    num_epochs: int = _number(25, 1, 1e5, "passes over the sample")
    valid_split: float = _number(0.2, 0.01, 0.9, "share of the sample that validates")
    hidden_layers: Sequence[int] | None = _field(
        None, _layers, "units of the layers must be whole numbers joined by commas, as in 64,64"
    )
    activation: str | None = _field(
        None, _activation, f"activation must be one of {', '.join(_ACTIVATIONS)}"
    )
    learning_rate: float | None = _field(None, _rate, "must be a positive number")
    final_learning_rate: float | None = _field(None, _rate, "must be a positive number")

    def over(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings; those that are None here come from the input file's section."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {**section, **given}


@dataclass(frozen=True)
class Evaluating(_Overridable):
    """Parameters of stage evaluating."""

    argument: ClassVar[str] = "mlflow_args_e"
    luminosity: float = _number(10_000.0, 1e-9, 1e12, "integrated luminosity in 1/pb")
    n_samples_test: int = _number(10_000, 10, 1e9, "events of the comparison with the joint ratio")
    n_samples_train: int = _number(0, 0, 1e9, "events that fill histograms, 0 for all,")
    test_split: float = _number(0.2, 0.01, 0.9, "share of the events kept for tests")
