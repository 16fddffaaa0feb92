"""Three networks in turn: locate finds the garment, segment says what is garment, refine draws its soft edge.

Locate sees the whole photo in small. Segment sees the garment's box and a margin at half of the frame's size. Refine
sees the frame's own pixels, but only in tiles along the edge and where segment is unsure: inside and outside nothing is
left to find out.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.config import RuntimeConfig
from garmentcut.model.card import ModelCard, StageSizes, stage_network_of
from garmentcut.photo.mask import components
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cleaning import clean
from garmentcut.prediction.crop import Box, Crop, crop_pixels
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.locate import Place, locate
from garmentcut.prediction.looks import Looks
from garmentcut.prediction.runtime import Predict, Runtime, load_runtime

_SURE = 0.03  # from 0 or 1: there the segment stage needs no second opinion
_OVERLAP_PX = 16  # of a tile, on each side: where it fades into its neighbours
_ROUNDS = 4  # of tiles: each follows a strap by half a tile
_DIFFERS, _LEAST_LEAD_PX = 0.3, 6  # what refine says against segment, where tiles end
_MULTIPLE_OF = 32  # the encoder's coarsest stride
_Alpha = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stages:
    """The networks of the three stages, ready to run.

    Attributes:
        locate: sees the whole photo.
        segment: sees a box.
        refine: sees tiles of four channels.
        sizes: what the card says of their inputs.
    """

    locate: Predict
    segment: Predict
    refine: Predict
    sizes: StageSizes

    @classmethod
    def load(cls, model: bytes, card: ModelCard, config: RuntimeConfig | None = None) -> "Stages":
        """Make the three networks of a model file ready.

        Args:
            model: content of the file.
            card: its card, which has `stages`.
            config: backend and threads.

        Raises:
            ModelError: a network is missing or cannot be loaded.
        """
        assert card.stages is not None

        def load(stage: str) -> Runtime:
            network = stage_network_of(model, card, stage)
            return load_runtime(network, card.stage_card(stage), config, any_shape=stage != "refine")

        return cls(load("locate"), load("segment"), load("refine"), card.stages)

    def __call__(self, photo: Photo, frame: Frame) -> Looks:
        """A photo's alpha inside the box where its garment is.

        Args:
            photo: the photo.
            frame: what `frame_photo` made of it.

        Raises:
            NoGarmentError: there is none.
        """
        place = find_garment(self.locate, frame, self.sizes)
        crop = crop_of(place.box_xyxy, frame, self.sizes)
        rgb = crop_pixels(photo, frame, crop)
        seen = segment_crop(self.segment, rgb, self.sizes)
        fine = refine_edges(self.refine, rgb, seen, self.sizes.tile_px)
        coarse = _coarse_in(crop, place.garment, frame.photo_hw)
        return Looks(frame, crop, clean(fine, coarse), place.garment, place.notes)


def find_garment(network: Predict, frame: Frame, sizes: StageSizes) -> Place:
    """The locate stage.

    Raises:
        NoGarmentError: there is no garment.
    """
    content = frame.rgb[: frame.content_hw[0], : frame.content_hw[1]]
    scale = (sizes.locate_hw[0] * sizes.locate_hw[1] / (content.shape[0] * content.shape[1])) ** 0.5
    scale = min(sizes.locate_hw[0] / content.shape[0], scale * 2**0.5)  # a wide photo must not cost too much
    height, width = (max(round(side * scale), 1) for side in content.shape[:2])
    small = np.asarray(cv2.resize(content, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return locate(network(_padded(small, _MULTIPLE_OF))[:height, :width])


def crop_of(box_xyxy: Box, frame: Frame, sizes: StageSizes) -> Crop:
    """The garment's box and a margin, at the frame's scale or at one where the garment has a size that was learned.

    Args:
        box_xyxy: in fractions of the photo's width and height.
        frame: the photo.
        sizes: margin, and the least and largest garment.
    """
    (photo_height, photo_width), scale = frame.photo_hw, frame.content_hw[0] / frame.photo_hw[0]
    left, top, right, bottom = np.multiply(box_xyxy, (photo_width, photo_height) * 2)
    least, most = sizes.garment_px
    if most > 0:
        garment_px = float((right - left) * (bottom - top)) ** 0.5 * scale
        wanted = min(max(garment_px, least), most) / garment_px
        scale = float(min(scale * wanted, max(scale, 1.0)))  # nothing is enlarged beyond the photo's own pixels
    margin = sizes.margin_px / scale
    box = (
        max(int(left - margin), 0),
        max(int(top - margin), 0),
        min(int(np.ceil(right + margin)), photo_width),
        min(int(np.ceil(bottom + margin)), photo_height),
    )
    content_hw = max(round((box[3] - box[1]) * scale), 1), max(round((box[2] - box[0]) * scale), 1)
    return Crop(box, content_hw, content_hw)


def segment_crop(network: Predict, rgb: NDArray[np.uint8], sizes: StageSizes) -> _Alpha:
    """The segment stage: a crop's alpha from half as many pixels each way.

    Args:
        network: of the segment stage.
        rgb: `(H, W, 3)` uint8 sRGB, the crop.
        sizes: by how much it is reduced, and what its sides must be multiples of.

    Returns:
        `(h, w)` float32 in [0, 1], reduced; `enlarged` brings it back.
    """
    height, width = (-(-side // sizes.segment_reduction) for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return network(_padded(np.asarray(small, np.uint8), _MULTIPLE_OF))[:height, :width]


def enlarged(alpha: _Alpha, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The segment stage's alpha as the refine stage sees it: `size_hw` uint8, 255 for 1."""
    levels = np.rint(alpha * 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def refine_edges(network: Predict, rgb: NDArray[np.uint8], alpha: _Alpha, tile_px: int) -> _Alpha:
    """The refine stage: the soft edge, from the crop's own pixels.

    Args:
        network: of the refine stage.
        rgb: `(H, W, 3)` uint8 sRGB, the crop.
        alpha: `(h, w)` float32 in [0, 1], the segment stage's.
        tile_px: side of the tiles.

    Returns:
        `(H, W)` float32 in [0, 1]: between tiles, 0 or 1.
    """
    height, width = rgb.shape[:2]
    missing = [(0, max(tile_px - side, 0)) for side in (height, width)]
    levels = np.pad(enlarged(alpha, (height, width)), missing, mode="edge")
    four = np.dstack([np.pad(rgb, (*missing, (0, 0)), mode="edge"), levels])
    low, high = round(_SURE * 255), round((1 - _SURE) * 255)
    sure = ((levels.astype(np.float32) - low) / (high - low)).clip(0, 1)
    total, weights, fine = np.zeros_like(sure), np.zeros_like(sure), sure
    fade, places = _fade(tile_px), tiles((levels > low) & (levels < high), tile_px)
    for _ in range(_ROUNDS):
        for top, left in places:
            area = slice(top, top + tile_px), slice(left, left + tile_px)
            total[area] += network(np.ascontiguousarray(four[area])) * fade
            weights[area] += fade
        fine = (total + sure * (1 - weights).clip(0)) / np.maximum(weights, 1)
        places = _leads((weights > 0) & (weights < 1) & (np.abs(fine - sure) > _DIFFERS), tile_px)
        if not places:
            break
    return np.ascontiguousarray(fine[:height, :width])


def _leads(differing: NDArray[np.bool_], tile_px: int) -> list[tuple[int, int]]:
    """Tiles about what runs out of the tiles so far: a strap that segment has lost, say, and refine has found."""
    if not differing.any():
        return []
    height, width = differing.shape
    found: list[tuple[int, int]] = []
    parts = components(differing)
    for left, top, right, bottom in parts.boxes_xyxy[parts.areas >= _LEAST_LEAD_PX]:
        centre = (int(top + bottom) // 2, int(left + right) // 2)
        place = [
            min(max(at - tile_px // 2, 0), side - tile_px) for at, side in zip(centre, (height, width), strict=True)
        ]
        found.append((place[0], place[1]))
    return found


def tiles(unsure: NDArray[np.bool_], tile_px: int) -> list[tuple[int, int]]:
    """Tiles that show everything unsure, and some pixels around it; few, but not the fewest.

    From the top down, each row of tiles begins at the first unsure pixel that none shows, each tile of it at the first
    from the left.

    Args:
        unsure: `(H, W)`, H and W at least `tile_px`.
        tile_px: side of the tiles.

    Returns:
        Top and left of each, all within the picture.
    """
    height, width = unsure.shape
    inner = tile_px - 2 * _OVERLAP_PX
    found: list[tuple[int, int]] = []
    rows: NDArray[np.bool_] = np.asarray(unsure.any(axis=1))
    top = 0
    while top < height and rows[top:].any():
        top += int(rows[top:].argmax())
        columns: NDArray[np.bool_] = np.asarray(unsure[top : top + inner].any(axis=0))
        left = 0
        while left < width and columns[left:].any():
            left += int(columns[left:].argmax())
            place = (min(max(start - _OVERLAP_PX, 0), side - tile_px) for start, side in ((top, height), (left, width)))
            found.append((next(place), next(place)))
            left += inner
        top += inner
    return found


def _fade(tile_px: int) -> _Alpha:
    """Weights of a tile, `(tile_px, tile_px)` float32: 1 inside, less over the overlap, above 0 at the border."""
    place = np.arange(tile_px, dtype=np.float32)
    ramp = np.minimum(np.minimum(place + 1, tile_px - place) / _OVERLAP_PX, 1)
    return np.outer(ramp, ramp)


def _padded(rgb: NDArray[np.uint8], multiple_of: int) -> NDArray[np.uint8]:
    missing = [(0, -side % multiple_of) for side in rgb.shape[:2]]
    return np.pad(rgb, (*missing, (0, 0)), mode="edge")


def _coarse_in(crop: Crop, coarse: _Alpha, photo_hw: tuple[int, int]) -> _Alpha:
    """The locate stage's alpha in a crop, `crop.content_hw`."""
    step_y, step_x = (
        crop_side / box_side
        for crop_side, box_side in zip(
            crop.content_hw, (crop.box_xyxy[3] - crop.box_xyxy[1], crop.box_xyxy[2] - crop.box_xyxy[0]), strict=True
        )
    )
    scale_y, scale_x = photo_hw[0] / coarse.shape[0] * step_y, photo_hw[1] / coarse.shape[1] * step_x
    warp = np.array([[scale_x, 0, -crop.box_xyxy[0] * step_x], [0, scale_y, -crop.box_xyxy[1] * step_y]])
    warp[:, 2] += (warp[[0, 1], [0, 1]] - 1) / 2  # pixels are squares: their centres, not their corners, are whole
    found = cv2.warpAffine(coarse, warp, crop.content_hw[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)
