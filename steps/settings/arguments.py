"""The options that tell a stage its settings.

``--settings`` names the file that stage check made; ``--input-file`` a whole input file, for stages
that are called one by one, by hand or as entry points of an MLflow project.
"""

import argparse
from pathlib import Path
from typing import Any

from steps.settings import parameters
from steps.settings.overrides import SECTIONS

PHYSICS = ("seed", "num_events", "num_procs_per_job")
LEARNING = ("seed", *SECTIONS)
_MEANING = {
    "seed": "seed of the run",
    "num_events": "events per benchmark; 0: as in the input file",
    "num_procs_per_job": "jobs per benchmark; 0: of the size in the input file",
} | {name: f"section {section} over that of the input file" for name, section in SECTIONS.items()}


class _Join(argparse.Action):
    """One text of several words, however the shell split it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, " ".join(values))


def add(parser: argparse.ArgumentParser, *names: str, short: str = "") -> None:
    """Add ``--settings``, or ``--input-file`` with parameters of the workflow.

    Args:
        parser: Parser of a stage.
        names: Parameters of the workflow that matter to the stage.
        short: The one of these that may also be called ``--overrides``.
    """
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--settings", type=Path, help="settings of this stage, made by stage check")
    way.add_argument("--input-file", type=Path, help="whole input file instead")
    group = parser.add_argument_group("with --input-file")
    add_parameters(group, *names, short=short)


def add_parameters(parser: argparse._ActionsContainer, *names: str, short: str = "") -> None:
    """Add parameters of the workflow as options; see :func:`add`."""
    for name in names:
        flags = [f"--{name.replace('_', '-')}"] + (["--overrides"] if name == short else [])
        if name in SECTIONS:
            parser.add_argument(
                *flags,
                nargs="*",
                action=_Join,
                default="",
                metavar="KEY=VALUE",
                help=_MEANING[name],
            )
        else:
            parser.add_argument(*flags, help=_MEANING[name])


def add_observed(parser: argparse.ArgumentParser, what: str = "observed events") -> None:
    """Add ``--observed-file``, empty for none."""
    parser.add_argument(
        "--observed-file",
        default="",
        metavar="FILE",
        help=f"{what}: HDF5, CSV, Parquet, ROOT (file.root:tree); empty for none",
    )


def given(args: argparse.Namespace) -> parameters.Parameters:
    """Return the parameters of the workflow that a command line gives, others as defaults.

    Raises:
        steps.stage.errors.InputError: One is not a whole number, or too small.
    """
    return parameters.read(vars(args))
