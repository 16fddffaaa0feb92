"""How much of an alpha a person changed."""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, slices_of

Alpha8 = NDArray[np.uint8]
"""`(H, W)` uint8, full range: alpha as files hold it."""

_TOLERANCE_PX = 2
_SAME_LEVELS = 8  # of 255: below, no eye tells
_DISK = [
    (down, across)
    for down, across in itertools.product(range(-_TOLERANCE_PX, _TOLERANCE_PX + 1), repeat=2)
    if down**2 + across**2 <= _TOLERANCE_PX**2
]
_CROSS = ((-1, 0), (1, 0), (0, -1), (0, 1))


class EdgeChange(NamedTuple):
    """What a correction did.

    Attributes:
        pixels: that differ by more than 8 of 255 levels.
        edge_share: of the outlines, before and after, that lies over 2 px from the other: 1 - surface Dice, in [0, 1].
    """

    pixels: int
    edge_share: float


def measure_change(before: Alpha8, after: Alpha8) -> EdgeChange:
    """Compare two alphas of one size; the outline is that of `alpha >= 0.5`, as `garmentcut evaluate` measures it."""
    differs = (before > after) * (before - after) + (after > before) * (after - before) > _SAME_LEVELS
    first, second = _border_of(before >= 128), _border_of(after >= 128)
    num_border = int(first.sum()) + int(second.sum())
    box = bounding_box(first != second)
    if box is None:
        return EdgeChange(int(differs.sum()), 0.0)
    area = slices_of(box, 2 * _TOLERANCE_PX)  # elsewhere both outlines are the same
    first, second = first[area], second[area]
    moved = int((first & ~_widened(second)).sum()) + int((second & ~_widened(first)).sum())
    return EdgeChange(int(differs.sum()), moved / num_border)


def _border_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels with a direct neighbour outside; beyond the frame all is outside."""
    inside = mask.copy()
    for down, across in _CROSS:
        inside &= _shifted(mask, down, across)
    border: NDArray[np.bool_] = mask & ~inside
    return border


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = mask.copy()
    for down, across in _DISK:
        wide |= _shifted(mask, down, across)
    return wide


def _shifted(mask: NDArray[np.bool_], down: int, across: int) -> NDArray[np.bool_]:
    moved = np.zeros_like(mask)
    height, width = mask.shape
    to_y, to_x = slice(max(down, 0), height + min(down, 0)), slice(max(across, 0), width + min(across, 0))
    from_y, from_x = slice(max(-down, 0), height + min(-down, 0)), slice(max(-across, 0), width + min(-across, 0))
    moved[to_y, to_x] = mask[from_y, from_x]
    return moved
