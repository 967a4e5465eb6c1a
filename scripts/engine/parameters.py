"""The parameters of a workflow: what it asks for, and their values from profile and command line.

A profile is a Yadage initialisation file, a flat YAML mapping of workflow parameters; the files it
names are relative to the inputs folder. Values of the command line come on top.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from scripts.engine.errors import UsageError
from steps.stage.errors import InputError
from steps.stage.texts import EMPTY, TextError, parse_yaml, read_yaml

REMOTE = ("background_file", "measured_file")
"""Parameters whose values are files or addresses, or empty for none."""

OPTIONAL = ("observed_file", *REMOTE)
"""Parameters whose values are files, or empty for none."""

FILES = ("input_file", "input_file_ph", "input_file_ml", "data_file", "sweep_file", *OPTIONAL)
"""Parameters whose values are files."""

_REFUSED = frozenset("{}\0")

_OLDER_NAMES = {"njobs": "num_procs_per_job"}


class Setting(NamedTuple):
    """A value and where it was given."""

    value: Any
    origin: str
    """What to call it in a message: ``--data-file``."""
    folders: tuple[Path, ...]
    """Folders a file name is relative to, in the order they are tried."""


def referenced(specification: Path) -> list[str]:
    """Names of the parameters that a workflow's stages take from its initialisation.

    Args:
        specification: Workflow file; a parameter is referenced as ``{step: init, output: NAME}``.
    """
    spec = yaml.safe_load(specification.read_text())
    return sorted(set(_references(spec)))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        steps = [node.get(key) for key in ("step", "steps", "stages")]
        if "init" in steps and isinstance(node.get("output"), str):
            yield node["output"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def read_profile(profile: str, inputs: Path) -> dict[str, Setting]:
    """Read a profile, given by its name in ``inputs/profiles`` or as a path.

    Raises:
        UsageError: There is no such profile, or it is not a flat mapping.
    """
    folder = inputs / "profiles"
    is_path = "/" in profile or profile.endswith((".yml", ".yaml"))
    path = Path(profile) if is_path else folder / f"{profile}.yml"
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in folder.glob("*.yml"))) or "none"
        raise UsageError(f"--profile: no file '{path}' (profiles in {folder}: {known})")
    try:
        values = read_yaml(path)
    except InputError as error:
        raise UsageError(str(error)) from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds no 'parameter: value' lines; see inputs/profiles")
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise UsageError(f"{path}: {name}: has parts; give one value")
    return {
        str(name): Setting("" if value is None else value, f"{path}: {name}", (inputs,))
        for name, value in values.items()
    }


def from_command_line(
    assignments: Iterable[str], files: Mapping[str, str | None], inputs: Path
) -> dict[str, Setting]:
    """Settings of the command line.

    Args:
        assignments: ``NAME=VALUE``, values as YAML where that is a number, a truth value or a
            quoted string, else as they stand.
        files: Values of the file options by parameter; an empty one counts as not given.
        inputs: Folder to look for files in when they are not in the current directory.

    Raises:
        UsageError: An assignment without ``=``.
    """
    folders = (Path.cwd(), inputs)
    settings = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"-p {assignment}: must be NAME=VALUE")
        settings[name] = Setting(_value(text), f"-p {name}", folders)
    for name, value in files.items():
        if value:
            settings[name] = Setting(value, "--" + name.replace("_", "-"), folders)
    return settings


def split(text: str) -> tuple[str, str]:
    """Return the path of a file, and ``:tree`` where it names one of a ROOT file."""
    path, colon, tree = text.rpartition(":")
    return (path, colon + tree) if path.endswith(".root") else (text, "")


def _value(text: str) -> Any:
    try:
        value = parse_yaml(text)
    except TextError:
        return text
    return value if isinstance(value, str | int | float) else text


def merge(
    names: Iterable[str],
    profile: Mapping[str, Setting],
    command_line: Mapping[str, Setting],
    rename: Mapping[str, str],
) -> dict[str, Any]:
    """Values of all parameters of a workflow, files as absolute paths.

    Args:
        names: Parameters the workflow references.
        profile: Settings of the profile; those that the workflow does not reference are ignored.
        command_line: Settings of the command line.
        rename: This workflow's own names of parameters that are called otherwise elsewhere.

    Raises:
        UsageError: An unknown parameter on the command line, one without a value, an absent file,
            a value that Yadage would change.
    """
    names = list(names)
    rename = {**_OLDER_NAMES, **rename}
    settings = {rename.get(name, name): setting for name, setting in profile.items()}
    for name, setting in command_line.items():
        name = rename.get(name, name)
        if name not in names:
            known = ", ".join(names) or "none"
            raise UsageError(f"{setting.origin}: not a parameter of this workflow (known: {known})")
        settings[name] = setting
    usual = {own: name for name, own in rename.items() if name not in _OLDER_NAMES}
    values = {name: _final(usual.get(name, name), settings.get(name)) for name in names}
    for name, value in values.items():
        if isinstance(value, str) and _REFUSED.intersection(value):
            raise UsageError(
                f"{settings[name].origin}: {value!r} has braces, which Yadage takes for names, or "
                "a zero byte; leave them out"
            )
    return values


def _final(name: str, setting: Setting | None) -> Any:
    is_file = name in FILES
    if name in OPTIONAL and (setting is None or not setting.value or setting.value in EMPTY):
        return ""
    if setting is None or (is_file and not setting.value):
        option = "--" + name.replace("_", "-") + " FILE" if is_file else f"-p {name}=VALUE"
        raise UsageError(f"{name}: no value; set it in the profile or with {option}")
    if name in REMOTE and "://" in str(setting.value):
        return setting.value
    if is_file:
        return find_file(setting)
    return "" if setting.value in EMPTY else setting.value


def find_file(setting: Setting) -> str:
    """Return the path of a file that is given relative to one of some folders.

    Raises:
        UsageError: It is in none of them.
    """
    text, tree = split(str(setting.value))
    for folder in setting.folders:
        path = (folder / text).resolve()
        if os.path.isfile(path):  # unlike Path.is_file false where a name is too long
            return f"{path}{tree}"
    places = ", ".join(str(folder) for folder in setting.folders)
    raise UsageError(
        f"{setting.origin}: no file '{setting.value}' (looked in {places}); check the path"
    )
