"""First step of `Cutter`: fits a photo of any size to what networks know: scaled evenly, then padded or cropped."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from garmentcut.errors import PhotoError
from garmentcut.model.card import ModelCard
from garmentcut.photo.color import srgb_of
from garmentcut.photo.mask import bounding_box, dilate, erode
from garmentcut.photo.photo import Photo, resize_rgb, to_8_bit

_MAX_WORKING_AREA = 2.0  # times the card's working area: bounds memory and time for wide photos

_LEAST_SIDE_PX, _MOST_ASPECT = 16, 8  # below and above, no mannequin could be told


_SMALLER, _LARGER = 0.8, 1.15  # than what was learned: from there on a photo is looked at once more
_AROUND, _ASPECT = 1.3, 1.5  # of a window: what it shows around the garment; height to width, as of studio photos
_PLAIN, _PLAIN_SHARE = 12, 0.6  # levels of 255 from the median, and how much of the border lies so near: plain ground
_SPARSE = 4  # one pixel in so many, each way, tells the ground

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


def window_of(frame: Frame, garment_px: tuple[float, float]) -> Box | None:
    """Where to look once more at a photo on plain ground whose garment is larger or smaller than all that were learned.

    Args:
        frame: the photo.
        garment_px: as of `garmentcut.model.card.StageSizes`.

    Returns:
        A window in fractions of the photo, reaching beyond it if the garment is too large: in it what stands on the
        ground has the middle size of the garments that were learned. None: its size is usual, or the ground not plain.
    """
    (height, width), (least, most), ground = frame.content_hw, garment_px, _ground_of(frame)
    if most <= 0 or ground is None:
        return None
    stands_out = np.abs(_sparse(frame).astype(np.int16) - ground).max(axis=2) > _PLAIN
    box = bounding_box(dilate(erode(stands_out)))  # without specks and the noise of JPEG
    if box is None:
        return None
    left, top, right, bottom = (_SPARSE * side for side in box)
    size = ((right - left) * (bottom - top)) ** 0.5
    if _SMALLER * least <= size <= _LARGER * most:
        return None
    window_height = max(
        height * size / (least * most) ** 0.5, _AROUND * (bottom - top), _AROUND * (right - left) * _ASPECT
    )
    window_width = window_height / _ASPECT
    x, y = (left + right) / 2, (top + bottom) / 2
    return (
        (x - window_width / 2) / width,
        (y - window_height / 2) / height,
        (x + window_width / 2) / width,
        (y + window_height / 2) / height,
    )


def photo_in(window_xyxy: Box, photo: Photo, frame: Frame) -> tuple[Photo, Box]:
    """What a window shows of a photo on plain ground; the ground goes on beyond the photo.

    Args:
        window_xyxy: of `window_of`.
        photo: the photo.
        frame: what `frame_photo` made of it; a window that is larger than the photo needs no finer pixels.

    Returns:
        The part, and the window in fractions of the photo, now on whole pixels.
    """
    is_larger = window_xyxy[3] - window_xyxy[1] > 1
    source = Photo(frame.rgb[: frame.content_hw[0], : frame.content_hw[1]]) if is_larger else photo
    height, width = source.size_hw
    left, top, right, bottom = (round(side) for side in np.multiply(window_xyxy, (width, height) * 2).tolist())
    if not is_larger:  # moved into the photo, as far as it fits
        left, top = max(min(left, width - (right - left)), 0), max(min(top, height - (bottom - top)), 0)
        right, bottom = min(left + round(width * (window_xyxy[2] - window_xyxy[0])), width), min(bottom, height)
    ground = np.asarray(_ground_of(frame)).astype(np.uint8)  # it has one, or there would be no window
    part = source.rgb[max(top, 0) : bottom, max(left, 0) : right]
    if is_larger:
        whole = np.empty((bottom - top, right - left, 3), np.uint8)
        whole[:] = ground
        rows, columns = max(-top, 0), max(-left, 0)
        whole[rows : rows + part.shape[0], columns : columns + part.shape[1]] = part
        part = whole
    box = left / width, top / height, right / width, bottom / height
    return replace(source, rgb=np.ascontiguousarray(part)), box


def _ground_of(frame: Frame) -> NDArray[np.int16] | None:
    """The colour along the photo's borders, `(3,)`; None: it has no single one."""
    rgb = _sparse(frame)
    rows, columns = (max(side // 12, 1) for side in rgb.shape[:2])
    strips = rgb[:rows], rgb[-rows:], rgb[:, :columns], rgb[:, -columns:]
    border = np.concatenate([strip.reshape(-1, 3) for strip in strips]).astype(np.int16)
    ground: NDArray[np.int16] = np.median(border, axis=0).astype(np.int16)
    is_near = np.abs(border - ground).max(axis=1) <= _PLAIN
    return ground if is_near.mean() >= _PLAIN_SHARE else None


def _sparse(frame: Frame) -> NDArray[np.uint8]:
    return frame.rgb[: frame.content_hw[0] : _SPARSE, : frame.content_hw[1] : _SPARSE]


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
