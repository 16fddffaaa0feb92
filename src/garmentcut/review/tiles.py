"""The model's look at a part of a photo, at the photo's own scale: squares of two sizes, compiled beforehand."""

import threading

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.model.card import ModelCard
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.resize import resize_rgb
from garmentcut.prediction.runtime import Runtime
from garmentcut.review.edge_change import Alpha8

_SIDES_PX = (320, 512)  # whole steps of every network; a runtime keeps two compiled
_CONTEXT_PX = 32  # on each side of the stroke's box, at least
_MAX_WAITING = 4


class TilesBusyError(RuntimeError):
    """As many looks wait as there is room for."""


class Tiles:
    """Looks at tiles, one after another.

    Args:
        card: of the model.
        runtime: for tiles alone, so that whole photos do not drive their compiled network out.
    """

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        self._card, self._runtime = card, runtime
        self._room = threading.BoundedSemaphore(_MAX_WAITING)
        self._turn = threading.Lock()

    def warm_up(self) -> None:
        """Compile for both sizes, so that the first stroke is as fast as the others."""
        for side in _SIDES_PX:
            with self._turn:
                self._runtime(np.zeros((side, side, 4 if self._card.sees_map else 3), np.uint8))

    def look(self, photo: Photo, predicted: Alpha8, box_xyxy: tuple[int, int, int, int]) -> NDArray[np.float32]:
        """The model's alpha of a box: the mean of the tile and its mirror image.

        Args:
            photo: the photo.
            predicted: `(H, W)`, for a network that sees the first look's map.
            box_xyxy: right and bottom exclusive; one larger than a tile is shrunk.

        Returns:
            `(h, w)` float32 in [0, 1] of the box.

        Raises:
            TilesBusyError: too many wait.
        """
        left, top, right, bottom = box_xyxy
        longest = max(right - left, bottom - top) + 2 * _CONTEXT_PX
        side = next((side for side in _SIDES_PX if side >= longest), _SIDES_PX[-1])
        source_side = max(side, longest)
        first_row = _start(top, bottom, source_side, photo.size_hw[0])
        first_column = _start(left, right, source_side, photo.size_hw[1])
        part = np.ix_(
            np.arange(first_row, first_row + source_side).clip(0, photo.size_hw[0] - 1),  # its last ones repeated
            np.arange(first_column, first_column + source_side).clip(0, photo.size_hw[1] - 1),
        )
        tile = resize_rgb(srgb_of(to_8_bit(photo.rgb[part]), photo.profile), (side, side))
        if self._card.sees_map:
            shown = Image.fromarray(predicted[part]).resize((side, side), Image.Resampling.BILINEAR)
            tile = np.dstack([tile, np.asarray(shown)])
        alpha = Image.fromarray(self._run(tile))
        whole = np.asarray(alpha.resize((source_side, source_side), Image.Resampling.BICUBIC)).clip(0, 1)
        return whole[top - first_row : bottom - first_row, left - first_column : right - first_column]

    def _run(self, tile: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not self._room.acquire(blocking=False):
            raise TilesBusyError("the smart brush has too much to do; try again in a moment")
        try:
            with self._turn:
                mirrored = self._runtime(np.ascontiguousarray(tile[:, ::-1]))[:, ::-1]
                mean: NDArray[np.float32] = (self._runtime(tile) + mirrored) * np.float32(0.5)
                return mean
        finally:
            self._room.release()


def _start(start: int, end: int, length: int, limit: int) -> int:
    """First row or column of `length` of them around a box; below 0 only if the photo has fewer."""
    middle = (start + end - length) // 2
    return min(max(middle, 0), limit - length) if limit >= length else middle
