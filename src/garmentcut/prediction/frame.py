"""First step of `Cutter`: fits a photo of any size to what networks know: scaled evenly, then padded or cropped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import PhotoError
from garmentcut.model.card import ModelCard
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_rgb

_MAX_WORKING_AREA = 2.0  # times the card's working area: bounds memory and time for wide photos

_LEAST_SIDE_PX, _MOST_ASPECT = 16, 8  # below and above, no mannequin could be told


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A photo as the network sees it.

    Attributes:
        rgb: `(h, w, 3)` uint8 sRGB, padded at the right and the bottom.
        content_hw: the part of it that is photo.
        photo_hw: size of the photo.
    """

    rgb: NDArray[np.uint8]
    content_hw: tuple[int, int]
    photo_hw: tuple[int, int]


@dataclass(frozen=True)
class Crop:
    """A rectangle of the photo, and the size at which the network sees it.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels of the photo, the latter two exclusive.
        content_hw: size of the rectangle as the network sees it.
    """

    box_xyxy: tuple[int, int, int, int]
    content_hw: tuple[int, int]


def frame_photo(photo: Photo, card: ModelCard) -> Frame:
    """Scale a photo to the network's working height, convert the copy to sRGB, and pad it to a multiple.

    The mannequin stands upright and fills the height of a studio photo, so the height sets the scale: the network then
    meets garments of the size it learned, whatever the camera, whether the photo is upright or lying.

    Raises:
        PhotoError: too small or too long and thin to be a studio photo.
    """
    shorter, longer = sorted(photo.size_hw)
    if shorter < _LEAST_SIDE_PX or longer > _MOST_ASPECT * shorter:
        raise PhotoError(
            f"{photo.size_hw[1]}x{photo.size_hw[0]} pixels: too small or too narrow for a studio photo",
            code="too_small",
        )
    content_hw = _content_size(photo.size_hw, card)
    rgb = srgb_of(resize_rgb(to_8_bit(photo.rgb), content_hw), photo.profile)
    pad = [(0, -size % card.multiple_of) for size in content_hw]
    if any(after for _, after in pad):
        rgb = np.pad(rgb, (*pad, (0, 0)), mode="edge")
    return Frame(rgb, content_hw, photo.size_hw)


def _content_size(photo_hw: tuple[int, int], card: ModelCard) -> tuple[int, int]:
    working_height, working_width = card.working_size_hw
    scale = working_height / photo_hw[0]
    area = photo_hw[0] * photo_hw[1] * scale**2
    scale *= min(1.0, (_MAX_WORKING_AREA * working_height * working_width / area) ** 0.5)
    height, width = (max(round(side * scale), 1) for side in photo_hw)
    return height, width


def whole_crop(frame: Frame) -> Crop:
    """All of a photo, as it was framed."""
    height, width = frame.photo_hw
    return Crop((0, 0, width, height), frame.content_hw)


def crop_pixels(photo: Photo, frame: Frame, crop: Crop) -> NDArray[np.uint8]:
    """The crop as the network sees it: `(*crop.content_hw, 3)` uint8 sRGB.

    Args:
        photo: the photo.
        frame: what `frame_photo` made of it; where it has the crop at the crop's scale, it is taken from there.
        crop: what to take.
    """
    left, top, right, bottom = crop.box_xyxy
    if frame.content_hw == frame.photo_hw and crop.content_hw == (bottom - top, right - left):
        return frame.rgb[top:bottom, left:right]
    part = to_8_bit(photo.rgb[top:bottom, left:right])
    return srgb_of(resize_rgb(part, crop.content_hw), photo.profile)
