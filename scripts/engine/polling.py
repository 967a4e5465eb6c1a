"""Plug-in of ``yadage-run`` that makes its looks at the graph cheap.

Several times a second Yadage asks which steps have ended and which stages are ready. Nearly all of
the time that this takes goes into what it knows: the library of its queries builds their grammar
anew each time, and results of steps that ended long ago are read once more.
"""

import functools
from typing import Any

import jsonpath_rw
from adage import nodestate
from adage.node import Node

_update = Node.update_state


def update(self: Node, backend: Any = None) -> None:
    """Ask the backend how a node is, unless it has ended."""
    if not self.resultproxy or self.state not in (nodestate.SUCCESS, nodestate.FAILED):
        _update(self, backend)


# Yadage, Packtivity and adage look both up whenever they ask.
jsonpath_rw.parse = functools.cache(jsonpath_rw.parse)
Node.update_state = update
