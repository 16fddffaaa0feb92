"""Small maps of a cutout, at a reduced size: what doubt, reasons and heat are read from. numpy and Pillow only."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.photo.mask import bounding_box
from garmentcut.prediction.parts import Parts, parts_of

MAP_HEIGHT_PX = 432
"""Maps are about this high: a quarter of the size the embedded model works at."""

_MARGIN_PX = 12  # around the garment, in pixels of the map
_FAINT = np.float32(0.1)  # traces beside the garment belong to what is looked at
_RING_PX = 4  # to either side of the edge, where colours are compared
_LEAST_PART = 2e-3  # of the garment: smaller islands and holes are dust

Plane = NDArray[np.float32]
"""`(h, w)` float32."""


class Spot(NamedTuple):
    """The middle of a part's box, in pixels of the map, and its area."""

    x: float
    y: float
    area_px: int


@dataclass(frozen=True, eq=False)
class Maps:
    """The part of a photo in which there is alpha, reduced.

    Attributes:
        step: pixels of the network's frame that one of the map stands for, along a side.
        frame_hw: height and width of the whole frame, in pixels of the map.
        corner_xy: where in it the map begins.
        alpha: `(h, w)` float32 in [0, 1], means.
        softness: likewise, means of 4 alpha (1 - alpha): 1 where the network cannot tell.
        colors: `(h, w, 3)` float32, Y, Cb, Cr in 0 to 255.
        edge: `(h, w)` bool: pixels of the mask with a direct neighbour outside it, but for the frame's own border.
        contrast: `(h, w)` float32: on the edge, how far the colours on its two sides lie apart, in levels of 255;
            elsewhere 0.
        parts: the islands of garment, largest first.
        holes: the holes in it, likewise.
    """

    step: int
    frame_hw: tuple[int, int]
    corner_xy: tuple[int, int]
    alpha: Plane
    softness: Plane
    colors: NDArray[np.float32]
    edge: NDArray[np.bool_]
    contrast: Plane
    parts: tuple[Spot, ...]
    holes: tuple[Spot, ...]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """`alpha >= 0.5`."""
        return self.alpha >= np.float32(0.5)


def draw_maps(rgb: NDArray[np.uint8], alpha: Plane) -> Maps | None:
    """Reduce a photo and its alpha, and look at the edge.

    Args:
        rgb: `(H, W, 3)` uint8 sRGB, as the network saw it, padding cut off.
        alpha: `(H, W)` float32 in [0, 1], as the network gave it.

    Returns:
        The maps; None: no pixel is garment.
    """
    step = max(round(alpha.shape[0] / MAP_HEIGHT_PX), 1)
    small = reduced(alpha, step)
    box = bounding_box(small >= _FAINT)
    if box is None or not (small >= np.float32(0.5)).any():
        return None
    top, left = max(box[1] - _MARGIN_PX, 0), max(box[0] - _MARGIN_PX, 0)
    bottom, right = box[3] + _MARGIN_PX, box[2] + _MARGIN_PX
    fine = alpha[top * step : bottom * step, left * step : right * step]
    area = slice(top, bottom), slice(left, right)
    small = small[area]
    image = Image.fromarray(rgb[top * step : bottom * step, left * step : right * step]).convert("YCbCr")
    colors = np.asarray(image.reduce(step) if step > 1 else image, np.float32)[: small.shape[0], : small.shape[1]]
    edge = _edge_of(small >= np.float32(0.5))
    parts, holes = _parts_of(small >= np.float32(0.5))
    return Maps(
        step=step,
        frame_hw=(-(-alpha.shape[0] // step), -(-alpha.shape[1] // step)),
        corner_xy=(left, top),
        alpha=small,
        softness=reduced(4 * fine * (1 - fine), step)[: small.shape[0], : small.shape[1]],
        colors=colors,
        edge=edge,
        contrast=_contrast_of(colors, small >= np.float32(0.5), edge),
        parts=parts,
        holes=holes,
    )


def reduced(plane: Plane, step: int) -> Plane:
    """Means over squares of `step` pixels; the last ones may be cut off by the border."""
    if step == 1:
        return plane
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).reduce(step), np.float32)


def box_sum(planes: NDArray[np.float32], reach_px: int) -> NDArray[np.float64]:
    """Sums over squares of `2 reach + 1` pixels around each; `(h, w)` or `(h, w, C)`; nothing lies outside."""
    sums = planes.astype(np.float64)
    for axis in (0, 1):
        num = sums.shape[axis]
        upto = np.insert(sums.cumsum(axis=axis), 0, 0, axis=axis)
        place = np.arange(num)
        high, low = np.minimum(place + reach_px + 1, num), np.maximum(place - reach_px, 0)
        sums = upto.take(high, axis=axis) - upto.take(low, axis=axis)
    return sums


def eroded(mask: NDArray[np.bool_], times: int = 1) -> NDArray[np.bool_]:
    """Without the pixels that have a direct neighbour outside it; what lies beyond the picture counts as mask."""
    for _ in range(times):
        wide = np.pad(mask, 1, mode="edge")
        mask = wide[1:-1, 1:-1] & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return mask


def _edge_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~eroded(mask)


def _contrast_of(colors: NDArray[np.float32], mask: NDArray[np.bool_], edge: NDArray[np.bool_]) -> Plane:
    """Distance of the mean colours within the ring on either side; the mixed pixels at the edge itself left out."""
    sides = []
    for side in (eroded(mask), eroded(~mask)):
        planes = np.concatenate([colors * side[..., None], side[..., None]], axis=2, dtype=np.float32)
        sums = box_sum(planes, _RING_PX)[edge]
        sides.append((sums[:, :3] / np.maximum(sums[:, 3:], 1e-9), sums[:, 3] > 0.5))
    (inside, has_inside), (outside, has_outside) = sides
    apart = np.sqrt(((inside - outside) ** 2).sum(axis=1))
    contrast = np.zeros(mask.shape, np.float32)
    contrast[edge] = np.where(has_inside & has_outside, apart, 0)
    return contrast


def _parts_of(mask: NDArray[np.bool_]) -> tuple[tuple[Spot, ...], tuple[Spot, ...]]:
    """Islands and holes that are more than dust, largest first."""
    islands = parts_of(mask)
    least = _LEAST_PART * islands.areas[0]
    outside = parts_of(np.pad(~mask, 1, constant_values=True))  # one piece, all around
    around = outside.part[0]
    holes = [spot._replace(x=spot.x - 1, y=spot.y - 1) for spot in _spots(outside, least, without=int(around))]
    return tuple(_spots(islands, least)), tuple(holes)


def _spots(parts: Parts, least: float, *, without: int = -1) -> list[Spot]:
    middles = (parts.boxes_xyxy[:, :2] + parts.boxes_xyxy[:, 2:]) / 2
    return [
        Spot(float(x), float(y), int(area))
        for index, ((x, y), area) in enumerate(zip(middles, parts.areas, strict=True))
        if area >= least and index != without
    ]
