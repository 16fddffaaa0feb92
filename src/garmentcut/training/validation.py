"""Measures a network on the validation photos, for the training loop: Dice and loss, and a sheet of examples."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean, median
from typing import NamedTuple

import numpy as np
import torch
from lightning.fabric import Fabric
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from garmentcut.dataset.samples import Sample, Samples
from garmentcut.errors import counted
from garmentcut.photo.files import map_in_order
from garmentcut.recipe import LossConfig
from garmentcut.training.devices import reduced
from garmentcut.training.losses import total_loss

_MAX_THREADS = 16
_PHOTOS_ON_A_SHEET = 6
_CELL_HEIGHT, _LABEL_PX, _GAP_PX = 300, 20, 4
_INK = (30, 30, 30)
_JPEG_QUALITY = 88


class Validation(NamedTuple):
    """The result of an evaluation on the validation photos."""

    mean_dice: float
    median_dice: float
    loss: float  # mean over the photos


@torch.no_grad()
def validate(network: nn.Module, samples: Samples, config: LossConfig, *, fabric: Fabric) -> Validation:
    """Measure a network on at least one photo; each device measures its share of the photos.

    `network`, in evaluation mode, on the device, not wrapped, maps `(N, 3, H, W)` in [0, 1] to logits `(N, 1, H, W)`.
    """
    table = torch.zeros(len(samples), 2, dtype=torch.float64, device=fabric.device)  # Dice and loss of each photo
    own = range(fabric.global_rank, len(samples), fabric.world_size)
    num_threads = samples.data.workers or min(os.cpu_count() or 1, _MAX_THREADS)
    with ThreadPoolExecutor(num_threads) as pool:
        for index, sample in zip(own, map_in_order(pool, samples.__getitem__, own, num_ahead=num_threads), strict=True):
            logits, target = predict(network, sample, fabric=fabric)
            table[index, 0] = dice_of(logits, target)
            table[index, 1] = total_loss(logits, target, config).total
    table = reduced(fabric, table, "sum")  # each device has zeros in the rows of the others
    dice, losses = table.cpu().T.tolist()
    return Validation(fmean(dice), median(dice), fmean(losses))


def predict(network: nn.Module, sample: Sample, *, fabric: Fabric) -> tuple[Tensor, Tensor]:
    """Logits and target of one photo, `(1, 1, H, W)` float32 on the device, at the precision of the training."""
    photo = sample.photo[None].to(fabric.device).float().div_(255).contiguous(memory_format=torch.channels_last)
    with fabric.autocast():
        logits: Tensor = network(photo)
    return logits.float(), sample.alpha[None].to(fabric.device).float().div_(255)


def dice_of(logits: Tensor, target: Tensor) -> Tensor:
    """2 |P and T| / (|P| + |T|) of the masks `alpha >= 0.5` of one photo, in [0, 1]; 1 if both are empty."""
    predicted, wanted = logits >= 0, target >= 0.5
    both, sum_of_sizes = (predicted & wanted).sum(), predicted.sum() + wanted.sum()
    return torch.where(sum_of_sizes > 0, 2 * both / sum_of_sizes.clamp(min=1), 1.0)


@torch.no_grad()
def draw_sheet(network: nn.Module, samples: Samples, step: int, seen: Validation, *, fabric: Fabric) -> bytes:
    """Draw a few validation photos after a step, one per row, as a JPEG file. The network is as in `validate`."""
    num, rows = len(samples), []
    for index in range(0, num, -(-num // _PHOTOS_ON_A_SHEET)):
        sample = samples[index]
        logits, target = predict(network, sample, fabric=fabric)
        wanted, alpha = (plane[0, 0].cpu().numpy() for plane in (target, logits.sigmoid()))
        labels = (sample.name, "target", "prediction", f"Dice {float(dice_of(logits, target)):.4f}")
        rows.append(sheet_row(sample.photo[:3].permute(1, 2, 0).numpy(), wanted, alpha, labels))
    title = f"step {step}: mean Dice {seen.mean_dice:.4f}, median {seen.median_dice:.4f} of {counted(num, 'photo')}"
    content = io.BytesIO()
    sheet = _labelled(np.vstack(rows), [title], _LABEL_PX - _GAP_PX)
    Image.fromarray(sheet).save(content, "JPEG", quality=_JPEG_QUALITY)
    return content.getvalue()


def sheet_row(
    photo: NDArray[np.uint8], target: NDArray[np.float32], alpha: NDArray[np.float32], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Draw photo `(H, W, 3)`, target and prediction `(H, W)`, and their difference: red is missing, blue is too much.

    The first label is the pair's name.
    """
    pictures = (photo, _gray(target), _gray(alpha), _difference(photo, alpha - target))
    height, width = alpha.shape
    size = max(1, round(width * _CELL_HEIGHT / height)), _CELL_HEIGHT
    cells = [np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)) for picture in pictures]
    garment, _, view = labels[0].rpartition("_")
    row = np.hstack([np.pad(cell, ((0, 0), (0, _GAP_PX), (0, 0)), constant_values=255) for cell in cells])
    return _labelled(row, [f"{garment[:8]} {view}", *labels[1:]], _LABEL_PX - 2 * _GAP_PX)


def _labelled(picture: NDArray[np.uint8], labels: Sequence[str], size_px: int) -> NDArray[np.uint8]:
    """A picture with a line of evenly spaced labels above it."""
    image = Image.fromarray(np.pad(picture, ((_LABEL_PX, 0), (0, 0), (0, 0)), constant_values=255))
    for number, label in enumerate(labels):
        place = number * image.width // len(labels) + _GAP_PX, 0
        ImageDraw.Draw(image).text(place, label, _INK, ImageFont.load_default(size_px))
    return np.asarray(image)


def _gray(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(alpha * 255).astype(np.uint8)[..., None], 3, axis=2)


def _difference(photo: NDArray[np.uint8], error: NDArray[np.float32]) -> NDArray[np.uint8]:
    faint, error = 255 - (255 - photo.astype(np.float32)) * 0.35, error[..., None]
    too_much = np.clip(error, 0, 1) * (np.array([30, 60, 255], np.float32) - faint)
    missing = np.clip(-error, 0, 1) * (np.array([255, 30, 30], np.float32) - faint)
    return np.asarray(np.rint(np.clip(faint + too_much + missing, 0, 255)), np.uint8)
