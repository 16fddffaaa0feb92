"""Fit a photo of any size and aspect to a network that knows one: scaled evenly and padded, never stretched."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import PhotoError
from garmentcut.model.card import ModelCard
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_alpha, resize_rgb

_MAX_WORKING_AREA = 2.0  # times the card's working area: bounds memory and time for wide photos

_LEAST_SIDE_PX, _MOST_ASPECT = 16, 8  # below and above, no mannequin could be told


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


def frame_photo(photo: Photo, card: ModelCard) -> Frame:
    """Scale a photo to the network's working height, turn its copy into sRGB, pad to whole cells.

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


def unframe_alpha(alpha: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Bring the network's alpha back to the photo.

    Args:
        alpha: `(h, w)` float32 in [0, 1], of `frame.rgb`.
        frame: what the network saw.

    Returns:
        `frame.photo_hw` float32 in [0, 1].
    """
    return resize_alpha(alpha[: frame.content_hw[0], : frame.content_hw[1]], frame.photo_hw)


def _content_size(photo_hw: tuple[int, int], card: ModelCard) -> tuple[int, int]:
    working_height, working_width = card.working_size_hw
    scale = working_height / photo_hw[0]
    area = photo_hw[0] * photo_hw[1] * scale**2
    scale *= min(1.0, (_MAX_WORKING_AREA * working_height * working_width / area) ** 0.5)
    height, width = (max(round(side * scale), 1) for side in photo_hw)
    return height, width
