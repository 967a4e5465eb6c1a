"""Order of the tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start whole workflows first: the other cores meanwhile do all the rest."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)
