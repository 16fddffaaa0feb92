"""Outlines to alpha: the exact share of each pixel that lies inside closed curves.

The scheme of font rasterizers (signed-area accumulation): edges are cut where they cross pixel borders, so each piece
lies in one pixel. A piece that falls by `dy` covers `dy` of every pixel to its right and, at a mean distance `x` from
its pixel's left border, `dy * (1 - x)` of its own. Summed along a row that is the mean winding number of each pixel;
folded into [0, 1] it is the area under the even-odd rule, which Photoshop fills paths by. Exact, but where several
windings meet within one pixel.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.photo import PhotoError

Points = NDArray[np.float64]
"""`(..., 2)`: x and y in pixels from the picture's upper left corner."""

_FLATNESS_PX = 0.0005  # how far a chord may lie from its curve: an eighth of a step of 8 bits
_MOST_STEPS = 1000
# A garment's outline has some 10,000 points and twice its perimeter in pieces. Far beyond is an attack on the memory.
_MOST_POINTS = 1_000_000
_MOST_PIECES = 6_000_000
_BAND_ROWS = 256  # rows summed at a time: bounds the memory of the sums, which need double precision
_LEVELS = 65_535  # results are rounded to 16 bits, or rounding errors would leave traces of alpha far from the outline


def flatten_curves(curves: Points) -> Points:
    """Cubic Bezier curves, each from where the last one ended, as a polygon.

    Args:
        curves: `(N, 4, 2)`: start, two control points, end.

    Returns:
        `(M, 2)`; the end of the last curve is left out, for a closed outline it is the first point.

    Raises:
        PhotoError: absurdly many points.
    """
    bend = np.abs(curves[:, :-2] - 2 * curves[:, 1:-1] + curves[:, 2:]).max(axis=(1, 2))
    steps = np.ceil(np.sqrt(bend * (0.75 / _FLATNESS_PX))).clip(1, _MOST_STEPS).astype(np.int64)
    if steps.sum() > _MOST_POINTS:
        raise PhotoError("its path has over a million points; simplify the path")
    which, step = count_up(steps)
    t = (step / steps[which])[:, None]
    start, leaving, arriving, end = np.moveaxis(curves[which], 1, 0)
    polygon: Points = (1 - t) ** 3 * start + 3 * t * (1 - t) ** 2 * leaving + 3 * t**2 * (1 - t) * arriving + t**3 * end
    return polygon


def draw_coverage(polygons: Sequence[Points], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Area inside closed polygons under the even-odd rule, of each pixel.

    Args:
        polygons: each `(K, 2)`, not closed by repeating its first point; may reach outside the picture.
        size_hw: of the picture.

    Returns:
        `(H, W)` float32 in [0, 1], in steps of 1/65535.

    Raises:
        PhotoError: absurdly long outlines.
    """
    height, width = size_hw
    pieces = _cut_at_borders(*_edges_inside(polygons, height), width)
    middle, rise = pieces.mean(axis=1), pieces[:, 1, 1] - pieces[:, 0, 1]
    row = np.floor(middle[:, 1]).astype(np.int64).clip(0, height - 1)
    across = middle[:, 0].clip(0, width)
    column = np.floor(across).astype(np.int64)
    own = rise * (1 - (across - column))
    order = np.argsort(row, kind="stable")
    row, column, own, rise = row[order], column[order], own[order], rise[order]
    alpha = np.empty(size_hw, np.float32)
    for top in range(0, height, _BAND_ROWS):
        band = alpha[top : top + _BAND_ROWS]
        part = slice(*np.searchsorted(row, (top, top + len(band))))
        sums = np.zeros((len(band), width + 2))
        np.add.at(sums, (row[part] - top, column[part]), own[part])
        np.add.at(sums, (row[part] - top, column[part] + 1), (rise - own)[part])
        winding = np.abs(np.cumsum(sums[:, :width], axis=1))
        if winding.max() > 1:
            winding = np.abs(winding - 2 * np.rint(winding / 2))  # folded: 0, 1, 0, 1, ...
        band[:] = np.rint(winding * _LEVELS) / _LEVELS
    return alpha


def _edges_inside(polygons: Sequence[Points], height: int) -> tuple[Points, Points]:
    """Starts and ends of the edges that are not level, cut off above and below the picture."""
    starts = np.concatenate([np.empty((0, 2)), *polygons])
    ends = np.concatenate([np.empty((0, 2)), *(np.roll(polygon, -1, axis=0) for polygon in polygons)])
    steep = starts[:, 1] != ends[:, 1]
    starts, runs = starts[steep], (ends - starts)[steep]
    at_borders = (np.array([0, height]) - starts[:, 1:]) / runs[:, 1:]
    first, last = at_borders.min(axis=1).clip(0, 1), at_borders.max(axis=1).clip(0, 1)
    seen = last > first
    starts, runs = starts[seen], runs[seen]
    return starts + first[seen, None] * runs, starts + last[seen, None] * runs


def _cut_at_borders(starts: Points, ends: Points, width: int) -> Points:
    """Edges as `(N, 2, 2)` pieces, none of which crosses a border of a pixel."""
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    first, last = np.floor(low) + 1, np.ceil(high) - 1
    first[:, 0], last[:, 0] = np.maximum(first[:, 0], 0), np.minimum(last[:, 0], width)
    counts = (last - first + 1).clip(min=0).astype(np.int64)
    if counts.sum() > _MOST_PIECES:
        raise PhotoError("its path is absurdly long; simplify the path")
    edges, shares = [np.arange(len(starts))], [np.zeros(len(starts))]
    for axis in (0, 1):
        edge, step = count_up(counts[:, axis])
        border = first[edge, axis] + step
        edges.append(edge)
        shares.append((border - starts[edge, axis]) / (ends - starts)[edge, axis])
    edge, share = np.concatenate(edges), np.concatenate(shares)
    order = np.lexsort((share, edge))
    edge, share = edge[order], share[order]
    until = np.append(share[1:], 1.0)
    until[np.flatnonzero(np.diff(edge, append=-1))] = 1.0  # an edge's last piece
    run = (ends - starts)[edge]
    return np.stack([starts[edge] + share[:, None] * run, starts[edge] + until[:, None] * run], axis=1)


def count_up(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each of `counts` things: which it belongs to, and its number there from 0."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
