"""What a cutout shows of how well it was cut, in numbers: the features that doubt is learned from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box
from garmentcut.prediction.doubt_maps import Maps, Plane, draw_maps, eroded
from garmentcut.prediction.looks import Looks

SIGNS = (
    "rim",
    "wide_rim",
    "sheer",
    "haze",
    "outline",
    "parts",
    "holes",
    "contact",
    "low_contrast",
    "contrast",
    "mixed_colors",
    "two_looks",
)
"""Names of the signs, in the order of `Observation.signs`."""

LOW_CONTRAST = 14.0
"""Levels of 255: an edge whose two sides lie nearer together cannot be told from folds and shadows."""

_INSIDE_PX = 3  # of the map: farther in than any rim
_HAZE = 0.02
_SMALL = 1e-3  # added before a logarithm


@dataclass(frozen=True, eq=False)
class Observation:
    """A cutout, looked at.

    Attributes:
        maps: where things are.
        signs: `(12,)` float64, named by `SIGNS`. rim: log of the soft area over the garment's size; wide_rim: log of
            the share of the outline where that is wider than a pixel of the map; sheer: log of the share of the inside
            that is soft; haze: log of the alpha far outside, over the garment; outline: log of its length over the
            garment's size; parts, holes: log2 of 1 + their number; contact: share of the outline that is the frame;
            low_contrast: share of the outline without contrast; contrast: log of its median; mixed_colors: log of how
            much the garment's colours vary; two_looks: log of how far the first look's alpha and the last's lie apart,
            over the garment's size, where there are two.
        looks: `(10,)` float64: the garment's and the background's mean colours (Y, Cb, Cr), the garment's share of the
            frame, its height and width over the frame's height, and its middle's height. To tell what the model has
            not met.
    """

    maps: Maps
    signs: NDArray[np.float64]
    looks: NDArray[np.float64]


def observe(rgb: NDArray[np.uint8], alpha: Plane, *, apart: float = 0.0) -> Observation | None:
    """Look at a cutout.

    Args:
        rgb: `(H, W, 3)` uint8 sRGB, as the network saw it, padding cut off.
        alpha: `(H, W)` float32 in [0, 1], as the network gave it.
        apart: sum of the differences of two looks at it, over the root of the garment's area.

    Returns:
        None: no pixel is garment.
    """
    maps = draw_maps(rgb, alpha)
    if maps is None:
        return None
    return Observation(maps, np.append(_signs_of(maps), np.log(apart + _SMALL)), _looks_of(maps))


def observe_looks(looks: Looks) -> Observation | None:
    """Look at what the network has seen of a photo; see `observe`."""
    frame, coarse = looks.frame, looks.coarse
    height, width = frame.content_hw
    apart = 0.0
    if coarse is not None:
        again = looks.small_alpha((coarse.shape[0], coarse.shape[1]))
        apart = float(np.abs(coarse - again).sum() / np.sqrt(max(again.sum(), 1.0)))
    return observe(frame.rgb[:height, :width], looks.alpha, apart=apart)


def contact_of(maps: Maps) -> int:
    """Pixels of the map's mask that lie at the frame's border."""
    mask, (left, top), (height, width) = maps.mask, maps.corner_xy, maps.frame_hw
    bottom, right = top + mask.shape[0] == height, left + mask.shape[1] == width
    borders = ((top == 0, mask[0]), (left == 0, mask[:, 0]), (bottom, mask[-1]), (right, mask[:, -1]))
    return sum(int(np.count_nonzero(line)) for touches, line in borders if touches)


def _signs_of(maps: Maps) -> NDArray[np.float64]:
    mask, size = maps.mask, float(np.sqrt(maps.alpha.sum()))
    inside, outside = eroded(mask, _INSIDE_PX), eroded(~mask, _INSIDE_PX)
    length = max(float(maps.edge.sum()), 1.0)
    contrasts = maps.contrast[maps.edge] if maps.edge.any() else np.zeros(1, np.float32)
    near = maps.softness > np.float32(0.5)
    spread = maps.colors[inside].std(axis=0) if inside.any() else np.zeros(3)
    return np.array(
        [
            np.log(maps.softness.sum() / size + _SMALL),
            np.log(near.sum() / length + 0.01),
            np.log(maps.softness[inside].sum() / max(inside.sum(), 1) + _SMALL),
            np.log(maps.alpha[outside & (maps.alpha > _HAZE)].sum() / maps.alpha.sum() + _SMALL),
            np.log(length / size),
            np.log2(1 + len(maps.parts)),
            np.log2(1 + len(maps.holes)),
            contact_of(maps) / (contact_of(maps) + length),
            float(np.mean(contrasts < LOW_CONTRAST)),
            np.log(np.median(contrasts) + 1),
            np.log(np.sqrt((spread**2).sum()) + 1),
        ],
        np.float64,
    )


def _looks_of(maps: Maps) -> NDArray[np.float64]:
    mask = maps.mask
    frame_height, frame_width = maps.frame_hw
    garment = maps.colors[mask].mean(axis=0)
    around = maps.colors[eroded(~mask, _INSIDE_PX)]
    background = around.mean(axis=0) if around.size else garment
    left, top, right, bottom = bounding_box(mask) or (0, 0, 1, 1)
    height, width = bottom - top, right - left
    middle = maps.corner_xy[1] + (top + bottom) / 2
    shares = (mask.sum() / (frame_height * frame_width), height / frame_height, width / frame_height)
    return np.array([*garment, *background, *shares, middle / frame_height], np.float64)
