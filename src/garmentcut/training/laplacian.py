"""Laplacian pyramid loss: alphas compared at five scales, fine detail and whole area alike."""

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 5


def laplacian_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over five levels i of 2^(i - 1) times the mean absolute difference of the alphas' Laplacian pyramids.

    Hou and Liu, "Context-aware image matting", ICCV 2019, with means instead of sums over a level's pixels, so that the
    size of the photo does not matter. Each level is what a 5x5 binomial blur (Burt and Adelson 1983) takes away; the
    blurred rest is thinned by two. The fifth level is the rest itself: without it, alphas that differ by a constant
    would count as equal. Sides need not be divisible by anything.

    Args:
        logits: `(N, 1, H, W)` float.
        target: `(N, 1, H, W)` float in [0, 1].

    Returns:
        Scalar at least 0, 0 where the alphas are equal; 16 where they differ by 1 everywhere.
    """
    # The pyramid is linear: one of the difference, not the difference of two. Exact, and half the work.
    rest = torch.sigmoid(logits) - target
    loss = rest.new_zeros(())
    for level in range(LEVELS - 1):
        blurred = _blur(rest)
        loss = loss + 2.0**level * (rest - blurred).abs().mean()
        rest = blurred[..., ::2, ::2]
    return loss + 2.0 ** (LEVELS - 1) * rest.abs().mean()


def _blur(image: Tensor) -> Tensor:
    """Binomial blur, 5x5; at the frame, the mean of what is inside."""
    for axis in (2, 3):
        ones = image.new_ones([size if place == axis else 1 for place, size in enumerate(image.shape)])
        image = _weigh_neighbours(image, axis) / _weigh_neighbours(ones, axis)
    return image


def _weigh_neighbours(image: Tensor, axis: int) -> Tensor:
    # Sums of shifted copies: on a CPU several times as fast as a convolution of one channel, and exact in float32.
    padded = functional.pad(image, (0, 0, 2, 2) if axis == 2 else (2, 2, 0, 0))
    far_before, before, here, after, far_after = (padded.narrow(axis, start, image.shape[axis]) for start in range(5))
    total: Tensor = 6 * here + 4 * (before + after) + far_before + far_after
    return total
