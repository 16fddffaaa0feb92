"""What the metrics share: checked masks, and the part of the frame in which two of them lie."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""`(H, W)` bool: True is garment."""

Area = tuple[slice, slice]
"""Rows and columns of a part of the frame."""


def mask_of(alpha: NDArray[np.float32]) -> Mask:
    """`alpha >= 0.5`: what an 8-bit file holds as 128 or more. `alpha` is `(H, W)` in [0, 1]."""
    mask: Mask = alpha >= np.float32(0.5)
    return mask


def check_masks(prediction: Mask, target: Mask) -> None:
    """Check shape and dtype.

    Raises:
        ValueError: not two bool `(H, W)` of one size.
    """
    if prediction.shape != target.shape or target.ndim != 2 or not target.size:
        raise ValueError(f"masks must be (H, W) of one size, not {prediction.shape} and {target.shape}")
    if prediction.dtype != np.bool_ or target.dtype != np.bool_:
        raise ValueError(f"masks must be bool, not {prediction.dtype} and {target.dtype}")


def area_of(*masks: Mask, margin_px: int = 0) -> Area | None:
    """The smallest rectangle that holds all of several masks, `margin_px` wider where the frame allows; None: empty.

    Rows and columns are looked at one mask at a time, so no union of them has to be made.
    """
    spans = []
    for axis in (1, 0):
        used = np.flatnonzero(np.logical_or.reduce([mask.any(axis=axis) for mask in masks]))
        if not used.size:
            return None
        spans.append(slice(max(int(used[0]) - margin_px, 0), int(used[-1]) + 1 + margin_px))
    return spans[0], spans[1]
