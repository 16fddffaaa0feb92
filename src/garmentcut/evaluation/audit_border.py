"""A cutout's border against the prediction's, and against the photo's edges."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from garmentcut.evaluation.audit_scene import Scene
from garmentcut.evaluation.masks import Mask
from garmentcut.evaluation.surface import border_of

NEAR_PX = 3.0
"""Of a region: its own stretch of a border."""

_FAR_PX = 12.0  # from the border: what no shift of a few pixels explains
_SEARCH_PX = 6  # a shift by more would have been refused by ingest
_TRACED_PX = 1.5  # a border so near to an edge follows it
_POINTS = 4000  # of a border, at most: enough for hundredths of a pixel
_LEAST_POINTS = 36  # or nothing is fitted
_LEAST_STRETCH = 12  # points of a stretch, or nothing is said of it


@dataclass(frozen=True, eq=False)
class EdgesMet:
    """Points of the cutout's border, and where along its normal each meets the photo's steepest edge.

    Attributes:
        rows, columns: `(N,)`, of the points.
        normals: `(N, 2)` outward unit normals x, y.
        offsets_px: `(N,)`: how far outside of the border the steepest edge lies, 6 px to either side being searched.
        is_clear: `(N,)` bool: there is one; where all is flat, its steepest place is chance.
        unit: as the scene's.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    normals: NDArray[np.float64]
    offsets_px: NDArray[np.float64]
    is_clear: NDArray[np.bool_]
    unit: float

    @property
    def shift_xy(self) -> tuple[float, float]:
        """Shift of the cutout as a whole against the photo's edges."""
        if np.count_nonzero(self.is_clear) < _LEAST_POINTS:
            return 0.0, 0.0
        design = np.column_stack([self.normals[self.is_clear], np.ones(np.count_nonzero(self.is_clear))])
        fit, _ = _huber(design, self.offsets_px[self.is_clear])
        return -float(fit[0]), -float(fit[1])

    def traced_in(self, near: Mask) -> float:
        """How much of the border within `near` follows an edge, as a share of how much of all of it does; at most 1.

        Who cuts a garment out follows its edges, well or badly; a border through plain cloth was not meant.
        """
        follows = self.is_clear & (np.abs(self.offsets_px) <= max(_TRACED_PX * self.unit, 0.75))
        here = near[self.rows, self.columns]
        if np.count_nonzero(here) < _LEAST_STRETCH or not follows.any():
            return 1.0
        return min(float(follows[here].mean() / follows.mean()), 1.0)


def edges_met(scene: Scene) -> EdgesMet:
    """Search the photo's edges along the normals of the cutout's border."""
    rows, columns = np.nonzero(border_of(scene.theirs))
    step = max(len(rows) // _POINTS, 1)
    rows, columns = rows[::step], columns[::step]
    normals = _normals(scene.their_inside, rows, columns)
    known = np.isfinite(normals).all(axis=1)
    rows, columns, normals = rows[known], columns[known], normals[known]
    reach = max(_SEARCH_PX * scene.unit, 2.0)
    offsets = np.linspace(-reach, reach, 4 * round(reach) + 1)
    height, width = scene.edges.shape
    y = np.rint(rows[:, None] + offsets * normals[:, 1:]).astype(np.intp).clip(0, height - 1)
    x = np.rint(columns[:, None] + offsets * normals[:, :1]).astype(np.intp).clip(0, width - 1)
    profiles = scene.edges[y, x]
    is_clear = profiles.max(axis=1) > 2 * np.median(profiles, axis=1)
    return EdgesMet(rows, columns, normals, offsets[np.argmax(profiles, axis=1)], is_clear, scene.unit)


def displacement(scene: Scene, *, apart_from: Mask | None) -> tuple[tuple[float, float], float, float]:
    """Shift and growth of the cutout against the prediction: Huber's regression of border distances on the normals.

    Where the cutout is shifted by d, its border lies d·n outside the prediction's, n being the outward normal.

    Args:
        scene: what is looked at.
        apart_from: a region whose border is left out of the spread, if more than half is left: a side that is cut away
            would else look as if the prediction's border were rough.

    Returns:
        Shift x, y; growth: how far outside it lies all around; spread: how far the rest of it scatters about that.
    """
    rows, columns = np.nonzero(border_of(scene.theirs))
    outside = 0.5 - scene.our_inside[rows, columns].astype(np.float64)  # it lies half a pixel inside its own mask
    normals = _normals(scene.their_inside, rows, columns)
    usable = (np.abs(outside) < _FAR_PX * scene.unit) & np.isfinite(normals).all(axis=1)
    if np.count_nonzero(usable) < _LEAST_POINTS:
        return (0.0, 0.0), 0.0, float(np.abs(outside).mean())
    design = np.column_stack([normals, np.ones(len(normals))])
    fit, residuals = _huber(design[usable], outside[usable])
    if apart_from is not None:
        rest = usable & ~grown(apart_from, NEAR_PX * max(scene.unit, 0.5))[rows, columns]
        if 2 * np.count_nonzero(rest) > len(rows):
            _, residuals = _huber(design[rest], outside[rest])
    return (float(fit[0]), float(fit[1])), float(fit[2]), float(1.4826 * np.median(np.abs(residuals)))


def grown(where: Mask, reach_px: float) -> Mask:
    """A region and what lies within reach of it."""
    window = tuple(
        slice(max(side.start - math.ceil(reach_px), 0), side.stop + math.ceil(reach_px))
        for side in find_objects(where.astype(np.uint8))[0]
    )
    grown = np.zeros_like(where)
    grown[window] = distance_transform_edt(~where[window]) <= reach_px
    return grown


def _normals(inside: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Outward unit normals x, y of a border."""
    down, right = np.gradient(inside, axis=0), np.gradient(inside, axis=1)
    normals = -np.column_stack([right[rows, columns], down[rows, columns]]).astype(np.float64)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: NDArray[np.float64] = normals / np.where(lengths > 0, lengths, np.nan)
    return unit


def _huber(design: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least squares, far values weighted down again and again (Huber 1964)."""
    weights = np.ones(len(values))
    fit, residuals = np.zeros(design.shape[1]), values
    for _ in range(8):
        root = np.sqrt(weights)
        fit = np.asarray(np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0], np.float64)
        residuals = values - design @ fit
        scale = max(1.345 * 1.4826 * float(np.median(np.abs(residuals))), 1e-3)
        weights = np.minimum(1, scale / np.maximum(np.abs(residuals), 1e-9))
    return fit, residuals
