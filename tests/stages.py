"""Stages called in this process, as their scripts are."""

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def call_stage(name: str, arguments: Mapping[str, Any]) -> None:
    """Run a stage of the physics half; options by name, lists for several values."""
    argv = [name]
    for key, value in arguments.items():
        argv += [f"--{key.replace('_', '-')}"]
        argv += [str(v) for v in (value if isinstance(value, list) else [value])]
    before, sys.argv = sys.argv, argv
    try:
        importlib.import_module(f"steps.ph.{name}").main()
    finally:
        sys.argv = before
