"""Backend of recast-atlas that runs steps as plain processes.

``recast`` loads no plug-ins of Packtivity, but any backend that
``RECAST_LOCAL_BACKENDSTRING=py:scripts.engine.atlas:Native`` names (docs/recast.md).
"""

from packtivity.asyncbackends import MultiProcBackend

import scripts.engine.native  # noqa: F401  (on import it takes over the steps of images)


class Native(MultiProcBackend):
    """One process per core, forked once the native steps are there."""

    def __init__(self) -> None:
        """Start the processes."""
        super().__init__(poolsize="auto")
