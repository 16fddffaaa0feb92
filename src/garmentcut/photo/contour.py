"""Where a garment covers half of a pixel, to a hundredth of a pixel, as closed lines.

Straight interpolation between two pixels misplaces the border of an anti-aliased shape by up to 0.09 pixels, for alpha
is the covered share of a pixel, not a height. But along a row or column that crosses the border from all to nothing the
sum of alpha is the length covered, which says exactly where the border is; so that is asked, where the border is alone.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.path import Points

_LEVEL = 0.5
_LEAST_AREA_PX = 16.0  # smaller islands and holes are dust
_LEAST_POINTS = 8
_REACHES_PX = (2, 3, 4)  # to either side of a border that is summed: the nearest that sees all and nothing
_ALL_OR_NOTHING = 0.02  # an alpha this near to 1 or 0 is that
_ALLOWED_RISE = 1e-3  # of an alpha that falls
_ON_GRID = 1e-4


def trace_contours(alpha: NDArray[np.float32]) -> list[Points]:
    """Closed lines around a garment, its islands and its holes.

    Args:
        alpha: `(H, W)` float32 in [0, 1]. What lies outside the picture counts as background.

    Returns:
        Lines `(N, 2)` of x and y in pixels from the picture's upper left corner, points about a pixel apart, the first
        not repeated at the end.
    """
    covered = alpha >= _LEVEL
    box = bounding_box(covered)
    if box is None:
        return []
    reach = _REACHES_PX[-1]
    area = slices_of(box, reach)
    # A border of background closes lines at the picture's edge.
    window = np.pad(alpha[area], reach)
    offset = np.array([area[1].start, area[0].start]) - reach + 0.5
    size = alpha.shape[::-1]
    lines = (line for line in _interpolate(window) if abs(area_of(line)) >= _LEAST_AREA_PX)
    found = [_without_repeats(np.clip(_settle(line, window) + offset, 0, size)) for line in lines]
    return [line for line in found if len(line) >= _LEAST_POINTS]


def area_of(line: Points) -> float:
    """Signed area inside a closed line; a hole's has the other sign."""
    following = np.roll(line, -1, axis=0)
    return float((line[:, 0] * following[:, 1] - line[:, 1] * following[:, 0]).sum()) / 2


def _interpolate(window: NDArray[np.float32]) -> list[Points]:
    """Marching squares: every point lies between two neighbouring pixel centres."""
    from contourpy import FillType, contour_generator

    groups: Any = contour_generator(z=window, fill_type=FillType.OuterOffset).filled(_LEVEL, np.inf)
    return [
        points[start : end - 1].astype(np.float64)
        for points, ends in zip(*groups, strict=True)
        for start, end in pairwise(ends)
    ]


def _settle(line: Points, window: NDArray[np.float32]) -> Points:
    """Move points to where sums of alpha say; keep of a mostly level part those on columns, of a steep one on rows."""
    run = np.abs(np.roll(line, -2, axis=0) - np.roll(line, 2, axis=0))
    is_level = run[:, 0] > run[:, 1]
    settled, kept = line.copy(), np.zeros(len(line), bool)
    for axis, plane in ((1, window), (0, window.T)):
        crosses = np.abs(line[:, 1 - axis] - np.rint(line[:, 1 - axis])) < _ON_GRID
        place = np.flatnonzero(crosses & (is_level == (axis == 1)))
        settled[place, axis] = _by_sums(line[place, axis], np.rint(line[place, 1 - axis]).astype(np.intp), plane)
        kept[place] = True
    return settled[kept] if kept.sum() >= _LEAST_POINTS else line


def _by_sums(across: NDArray[np.float64], lane: NDArray[np.intp], plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where along columns of a plane the border is.

    Args:
        across: `(N,)`, first guesses, in pixel centres.
        lane: `(N,)`, columns.
        plane: alpha, wider than the reach around every guess.

    Returns:
        `(N,)`; a guess stays where the border is not alone within reach.
    """
    found, first = across.copy(), np.floor(across).astype(np.intp)
    waiting = np.arange(len(across))
    for reach in _REACHES_PX:
        steps = np.arange(1 - reach, reach + 1)
        near = plane[(first[waiting, None] + steps), lane[waiting, None]]
        falls = (near[:, 0] >= 1 - _ALL_OR_NOTHING) & (near[:, -1] <= _ALL_OR_NOTHING)
        rises = (near[:, -1] >= 1 - _ALL_OR_NOTHING) & (near[:, 0] <= _ALL_OR_NOTHING)
        change = np.diff(near, axis=1) * np.where(falls, -1, 1)[:, None]
        alone = (falls | rises) & (change >= -_ALLOWED_RISE).all(axis=1)
        covered = near.sum(axis=1, dtype=np.float64)
        border = np.where(falls, 0.5 - reach + covered, 0.5 + reach - covered)
        found[waiting[alone]] = (first[waiting] + border)[alone]
        waiting = waiting[~alone]
    return found


def _without_repeats(line: Points) -> Points:
    """A closed line without points that lie on the one before."""
    moved: Points = line[np.hypot(*(line - np.roll(line, 1, axis=0)).T) > _ON_GRID]
    return moved
