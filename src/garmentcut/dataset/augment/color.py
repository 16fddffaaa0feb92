"""Colour of the whole photo: one affine map of the colours a sample, then gamma."""

import math

import torch
from torch import Tensor

from garmentcut.dataset.augment.draws import Draws, beside, put, rows_of, take
from garmentcut.recipe import AugmentConfig

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in how bright a pixel looks (ITU-R BT.601)."""
# Red, green, blue to luma and two colour differences (NTSC's YIQ): hue is the angle in the plane of the latter.
_TO_YIQ = torch.tensor([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], dtype=torch.float64)


def vary_color(photos: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Vary brightness, contrast, saturation, hue, white balance and gamma.

    Args:
        photos: `(N, 3, H, W)` float32 in [0, 1].
        draws: one a photo.
        config: the knobs of these names.
    """
    gains = 1 + config.white_balance.amount * draws.signed(config.white_balance.p, 3)
    gains[:, 1] = 1
    gains *= 1 + config.brightness.amount * draws.signed(config.brightness.p)[:, None]
    saturation = 1 + config.saturation.amount * draws.signed(config.saturation.p)
    hue = min(config.hue.amount, 0.5) * draws.signed(config.hue.p)
    contrast = (1 + config.contrast.amount * draws.signed(config.contrast.p)).clamp(min=0)
    gamma = (1 + config.gamma.amount) ** draws.signed(config.gamma.p)
    matrices = color_matrices(hue, saturation.clamp(min=0)) @ torch.diag_embed(gains.clamp(min=0))

    rows = rows_of(torch.cat([(matrices - torch.eye(3)).flatten(1), contrast[:, None] - 1], dim=1))
    if len(rows):
        mixed = mix_channels(take(photos, rows), matrices[rows])
        mean = luma_of(mixed).mean(dim=(2, 3), keepdim=True)
        photos = put(photos, rows, torch.lerp(mean, mixed, beside(contrast[rows], photos)).clamp(0, 1))
    rows = rows_of(gamma != 1)
    if len(rows):
        photos = put(photos, rows, take(photos, rows) ** beside(gamma[rows], photos))
    return photos


def color_matrices(hue: Tensor, saturation: Tensor) -> Tensor:
    """`(N, 3, 3)` float64 that turn the hue by a share of the circle, `(N,)`, and scale the saturation, `(N,)`.

    Luma and grays stay; the identity, exactly, for 0 and 1.
    """
    angle = hue * 2 * math.pi
    turned = torch.zeros(len(hue), 3, 3, dtype=torch.float64)
    turned[:, 0, 0] = 1
    turned[:, 1, 1] = turned[:, 2, 2] = saturation * angle.cos()
    turned[:, 2, 1] = saturation * angle.sin()
    turned[:, 1, 2] = -turned[:, 2, 1]
    matrices = torch.linalg.inv(_TO_YIQ) @ turned @ _TO_YIQ
    same = (hue == 0) & (saturation == 1)
    return torch.where(same[:, None, None], torch.eye(3, dtype=torch.float64), matrices)


def mix_channels(photos: Tensor, matrices: Tensor) -> Tensor:
    """Each pixel's colour times its sample's matrix, `(N, 3, 3)` on the CPU; not clamped."""
    weights = beside(matrices[..., None, None], photos)
    # Sums of products: on CUDA a matrix product might be rounded to ten bits (TF32).
    return weights[:, :, 0] * photos[:, :1] + weights[:, :, 1] * photos[:, 1:2] + weights[:, :, 2] * photos[:, 2:]


def luma_of(photos: Tensor) -> Tensor:
    """`(N, 1, H, W)`: how bright each pixel looks."""
    red, green, blue = LUMA
    return red * photos[:, :1] + green * photos[:, 1:2] + blue * photos[:, 2:]
