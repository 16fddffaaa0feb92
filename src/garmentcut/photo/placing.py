"""A cutout laid on another canvas at another size."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.photo.cutout import Cutout
from garmentcut.photo.layout import Placement
from garmentcut.photo.photo import Pixels
from garmentcut.photo.resize import resize_alpha

_Plane = NDArray[np.float32]
_Box = tuple[float, float, float, float]
_WholeBox = tuple[int, int, int, int]
_SHARP, _EVEN = Image.Resampling.LANCZOS, Image.Resampling.HAMMING
_SOLID = np.float32(0.5)  # alpha from which the sharp filter's weights are no small difference of large numbers
_HALF_LEVEL = np.float32(0.5 / 255)
_LEAST_WEIGHT = np.float32(1e-4)
_ROUNDING = 1e-6  # of quotients


def lay_on_canvas(cutout: Cutout, placement: Placement, *, keeps_hidden: bool = False) -> Cutout:
    """Resize a cutout so that its garment's box fills the wanted box of a new canvas, both to the pixel.

    What is visible outside that box, stray specks, is left out.

    Made smaller, colours are resampled by Lanczos' filter, weighted by alpha, so that no background reaches the rim;
    alpha by Hamming's, which does not overshoot: Lanczos' would put a faint ghost line around the garment. At its own
    size every pixel is kept as it is.

    Args:
        cutout: as the cutter made it; something of it must be visible.
        placement: what `place_garment` says.
        keeps_hidden: resample the photo as it is, hidden pixels too, for formats in which a retoucher goes on; else
            rim colours are cleaned and hidden pixels black.

    Returns:
        The canvas, transparent around the garment.
    """
    left, top, right, bottom = placement.box_xyxy
    box = cutout.garment_box_xyxy
    if box is None:
        raise ValueError("nothing is visible")
    alpha = np.zeros(placement.canvas_hw, np.float32)
    alpha[top:bottom, left:right] = _resample_alpha(cutout.alpha, box, (bottom - top, right - left))
    # Where the photo does not reach: white as paper, if the photo is to be seen; else as all that is hidden.
    paper = np.iinfo(cutout.rgb.dtype).max if keeps_hidden else 0
    rgb = np.full((*placement.canvas_hw, 3), paper, cutout.rgb.dtype)
    if keeps_hidden:
        _lay_photo(cutout.rgb, box, placement, rgb)
    else:
        visible = alpha[top:bottom, left:right] > _HALF_LEVEL
        rgb[top:bottom, left:right] = _resample_colors(cutout.cleaned, box, visible)
    return replace(cutout, rgb=rgb, alpha=alpha, is_clean=not keeps_hidden, is_whole=False)


def _resample_alpha(alpha: _Plane, box: _WholeBox, size_hw: tuple[int, int]) -> _Plane:
    part = alpha[box[1] : box[3], box[0] : box[2]]
    if size_hw > part.shape:
        return resize_alpha(part, size_hw)
    return _resized(alpha, box, size_hw, _EVEN).clip(0, 1)


def _resample_colors(cutout: Cutout, box: _WholeBox, visible: NDArray[np.bool_]) -> Pixels:
    """The colours of a box at another size, black where nothing is visible."""
    size_hw = visible.shape[0], visible.shape[1]
    part = cutout.rgb[box[1] : box[3], box[0] : box[2]]
    if part.shape[:2] == size_hw:
        return part
    sharp = _resized(cutout.alpha, box, size_hw, _SHARP)
    even = np.maximum(_resized(cutout.alpha, box, size_hw, _EVEN), _LEAST_WEIGHT)
    solid, top = sharp >= _SOLID, np.float32(np.iinfo(part.dtype).max)
    rgb = np.empty((*size_hw, 3), part.dtype)
    for channel in range(3):
        weighted = cutout.rgb[..., channel] * cutout.alpha
        color = _resized(weighted, box, size_hw, _EVEN) / even
        np.divide(_resized(weighted, box, size_hw, _SHARP), sharp, out=color, where=solid)
        rgb[..., channel] = np.rint(color.clip(0, top)) * visible
    return rgb


def _lay_photo(rgb: Pixels, box: _WholeBox, placement: Placement, canvas: Pixels) -> None:
    """Fill as much of the canvas as the photo covers, its `box` on the placement's."""
    rows = _overlap((box[1], box[3]), (placement.box_xyxy[1], placement.box_xyxy[3]), len(rgb), len(canvas))
    columns = _overlap((box[0], box[2]), (placement.box_xyxy[0], placement.box_xyxy[2]), rgb.shape[1], canvas.shape[1])
    area = canvas[rows.start : rows.end, columns.start : columns.end]
    source: _Box = (columns.source[0], rows.source[0], columns.source[1], rows.source[1])
    top = np.float32(np.iinfo(rgb.dtype).max)
    for channel in range(3):
        plane = np.ascontiguousarray(rgb[..., channel], np.float32)
        area[..., channel] = np.rint(_resized(plane, source, (area.shape[0], area.shape[1]), _SHARP).clip(0, top))


class _Overlap(NamedTuple):
    """Whole pixels `start` to `end` of the canvas, and the stretch of the photo that fills them."""

    start: int
    end: int
    source: tuple[float, float]


def _overlap(box: tuple[int, int], wanted: tuple[int, int], photo_px: int, canvas_px: int) -> _Overlap:
    scale = (wanted[1] - wanted[0]) / (box[1] - box[0])
    origin = wanted[0] - box[0] * scale
    start = max(math.ceil(origin - _ROUNDING), 0)
    end = min(math.floor(origin + photo_px * scale + _ROUNDING), canvas_px)
    first, last = (start - origin) / scale, (end - origin) / scale
    return _Overlap(start, end, (max(first, 0.0), min(last, float(photo_px))))


def _resized(plane: _Plane, box: _Box, size_hw: tuple[int, int], resampling: Image.Resampling) -> _Plane:
    """What lies outside the box, but within the filter's reach, counts too."""
    if (box[3] - box[1], box[2] - box[0]) == size_hw and all(side == round(side) for side in box):
        left, top, right, bottom = map(int, box)
        return plane[top:bottom, left:right]
    image = Image.fromarray(plane)
    return np.asarray(image.resize(size_hw[::-1], resampling, box=box), np.float32)
