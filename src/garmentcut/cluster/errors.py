"""What ends a run on a cluster."""

from garmentcut.errors import RunError


class ClusterError(RunError):
    """A run that cannot go on; what was finished stays finished. The message says what to do."""


class TakenOverError(ClusterError):
    """Another run has taken the target; this one writes nothing more."""
