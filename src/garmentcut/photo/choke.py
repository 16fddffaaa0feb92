"""Choke: move an alpha's edge in or out, by fractions of a pixel too; what is sheer stays as sheer as it was."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, dilate, erode, slices_of

Alpha = NDArray[np.float32]


def choke_alpha(alpha: Alpha, choke_px: float) -> Alpha:
    """Move the edge.

    A step of one pixel gives each pixel the lowest alpha around it (the highest, outwards): of four and of eight
    neighbours, half and half, so that slanting edges move as far as straight ones, to a twentieth. A fraction of a step
    is mixed from before and after it, which moves a covered area's edge by just that fraction.

    Args:
        alpha: `(H, W)` float32 in [0, 1].
        choke_px: inwards; below zero outwards.

    Returns:
        The same size; `alpha` itself where nothing is to be moved. What the frame cuts off stays at the frame.
    """
    box = bounding_box(alpha > 0)
    if choke_px == 0 or box is None:
        return alpha
    area = slices_of(box, int(abs(choke_px)) + 2)  # room to grow
    moved: Alpha = alpha[area]
    step_once = erode if choke_px > 0 else dilate
    whole, part = divmod(abs(choke_px), 1)
    for step in range(int(whole)):
        # Half and half would soften the edge a little more with each step; in turn, they do not.
        moved = step_once(moved, neighbours=8 if step % 2 else 4)
    if part:
        beyond = (step_once(moved, neighbours=4) + step_once(moved, neighbours=8)) / np.float32(2)
        moved = (moved + np.float32(part) * (beyond - moved)).astype(np.float32, copy=False)
    choked = alpha.copy()
    choked[area] = moved
    return choked
