"""Whether weights belong to a network, and if not, why not."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

_NAMED = 3  # keys named of each kind; a wrong file misses hundreds


@dataclass(frozen=True)
class Mismatch:
    """Where two sets of weights differ; false if nowhere, a sentence as text.

    Attributes:
        missing: keys of the network that the weights lack.
        unexpected: keys of the weights that the network lacks.
        misshapen: keys of both, with both shapes.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @classmethod
    def between(cls, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> "Mismatch":
        """Compare a network's own state with weights that are given for it."""
        # Older files lack a batch norm's counter, which only one without momentum reads.
        missing = tuple(key for key in own if key not in given and not key.endswith("num_batches_tracked"))
        misshapen = tuple(
            f"{key} {tuple(given[key].shape)} for {tuple(tensor.shape)}"
            for key, tensor in own.items()
            if key in given and given[key].shape != tensor.shape
        )
        return cls(missing, tuple(key for key in given if key not in own), misshapen)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "unknown": self.unexpected, "of another shape": self.misshapen}
        return "; ".join(f"{kind}: {_some(keys)}" for kind, keys in kinds.items() if keys)


def _some(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
