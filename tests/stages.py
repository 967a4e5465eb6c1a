"""Stages called in this process, as their scripts are."""

import importlib
import io
import runpy
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def call_stage(name: str, arguments: Mapping[str, Any]) -> None:
    """Run a stage of the physics half; options by name, lists for several values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", _argv(name, arguments))
        importlib.import_module(f"steps.ph.{name}").main()


def checked(input_file: Path, output_dir: Path, **given: Any) -> dict[str, str]:
    """Run stage check; return the texts of the settings files by stage."""
    call_stage("check", {"input_file": input_file, "output_dir": output_dir, **given})
    return {path.stem: path.read_text() for path in (output_dir / "settings").iterdir()}


def refusal(name: str, arguments: Mapping[str, Any]) -> str:
    """Run the script of a stage that ends with an error; return its one line."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setattr(sys, "argv", _argv(name, arguments))
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / "steps/ph" / f"{name}.py"), run_name="__main__")
    assert stop.value.code == 1
    (line,) = [x for x in said.getvalue().splitlines() if not x.startswith("progress: ")]
    assert line.startswith("error: ")
    return line


def _argv(name: str, arguments: Mapping[str, Any]) -> list[str]:
    argv = [name]
    for key, value in arguments.items():
        argv += [f"--{key.replace('_', '-')}"]
        argv += [str(v) for v in (value if isinstance(value, list) else [value])]
    return argv
