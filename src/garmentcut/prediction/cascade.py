"""A model of two networks, as the embedded one still is: one finds the garment in small, the other cuts it in its box.

Models of three stages (`garmentcut.prediction.stages`) take its place; nothing trains such models any more.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import CutConfig
from garmentcut.model.card import ModelCard
from garmentcut.photo.photo import Photo
from garmentcut.prediction.frame import Box, Crop, Frame, crop_pixels, whole_crop
from garmentcut.prediction.locate import Place, locate
from garmentcut.prediction.runtime import Runtime
from garmentcut.prediction.stages import Prediction, clean, coarse_in, learned_scale, notes_of, small_alpha

_STEP_PX = 64  # of crops that none of the card's shapes holds: a multiple of every network's


@dataclass(frozen=True, eq=False)
class Cascade:
    """The two networks, ready to run.

    Attributes:
        card: of the model.
        first: sees the whole photo in small.
        second: sees the garment's box at the photo's own size.
        config: how much effort is made.
    """

    card: ModelCard
    first: Runtime
    second: Runtime
    config: CutConfig

    def __call__(self, photo: Photo, frame: Frame) -> Prediction:
        """A photo's alpha inside the box where its garment is.

        Raises:
            NoGarmentError: there is none.
        """
        look = self.card.first_look
        assert look is not None
        place = locate(small_alpha(self.first, frame, look.size_hw, look.multiple_of))
        if self.config.effort == "fast":
            (height, width), coarse = frame.photo_hw, place.garment
            whole = Crop((0, 0, width, height), (coarse.shape[0], coarse.shape[1]))
            return Prediction(frame, whole, coarse, place.seen, place.notes)
        scale = frame.content_hw[0] / frame.photo_hw[0]
        found = self._cut(crop_around(place.box_xyxy, frame.photo_hw, scale, self.card), place, photo, frame)
        if found.agreement >= look.least_agreement:
            return found
        shape_hw = frame.rgb.shape[0], frame.rgb.shape[1]
        found = self._cut((whole_crop(frame), shape_hw), place, photo, frame)
        return replace(
            found,
            notes=(*found.notes, "the stages disagreed, so the whole photo was used instead of the garment's box"),
        )

    def _cut(self, where: tuple[Crop, tuple[int, int]], place: Place, photo: Photo, frame: Frame) -> Prediction:
        crop, shape_hw = where
        missing = [(0, size - has) for size, has in zip(shape_hw, crop.content_hw, strict=True)]
        known = np.pad(coarse_in(crop, place.garment, frame.photo_hw), missing, mode="edge")
        pixels = frame.rgb if crop == whole_crop(frame) else crop_pixels(photo, frame, crop)
        if pixels.shape[:2] != shape_hw:
            pixels = np.pad(pixels, (*missing, (0, 0)), mode="edge")
        alpha = self._alpha_of(with_map(pixels, known) if self.card.sees_map else pixels)
        height, width = crop.content_hw
        fine = clean(alpha[:height, :width], known[:height, :width])
        return Prediction(frame, crop, fine, place.seen, notes_of(place, fine))

    def _alpha_of(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        alpha = self.second(pixels)
        if self.config.effort == "best":
            alpha = (alpha + self.second(np.ascontiguousarray(pixels[:, ::-1]))[:, ::-1]) * np.float32(0.5)
        return alpha


def with_map(rgb: NDArray[np.uint8], coarse: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`(H, W, 4)` uint8: pixels and the first look's alpha, 255 for 1."""
    return np.dstack([rgb, np.rint(coarse * 255).astype(np.uint8)])


def crop_around(
    box_xyxy: Box, photo_hw: tuple[int, int], scale: float, card: ModelCard
) -> tuple[Crop, tuple[int, int]]:
    """Choose a garment's crop.

    Args:
        box_xyxy: of the garment, in fractions of the photo's width and height.
        photo_hw: size of the photo.
        scale: of its frame: pixels the network sees for one of the photo.
        card: of a model with a first look.

    Returns:
        The crop, and height and width of the network's input that it is padded to.
    """
    look = card.first_look
    assert look is not None
    scale = learned_scale(box_xyxy, photo_hw, scale, look.garment_px)
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
    return Crop((columns[0], rows[0], columns[1], rows[1]), (content_hw[0], content_hw[1])), shape_hw


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
