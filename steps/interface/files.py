"""Output files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends without an exception.

    The block may create a file or a folder; an existing file or folder is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new = scratch / path.name
    try:
        yield new
        if path.is_dir() and new.exists():
            # A folder cannot be replaced in one go: move the old one aside first.
            os.replace(path, scratch / f"{path.name}.old")
        os.replace(new, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
