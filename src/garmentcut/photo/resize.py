"""Resizes photos down for the networks and alphas up for the files, with Pillow's area-aware filters."""

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.photo.mask import dilate, erode

# Contrast within 3 pixels over contrast within 5: 1 at a hard edge, 1/2 on an even ramp.
_SOFT_RATIO, _HARD_RATIO = 0.8, 0.95
_REACH_PX = 4  # small pixels around a tile: a window of 5, and interpolation between its results
_TILE_PX = 192  # large pixels: most tiles have no edge in them and cost nothing


def resize_rgb(rgb: NDArray[np.uint8], size_hw: tuple[int, int], *, reducing_gap: float = 3.0) -> NDArray[np.uint8]:
    """Resize `(H, W, 3)` uint8 with an antialiased cubic filter.

    Args:
        rgb: the photo.
        size_hw: height and width wanted.
        reducing_gap: where it shrinks by more than twice this, whole factors come first, by averages: several times as
            fast. From 3 on the same to the eye (Pillow's documentation).
    """
    if rgb.shape[:2] == size_hw:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.array(image.resize(size_hw[::-1], Image.Resampling.BICUBIC, reducing_gap=reducing_gap))


def resize_alpha(alpha: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Bring an alpha to another size; enlarged, hard edges stay one pixel wide, soft and sheer parts as they are.

    A cubic filter alone leaves an edge as many pixels wide as the enlargement. It is steepened by that factor about the
    middle of the levels on both sides of the edge, and kept between them: a sheer garment gets a crisp edge too, and
    its plateau of 0.4 stays 0.4. Ramps that the small alpha already spreads over several pixels are not steepened.

    Args:
        alpha: `(h, w)` float32 in [0, 1].
        size_hw: height and width wanted.

    Returns:
        `size_hw` float32 in [0, 1].
    """
    if alpha.shape == size_hw:
        return alpha
    steps = size_hw[0] / alpha.shape[0], size_hw[1] / alpha.shape[1]
    if max(steps) <= 1:
        small = Image.fromarray(np.ascontiguousarray(alpha)).resize(size_hw[::-1], Image.Resampling.BOX)
        return np.asarray(small, np.float32).clip(0, 1)
    large = np.empty(size_hw, np.float32)
    for start_y, start_x in itertools.product(range(0, size_hw[0], _TILE_PX), range(0, size_hw[1], _TILE_PX)):
        tile = large[start_y : start_y + _TILE_PX, start_x : start_x + _TILE_PX]
        top, left = max(int(start_y / steps[0]) - _REACH_PX, 0), max(int(start_x / steps[1]) - _REACH_PX, 0)
        bottom, right = (start_y + tile.shape[0]) / steps[0], (start_x + tile.shape[1]) / steps[1]
        part = alpha[top : int(bottom) + 1 + _REACH_PX, left : int(right) + 1 + _REACH_PX]
        if part.min() == part.max():
            tile[:] = part[0, 0]
            continue
        # min: a quotient may be rounded to just outside the small picture.
        box = start_x / steps[1] - left, start_y / steps[0] - top, right - left, bottom - top
        tile[:] = _enlarge(
            part, np.minimum(box, (*part.shape[::-1], *part.shape[::-1])), (tile.shape[0], tile.shape[1]), max(steps)
        )
    return large


def _enlarge(
    alpha: NDArray[np.float32], box_xyxy: NDArray[np.float64], size_hw: tuple[int, int], scale: float
) -> NDArray[np.float32]:
    """The box of `alpha`, in fractions of pixels, at the wanted size and with its hard edges steepened by `scale`."""

    def resample(values: NDArray[np.float32], resampling: Image.Resampling) -> NDArray[np.float32]:
        image = Image.fromarray(np.ascontiguousarray(values))
        return np.array(image.resize(size_hw[::-1], resampling, box=tuple(box_xyxy)), np.float32)

    low, high, hardness = (resample(values, Image.Resampling.BILINEAR) for values in _edge_levels(alpha))
    middle = (low + high) / 2
    soft = resample(alpha, Image.Resampling.BICUBIC) - middle
    return (soft * (1 + hardness * np.float32(scale - 1)) + middle).clip(low, high)


def _edge_levels(alpha: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Around each pixel: the lowest and the highest alpha within 5 pixels, and the hardness of an edge, 0 to 1."""
    low, high = erode(alpha), dilate(alpha)
    narrow = dilate(high - low)
    low, high = erode(low), dilate(high)
    ratio = narrow / np.maximum(high - low, np.float32(1e-6))
    return low, high, ((ratio - _SOFT_RATIO) / (_HARD_RATIO - _SOFT_RATIO)).clip(0, 1)
