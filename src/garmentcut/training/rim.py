"""Pixels near the target's edge, and how much more they count."""

import torch
from torch import Tensor
from torch.nn import functional


def near_edge(target: Tensor, rim_px: int) -> Tensor:
    """Pixels within `rim_px` of the target's edge, and all that are soft themselves.

    A pixel is near when the square of `2 * rim_px + 1` pixels around it holds pixels on both sides of 0.5. Beyond the
    frame there is nothing: a garment cut by the frame has no edge there.

    Args:
        target: `(N, 1, H, W)` float in [0, 1].
        rim_px: at least 1; the band is twice as wide, half inside and half outside.

    Returns:
        `(N, 1, H, W)` bool.
    """
    share = (target >= 0.5).to(target.dtype)
    # The mean over the square is 0 or 1 exactly where all its pixels lie on one side.
    for kernel, pad in (((2 * rim_px + 1, 1), (rim_px, 0)), ((1, 2 * rim_px + 1), (0, rim_px))):
        share = functional.avg_pool2d(share, kernel, stride=1, padding=pad, count_include_pad=False)
    return ((share > 0) & (share < 1)) | ((target > 0) & (target < 1))


@torch.no_grad()
def rim_weights(target: Tensor, *, weight: float, rim_px: int) -> Tensor:
    """How much each pixel counts: `weight` near the edge, 1 elsewhere.

    The band of the Carvana winner (asanakoy, 2017), with its width in pixels. The losses divide by the photo's sum of
    weights, so that neither `weight` nor the length of a garment's edge changes their scale.

    Args:
        target: `(N, 1, H, W)` float in [0, 1].
        weight: of pixels near the edge.
        rim_px: see `near_edge`.

    Returns:
        `(N, 1, H, W)` of the target's dtype.
    """
    return 1 + (weight - 1) * near_edge(target, rim_px).to(target.dtype)
