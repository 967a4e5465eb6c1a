"""What can go wrong with a run; ``str()`` of each is one line for the user."""

from steps.stage.errors import InputError


class UsageError(InputError):
    """The run was asked for in a way that cannot work; nothing has been touched."""


class RunFailed(Exception):
    """A step or the workflow itself failed."""


class Interrupted(Exception):
    """A signal asked the run to stop."""
