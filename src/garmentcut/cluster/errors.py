"""What ends a run on a cluster."""


class ClusterError(RuntimeError):
    """A run that cannot go on; what was finished stays finished. The message says what to do."""


class TakenOverError(ClusterError):
    """Another run has taken the target; this one writes nothing more."""
