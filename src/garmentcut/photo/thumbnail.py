"""Thumbnails of cutouts: shrunk with their transparency, laid on any ground."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.photo.color import srgb_of
from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.photo import Picture, to_8_bit

Rgb = NDArray[np.uint8]
"""`(H, W, 3)` sRGB."""
Thumbnail = NDArray[np.uint8]
"""`(h, w, 4)` sRGB and alpha, premultiplied: what alpha hides is black."""

CHECKERBOARD: Literal["checkerboard"] = "checkerboard"
LIGHT, DARK = 255, 204
"""Levels of the checkerboard's squares, as in Photoshop."""

_SEEN = 0.05  # of alpha: on any ground, less is seen by nobody


def shrink_cutout(picture: Picture, size_hw: tuple[int, int], *, trim: bool = True) -> Thumbnail:
    """Fit a cutout into a size; a small one is not enlarged.

    Every pixel counts by its alpha, so that hidden colours do not bleed into the rim; the filter does not overshoot,
    so that the rim gets no halo that the file does not have.

    Args:
        picture: any size.
        size_hw: height and width to fit into.
        trim: show only the box of what an eye sees, stray specks too; where there is nothing, the whole frame.

    Raises:
        PhotoError: its colour profile cannot be applied.
    """
    part = slices_of((bounding_box(picture.alpha > _SEEN) if trim else None) or (0, 0, *picture.alpha.shape[::-1]))
    alpha: NDArray[np.uint8] = np.rint(picture.alpha[part] * np.float32(255)).astype(np.uint8)
    rgb = srgb_of(to_8_bit(picture.rgb[part]), picture.metadata.profile)
    image = Image.fromarray(np.dstack([rgb, alpha])).convert("RGBa")
    scale = min(size_hw[0] / image.height, size_hw[1] / image.width, 1)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return np.array(image.resize(size, Image.Resampling.HAMMING, reducing_gap=3.0))


def draw_ground(ground: str, size_hw: tuple[int, int], *, square_px: int = 8) -> Rgb:
    """A ground to lay thumbnails on.

    Args:
        ground: `checkerboard`, or a colour `#rrggbb`.
        size_hw: height and width.
        square_px: side of the checkerboard's squares.
    """
    if ground != CHECKERBOARD:
        return np.broadcast_to(np.frombuffer(bytes.fromhex(ground[1:]), np.uint8), (*size_hw, 3)).copy()
    y, x = (np.arange(side) // square_px for side in size_hw)
    odd = (y[:, None] + x) % 2 == 1
    return np.repeat(np.where(odd, np.uint8(DARK), np.uint8(LIGHT))[..., None], 3, axis=2)


def lay_on_ground(thumbnail: Thumbnail, ground: Rgb) -> Rgb:
    """The ground with the thumbnail in its middle; the thumbnail is no larger than the ground."""
    height, width = thumbnail.shape[:2]
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    laid = ground.copy()
    place = laid[top : top + height, left : left + width]
    shown_through = (place * (255 - thumbnail[..., 3:].astype(np.uint16)) + 127) // 255
    place[:] = np.minimum(shown_through + thumbnail[..., :3], 255)
    return laid
