"""Cards of programs: their text, and the name that the user knows them by."""

from typing import NamedTuple


class Card(NamedTuple):
    """A card."""

    name: str
    text: str
