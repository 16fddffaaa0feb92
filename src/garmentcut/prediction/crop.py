"""The second look's crop: the garment's box and its surroundings, in one of few sizes, at a scale it has learned."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.model.card import FirstLook, ModelCard
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_rgb
from garmentcut.prediction.frame import Frame

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

_STEP_PX = 64  # of crops that none of the card's shapes holds: a multiple of every network's


@dataclass(frozen=True)
class Crop:
    """A rectangle of the photo, and the size at which the network sees it.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels of the photo, the latter two exclusive.
        content_hw: size of the rectangle as the network sees it.
        shape_hw: of the network's input: `content_hw`, padded at the right and the bottom.
    """

    box_xyxy: tuple[int, int, int, int]
    content_hw: tuple[int, int]
    shape_hw: tuple[int, int]


def crop_around(box_xyxy: Box, photo_hw: tuple[int, int], scale: float, card: ModelCard) -> Crop:
    """Choose a garment's crop.

    Args:
        box_xyxy: of the garment, in fractions of the photo's width and height.
        photo_hw: size of the photo.
        scale: of its frame: pixels the network sees for one of the photo.
        card: of a model with a first look.
    """
    look = card.first_look
    assert look is not None
    scale = settled_scale(box_xyxy, photo_hw, scale, look)
    (top, bottom), (left, right) = (
        (box_xyxy[axis] * side * scale - look.margin_px, box_xyxy[axis + 2] * side * scale + look.margin_px)
        for axis, side in ((1, photo_hw[0]), (0, photo_hw[1]))
    )
    whole_hw = round(photo_hw[0] * scale), round(photo_hw[1] * scale)
    wanted_hw = min(bottom - top, whole_hw[0]), min(right - left, whole_hw[1])
    shape_hw = _shape_for(wanted_hw, look.shapes_hw, card.multiple_of)
    rows = _span((top + bottom) / 2, shape_hw[0], scale, photo_hw[0])
    columns = _span((left + right) / 2, shape_hw[1], scale, photo_hw[1])
    content_hw = tuple(
        min(round((end - start) * scale), size) for (start, end), size in zip((rows, columns), shape_hw, strict=True)
    )
    return Crop((columns[0], rows[0], columns[1], rows[1]), (content_hw[0], content_hw[1]), shape_hw)


def whole_crop(frame: Frame) -> Crop:
    """All of a photo, as it was framed."""
    height, width = frame.photo_hw
    return Crop((0, 0, width, height), frame.content_hw, (frame.rgb.shape[0], frame.rgb.shape[1]))


def settled_scale(box_xyxy: Box, photo_hw: tuple[int, int], scale: float, look: FirstLook) -> float:
    """The scale at which the garment is as large as the second look learned.

    A mannequin far away in a wide photo, or one so near that it leaves the frame, is not of the size that the frame's
    height promises. Nothing is enlarged beyond the photo's own pixels to mend that.
    """
    least, most = look.garment_px
    if most <= 0:
        return scale
    width, height = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    garment_px = float(width * photo_hw[1] * height * photo_hw[0]) ** 0.5 * scale
    wanted = min(max(garment_px, least), most) / garment_px
    return float(min(scale * wanted, max(scale, 1.0)))


def crop_pixels(photo: Photo, frame: Frame, crop: Crop) -> NDArray[np.uint8]:
    """The crop as the network sees it: `(*crop.shape_hw, 3)` uint8 sRGB.

    Args:
        photo: the photo.
        frame: what `frame_photo` made of it; where it has the crop at the crop's scale, it is taken from there.
        crop: what to take.
    """
    if crop == whole_crop(frame):
        return frame.rgb
    left, top, right, bottom = crop.box_xyxy
    if frame.content_hw == frame.photo_hw and crop.content_hw == (bottom - top, right - left):
        rgb = frame.rgb[top:bottom, left:right]
    else:
        part = to_8_bit(photo.rgb[top:bottom, left:right])
        rgb = srgb_of(resize_rgb(part, crop.content_hw), photo.profile)
    missing = [(0, size - has) for size, has in zip(crop.shape_hw, crop.content_hw, strict=True)]
    return np.pad(rgb, (*missing, (0, 0)), mode="edge") if any(after for _, after in missing) else rgb


def _shape_for(
    wanted_hw: tuple[float, float], shapes_hw: tuple[tuple[int, int], ...], multiple_of: int
) -> tuple[int, int]:
    """The smallest shape that holds so much; none does: the next whole steps."""
    fitting = [shape for shape in shapes_hw if shape[0] >= wanted_hw[0] and shape[1] >= wanted_hw[1]]
    if fitting:
        return min(fitting, key=lambda shape: shape[0] * shape[1])
    step = -(-_STEP_PX // multiple_of) * multiple_of
    height, width = (-(-int(np.ceil(side)) // step) * step for side in wanted_hw)
    return height, width


def _span(middle: float, size: int, scale: float, photo_side: int) -> tuple[int, int]:
    """From where to where in the photo, so that `size` pixels at `scale` are filled as far as the photo reaches."""
    length = min(round(size / scale), photo_side)
    start = min(max(round(middle / scale - length / 2), 0), photo_side - length)
    return start, start + length
