"""Pictures of one result beside its ground truth, cropped to the garment, small enough for a page of many."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion, uniform_filter

from garmentcut.evaluation.masks import Area, Mask, area_of, mask_of
from garmentcut.evaluation.matting import Alpha
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_rgb

MISSING_RGB, EXTRA_RGB = (230, 97, 1), (33, 113, 213)
"""Orange: garment that the cutout lacks. Blue: what it has too much. Told apart by the colour-blind too."""

_BOX_RGB = (0, 0, 0)
_OUTSIDE_RGB = (214, 33, 126)
_HEIGHT_PX, _WIDTH_PX = 400, 480
_MARGIN = 0.02  # of the photo's height, around the garment
_DETAIL_ZOOM = 3
_QUALITY = 82

_Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A JPEG and what it shows."""

    caption: str
    jpeg: bytes
    size_hw: tuple[int, int]


def draw_pictures(
    photo: Photo, target: Alpha, prediction: Alpha, *, outlined_xyxy: tuple[int, int, int, int] | None = None
) -> tuple[Picture, ...]:
    """The photo, both cutouts, where they differ, and the place where they differ most, enlarged.

    Args:
        photo: the photo.
        target: `(H, W)` float32 in [0, 1], the retoucher's alpha.
        prediction: the same size.
        outlined_xyxy: a box to draw on all but the photo, and to enlarge; None: the place of most wrong pixels is.
    """
    theirs, ours = mask_of(target), mask_of(prediction)
    everything = slice(0, target.shape[0]), slice(0, target.shape[1])
    area = area_of(theirs, ours, margin_px=round(_MARGIN * target.shape[0])) or everything
    rgb = srgb_of(to_8_bit(photo.rgb[area]), photo.profile)
    small = _shrunk(rgb)
    soft = [_shrunk_share(alpha[area], small.shape[:2]) for alpha in (target, prediction)]
    drawn = {
        "ground truth": _tinted_outside(small, soft[0]),
        "cutout": _tinted_outside(small, soft[1]),
        "difference": _difference(small, theirs[area], ours[area]),
    }
    if outlined_xyxy is not None:
        for rgb_drawn in drawn.values():
            _outline_box(rgb_drawn, outlined_xyxy, area)
    detail = _detail(photo, theirs, ours, outlined_xyxy)
    pictures = [_picture(caption, pixels) for caption, pixels in drawn.items()]
    return (_picture("photo", small), *pictures, _picture("where it differs most", detail))


def _outline_box(rgb: _Rgb, box_xyxy: tuple[int, int, int, int], area: Area) -> None:
    """Draw a box, given in the photo's pixels, into the reduced picture of an area of it."""
    scale = rgb.shape[0] / (area[0].stop - area[0].start)
    corners = [round((edge - side.start) * scale) for edge, side in zip(box_xyxy, (area[1], area[0]) * 2, strict=True)]
    left, top, right, bottom = (
        int(np.clip(edge + grown, 0, limit - 1))
        for edge, grown, limit in zip(corners, (-4, -4, 4, 4), rgb.shape[1::-1] * 2, strict=True)
    )
    for lines in (np.s_[top : top + 2, left : right + 1], np.s_[bottom - 1 : bottom + 1, left : right + 1]):
        rgb[lines] = _BOX_RGB
    for lines in (np.s_[top : bottom + 1, left : left + 2], np.s_[top : bottom + 1, right - 1 : right + 1]):
        rgb[lines] = _BOX_RGB


def _picture(caption: str, rgb: _Rgb) -> Picture:
    file = io.BytesIO()
    # No colour subsampling: thin coloured lines would fade.
    Image.fromarray(rgb).save(file, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return Picture(caption, file.getvalue(), (rgb.shape[0], rgb.shape[1]))


def _shrunk(rgb: _Rgb) -> _Rgb:
    scale = min(_HEIGHT_PX / rgb.shape[0], _WIDTH_PX / rgb.shape[1], 1.0)
    return resize_rgb(rgb, (max(round(rgb.shape[0] * scale), 1), max(round(rgb.shape[1] * scale), 1)))


def _shrunk_share(values: NDArray[np.floating], size_hw: tuple[int, ...]) -> Alpha:
    """Means over the pixels that become one; `(h, w)` float32 in [0, 1]."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize((size_hw[1], size_hw[0]), Image.Resampling.BOX), np.float32).clip(0, 1)


def _tinted_outside(rgb: _Rgb, alpha: Alpha) -> _Rgb:
    """The garment as it is, all else grey under a colour that few garments have."""
    tinted = 0.5 * _gray(rgb) + 0.5 * np.array(_OUTSIDE_RGB)
    return _mixed(tinted, rgb, alpha)


def _difference(rgb: _Rgb, theirs: Mask, ours: Mask) -> _Rgb:
    """Wrong pixels in two colours on a pale grey photo; thin errors are kept visible."""
    drawn = 0.35 * _gray(rgb) + 0.65 * 255
    for wrong, color in ((theirs & ~ours, MISSING_RGB), (ours & ~theirs, EXTRA_RGB)):
        strength = np.sqrt(_shrunk_share(wrong.astype(np.float32), rgb.shape[:2]))
        drawn = _mixed(drawn, np.array(color), strength).astype(np.float64)
    return np.rint(drawn).astype(np.uint8)


def _detail(photo: Photo, theirs: Mask, ours: Mask, outlined_xyxy: tuple[int, int, int, int] | None) -> _Rgb:
    """A window where most pixels are wrong, enlarged, with both outlines."""
    wrong = theirs ^ ours
    if outlined_xyxy is not None:
        left, top, right, bottom = outlined_xyxy
        inside = np.zeros_like(wrong)
        inside[top:bottom, left:right] = wrong[top:bottom, left:right]
        wrong = inside
    area = _worst_window(wrong, _HEIGHT_PX // _DETAIL_ZOOM)
    rgb = srgb_of(to_8_bit(photo.rgb[area]), photo.profile)
    large = np.kron(rgb, np.ones((_DETAIL_ZOOM, _DETAIL_ZOOM, 1), np.uint8))
    for mask, color in ((ours, EXTRA_RGB), (theirs, MISSING_RGB)):
        # Enlarged first: the outline is then a fine line on the pixels' edges.
        large[_outline(np.kron(mask[area], np.ones((_DETAIL_ZOOM, _DETAIL_ZOOM), bool)))] = color
    return large


def _outline(mask: Mask) -> Mask:
    """A line of two pixels inside the mask, but not where the window's own edge cuts it."""
    wide = np.pad(mask, 2, mode="edge")
    line: Mask = (wide & ~binary_erosion(wide, iterations=2))[2:-2, 2:-2]
    return line


def _worst_window(wrong: Mask, side_px: int) -> Area:
    height, width = (min(side_px, side) for side in wrong.shape)
    density = uniform_filter(wrong.astype(np.float32), (height, width), mode="constant")
    center = np.unravel_index(int(np.argmax(density)), wrong.shape)
    top, left = (
        int(np.clip(middle - side // 2, 0, whole - side))
        for middle, side, whole in zip(center, (height, width), wrong.shape, strict=True)
    )
    return slice(top, top + height), slice(left, left + width)


def _gray(rgb: _Rgb) -> NDArray[np.float64]:
    gray: NDArray[np.float64] = (rgb @ np.array([0.299, 0.587, 0.114]))[..., None]
    return gray


def _mixed(under: NDArray[np.number], over: NDArray[np.number], alpha: Alpha) -> _Rgb:
    mixed = under + (over - under) * alpha[..., None].astype(np.float64)
    rgb: _Rgb = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return rgb
