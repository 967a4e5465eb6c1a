"""Addresses of servers."""

import re


def without_credentials(uri: str) -> str:
    """Return an address that may be shown: without user, password and query."""
    return re.sub(r"(?<=://)(?!/).*@|\?.*", "", uri)
