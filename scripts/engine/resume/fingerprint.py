"""What a step's code is: the files of the repository that its module imports, and the packages."""

import ast
import hashlib
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def code(root: Path, module: str) -> dict[str, str]:
    """Return the hash of each file of the repository that a module may read when it is imported.

    These are its imports, at whatever place, modules that a string names, theirs in turn, and the
    data files beside them.

    Args:
        root: Folder that modules are relative to.
        module: Name of the module, ``steps.ml.training``.

    Returns:
        SHA-256 by path relative to the root, sorted.
    """
    found: dict[Path, str] = {}
    left, seen = [module], {module}
    while left:
        for path in _files(root, left.pop()):
            if path not in found:
                found[path], others = _read(root, path)
                left += others - seen
                seen |= others
    return {str(path.relative_to(root)): found[path] for path in sorted(found)}


@cache
def packages(prefix: Path | None = None) -> str:
    """Return a hash of the versions of Python and of all packages that are installed.

    Args:
        prefix: Folder of a virtual environment; that of this process by default.
    """
    found = distributions(prefix) if prefix else metadata.distributions()
    versions = sorted(f"{one.name}=={one.version}" for one in found)
    system = [platform.python_version(), platform.machine(), platform.system()]
    return hashlib.sha256("\n".join([*system, *versions]).encode()).hexdigest()


def distributions(prefix: Path) -> Iterable[metadata.Distribution]:
    """Return what is installed in a virtual environment.

    Args:
        prefix: Its folder.
    """
    places = [str(place) for place in prefix.glob("lib/python*/site-packages")]
    return metadata.distributions(path=places)


@cache
def _read(root: Path, path: Path) -> tuple[str, frozenset[str]]:
    """Return the hash of a file, and the names of the repository's modules that it mentions.

    To parse a file takes longest by far, and most stages share most of them.
    """
    content = path.read_bytes()
    names = _imports(root, path, content) if path.suffix == ".py" else ()
    return hashlib.sha256(content).hexdigest(), frozenset(names)


@cache
def _files(root: Path, module: str) -> tuple[Path, ...]:
    """Return the file of a module, those of the packages around it, and the data beside it."""
    parts = module.split(".")
    found = []
    for depth in range(1, len(parts) + 1):
        package = root.joinpath(*parts[:depth])
        both = (package / "__init__.py", package.with_suffix(".py"))
        found += [file for file in both if file.is_file()]
    folder = root.joinpath(*parts)
    return (*found, *_data(folder if folder.is_dir() else folder.parent))


@cache
def _data(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that are no modules, with those of its subfolders."""
    found: list[Path] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            is_package = (path / "__init__.py").exists()
            found += () if is_package or path.name == "__pycache__" else _data(path)
        elif path.suffix != ".py":
            found.append(path)
    return tuple(found)


def _imports(root: Path, path: Path, content: bytes) -> Iterator[str]:
    """Yield the names of the repository's modules that a file mentions."""
    package = path.parent.relative_to(root).parts
    for node in ast.walk(ast.parse(content)):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                base = [*package[: len(package) - node.level + 1]] if node.level else []
                base += node.module.split(".") if node.module else []
                names = [".".join([*base, alias.name]) for alias in node.names]
            case ast.Constant(value=str(text)) if text.replace(".", "").isidentifier():
                names = [text] if "." in text else []
        for name in names:
            if (root / name.split(".", 1)[0] / "__init__.py").exists():
                yield name
