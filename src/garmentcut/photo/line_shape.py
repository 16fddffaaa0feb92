"""The shape of a closed line of points: where it has corners, and which way it runs at each point."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.path import Points

_REACH = 3  # points (about pixels) to either side that a direction is taken from
_CORNER_DEGREES = 60.0
_CORNER_MOVES_PX = 1.5  # how far a corner may lie outside the points, which cut it off


class LineShape(NamedTuple):
    """A closed line, with sharp corners put where its sides meet.

    Attributes:
        points: `(N, 2)`.
        leaving: `(N, 2)` unit vectors: direction behind each point.
        arriving: `(N, 2)` unit vectors: direction before each point; another only at corners.
        corners: places of the corners, ascending.
    """

    points: Points
    leaving: Points
    arriving: Points
    corners: NDArray[np.intp]


def shape_of(line: Points) -> LineShape:
    """Find a closed line's corners and directions.

    Args:
        line: `(N, 2)`, the first point not repeated, no two neighbours equal.
    """
    corners = _find_corners(line)
    points = line.copy()
    for corner in corners:
        points[corner] = _meeting_point(line, corner)
    return LineShape(points, *_directions(points, corners), corners)


def _find_corners(line: Points) -> NDArray[np.intp]:
    """Where a closed line turns sharply; of neighbours, the sharpest."""
    if len(line) <= 4 * _REACH:
        return np.empty(0, np.intp)
    before, after = line - np.roll(line, _REACH, axis=0), np.roll(line, -_REACH, axis=0) - line
    turns = np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1))
    turns = np.degrees(np.abs(turns))
    sharp = np.flatnonzero(turns >= _CORNER_DEGREES)
    found = np.empty(0, np.intp)
    for place in sharp[np.argsort(-turns[sharp], kind="stable")]:
        apart = np.abs(found - place)
        if np.minimum(apart, len(line) - apart).min(initial=len(line)) > 2 * _REACH:
            found = np.append(found, place)
    return np.sort(found)


def _meeting_point(line: Points, corner: int) -> Points:
    """Where the sides to the left and right of a corner meet, if that is near it."""
    first, last = line[corner - 1 - _REACH], line[corner - 1]
    start, end = line[(corner + 1) % len(line)], line[(corner + 1 + _REACH) % len(line)]
    side, other = last - first, end - start
    cross = side[0] * other[1] - side[1] * other[0]
    here: Points = line[corner]
    if abs(cross) < 1e-3:
        return here
    gap = start - first
    met: Points = first + side * ((gap[0] * other[1] - gap[1] * other[0]) / cross)
    return met if float(np.hypot(*(met - here))) < _CORNER_MOVES_PX else here


def _directions(points: Points, corners: NDArray[np.intp]) -> tuple[Points, Points]:
    """Directions behind and before each point; none looks across a corner."""
    num_points = len(points)
    here = np.arange(num_points)
    reach = np.full(num_points, max(min(_REACH, num_points // 4), 1))
    if len(corners):
        last = corners[np.searchsorted(corners, here, side="right") - 1]
        next_ = corners[np.searchsorted(corners, here) % len(corners)]
        reach = np.minimum(reach, np.minimum((here - last) % num_points, (next_ - here) % num_points))
    ahead, behind = (here + reach) % num_points, (here - reach) % num_points
    ahead[corners], behind[corners] = (corners + _REACH) % num_points, (corners - _REACH) % num_points
    leaving = _unit(points[ahead] - points[behind])
    arriving = leaving.copy()
    leaving[corners] = _unit(points[ahead[corners]] - points[corners])
    arriving[corners] = _unit(points[corners] - points[behind[corners]])
    return leaving, arriving


def _unit(vectors: Points) -> Points:
    """Vectors `(N, 2)` at length 1; zero vectors stay."""
    unit: Points = vectors / np.maximum(np.hypot(*vectors.T), 1e-12)[:, None]
    return unit
