"""Blurs and local means, each sample with its own."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from torch import Tensor

from garmentcut.dataset.augment.draws import beside


def gaussian_blur(pictures: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each sample by its own Gaussian, the border repeated.

    Args:
        pictures: `(N, C, H, W)` float32.
        sigmas: `(N,)` in pixels, on the CPU.
    """
    reach = max(1, math.ceil(3 * float(sigmas.max())))
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigmas.clamp(min=1e-3)[:, None]) ** 2)
    kernels = beside((weights / weights.sum(dim=1, keepdim=True))[:, None, None], pictures)
    num, channels, height, width = pictures.shape
    kernels = kernels.repeat_interleave(channels, dim=0)
    lanes = pictures.reshape(1, num * channels, height, width)
    lanes = F.conv2d(F.pad(lanes, (reach, reach, 0, 0), mode="replicate"), kernels, groups=num * channels)
    lanes = F.conv2d(F.pad(lanes, (0, 0, reach, reach), mode="replicate"), kernels.mT, groups=num * channels)
    return lanes.reshape(pictures.shape)


def box_mean(pictures: Tensor, reach: int) -> Tensor:
    """Mean of the `2 * reach + 1` square about each pixel; beyond the border counts as 0."""
    width = 2 * reach + 1
    return F.avg_pool2d(F.avg_pool2d(pictures, (1, width), 1, (0, reach)), (width, 1), 1, (reach, 0))


def dilate(masks: Tensor, reach: int) -> Tensor:
    """1 where a mask of zeros and ones has a 1 in the `2 * reach + 1` square about the pixel, else 0; float."""
    return (box_mean(masks.float(), reach) > 0).float()


def smooth_field(heights: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The smooth surface through a coarse lattice `(N, C, h, w)`, over the whole frame."""
    return F.interpolate(heights, size=size_hw, mode="bicubic", align_corners=True)
