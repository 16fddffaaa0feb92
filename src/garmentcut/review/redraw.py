"""The smart brush: draws the edge again inside a stroke, using the model and the colours around the stroke.

A second prediction alone does not help: a model repeats its errors at a larger scale (benchmarks/review.py has the
figures). The new information is what the person leaves unchanged around the stroke: which colours are garment there and
which are not. So three terms are added as logits: the first prediction, the model's prediction at the photo's own
scale, and the log-likelihood ratio of a pixel's colour between the garment next to the stroke and its surroundings.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from garmentcut.config import RuntimeConfig
from garmentcut.errors import ReviewError
from garmentcut.model.card import alpha_of_logits
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, resize_rgb, to_8_bit, to_alpha
from garmentcut.prediction.cutter import Cutter
from garmentcut.review.media import Alpha8

_SIDES_PX = (320, 512)  # multiples of every network's step; a runtime keeps two sizes compiled
_CONTEXT_PX = 32  # least context on each side of the stroke's box
_MAX_WAITING = 4
Hint = Literal["auto", "add", "subtract"]
_Field = NDArray[np.float32]
_FIRST_WEIGHT, _SECOND_WEIGHT, _COLOR_WEIGHT, _HINT_WEIGHT = 0.5, 0.2, 1.0, 2.0
_MARGINS_PX = (48, 128, 384)  # margins around the stroke's box, tried until there are colours of both sides
_LEAST_PIXELS = 200  # that each side needs for its colours to be known
_SURE, _NOT = 0.95, 0.05
_BINS = 16  # per colour channel
_LEAST_SHARE = 1e-5  # probability of a colour that a side does not have
_LEAST_ALPHA = 1e-3


class Tiles:
    """The model for parts of a photo at its own scale: squares of two sizes, for which it is compiled in advance.

    The cutter is used only for tiles, so that whole photos do not evict its compiled networks.
    """

    def __init__(self, cutter: Cutter) -> None:
        self._predict = cutter.stages.alpha_of if cutter.stages is not None else cutter.runtime
        self._room = threading.BoundedSemaphore(_MAX_WAITING)
        self._turn = threading.Lock()

    def predict(self, photo: Photo, box_xyxy: tuple[int, int, int, int]) -> NDArray[np.float32]:
        """The model's alpha of a box, averaged over a tile and its mirror image; larger boxes are shrunk to a tile.

        Returns `(h, w)` float32 in [0, 1] of the box; ReviewError if too many strokes wait.
        """
        left, top, right, bottom = box_xyxy
        longest = max(right - left, bottom - top) + 2 * _CONTEXT_PX
        side = next((side for side in _SIDES_PX if side >= longest), _SIDES_PX[-1])
        source_side = max(side, longest)
        first_row = _start(top, bottom, source_side, photo.size_hw[0])
        first_column = _start(left, right, source_side, photo.size_hw[1])
        part = np.ix_(
            np.arange(first_row, first_row + source_side).clip(0, photo.size_hw[0] - 1),  # border rows are repeated
            np.arange(first_column, first_column + source_side).clip(0, photo.size_hw[1] - 1),
        )
        tile = resize_rgb(srgb_of(to_8_bit(photo.rgb[part]), photo.profile), (side, side))
        alpha = Image.fromarray(self._run(tile))
        whole = np.asarray(alpha.resize((source_side, source_side), Image.Resampling.BICUBIC)).clip(0, 1)
        return whole[top - first_row : bottom - first_row, left - first_column : right - first_column]

    def _run(self, tile: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not self._room.acquire(blocking=False):
            raise ReviewError("the smart brush is busy; try again in a moment", code="busy")
        try:
            with self._turn:
                mirrored = self._predict(np.ascontiguousarray(tile[:, ::-1]))[:, ::-1]
                return np.asarray((self._predict(tile) + mirrored) * np.float32(0.5))
        finally:
            self._room.release()


def load_tiles(path: Path | None, config: RuntimeConfig | None) -> Tiles:
    """Load a model file's network for tiles.

    Raises:
        garmentcut.errors.ModelError: it cannot be used.
    """
    tiles = Tiles(Cutter.load(path, config=config))
    for side in _SIDES_PX:  # compiles it, so that the first stroke is as fast as the others
        tiles._predict(np.zeros((side, side, 3), np.uint8))
    return tiles


def _start(start: int, end: int, length: int, limit: int) -> int:
    """First of `length` rows or columns around a box; negative only if the photo has fewer."""
    middle = (start + end - length) // 2
    return min(max(middle, 0), limit - length) if limit >= length else middle


@dataclass(frozen=True, eq=False)
class Stroke:
    """A stroke that a person painted."""

    box_xyxy: tuple[int, int, int, int]  # on the photo, right and bottom exclusive
    stroke: Alpha8  # `(h, w)` of the box: coverage of the brush, 0 to 255
    alpha: Alpha8  # `(h, w)` of the box: the current alpha
    hint: Hint = "auto"  # `add`: the stroke covers garment up to the edge; `subtract`: it covers background


@dataclass(frozen=True, eq=False)
class Canvas:
    """The photo under the stroke."""

    photo: Photo  # as it was cut
    predicted: Alpha8  # `(H, W)`, the model's alpha
    current: Alpha8  # `(H, W)`, as last saved


def redraw(canvas: Canvas, stroke: Stroke, tiles: Tiles) -> Alpha8:
    """Draw the alpha inside a stroke again: `(h, w)` uint8 of its box, unchanged where the stroke is 0."""
    if not stroke.stroke.any():
        return stroke.alpha
    left, top, right, bottom = stroke.box_xyxy
    evidence = _color_evidence(canvas, stroke)
    second = tiles.predict(canvas.photo, stroke.box_xyxy)
    first = to_alpha(canvas.predicted[top:bottom, left:right])
    share = to_alpha(stroke.stroke)
    votes = _FIRST_WEIGHT * _logit(first) + _SECOND_WEIGHT * _logit(second) + _COLOR_WEIGHT * evidence
    votes += {"auto": 0.0, "add": _HINT_WEIGHT, "subtract": -_HINT_WEIGHT}[stroke.hint] * share
    drawn, was = alpha_of_logits(_blurred(votes, (5, 5)), 0.0, 1.0), to_alpha(stroke.alpha)
    if stroke.hint != "auto":  # adding never lowers the alpha, subtracting never raises it
        drawn = np.maximum(drawn, was) if stroke.hint == "add" else np.minimum(drawn, was)
    mixed: Alpha8 = np.rint((was + share * (drawn - was)) * 255).astype(np.uint8)
    return np.where(stroke.stroke > 0, mixed, stroke.alpha)


def _color_evidence(canvas: Canvas, stroke: Stroke) -> _Field:
    """Log-ratio p(colour | garment) / p(colour | surroundings) in the stroke's box, estimated outside the stroke."""
    left, top, right, bottom = stroke.box_xyxy
    for margin in _MARGINS_PX:
        area = (slice(max(top - margin, 0), bottom + margin), slice(max(left - margin, 0), right + margin))
        inside = slice(top - area[0].start, bottom - area[0].start), slice(left - area[1].start, right - area[1].start)
        alpha, is_known = to_alpha(canvas.current[area]), np.ones(canvas.current[area].shape, bool)
        alpha[inside], is_known[inside] = to_alpha(stroke.alpha), stroke.stroke == 0
        sides = is_known & (alpha > _SURE), is_known & (alpha < _NOT)
        if min(int(side.sum()) for side in sides) >= _LEAST_PIXELS:
            colors = _color_indices(canvas.photo, area)
            shares = [_shares_of(colors[side]) for side in sides]
            return np.asarray(np.log(shares[0] / shares[1])[colors[inside]])
    return np.zeros((bottom - top, right - left), np.float32)


def _color_indices(photo: Photo, area: tuple[slice, slice]) -> NDArray[np.intp]:
    """The bin of each pixel's colour, after smoothing the photo's grain."""
    rgb = srgb_of(to_8_bit(np.ascontiguousarray(photo.rgb[area])), photo.profile)
    smooth = np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(1.0)))
    red, green, blue = (smooth[..., channel].astype(np.intp) * _BINS // 256 for channel in range(3))
    return (red * _BINS + green) * _BINS + blue


def _shares_of(colors: NDArray[np.intp]) -> _Field:
    counts = np.bincount(colors, minlength=_BINS**3).astype(np.float32).reshape(-1, _BINS)
    smooth = _blurred(_blurred(counts, (5, 1)).reshape((_BINS,) * 3), (5, 5))
    return np.asarray((smooth / smooth.sum() + np.float32(_LEAST_SHARE)).ravel())


def _blurred(values: _Field, size_wh: tuple[int, int]) -> _Field:
    """Blur by a Gaussian of sigma 1 along the first two axes; the border is repeated."""
    return np.asarray(cv2.GaussianBlur(values, size_wh, 1, borderType=cv2.BORDER_REPLICATE), np.float32)


def _logit(alpha: _Field) -> _Field:
    inside = alpha.clip(_LEAST_ALPHA, 1 - _LEAST_ALPHA)
    return np.asarray(np.log(inside / (1 - inside)))
