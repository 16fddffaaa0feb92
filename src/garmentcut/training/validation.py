"""A look at the held-out photos while training: Dice and loss at the training's size, shared among the devices."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from garmentcut.dataset.bounded import map_in_order
from garmentcut.dataset.samples import Sample, Samples
from garmentcut.recipe import LossConfig
from garmentcut.training.devices import reduced
from garmentcut.training.losses import total_loss

_MAX_THREADS = 16


@dataclass(frozen=True)
class Validation:
    """What a look has shown.

    Attributes:
        dice: of each validation photo, in their order.
        loss: mean over the photos.
    """

    dice: tuple[float, ...]
    loss: float

    @property
    def mean_dice(self) -> float:
        """Mean of the photos' Dice."""
        return sum(self.dice) / len(self.dice)

    @property
    def median_dice(self) -> float:
        """Median of the photos' Dice."""
        return float(torch.tensor(self.dice, dtype=torch.float64).quantile(0.5))


@torch.no_grad()
def validate(network: nn.Module, samples: Samples, config: LossConfig, *, fabric: Fabric) -> Validation:
    """Measure a network; each device does its share of the photos.

    Args:
        network: in evaluation mode, on the device, not wrapped: `(N, 3, H, W)` in [0, 1] to logits `(N, 1, H, W)`.
        samples: the validation photos, one at least.
        config: of the loss.
        fabric: the devices.
    """
    table = torch.zeros(len(samples), 2, dtype=torch.float64, device=fabric.device)  # Dice and loss of each photo
    own = range(fabric.global_rank, len(samples), fabric.world_size)
    num_threads = samples.data.workers or min(os.cpu_count() or 1, _MAX_THREADS)
    with ThreadPoolExecutor(num_threads) as pool:
        for index, sample in zip(own, map_in_order(pool, samples.__getitem__, own, num_ahead=num_threads), strict=True):
            logits, target = predict(network, sample, fabric=fabric)
            table[index, 0] = dice_of(logits, target)
            table[index, 1] = total_loss(logits, target, config).total
    table = reduced(fabric, table, "sum")  # the rows of the other devices are 0 here
    dice, losses = table.cpu().T.tolist()
    return Validation(tuple(dice), sum(losses) / len(losses))


def predict(network: nn.Module, sample: Sample, *, fabric: Fabric) -> tuple[Tensor, Tensor]:
    """Logits and target of one photo, `(1, 1, H, W)` float32 on the device, at the precision of the training."""
    photo = sample.photo[None].to(fabric.device).float().div_(255).contiguous(memory_format=torch.channels_last)
    with fabric.autocast():
        logits: Tensor = network(photo)
    return logits.float(), sample.alpha[None].to(fabric.device).float().div_(255)


def dice_of(logits: Tensor, target: Tensor) -> Tensor:
    """2 |P and T| / (|P| + |T|) of the masks `alpha >= 0.5`, in [0, 1]; 1 where both are empty.

    Args:
        logits: `(1, 1, H, W)` float.
        target: `(1, 1, H, W)` float in [0, 1].
    """
    predicted, wanted = logits >= 0, target >= 0.5
    both, sum_of_sizes = (predicted & wanted).sum(), predicted.sum() + wanted.sum()
    return torch.where(sum_of_sizes > 0, 2 * both / sum_of_sizes.clamp(min=1), 1.0)
