"""Alpha to clipping path: the line where the garment covers half of a pixel, as few smooth Bezier curves."""

from itertools import pairwise
from typing import Any

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray

from garmentcut.photo.bezier_fit import Curve, direction_at, fit_curves, unit
from garmentcut.photo.clipping_path import PenPath, Subpath
from garmentcut.photo.coverage import Points

EDITABLE_PX, EXACT_PX = 0.5, 0.25
"""Tolerances: few knots that are easily moved by hand, or as near as a path can be."""

_LEVEL = 0.5
_LEAST_AREA_PX = 16.0  # smaller islands and holes are dust
_CORNER_REACH = 3  # points (about pixels) to either side that a corner's turn is measured over
_CORNER_DEGREES = 60.0


def trace_outline(alpha: NDArray[np.float32], *, tolerance_px: float = EDITABLE_PX, name: str = "Path 1") -> PenPath:
    """The outline of a garment, its holes too.

    Args:
        alpha: `(H, W)` float32 in [0, 1]. What lies outside the picture counts as background.
        tolerance_px: how far the path may lie from the line at alpha 0.5.
        name: the path's.

    Returns:
        Closed outlines, to be filled under the even-odd rule; none where no pixel is half covered.
    """
    rows, columns = np.flatnonzero((alpha >= _LEVEL).any(1)), np.flatnonzero((alpha >= _LEVEL).any(0))
    if not rows.size:
        return PenPath(name, ())
    top, left = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
    # A border of background closes outlines at the picture's edge; the pixel beside the box gives the exact crossing.
    window = np.pad(alpha[top : rows[-1] + 2, left : columns[-1] + 2], 1)
    offset = left - 0.5, top - 0.5  # of pixel centres in the padded window: pixel borders lie on whole numbers
    size = alpha.shape[::-1]
    outlines = (np.clip(line[:-1] + offset, 0, size) for line in _contours(window))
    curves = (_fit_closed(_without_repeats(line), tolerance_px) for line in outlines if _area(line) >= _LEAST_AREA_PX)
    return PenPath(name, tuple(Subpath(0, True, _knots(found) / size) for found in curves))


def _contours(window: NDArray[np.float32]) -> list[Points]:
    """Closed lines at the level, `(N + 1, 2)` each, in coordinates of the window's pixel centres; holes too."""
    groups: Any = contour_generator(z=window, fill_type=FillType.OuterOffset).filled(_LEVEL, np.inf)
    return [
        points[start:end].astype(np.float64)
        for points, ends in zip(*groups, strict=True)
        for start, end in pairwise(ends)
    ]


def _area(line: Points) -> float:
    following = np.roll(line, -1, axis=0)
    return abs(float((line[:, 0] * following[:, 1] - line[:, 1] * following[:, 0]).sum())) / 2


def _without_repeats(line: Points) -> Points:
    """A closed line without points that lie on the one before."""
    moved: Points = line[np.hypot(*(line - np.roll(line, 1, axis=0)).T) > 1e-6]
    return moved


def _fit_closed(line: Points, tolerance_px: float) -> list[Curve]:
    """Curves around a closed line, pointed at its corners and smooth elsewhere."""
    corners = _corners(line)
    start = corners[0] if corners else 0
    line = np.roll(line, -start, axis=0)
    closed = np.concatenate([line, line[:1]])
    if not corners:
        along = unit(line[1] - line[-1])  # one direction for the end and the start: they are one smooth point
        return fit_curves(closed, tolerance_px, start=along, end=-along)
    curves = []
    for first, last in pairwise([*(corner - start for corner in corners), len(line)]):
        part = closed[first : last + 1]
        leaving, arriving = direction_at(part, 0), -direction_at(part, len(part) - 1)
        curves += fit_curves(part, tolerance_px, start=leaving, end=arriving)
    return curves


def _corners(line: Points) -> list[int]:
    """Where a closed line turns sharply; of neighbours, the sharpest."""
    if len(line) <= 4 * _CORNER_REACH:
        return []
    before, after = line - np.roll(line, _CORNER_REACH, axis=0), np.roll(line, -_CORNER_REACH, axis=0) - line
    turns = np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1))
    turns = np.degrees(np.abs(turns))
    found: list[int] = []
    for place in np.argsort(-turns, kind="stable"):
        if turns[place] < _CORNER_DEGREES:
            break
        apart = np.abs(np.array(found, int) - place)
        if np.minimum(apart, len(line) - apart).min(initial=len(line)) > 2 * _CORNER_REACH:
            found.append(int(place))
    return sorted(found)


def _knots(curves: list[Curve]) -> Points:
    """`(K, 3, 2)`: control point before, anchor, control point after, of a closed row of curves."""
    return np.stack([[curves[i - 1][2], curve[0], curve[1]] for i, curve in enumerate(curves)])
