"""Draws small tiles for the pages of `evaluate` and `audit`: photo, target, prediction and errors."""

import io
import threading
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.dataset.manifest import Manifest
from garmentcut.evaluation.metrics import Alpha, Area, area_of, mask_of
from garmentcut.evaluation.predict import CutPair, Trial, predict_some
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.photo.color import gray_of, srgb_of
from garmentcut.photo.mask import Mask, erode, slices_of
from garmentcut.photo.photo import Photo, resize_alpha, resize_rgb, to_8_bit

MISSING_RGB, EXTRA_RGB = (230, 97, 1), (33, 113, 213)
"""Orange: garment that the cutout lacks. Blue: what it wrongly includes. Distinct for colour-blind people too."""

_BOX_RGB = (0, 0, 0)
_OUTSIDE_RGB = (214, 33, 126)
_HEIGHT_PX, _WIDTH_PX = 400, 480
_MARGIN = 0.02  # of the photo's height, around the garment
_DETAIL_ZOOM = 3
_QUALITY = 82

_Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """A JPEG and what it shows."""

    caption: str
    jpeg: bytes
    size_hw: tuple[int, int]


def draw_pictures(
    photo: Photo, target: Alpha, prediction: Alpha, *, outlined_xyxy: tuple[int, int, int, int] | None = None
) -> tuple[Tile, ...]:
    """Draw the photo, both cutouts, their difference, and an enlarged detail.

    `target` is the retoucher's alpha. `outlined_xyxy` is a box that is drawn on all but the photo and enlarged; None:
    the place with the most wrong pixels is enlarged.
    """
    theirs, ours = mask_of(target), mask_of(prediction)
    area = _area_around(theirs, ours, size_hw=photo.size_hw)
    small = _shrunk(srgb_of(to_8_bit(photo.rgb[area]), photo.profile))
    drawn = _cut_out(small, {"ground truth": target, "cutout": prediction}, area)
    drawn["difference"] = _difference(small, theirs[area], ours[area])
    if outlined_xyxy is not None:
        drawn = {caption: _with_box(pixels, outlined_xyxy, area) for caption, pixels in drawn.items()}
    drawn = {"photo": small, **drawn, "where it differs most": _detail(photo, theirs, ours, outlined_xyxy)}
    return tuple(_picture(caption, pixels) for caption, pixels in drawn.items())


def draw_choice(photo: Photo, target: Alpha, cutouts: Mapping[str, Alpha]) -> tuple[Tile, ...]:
    """Draw the photo, the retoucher's cutout and others, given by caption; all alphas have the photo's size."""
    shown = {"ground truth": target, **cutouts}
    area = _area_around(*map(mask_of, shown.values()), size_hw=photo.size_hw)
    small = _shrunk(srgb_of(to_8_bit(photo.rgb[area]), photo.profile))
    drawn = {"photo": small, **_cut_out(small, shown, area)}
    return tuple(_picture(caption, pixels) for caption, pixels in drawn.items())


def draw_choices(
    trials: Sequence[Trial], others: Sequence[Trial], manifest: Manifest, names: Collection[str]
) -> dict[str, tuple[Tile, ...]]:
    """Cut some photos again with a model and another one, and draw both cutouts; see `draw_choice`.

    Returns pictures by name, with the other model's cutout first. Pairs that can no longer be read are left out.
    """

    def packed(cut: CutPair) -> bytes:  # several photos of 50 megapixels would not fit into memory
        return zlib.compress(np.rint(cut.alpha * 255).astype(np.uint8).tobytes(), 1)

    theirs = predict_some(others, manifest, names, packed)
    other_label = ", ".join(dict.fromkeys(trial.card.label for trial in others))

    def draw(cut: CutPair) -> tuple[Tile, ...]:
        levels = np.frombuffer(zlib.decompress(theirs[cut.pair.name]), np.uint8).reshape(cut.target.shape)
        before = np.divide(levels, 255, dtype=np.float32)
        captions = {f"before: {other_label}": before, f"now: {cut.card.label}": cut.alpha}
        return draw_choice(cut.photo, cut.target, captions)

    return predict_some(trials, manifest, names, draw)


def _area_around(*masks: Mask, size_hw: tuple[int, int]) -> Area:
    """The area of the masks with a margin; the whole photo if they are empty."""
    everything = slice(0, size_hw[0]), slice(0, size_hw[1])
    return area_of(*masks, margin_px=round(_MARGIN * size_hw[0])) or everything


def _with_box(rgb: _Rgb, box_xyxy: tuple[int, int, int, int], area: Area) -> _Rgb:
    """Draw a box, given in pixels of the photo, into the reduced picture of an area of it."""
    scale = rgb.shape[0] / (area[0].stop - area[0].start)
    corners = (np.reshape(box_xyxy, (2, 2)) - (area[1].start, area[0].start)) * scale + [[-4], [4]]
    low, high = np.rint(corners.clip(0, np.subtract(rgb.shape[1::-1], 1))).astype(int).tolist()
    return np.asarray(cv2.rectangle(rgb.copy(), low, high, _BOX_RGB, 2), np.uint8)


def _picture(caption: str, rgb: _Rgb) -> Tile:
    file = io.BytesIO()
    # Without colour subsampling, which would make thin coloured lines fade.
    Image.fromarray(rgb).save(file, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return Tile(caption, file.getvalue(), (rgb.shape[0], rgb.shape[1]))


def _shrunk(rgb: _Rgb) -> _Rgb:
    scale = min(_HEIGHT_PX / rgb.shape[0], _WIDTH_PX / rgb.shape[1], 1.0)
    return resize_rgb(rgb, (max(round(rgb.shape[0] * scale), 1), max(round(rgb.shape[1] * scale), 1)))


def _cut_out(rgb: _Rgb, alphas: Mapping[str, Alpha], area: Area) -> dict[str, _Rgb]:
    """By caption, the reduced picture with everything but the garment grey and tinted in a colour rare in garments."""
    tinted, size_hw = 0.5 * gray_of(rgb)[..., None] + 0.5 * np.array(_OUTSIDE_RGB), (rgb.shape[0], rgb.shape[1])
    return {caption: _mixed(tinted, rgb, resize_alpha(alpha[area], size_hw)) for caption, alpha in alphas.items()}


def _difference(rgb: _Rgb, theirs: Mask, ours: Mask) -> _Rgb:
    """Wrong pixels in two colours on a pale grey photo; thin errors stay visible."""
    drawn = 0.35 * gray_of(rgb)[..., None].astype(np.float64) + 0.65 * 255
    for wrong, color in ((theirs & ~ours, MISSING_RGB), (ours & ~theirs, EXTRA_RGB)):
        strength = np.sqrt(resize_alpha(wrong.astype(np.float32), (rgb.shape[0], rgb.shape[1])))
        drawn = _mixed(drawn, np.array(color), strength).astype(np.float64)
    return np.rint(drawn).astype(np.uint8)


def _detail(photo: Photo, theirs: Mask, ours: Mask, outlined_xyxy: tuple[int, int, int, int] | None) -> _Rgb:
    """The window with the most wrong pixels, enlarged, with both outlines."""
    wrong = theirs ^ ours
    if outlined_xyxy is not None:
        inside = np.zeros_like(wrong)
        inside[slices_of(outlined_xyxy)] = True
        wrong &= inside
    area = _worst_window(wrong, _HEIGHT_PX // _DETAIL_ZOOM)
    rgb = srgb_of(to_8_bit(photo.rgb[area]), photo.profile)
    large = np.kron(rgb, np.ones((_DETAIL_ZOOM, _DETAIL_ZOOM, 1), np.uint8))
    for mask, color in ((ours, EXTRA_RGB), (theirs, MISSING_RGB)):
        # Enlarged first: the outline becomes a fine line between pixels, and there is none along the window's border.
        enlarged = np.kron(mask[area], np.ones((_DETAIL_ZOOM, _DETAIL_ZOOM), bool))
        large[enlarged & ~erode(enlarged, 2, neighbours=4)] = color
    return large


def _worst_window(wrong: Mask, side_px: int) -> Area:
    height, width = (min(side_px, side) for side in wrong.shape)
    density = cv2.boxFilter(wrong.astype(np.float32), -1, (width, height), borderType=cv2.BORDER_CONSTANT)
    center = np.unravel_index(int(np.argmax(density)), wrong.shape)
    top, left = (
        int(np.clip(middle - side // 2, 0, whole - side))
        for middle, side, whole in zip(center, (height, width), wrong.shape, strict=True)
    )
    return slice(top, top + height), slice(left, left + width)


def _mixed(under: NDArray[np.number], over: NDArray[np.number], alpha: Alpha) -> _Rgb:
    return np.asarray(np.rint(under + (over - under) * alpha[..., None].astype(np.float64)).clip(0, 255), np.uint8)


@dataclass(frozen=True)
class WorstPhoto:
    """One photo's row and its pictures."""

    score: PhotoScore
    pictures: tuple[Tile, ...]


class Gallery:
    """Collects the `num_worst` photos of lowest Dice (`alpha >= 128`); an `on_photo` for `evaluate`.

    Safe to call from several threads.
    """

    def __init__(self, num_worst: int) -> None:
        self.num_worst = num_worst
        self._lock = threading.Lock()
        self._worst: list[tuple[float, str, WorstPhoto]] = []  # worst first

    def __call__(self, score: PhotoScore, photo: Photo, target: Alpha, prediction: Alpha) -> None:
        """Draw the photo's pictures if it is one of the worst so far."""
        if score.measures is None:
            return
        with self._lock:
            is_full = len(self._worst) >= self.num_worst
            if is_full and not (self._worst and score.measures.dice < self._worst[-1][0]):
                return
        shown = (score.measures.dice, score.name, WorstPhoto(score, draw_pictures(photo, target, prediction)))
        with self._lock:
            self._worst = sorted([*self._worst, shown], key=lambda one: one[:2])[: self.num_worst]

    @property
    def worst_photos(self) -> tuple[WorstPhoto, ...]:
        """The photos, worst first; those of equal Dice by name."""
        return tuple(photo for _, _, photo in self._worst)
