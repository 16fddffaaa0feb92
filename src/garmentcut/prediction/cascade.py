"""A model of two networks, as the embedded one still is: one finds the garment in small, the other cuts it in its box.

Models of three stages (`garmentcut.prediction.stages`) take its place; nothing trains such models any more.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.config import CutConfig
from garmentcut.model.card import FirstLook, ModelCard
from garmentcut.photo.photo import Photo
from garmentcut.photo.resize import resize_rgb
from garmentcut.prediction.frame import Box, Crop, Frame, crop_pixels, whole_crop
from garmentcut.prediction.locate import Place, count_garments, locate
from garmentcut.prediction.runtime import Runtime
from garmentcut.prediction.stages import Prediction, clean

_STEP_PX = 64  # of crops that none of the card's shapes holds: a multiple of every network's
_REDUCING_GAP = 2.0  # a box is what is looked for: 1152x1728 pixels shrink in half the time


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
        place = locate(coarse_alpha(self.first, frame, look))
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
        return replace(found, notes=(*found.notes, "the looks disagreed, so the whole photo was looked at again"))

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
        num = count_garments(fine >= 0.5)
        notes = (*place.notes, f"{num} garments are cut out together") if num > 1 else place.notes
        return Prediction(frame, crop, fine, place.seen, notes)

    def _alpha_of(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        alpha = self.second(pixels)
        if self.config.effort == "best":
            alpha = (alpha + self.second(np.ascontiguousarray(pixels[:, ::-1]))[:, ::-1]) * np.float32(0.5)
        return alpha


def coarse_alpha(first: Runtime, frame: Frame, look: FirstLook) -> NDArray[np.float32]:
    """The first look's alpha of the whole photo.

    Args:
        first: its network.
        frame: the photo as framed.
        look: what the card says of it.

    Returns:
        `(h, w)` float32 in [0, 1], of the photo without any padding, about `look.size_hw`.
    """
    content = frame.rgb[: frame.content_hw[0], : frame.content_hw[1]]
    scale = (look.size_hw[0] * look.size_hw[1] / (content.shape[0] * content.shape[1])) ** 0.5
    scale = min(look.size_hw[0] / content.shape[0], scale * 2**0.5)  # the frame's own rule, and its limit
    height, width = (max(round(side * scale), 1) for side in content.shape[:2])
    small = resize_rgb(content, (height, width), reducing_gap=_REDUCING_GAP)
    pad = [(0, -side % look.multiple_of) for side in (height, width)]
    alpha: NDArray[np.float32] = first(np.pad(small, (*pad, (0, 0)), mode="edge"))[:height, :width]
    return alpha


def coarse_in(crop: Crop, coarse: NDArray[np.float32], photo_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The first network's alpha in a crop: `crop.content_hw` float32 in [0, 1].

    Smooth, for the first look knows no edges: those are the second's to find.
    """
    step = np.array(coarse.shape[::-1] * 2) / np.array(photo_hw[::-1] * 2)
    box = np.minimum(np.array(crop.box_xyxy) * step, coarse.shape[::-1] * 2)  # a product may be rounded beyond
    image = Image.fromarray(np.ascontiguousarray(coarse))
    size = crop.content_hw[1], crop.content_hw[0]
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=tuple(box)), np.float32).clip(0, 1)


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
    return Crop((columns[0], rows[0], columns[1], rows[1]), (content_hw[0], content_hw[1])), shape_hw


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
