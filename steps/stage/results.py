"""Numbers that pass from stage to stage: one HDF5 file of named arrays."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from steps.arrays import Array
from steps.stage.errors import InputError, reading

_DIGEST = "sha256"


def write(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays (or numbers) by name; a slash in a name makes a group."""
    with h5py.File(path, "w") as file:
        written = {name: np.asarray(array) for name, array in arrays.items()}
        for name, array in written.items():
            file[name] = array
        file.attrs[_DIGEST] = _digest(written)


class _Results(dict[str, Array]):
    """Arrays by name of a file, which is told where one is missing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __missing__(self, name: str) -> Array:
        raise InputError(f"{self._path}: has no '{name}'; give what the right stage wrote")


def read(path: Path) -> dict[str, Array]:
    """Read all arrays of a file by name.

    Raises:
        InputError: It is not as :func:`write` left it, or lacks an array that is asked for.
    """
    arrays = _Results(path)

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    remedy = "run the stage that made it again"
    with reading(path, "numbers of a stage", remedy), h5py.File(path) as file:
        file.visititems(visit)
        if file.attrs.get(_DIGEST) != _digest(arrays):
            raise InputError(f"{path}: is not as a stage of this workflow wrote it; {remedy}")
    return arrays


def _digest(arrays: Mapping[str, Array]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        values = np.ascontiguousarray(array)
        found.update(f"{name} {values.dtype.str} {np.shape(array)} ".encode())
        found.update(values.tobytes())
    return found.hexdigest()
