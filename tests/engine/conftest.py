"""A small workflow for each test."""

from pathlib import Path

import pytest
from toys import Toy, toy_stages


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path, toy_stages())
