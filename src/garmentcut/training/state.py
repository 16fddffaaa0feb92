"""What a resume needs: a few numbers, and the states of network, average, optimizer and schedule, in one file."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from garmentcut.photo.files import write_atomic
from garmentcut.training.errors import TrainingError


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: the last finished step, counted from 1.
        seconds: of all sessions.
        best_dice: best mean Dice of an evaluation so far; below 0: none yet.
        best_step: the step of that evaluation.
        num_without_gain: evaluations since then.
        ended: empty while there is more to do, else why there is not: `all steps` or `no gain`.
    """

    step: int = 0
    seconds: float = 0.0
    best_dice: float = -1.0
    best_step: int = 0
    num_without_gain: int = 0
    ended: str = ""

    def note(self, mean_dice: float, *, always_best: bool = False) -> bool:
        """Take note of an evaluation after this step; True if it is the best so far.

        Args:
            mean_dice: of the evaluation.
            always_best: the last one counts: there is nothing held out that could tell which is better.
        """
        is_best = always_best or mean_dice > self.best_dice
        if is_best:
            self.best_dice, self.best_step = mean_dice, self.step
        self.num_without_gain = 0 if is_best else self.num_without_gain + 1
        return is_best


class Stateful(Protocol):
    """Anything that torch would save: a module, an optimizer, an average of weights."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values by name."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take a state back."""


def save_state(path: Path, progress: Progress, parts: Mapping[str, Stateful]) -> None:
    """Write the state of a training so that an interrupted write leaves the last one as it was.

    Raises:
        OSError: a full disk, and the like; the file there is untouched.
    """
    content = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"progress": asdict(progress), "parts": states}, content)
    write_atomic(path, content.getvalue())


def load_state(path: Path, parts: Mapping[str, Stateful]) -> Progress:
    """Give the parts their saved states back, on the devices they are on; a file that is not there changes nothing.

    Args:
        path: of the state.
        parts: what takes them, in this order; none: only the numbers are wanted.

    Raises:
        TrainingError: the file is damaged, or of other parts than these.
    """
    if not path.exists():
        return Progress()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(content["parts"][name])
        return Progress(**content["progress"])
    except Exception as error:  # torch raises many kinds on a file that is cut short or of another network
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise TrainingError(
            f"{path} cannot be resumed from ({reason}); delete it to begin again, or choose another --out"
        ) from error
