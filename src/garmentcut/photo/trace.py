"""Traces an alpha as a clipping path, for `compose`: the line of half coverage, in as few smooth curves as will do.

Every point of the line is a knot at first. Those that are not needed go, the least needed first: one curve then takes
the place of two, and may lie no farther from the points than the tolerance. A curve has the line's directions at its
ends; the lengths of its handles follow by least squares, in turn with Newton's method for where on the curve each point
belongs (P. J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics Gems, 1990).

Points and vectors are complex numbers, x + iy: of the product of one, conjugated, and another the real part is their
scalar product, the imaginary part their cross product.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, dilate, erode, slices_of
from garmentcut.photo.path import PenPath, Subpath, count_up

EDITABLE_PX, EXACT_PX = 0.5, 0.25
"""Tolerances: few knots that are easily moved by hand, or as near as a path need be."""
_REFERENCE_HEIGHT_PX = 1728

_NAME = "Path 1"  # as Photoshop numbers them
_LEVEL = 0.5
_LEAST_AREA_PX, _LEAST_POINTS, _LEAST_STEP_PX = 16.0, 8, 1e-4  # smaller islands and holes are dust
_REACH = 3  # points (about pixels) to either side that a direction is taken from
_CORNER_DEGREES, _APART = 60.0, 6  # of two corners nearer than so many points, the sharper one counts
_CORNER_MOVES_PX = 1.5
_ROUNDS = 5  # of fitting and moving the points' places; more hardly change a curve
_SHORTEST_HANDLE, _LONGEST_HANDLE = 1e-3, 3.0  # chords; beyond, a curve would loop or fold back

_MEAN = 0.4  # of the tolerance: how far a curve's points may lie from it on average
# Share of the garment's area that a path may lose and add: for each pixel of tolerance, and at most. It binds on small
# garments with long outlines, bikinis above all: within 0.5 px alone their overlap (IoU) with the alpha would be 0.996.
_LOST_SHARE, _MOST_LOST_SHARE, _LEAST_LOST_SHARE = 0.004, 0.002, 0.0003
# Edge pixels are half covered, which no outline is: along a pixel of it, this much is lost even to a perfect one. Where
# there is much outline around little area, as around fur, the curves have to make up for it.
_EDGE_LOST_PX, _MOST_LOST_WITH_EDGE = 0.041, 0.0025

_Numbers = NDArray[np.float64]
_Places = NDArray[np.intp]
_Complex = NDArray[np.complex128]


def path_tolerance_px(kind: str, height_px: int) -> float:
    """How far a path may lie from the outline of a garment in a whole photo of this height.

    `editable`: larger photos give it more room, so that it has the same few knots; `exact`: a quarter pixel.
    """
    return EXACT_PX if kind == "exact" else EDITABLE_PX * max(height_px / _REFERENCE_HEIGHT_PX, 1)


def trace_outline(alpha: NDArray[np.float32], *, tolerance_px: float = EDITABLE_PX) -> PenPath:
    """The outline of a garment, its holes too: closed, to be filled under the even-odd rule.

    It lies within the tolerance of the line at alpha 0.5. What lies outside the picture counts as background. There are
    no outlines where no pixel is half covered.
    """
    lines = trace_contours(alpha)
    if not lines:
        return PenPath(_NAME, ())
    width_px = abs(sum(map(area_of, lines))) / sum(float(np.abs(_steps_of(line)).sum()) for line in lines)
    lost_share = min(_LOST_SHARE * tolerance_px, _MOST_LOST_SHARE, _MOST_LOST_WITH_EDGE - _EDGE_LOST_PX / width_px)
    mean_px = min(_MEAN * tolerance_px, max(lost_share, _LEAST_LOST_SHARE) * width_px)
    subpaths = []
    for curves in fit_lines(lines, (tolerance_px, mean_px)):
        knots = np.stack([np.roll(curves[:, 2], 1), curves[:, 0], curves[:, 1]], axis=1)
        subpaths.append(Subpath(0, True, np.stack([knots.real, knots.imag], axis=2) / alpha.shape[::-1]))
    return PenPath(_NAME, tuple(subpaths))


def trace_contours(alpha: NDArray[np.float32]) -> list[_Complex]:
    """Closed lines around a garment, its islands and its holes; outside the picture is background.

    Returns:
        Lines `(N,)` complex, in pixels from the picture's upper left corner, points at most a pixel and a half apart,
        the first not repeated at the end.
    """
    from contourpy import contour_generator

    box = bounding_box(alpha >= _LEVEL)
    if box is None:
        return []
    area = slices_of(box, _REACH)
    # A border of background closes lines at the picture's edge.
    window = _straightened(np.pad(alpha[area], _REACH))
    offset = np.array([area[1].start, area[0].start]) - _REACH + 0.5
    found = []
    closed: Any = contour_generator(z=window).lines(_LEVEL)
    for points in closed:
        line = np.clip(points[:-1] + offset, 0, alpha.shape[::-1]) @ (1, 1j)
        line = line[np.abs(_steps_of(line)) > _LEAST_STEP_PX]
        if len(line) >= _LEAST_POINTS and abs(area_of(line)) >= _LEAST_AREA_PX:
            found.append(line)
    return found


def area_of(line: _Complex) -> float:
    """Signed area inside a closed line; a hole's has the other sign."""
    return float((line.conj() * np.roll(line, -1)).imag.sum()) / 2


def _steps_of(line: _Complex, reach: int = 1) -> _Complex:
    """To each point of a closed line from the one that is so many before."""
    return line - np.roll(line, reach)


def _straightened(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """An alpha that crosses its borders along straight slopes.

    Alpha is the covered share of a pixel, not a height: to interpolate between two pixels misplaces the border of an
    anti-aliased shape by up to 0.09 pixels. The mean of three pixels falls by a third a pixel across a straight border,
    so in it the border is found exactly. Corners, and straps and gaps too thin for that, stay as they are.
    """
    covered = alpha >= _LEVEL
    crooked = np.zeros(covered.shape, bool)  # not the same opened and closed
    for num in (4, 8):
        opened = dilate(erode(covered, neighbours=num), neighbours=num)
        crooked |= opened != erode(dilate(covered, neighbours=num), neighbours=num)
    return np.where(dilate(crooked, 2), alpha, cv2.blur(alpha, (3, 3), borderType=cv2.BORDER_CONSTANT))


class Contours(NamedTuple):
    """Closed lines one behind another, each from a joint back to it: that point stands at both ends."""

    points: _Complex  # `(N,)`
    leaving: _Complex  # `(N,)`, direction of the line behind each point, of length 1
    arriving: _Complex  # `(N,)`, and before it: another one at a corner
    is_joint: NDArray[np.bool_]  # `(N,)`, where a curve must end
    line: _Places  # `(N,)`, which line each point is of


def contours_of(lines: list[_Complex]) -> Contours:
    """Closed lines with their sharp corners, which are put where the sides to the left and right meet, as joints.

    A line with fewer than two corners gets joints that halve it, for no curve can end where it began. Of at least one
    line `(N,)`, the first point is not repeated, and no two neighbours are equal.
    """
    parts = []
    for number, line in enumerate(lines):
        num_points, corners = len(line), _find_corners(line)
        last, first, start, end = (line.take(corners + away, mode="wrap") for away in (-1, -1 - _REACH, 1, 1 + _REACH))
        side, other = last - first, end - start
        cross = (side.conj() * other).imag
        met = last + side * (((start - last).conj() * other).imag / np.where(np.abs(cross) < 1e-3, np.nan, cross))
        line = line.copy()
        line[corners] = np.where(np.abs(met - line[corners]) < _CORNER_MOVES_PX, met, line[corners])
        here, reach = np.arange(num_points), np.full(num_points, min(_REACH, num_points // 4))
        for away in range(1, _REACH):  # no direction is taken across a corner
            reach[(corners - away) % num_points] = reach[(corners + away) % num_points] = away
        arriving = line[(here + reach) % num_points] - line[here - reach]
        leaving = arriving.copy()
        arriving[corners], leaving[corners] = side, other
        joints = corners if len(corners) > 1 else (corners.sum() + np.array([0, num_points // 2])) % num_points
        around = (np.arange(num_points + 1) + joints.min()) % num_points
        directions = (vectors[around] / np.maximum(np.abs(vectors[around]), 1e-12) for vectors in (leaving, arriving))
        parts.append((line[around], *directions, np.isin(around, joints), np.full(num_points + 1, number)))
    return Contours(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _find_corners(line: _Complex) -> _Places:
    """Where a closed line turns sharply; of neighbours, the sharpest."""
    if len(line) <= 4 * _REACH:
        return np.empty(0, np.intp)
    before = _steps_of(line, _REACH)
    turns = np.degrees(np.abs(np.angle(before.conj() * np.roll(before, -_REACH))))
    turns += np.linspace(0, 1e-6, len(line))  # no two are equal
    sharpest = np.max([np.roll(turns, shift) for shift in range(-_APART, _APART + 1)], axis=0)
    return np.flatnonzero((turns == sharpest) & (turns >= _CORNER_DEGREES))


def fit_lines(lines: list[_Complex], limits_px: tuple[float, float]) -> list[_Complex]:
    """Smooth curves around closed lines, with sharp joints at their corners only; limits as for `fit_curves`.

    Returns:
        `(K, 4)` for each line: start, two control points and end of each curve, which is the next one's start; at
        least two.
    """
    contours = contours_of(lines)
    knots = np.arange(len(contours.points))
    error = np.where(contours.is_joint, np.inf, np.nan)  # of the curve instead of the two that meet in a knot
    while True:
        new = np.flatnonzero(np.isnan(error[knots]))
        if len(new):
            error[knots[new]] = fit_curves(contours, knots[new - 1], knots[new + 1], limits_px)[1]
        here = error[knots]
        gone = (here <= 1) & (here < np.roll(here, 1)) & (here <= np.roll(here, -1))
        if not gone.any():
            break
        beside = knots[np.roll(gone, 1) | np.roll(gone, -1)]
        error[beside[~contours.is_joint[beside]]] = np.nan
        knots = knots[~gone]
    line = contours.line[knots]
    within = line[:-1] == line[1:]
    curves, _ = fit_curves(contours, knots[:-1][within], knots[1:][within], limits_px)
    return np.split(curves, np.searchsorted(line[:-1][within], range(1, len(lines))))


def fit_curves(
    contours: Contours, first: _Places, last: _Places, limits_px: tuple[float, float]
) -> tuple[_Complex, _Numbers]:
    """One curve for each row of points of a line, from its `first` to its `last`, `(K,)`; there is at least one.

    The limits are how far points may lie from their curve: the farthest, and all on average.

    Returns:
        Curves `(K, 4)` complex, and their errors `(K,)`: 1 where a limit is just kept, more where one is broken.
    """
    num_points = last - first + 1
    row, number = count_up(num_points)
    starts = np.cumsum(num_points) - num_points

    def sums(values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, starts)

    near = contours.points[first[row] + number]
    start, end = contours.points[first], contours.points[last]
    ahead, back, chord = contours.leaving[first], -contours.arriving[last], np.abs(end - start)
    steps = np.abs(np.diff(near, prepend=0))
    steps[starts] = 0
    length = np.cumsum(steps)
    place = (length - length[starts][row]) / np.maximum(sums(steps), _LEAST_STEP_PX)[row]  # on its curve, 0 to 1
    for _ in range(_ROUNDS):
        left = 1 - place
        weights = np.stack([left**3, 3 * place * left**2, 3 * place**2 * left, place**3])
        # The handles' lengths by least squares, where that makes sense.
        _, one, two, _ = weights
        missing = near - (weights[0] + one) * start[row] - (two + weights[3]) * end[row]
        square, other, mixed = sums(one**2), sums(two**2), sums(one * two) * (ahead.conj() * back).real
        rise, fall = (ahead.conj() * sums(one * missing)).real, (back.conj() * sums(two * missing)).real
        lengths = np.stack([rise * other - fall * mixed, fall * square - rise * mixed])
        lengths /= np.maximum(square * other - mixed**2, 1e-12 * square * other + 1e-30)
        is_sound = ((lengths > _SHORTEST_HANDLE * chord) & (lengths < _LONGEST_HANDLE * chord)).all(axis=0)
        lengths = np.where(is_sound, lengths, chord / 3)
        curves = np.stack([start, start + lengths[0] * ahead, end + lengths[1] * back, end])
        gaps = (weights * curves[:, row]).sum(axis=0) - near
        distance = np.abs(gaps)
        farthest, mean = np.maximum.reduceat(distance, starts), sums(distance) / num_points
        errors = np.maximum(farthest / limits_px[0], mean / limits_px[1])
        if (errors <= 1).all():
            break
        # One step of Newton's method for each point's foot on its curve.
        rises = 3 * np.diff(curves, axis=0)[:, row]
        speed = left**2 * rises[0] + 2 * place * left * rises[1] + place**2 * rises[2]
        place = np.clip(place - (gaps.conj() * speed).real / np.maximum(np.abs(speed) ** 2, 1e-12), 0, 1)
    return curves.T, errors
