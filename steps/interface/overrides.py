"""Parameters of the machine-learning stages, and their overrides 'key=value key=value'."""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from steps.interface.errors import InputError

_NOTHING = ("", "''", '""')
_OLDER_NAMES = {"ntrainsamples": "n_sampling_runs"}


def _number(default: float, low: float, high: float, what: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "what": what})


@dataclass(frozen=True)
class _Overridable:
    argument: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the defaults with the overrides of a text; ``''`` is none.

        Raises:
            InputError: A key is not known, or a value not a number of its kind and range.
        """
        known = {f.name: f for f in fields(cls)}
        values = {}
        for item in [] if text.strip() in _NOTHING else text.split():
            key, _, value = item.partition("=")
            key = _OLDER_NAMES.get(key, key)
            if key not in known:
                raise InputError(
                    f"{cls.argument}: '{item}' is not key=value with a key out of "
                    f"{', '.join(known)}; mend the override"
                )
            low, high, what = (known[key].metadata[name] for name in ("low", "high", "what"))
            try:
                number = known[key].type(float(value))
                valid = low <= number <= high and number == float(value)
            except (ValueError, OverflowError):
                valid = False
            if not valid:
                raise InputError(
                    f"{cls.argument}: {item}: {what} must be from {low:g} to {high:g}, "
                    f"{'a whole number' if known[key].type is int else 'a number'}"
                )
            values[key] = number
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


@dataclass(frozen=True)
class Evaluating(_Overridable):
    """Parameters of stage evaluating."""

    argument: ClassVar[str] = "mlflow_args_e"
    luminosity: float = _number(10_000.0, 1e-9, 1e12, "integrated luminosity in 1/pb")
    n_samples_test: int = _number(10_000, 10, 1e9, "events of the comparison with the joint ratio")
    n_samples_train: int = _number(0, 0, 1e9, "events that fill histograms, 0 for all,")
    test_split: float = _number(0.2, 0.01, 0.9, "share of the events kept for tests")
