"""Numbers that pass from stage to stage: one HDF5 file of named arrays."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from steps.arrays import Array


def write(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays (or numbers) by name; a slash in a name makes a group."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = np.asarray(array)


def read(path: Path) -> dict[str, Array]:
    """Read all arrays of a file by name."""
    arrays: dict[str, Array] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return arrays
