"""The errors of a training, and what to do about each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from garmentcut.errors import UsageError
from garmentcut.model.checkpoint import CheckpointError
from garmentcut.recipe import Recipe


class TrainingError(UsageError):
    """A training that cannot start or go on; the message says why and what to change."""


class TrainingStopped(TrainingError):  # noqa: N818 not a mistake of the caller's: it says what came in the way
    """A training that broke off, and can go on once the mend is made."""

    exit_code = 1


class LossError(TrainingStopped):
    """A loss or gradient that is no finite number."""


@contextmanager
def failures_explained(recipe: Recipe, state_path: Path, device: str) -> Iterator[None]:
    """Turn what can go wrong while training into a `TrainingStopped` with the mend, and with what is kept.

    Args:
        recipe: of the training.
        state_path: where its state is saved.
        device: in words.

    Raises:
        TrainingStopped: the GPU's memory or the disk is full, the network cannot be compiled, the loss is not finite.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        height, width = recipe.data.size_hw
        raise TrainingStopped(
            f"out of memory on {device} with training.batch = {recipe.training.batch} and data.size_hw = [{height},"
            f" {width}]; set training.batch = {max(recipe.training.batch // 2, 1)}, a smaller data.size_hw, or give"
            f" more --devices, which share the batch. {_kept(state_path)}"
        ) from error
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise TrainingStopped(f"torch.compile failed ({reason}); set training.compile = 'off'") from error
    except CheckpointError as error:  # names the file and the mend itself
        raise TrainingStopped(f"{error}. {_kept(state_path)}") from error
    except LossError as error:
        raise LossError(
            f"{error}. A lower optimizer.lr ({recipe.optimizer.lr / 3:.2g}), a longer schedule.warmup or"
            f" optimizer.clip_norm = 1.0 usually mends it, in a new --out; look at these photos too."
            f" {_kept(state_path)}"
        ) from error
    except OSError as error:
        raise TrainingStopped(
            f"{error.filename or state_path.parent}: {error.strerror or error}; make room or mend that, and run the"
            f" same command again. {_kept(state_path)}"
        ) from error


def _kept(state_path: Path) -> str:
    if not state_path.exists():
        return "Nothing was saved yet"
    return f"{state_path} keeps the training as it was last saved"
