"""Generators of parton-level events: what all of them do, and the choice of one.

A generator is made of the section ``generator`` of an input file, complete. To add one, write a
module with a class like :class:`Generator` and name it in ``_MODULES``.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from steps.arrays import Array
from steps.backends.cards import ReadCard
from steps.backends.plans import FanOut, Plan
from steps.events.madminer_file import Setup
from steps.events.origin import SIGNAL

_MODULES = {"builtin": "steps.backends.builtin", "madgraph": "steps.backends.madgraph"}
NAMES = tuple(_MODULES)


class Generator(Protocol):
    """A generator; every method may raise SettingError with the key that is at fault."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the section ``generator``.

        Its ``backend`` alone is enough for :meth:`check_morphing`, what :attr:`event_settings`
        keeps of it for :meth:`generate`, with the entries of ``systematics`` that matter to events.
        """

    @staticmethod
    def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
        """Return the section with what the generator uses of it, and with its cards' texts."""

    def check(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Check the settings, and that the parameters of the theory are known."""

    def check_morphing(
        self,
        benchmarks: Sequence[Mapping[tuple[str, int], float]],
        weights: Array,
        point: Mapping[tuple[str, int], float],
    ) -> None:
        """Check that morphing is exact.

        Args:
            benchmarks: Values of the parameter card at each benchmark of the basis.
            weights: Their morphing weights at a point, ``(n_benchmarks,)``.
            point: Values of the parameter card at that point.
        """

    def find_programs(self) -> None:
        """Check that the programs that it runs are on this machine."""

    @property
    def event_settings(self) -> Mapping[str, Any]:
        """The part of the settings that :meth:`generate` needs."""

    @property
    def energy(self) -> float:
        """Centre-of-mass energy in GeV of the two protons, for processes generated beside its."""

    @property
    def exact_morphing(self) -> bool:
        """Whether weights at all benchmarks follow from those at the morphing basis.

        The events of a job then need no weights at others, but that of its own.
        """

    def prepare(self, setup_file: Path, folder: Path, seed: int, fan_out: FanOut) -> None:
        """Prepare the generation of every process and benchmark.

        Args:
            setup_file: MadMiner file with the set-up.
            folder: Existing folder for files that jobs share.
            seed: Seed of the run.
            fan_out: To be called for each process and benchmark.
        """

    def generate(
        self, setup: Setup, plan: Plan, job_dir: Path, event_file: Path
    ) -> tuple[Array, float]:
        """Write the parton-level events of a job as a Les Houches Event File.

        Args:
            setup: The set-up; with :attr:`exact_morphing` its benchmarks are those of the basis
                and the plan's own.
            plan: What to generate.
            job_dir: Folder that ``fan_out`` filled.
            event_file: File to write, ending in ``.lhe.gz``.

        Returns:
            Weights ``(n, n_benchmarks)`` in pb, whose sums over the job's events are the cross
            sections, and the cross section in pb at the benchmark sampled at.
        """

    def check_variations(self, systematics: Sequence[Mapping[str, Any]]) -> None:
        """Check systematic uncertainties of scales and parton densities; none: not called.

        Args:
            systematics: Entries, complete; see :mod:`steps.settings.systematics`.
        """

    def log_responses(
        self, event_file: Path, process: str, systematics: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Array]:
        """Return log responses of the weights of a job's events; none wanted: not called.

        Args:
            event_file: What :meth:`generate` wrote.
            process: Name of the process.
            systematics: Entries of scales and parton densities that affect it, complete.

        Returns:
            By the entry's name, log responses ``(n, m)`` to its variations: for scales one for each
            factor; for parton densities one for each set, or each member but the central one.
        """


def processes(section: Mapping[str, Any]) -> list[str]:
    """Return the names of all processes of a complete section ``generator``."""
    named = [process["name"] for process in section.get("processes", ())]
    own = [SIGNAL] if section["backend"] == "builtin" or not named else []
    return [*own, *named]


def check_variations(section: Mapping[str, Any], systematics: Sequence[Mapping[str, Any]]) -> None:
    """Check systematic uncertainties against the generator that is to compute them."""
    wanted = [entry for entry in systematics if entry["type"] in ("scale", "pdf")]
    if wanted:
        choose(section).check_variations(wanted)


def complete(section: Mapping[str, Any], card: ReadCard) -> Mapping[str, Any]:
    """Return a section ``generator`` as its backend wants it."""
    return _backend(section).complete(section, card)


def choose(settings: Mapping[str, Any]) -> Generator:
    """Return the generator that a complete section ``generator`` asks for."""
    return _backend(settings)(settings)


def _backend(section: Mapping[str, Any]) -> type[Generator]:
    backend: type[Generator] = import_module(_MODULES[section["backend"]]).Backend
    return backend
