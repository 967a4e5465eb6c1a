"""Where a sample of events comes from."""

from dataclasses import dataclass

# Name of the process of a generator that has only one.
SIGNAL = "signal"


@dataclass(frozen=True)
class Origin:
    """Process and parameter point at which the events of one job were drawn.

    Attributes:
        process: Name of the process; empty where there is only one.
        benchmark: Name of the benchmark sampled at; empty for a background, whose events do not
            depend on the parameters.
        cross_section: Cross section in pb there, as the job found it.
        n_events: Events that the job drew, before shower and cuts.
    """

    process: str
    benchmark: str
    cross_section: float
    n_events: int

    @property
    def name(self) -> str:
        """Name of the process in the data file."""
        return self.process or SIGNAL

    @property
    def is_background(self) -> bool:
        """Whether the events do not depend on the parameters."""
        return not self.benchmark

    @property
    def label(self) -> str:
        """Process and benchmark as part of a file's name."""
        return "_".join(part for part in (self.process, self.benchmark) if part)
