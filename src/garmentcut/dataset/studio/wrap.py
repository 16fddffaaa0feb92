"""A garment seen in one view: the part of the frame it takes, and how much of each pixel its layers cover."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import SUPERSAMPLING, Floats
from garmentcut.dataset.studio.cut import cloth_mask
from garmentcut.dataset.studio.garment import GarmentDesign
from garmentcut.dataset.studio.noise import sample
from garmentcut.dataset.studio.placement import Placement, lower_by_perspective
from garmentcut.dataset.studio.tube import Slices, cut_slices, look_at

_STRIP_ROWS = 16  # of the photo at a time: their samples stay in the processor's cache
_MARGIN = 0.03  # body units around the garment, for perspective and swings


@dataclass(frozen=True)
class Window:
    """A part of the frame.

    Attributes:
        rows: Its rows in the frame.
        columns: Its columns.
    """

    rows: slice
    columns: slice

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


@dataclass(frozen=True)
class Coverage:
    """Shares of each pixel, float32 (h, w): the near side of the tube is cloth, the far side is, both are."""

    near: Floats
    far: Floats
    both: Floats


def find_window(garment: GarmentDesign, place: Placement) -> Window:
    """Return the part of the frame that the garment may touch."""
    y = np.linspace(garment.cut.top, garment.cut.bottom + _MARGIN, 200)
    slices = slices_of(garment, y, place.yaw)
    corners = place.to_px(
        np.array(
            [
                (slices.left.min() - _MARGIN, garment.cut.top - _MARGIN),
                (slices.right.max() + _MARGIN, garment.cut.bottom + _MARGIN),
            ]
        )
    )
    left, right = (int(v) for v in np.clip(corners[:, 0], 0, place.size_hw[1]))
    top, bottom = (int(v) for v in np.clip(corners[:, 1], 0, place.size_hw[0]))
    return Window(slice(top, bottom), slice(left, right))


def slices_of(garment: GarmentDesign, y: Floats, yaw: float) -> Slices:
    """Return the cross-sections of the cloth at the rows y, (rows,), with outlines that swing as its folds do."""
    plain = cut_slices(garment.tube, y, yaw)
    half = (plain.right - plain.left) / 2
    around = np.arctan2(plain.cos_turn, plain.sin_turn) / (2 * np.pi)
    down, amount = y[:, None] * 1.1, garment.bulge(y)[:, None].astype(np.float32)
    right = plain.right + half * amount * sample(garment.bulges, around, down)
    left = plain.left - half * amount * sample(garment.bulges, around + 0.5, down)
    return Slices(
        left,
        right,
        plain.half_width,
        plain.half_depth,
        plain.centre_x,
        plain.centre_z,
        plain.cos_turn,
        plain.sin_turn,
        yaw,
    )


def measure_coverage(garment: GarmentDesign, place: Placement, window: Window) -> Coverage:
    """Return the shares of each pixel of the window that the garment's layers cover, from 4 x 4 samples."""
    height, width = window.size_hw
    columns = window.columns.start + (np.arange(width * SUPERSAMPLING) + 0.5) / SUPERSAMPLING
    x = place.x_of(columns)
    shares = np.zeros((3, height, width), np.float32)
    for top in range(0, height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, height - top)
        lines = window.rows.start + top + (np.arange(rows * SUPERSAMPLING) + 0.5) / SUPERSAMPLING
        near, far = _cloth_samples(garment, place, x, place.y_of(lines))
        for layer, hits in enumerate((near, far, near & far)):
            blocks = hits.reshape(rows, SUPERSAMPLING, width, SUPERSAMPLING)
            counts = blocks.sum(axis=(1, 3), dtype=np.int32)
            shares[layer, top : top + rows] = counts / np.float32(SUPERSAMPLING**2)
    return Coverage(*shares)


def _cloth_samples(garment: GarmentDesign, place: Placement, x: Floats, y: Floats) -> list[np.ndarray]:
    slices = slices_of(garment, y, place.yaw)
    level = y[:, None].astype(np.float32)
    sides = []
    for near in (True, False):
        surface = look_at(slices, x, near=near)
        sides.append(cloth_mask(garment.cut, surface, lower_by_perspective(level, surface.depth)))
    return sides
