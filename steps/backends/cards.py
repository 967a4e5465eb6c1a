"""How backends get at the cards that an input file names."""

from collections.abc import Callable

ReadCard = Callable[[str, str | None, str], dict[str, str]]
"""From the key, the path given there (None for none) and the name of the shipped card that then
stands in, to the card's ``name`` and ``text``; raises SettingError where there is no such file."""
