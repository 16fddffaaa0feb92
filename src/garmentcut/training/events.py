"""What a training tells while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepDone:
    """One optimizer step, of all devices together.

    Attributes:
        step: counted from 1.
        steps: in all.
        loss: weighted sum of the parts.
        parts: the loss's terms, unweighted.
        lr: learning rate of this step.
        photos_s: photos a second, lately.
    """

    step: int
    steps: int
    loss: float
    parts: dict[str, float]
    lr: float
    photos_s: float


@dataclass(frozen=True)
class Evaluated:
    """One look at the validation photos.

    Attributes:
        step: after this step.
        mean_dice, median_dice: at the training's size, alpha >= 0.5.
        loss: as in training.
        is_best: these weights are now `best.safetensors`.
    """

    step: int
    mean_dice: float
    median_dice: float
    loss: float
    is_best: bool


@dataclass(frozen=True)
class Ended:
    """The last event.

    Attributes:
        reason: `all steps`, `no gain` (early stopping); or, with more to do, `time is up` or `interrupted`.
        step: the last one taken.
        best_dice: best mean Dice; below 0: never evaluated.
        best_step: the step it was reached at.
        seconds: of all sessions.
        was_finished: nothing was done: it had ended before.
    """

    reason: str
    step: int
    best_dice: float
    best_step: int
    seconds: float
    was_finished: bool = False

    @property
    def finished(self) -> bool:
        """There is nothing more to do."""
        return self.reason in ("all steps", "no gain")


Event = StepDone | Evaluated | Ended
