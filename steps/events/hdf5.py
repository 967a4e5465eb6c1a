"""Datasets of an HDF5 file from somebody else: its own alone, and no larger than it."""

from typing import Any

import h5py
import numpy as np

from steps.arrays import Array

# A compressed dataset is at most so much larger than what it takes in the file.
_COMPRESSION = 1100
_SMALL = 2**20


class Hdf5Error(Exception):
    """A dataset is not kept in its file, or larger; one line without the file's name."""


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return all datasets of a file by name.

    Raises:
        Hdf5Error: The file has links, which may lead to other files.
    """
    link = file.visititems_links(_not_in_file)
    if link is not None:
        raise Hdf5Error(f"{link}: is a link; give a file that has its own data")
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found


def _not_in_file(name: str, link: Any) -> str | None:
    return None if isinstance(link, h5py.HardLink) else name


def read(name: str, data: h5py.Dataset) -> Array:
    """Read a dataset that takes no more memory than the file has room for.

    Raises:
        Hdf5Error: It takes more, or is kept in other files.
    """
    if data.is_virtual or data.external:
        raise Hdf5Error(f"{name}: is kept in other files; give one that has its own data")
    most = data.id.get_storage_size()
    if data.dtype.kind == "O":
        # Texts of any length are elsewhere in the file.
        most = data.file.id.get_filesize()
    elif data.id.get_create_plist().get_nfilters():
        most *= _COMPRESSION
    chunk = int(np.prod(data.chunks or (), dtype=float)) * data.dtype.itemsize
    if max(data.nbytes, chunk if data.nbytes else 0) > max(most, _SMALL):
        raise Hdf5Error(
            f"{name}: has shape {data.shape}, more than the file has room for; write it again"
        )
    values: Array = np.asarray(data[()])
    return values
