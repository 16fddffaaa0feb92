"""The heat map: where in a photo its cutout is doubtful, as a small gray picture."""

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.png import png_bytes
from garmentcut.prediction.doubt_maps import Maps, box_sum, eroded
from garmentcut.prediction.doubt_signs import LOW_CONTRAST

_REACH_PX = 3  # of the map: errors at an edge are shown as wide as a finger can point at
_FULL_SOFTNESS = 0.45  # mean softness of a square that is white: a rim of a few pixels all unsure
_FAINT_EDGE = 0.7  # how bright an edge without any contrast is
_FAINT_SHARE = 0.14  # of a square: a straight edge through it


def heat_of(maps: Maps) -> NDArray[np.uint8]:
    """Where to look first.

    Args:
        maps: of the cutout.

    Returns:
        `maps.frame_hw` uint8: 0 nothing to see, 255 surely look: unsure alpha and edges without contrast, spread out;
        the whole photo, in small.
    """
    num = (2 * _REACH_PX + 1) ** 2
    unsure = box_sum(maps.softness, _REACH_PX) / num / _FULL_SOFTNESS
    lack = np.where(maps.edge, np.clip(1 - maps.contrast / (2 * LOW_CONTRAST), 0, 1), 0).astype(np.float32)
    faint = _FAINT_EDGE * box_sum(lack, _REACH_PX) / num / _FAINT_SHARE
    traces = np.where(eroded(~maps.mask, _REACH_PX), maps.alpha, 0)
    heat = np.clip(np.maximum(np.maximum(unsure, faint), traces), 0, 1)
    whole = np.zeros(maps.frame_hw, np.uint8)
    (left, top), (height, width) = maps.corner_xy, heat.shape
    whole[top : top + height, left : left + width] = np.rint(255 * heat)
    return whole


def heat_bytes(maps: Maps) -> bytes:
    """`heat_of` as an 8-bit gray PNG."""
    return png_bytes(heat_of(maps))
