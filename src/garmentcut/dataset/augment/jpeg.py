"""What JPEG does to a photo, on its device: 4:2:0 chroma and quantised 8x8 cosine transforms (ITU-T T.81, JFIF)."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.augment.color import LUMA, mix_channels
from garmentcut.dataset.augment.draws import Draws, beside, put, rows_of, take
from garmentcut.recipe import Strength

# Annex K's tables of quantisation steps, row by row.
_LUMA_STEPS = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA_STEPS = " ".join(
    ["17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99", *["99"] * 32]
)
_RED, _GREEN, _BLUE = LUMA
_TO_YCC = torch.tensor(
    [
        LUMA,
        (-_RED / (2 - 2 * _BLUE), -_GREEN / (2 - 2 * _BLUE), 0.5),
        (0.5, -_GREEN / (2 - 2 * _RED), -_BLUE / (2 - 2 * _RED)),
    ],
    dtype=torch.float64,
)


def compress_jpeg(photos: Tensor, draws: Draws, strength: Strength) -> Tensor:
    """Give photos the blocks and smears of JPEG, of qualities from 100 down to 100 - amount.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        draws: one a photo.
        strength: how often, and how far the quality falls.
    """
    lost = draws.share(strength.p) * strength.amount
    rows = rows_of(lost)
    if not len(rows):
        return photos
    return put(photos, rows, at_quality(take(photos, rows), 100 - lost[rows]))


def at_quality(photos: Tensor, quality: Tensor) -> Tensor:
    """Through JPEG and back.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        quality: `(N,)` on the CPU, 1 to 100, as libjpeg counts it.
    """
    height, width = photos.shape[2:]
    padded = F.pad(photos * 255, (0, -width % 16, 0, -height % 16), mode="replicate")
    mixed = mix_channels(padded, _TO_YCC[None])
    luma = _quantised(mixed[:, :1] - 128, _steps(_LUMA_STEPS, quality)) + 128
    chroma = _quantised(F.avg_pool2d(mixed[:, 1:], 2), _steps(_CHROMA_STEPS, quality))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    back = mix_channels(torch.cat([luma, chroma], dim=1), torch.linalg.inv(_TO_YCC)[None])
    return (back[..., :height, :width] / 255).clamp(0, 1)


def _quantised(planes: Tensor, steps: Tensor) -> Tensor:
    """Each 8x8 block's cosine transform rounded to whole steps, `(N, 8, 8)`."""
    num, channels, height, width = planes.shape
    cosines, steps = beside(_cosines(), planes), beside(steps[:, None, None, None], planes)
    blocks = planes.reshape(num, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    rounded = (cosines @ blocks @ cosines.mT / steps).round() * steps
    return (cosines.mT @ rounded @ cosines).transpose(3, 4).reshape(planes.shape)


def _cosines() -> Tensor:
    """The orthonormal 8-point cosine transform (A.3.3), a frequency a row."""
    places = torch.arange(8, dtype=torch.float64)
    waves = torch.cos((2 * places + 1) * places[:, None] * math.pi / 16) / 2
    waves[0] /= math.sqrt(2)
    return waves


def _steps(table: str, quality: Tensor) -> Tensor:
    """`(N, 8, 8)` quantisation steps at these qualities (libjpeg's scale)."""
    base = torch.tensor([int(step) for step in table.split()], dtype=torch.float64).view(1, 8, 8)
    quality = quality.clamp(1, 100).view(-1, 1, 1)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return ((base * percent + 50) / 100).floor().clamp(1, 255)
