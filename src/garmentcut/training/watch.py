"""The losses of the last few steps, left on the device: reading one makes the processor wait for the GPU."""

import time
from dataclasses import dataclass

import torch
from lightning.fabric import Fabric
from torch import Tensor

from garmentcut.training.devices import reduced
from garmentcut.training.errors import LossError
from garmentcut.training.events import StepDone
from garmentcut.training.losses import Loss


@dataclass(frozen=True, eq=False)
class Step:
    """One optimizer step of this device.

    Attributes:
        number: counted from 1.
        lr: learning rate.
        names: of the photos in this device's share of the batch.
        parts: names of the loss's terms.
        values: the loss, its terms, and the gradient's norm if it was asked for; float64, still on the device.
    """

    number: int
    lr: float
    names: tuple[str, ...]
    parts: tuple[str, ...]
    values: Tensor


class LossWatch:
    """Collects steps; `read` means them over the devices and stops a training whose loss is no number any more.

    Args:
        fabric: the devices.
        steps: of the whole training.
        batch: photos a step, all devices together.
    """

    def __init__(self, fabric: Fabric, steps: int, batch: int) -> None:
        self._fabric, self._steps, self._batch = fabric, steps, batch
        self._waiting: list[Step] = []
        self._since = time.perf_counter()

    def add(self, number: int, loss: Loss, *, norm: Tensor | None, lr: float, names: tuple[str, ...]) -> None:
        """Keep a step's loss for the next `read`.

        Args:
            number: of the step, counted from 1.
            loss: of this device's share of the batch.
            norm: of the gradient before clipping, of all devices; None where nothing is clipped.
            lr: learning rate.
            names: of the photos in this device's share.
        """
        scalars = [loss.total.detach(), *loss.parts.values(), *([] if norm is None else [norm])]
        values = torch.stack([scalar.double() for scalar in scalars])
        self._waiting.append(Step(number, lr, names, tuple(loss.parts), values))

    def read(self) -> list[StepDone]:
        """Everything since the last time.

        Raises:
            LossError: a loss or gradient is not finite; on all devices alike.
        """
        steps, self._waiting = self._waiting, []
        own = torch.stack([step.values for step in steps])  # (steps, values)
        mean = reduced(self._fabric, own, "mean").cpu()
        if not mean.isfinite().all():
            self._raise(steps, own.cpu(), mean)
        now = time.perf_counter()
        photos_s = len(steps) * self._batch / (now - self._since)
        self._since = now
        return [self._done(step, row, photos_s) for step, row in zip(steps, mean.tolist(), strict=True)]

    def skip_time(self) -> None:
        """What happened since the last `read` was no training: leave it out of the photos a second."""
        self._since = time.perf_counter()

    def _done(self, step: Step, row: list[float], photos_s: float) -> StepDone:
        total, *parts = row
        named = dict(zip(step.parts, parts, strict=False))  # the gradient's norm may follow
        return StepDone(step.number, self._steps, total, named, step.lr, photos_s)

    def _raise(self, steps: list[Step], own: Tensor, mean: Tensor) -> None:
        index = int((~mean.isfinite().all(1)).nonzero()[0, 0])
        step = steps[index]
        # Only the device whose loss it was knows the photos.
        rank = -1 if own[index].isfinite().all() else self._fabric.global_rank
        guilty = int(reduced(self._fabric, torch.tensor(rank, device=self._fabric.device), "max"))
        names = self._fabric.broadcast(step.names, src=guilty)
        values = zip(("loss", *step.parts), mean[index].tolist(), strict=False)
        parts = ", ".join(f"{name} {value:.4g}" for name, value in values)
        gradient = "; its gradient is not finite" if mean[index, 0].isfinite() else ""
        raise LossError(
            f"step {step.number}, learning rate {step.lr:.3g}: {parts}{gradient}, on photos {', '.join(names)}"
        )
