"""Alpha to clipping path: the line where the garment covers half of a pixel, as few smooth Bezier curves.

Straight interpolation between two pixels misplaces the border of an anti-aliased shape by up to 0.09 pixels, for alpha
is the covered share of a pixel, not a height. But along a row or column that crosses the border from all to nothing the
sum of alpha is the length covered, which says exactly where the border is; so that is asked, where the border is alone.

Curves are fitted to all pieces of all lines at once (P. J. Schneider, "An Algorithm for Automatically Fitting Digitized
Curves", Graphics Gems, 1990): least squares for the lengths of both handles and Newton's method for where on the curve
each point belongs, in turn. Pieces are split at their worst points until each fits, then joined where two fit as one.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.mask import bounding_box, slices_of
from garmentcut.photo.path import PenPath, Points, Subpath, count_up

_LEVEL = 0.5
_LEAST_AREA_PX = 16.0  # smaller islands and holes are dust
_LEAST_POINTS = 8
_REACHES_PX = (2, 3, 4)  # to either side of a border that is summed: the nearest that sees all and nothing
_ALL_OR_NOTHING = 0.02  # an alpha this near to 1 or 0 is that
_ALLOWED_RISE = 1e-3  # of an alpha that falls
_ON_GRID = 1e-4
_REACH = 3  # points (about pixels) to either side that a direction is taken from
_CORNER_DEGREES = 60.0
_CORNER_MOVES_PX = 1.5  # how far a corner may lie outside the points, which cut it off
_ROUNDS = 5  # of fitting and moving the points' places; more hardly change a curve
_HOPELESS, _HOPELESS_PX = 4.0, 2.0  # times the limit, and on top of it: no moving of places will mend that
_SHORTEST_HANDLE, _LONGEST_HANDLE = 1e-3, 3.0  # chords; beyond, a curve would loop or fold back
_Numbers = NDArray[np.float64]
_Places = NDArray[np.intp]
_MERGE_ROUNDS = 8
EDITABLE_PX, EXACT_PX = 0.5, 0.25
"""Tolerances: few knots that are easily moved by hand, or as near as a path need be."""
_REFERENCE_HEIGHT_PX = 1728
_LEAST_LOST_SHARE = 0.0005  # asked of the curves; less only makes knots
_MEAN = 0.4  # of the tolerance: how far a curve's points may lie from it on average
# Share of the garment's area that a path may lose and add: for each pixel of tolerance, and at most. It binds on small
# garments with long outlines, bikinis above all: within 0.5 px alone their overlap (IoU) with the alpha would be 0.996.
_LOST_SHARE, _MOST_LOST_SHARE = 0.004, 0.002
# Rim pixels are half covered, which no outline is: along a pixel of it, this much is lost even to a perfect one. Where
# there is much outline around little area, as around fur, the curves have to make up for it.
_RIM_LOST_PX, _MOST_LOST_WITH_RIM = 0.029, 0.0024


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


class Runs(NamedTuple):
    """Rows of neighbours in one array of points.

    Attributes:
        first: `(K,)`, where each begins.
        steps: `(K,)`, how many points further it ends, at least 1.
        leaving: `(K, 2)` unit vectors: direction at the first point.
        arriving: `(K, 2)` unit vectors: direction at the last point.
    """

    first: _Places
    steps: _Places
    leaving: Points
    arriving: Points

    def take(self, places: NDArray[np.bool_]) -> "Runs":
        """Some of the rows."""
        return Runs(self.first[places], self.steps[places], self.leaving[places], self.arriving[places])


class Limits(NamedTuple):
    """How far the points of a row may lie from its curve: the farthest, and all on average."""

    farthest_px: float
    mean_px: float


class Fits(NamedTuple):
    """The best curve found for each row.

    Attributes:
        curves: `(K, 4, 2)`: start, two control points, end.
        errors: `(K,)`: 1 where a limit is just kept, more where one is broken.
        worst: `(K,)`: the point farthest from the curve, counted from the row's first.
    """

    curves: Points
    errors: _Numbers
    worst: _Places


class _Rows(NamedTuple):
    """Rows laid end to end: of each point its row and its number there, and where each row starts."""

    row: _Places
    number: _Places
    starts: _Places

    @classmethod
    def of(cls, runs: Runs) -> "_Rows":
        row, number = count_up(runs.steps + 1)
        return cls(row, number, np.cumsum(runs.steps + 1) - (runs.steps + 1))

    def sums(self, values: _Numbers) -> _Numbers:
        return np.add.reduceat(values, self.starts)


def fit_runs(points: Points, runs: Runs, limits: Limits) -> Fits:
    """One curve for each row of points; the limits say when a row is done and what its error means.

    Args:
        points: `(N, 2)`, no two neighbours equal.
        runs: the rows, at least one.
        limits: of the distance between points and curves.
    """
    num_runs = len(runs.first)
    best = Fits(np.zeros((num_runs, 4, 2)), np.full(num_runs, np.inf), np.zeros(num_runs, np.intp))
    live, rows = np.arange(num_runs), _Rows.of(runs)
    near = points[runs.first[rows.row] + rows.number]
    places = _by_length(near, rows)
    for _ in range(_ROUNDS):
        weights = _weights(places)
        curves = _least_squares(near, weights, rows, runs)
        gaps = _mixed(weights, curves[rows.row]) - near
        distances = np.hypot(*gaps.T)
        farthest = np.maximum.reduceat(distances, rows.starts)
        mean = rows.sums(distances) / (runs.steps + 1)
        errors = np.maximum(farthest / limits.farthest_px, mean / limits.mean_px)
        better = errors < best.errors[live]
        best.curves[live[better]], best.errors[live[better]] = curves[better], errors[better]
        best.worst[live[better]] = _first_of(distances == farthest[rows.row], rows)[better]
        goes_on = (best.errors[live] > 1) & (farthest <= _HOPELESS * limits.farthest_px + _HOPELESS_PX)
        if not goes_on.any():
            break
        kept = goes_on[rows.row]
        places = _nearer(curves[rows.row[kept]], gaps[kept], places[kept])
        near, live, runs = near[kept], live[goes_on], runs.take(goes_on)
        rows = _Rows.of(runs)
    return best


def _by_length(near: Points, rows: _Rows) -> _Numbers:
    """First guess of the points' places on their curves: their shares of the row's length."""
    steps = np.hypot(*np.diff(near, axis=0, prepend=near[:1]).T)
    steps[rows.starts] = 0
    length = np.cumsum(steps)
    length -= length[rows.starts][rows.row]
    return length / np.maximum.reduceat(length, rows.starts)[rows.row]


def _weights(places: _Numbers) -> _Numbers:
    """Bernstein polynomials, `(4, N)`."""
    left = 1 - places
    return np.stack([left**3, 3 * places * left**2, 3 * places**2 * left, places**3])


def _mixed(weights: _Numbers, vectors: Points) -> Points:
    """Sum of `(N, M, 2)` vectors, `(M, N)` weighted."""
    mixed: Points = np.einsum("mn,nmd->nd", weights, vectors)
    return mixed


def _least_squares(near: Points, weights: _Numbers, rows: _Rows, runs: Runs) -> Points:
    """Curves with these ends and end directions, nearest to the points: two lengths each are free."""
    starts, ends = near[rows.starts], near[rows.starts + runs.steps]
    outer = np.stack([starts, ends], axis=1)[rows.row]
    missing = near - _mixed(np.stack([weights[0] + weights[1], weights[2] + weights[3]]), outer)
    along = weights[1] * (missing * runs.leaving[rows.row]).sum(axis=1)
    back = weights[2] * (missing * -runs.arriving[rows.row]).sum(axis=1)
    square, other = rows.sums(weights[1] ** 2), rows.sums(weights[2] ** 2)
    mixed = rows.sums(weights[1] * weights[2]) * (runs.leaving * -runs.arriving).sum(axis=1)
    first, second = rows.sums(along), rows.sums(back)
    determinant = square * other - mixed**2
    solvable = determinant > 1e-12 * square * other
    determinant[~solvable] = 1
    lengths = np.stack([first * other - second * mixed, second * square - first * mixed]) / determinant
    chord = np.hypot(*(ends - starts).T)
    is_sound = solvable & (lengths > _SHORTEST_HANDLE * chord).all(0) & (lengths < _LONGEST_HANDLE * chord).all(0)
    lengths = np.where(is_sound, lengths, chord / 3)[..., None]
    return np.stack([starts, starts + lengths[0] * runs.leaving, ends - lengths[1] * runs.arriving, ends], axis=1)


def _first_of(marks: NDArray[np.bool_], rows: _Rows) -> _Places:
    """Number of the first marked point of each row; each has one."""
    marked = np.flatnonzero(marks)
    _, first = np.unique(rows.row[marked], return_index=True)
    return rows.number[marked[first]]


def _nearer(curves: Points, gaps: Points, places: _Numbers) -> _Numbers:
    """One step of Newton's method for each point's foot on its curve.

    Args:
        curves: `(N, 4, 2)`, each point's.
        gaps: `(N, 2)`, from the points to where on the curves they are placed.
        places: `(N,)` in [0, 1].
    """
    left = 1 - places
    rise, bend = 3 * np.diff(curves, axis=1), 6 * np.diff(curves, n=2, axis=1)
    speed = _mixed(np.stack([left**2, 2 * places * left, places**2]), rise)
    turn = _mixed(np.stack([left, places]), bend)
    slope = (speed**2).sum(axis=1) + (gaps * turn).sum(axis=1)
    step = np.divide((gaps * speed).sum(axis=1), slope, out=np.zeros_like(places), where=slope > 1e-12)
    moved: _Numbers = np.clip(places - step, 0, 1)
    return moved


class _Pieces(NamedTuple):
    """Parts of closed lines that get one curve each, in order around their lines.

    Attributes:
        line: `(K,)`, which line.
        first: `(K,)`, the first point, counted from the line's own first.
        steps: `(K,)`, how many points further the last one is, which is the next piece's first.
        curves: `(K, 4, 2)`.
    """

    line: _Places
    first: _Places
    steps: _Places
    curves: Points

    def take(self, places: _Places | NDArray[np.bool_]) -> "_Pieces":
        return _Pieces(self.line[places], self.first[places], self.steps[places], self.curves[places])

    def join(self, other: "_Pieces") -> "_Pieces":
        line, first, steps, curves = (np.concatenate(pair) for pair in zip(self, other, strict=True))
        return _Pieces(line, first, steps, curves)


def fit_lines(shapes: list[LineShape], limits: Limits) -> list[Points]:
    """Smooth curves around closed lines, with sharp joints at their corners only.

    Args:
        shapes: at least one.
        limits: how far the points may lie from the curves.

    Returns:
        `(K, 4, 2)` for each line: start, two control points and end of each curve, which is the next one's start.
    """
    return _Fitting(shapes, limits).run()


class _Fitting:
    def __init__(self, shapes: list[LineShape], limits: Limits) -> None:
        self._shapes, self._limits = shapes, limits
        self._sizes = np.array([len(shape.points) for shape in shapes])
        # Each line twice, end to end: so a piece that runs over its line's first point is one row too.
        self._starts = 2 * (np.cumsum(self._sizes) - self._sizes)
        self._points = np.concatenate([np.tile(shape.points, (2, 1)) for shape in shapes])
        self._leaving = np.concatenate([np.tile(shape.leaving, (2, 1)) for shape in shapes])
        self._arriving = np.concatenate([np.tile(shape.arriving, (2, 1)) for shape in shapes])

    def run(self) -> list[Points]:
        pieces = self._merge(self._split(self._between_corners()))
        return [pieces.curves[pieces.line == line] for line in range(len(self._shapes))]

    def _between_corners(self) -> _Pieces:
        """From corner to corner; a line with fewer than two corners in halves, for no curve ends where it began."""
        cuts = [_cuts_of(shape) for shape in self._shapes]
        line = np.repeat(np.arange(len(cuts)), list(map(len, cuts)))
        first = np.concatenate(cuts)
        until = np.roll(first, -1)
        is_last = np.diff(line, append=-1) != 0
        until[is_last] = first[np.searchsorted(line, line[is_last])] + self._sizes[line[is_last]]
        return _Pieces(line, first, until - first, np.empty((len(line), 4, 2)))

    def _split(self, pieces: _Pieces) -> _Pieces:
        """Cut pieces at their worst points until all fit."""
        done = pieces.take(np.empty(0, np.intp))
        while len(pieces.line):
            fits = self._fit(pieces)
            fit = (fits.errors <= 1) | (pieces.steps == 1)
            done = done.join(pieces._replace(curves=fits.curves).take(fit))
            rest = pieces.take(~fit)
            cut = fits.worst[~fit].clip(1, rest.steps - 1)
            pieces = rest._replace(steps=cut).join(rest._replace(first=rest.first + cut, steps=rest.steps - cut))
        return done.take(self._order(done))

    def _merge(self, pieces: _Pieces) -> _Pieces:
        """Replace neighbours by one curve where that fits: cutting at worst points leaves more than are needed."""
        is_new = np.ones(len(pieces.line), bool)
        for _ in range(_MERGE_ROUNDS):
            after = self._followers(pieces)
            pairs = np.flatnonzero(self._may_merge(pieces, after) & (is_new | is_new[after]))
            if not len(pairs):
                break
            both = pieces.take(pairs)
            both = both._replace(steps=both.steps + pieces.steps[after[pairs]])
            fits = self._fit(both)
            chosen, taken = _choose_apart(pairs, after, fits.errors)
            merged = pieces.take(~taken).join(both._replace(curves=fits.curves).take(chosen))
            order = self._order(merged)
            pieces, is_new = merged.take(order), order >= len(order) - len(chosen)
        return pieces

    def _fit(self, pieces: _Pieces) -> Fits:
        first = self._starts[pieces.line] + pieces.first % self._sizes[pieces.line]
        runs = Runs(first, pieces.steps, self._leaving[first], self._arriving[first + pieces.steps])
        return fit_runs(self._points, runs, self._limits)

    def _order(self, pieces: _Pieces) -> _Places:
        return np.lexsort((pieces.first % self._sizes[pieces.line], pieces.line))

    def _followers(self, pieces: _Pieces) -> _Places:
        """Which piece comes after each, around its line."""
        after = np.arange(len(pieces.line)) + 1
        is_last = np.diff(pieces.line, append=-1) != 0
        after[is_last] = np.searchsorted(pieces.line, pieces.line[is_last])
        return after

    def _may_merge(self, pieces: _Pieces, after: _Places) -> NDArray[np.bool_]:
        """Not over a corner, and each line keeps two curves: some programs take fewer for no outline."""
        joint = self._starts[pieces.line] + pieces.first % self._sizes[pieces.line] + pieces.steps
        is_smooth: NDArray[np.bool_] = (self._leaving[joint] == self._arriving[joint]).all(axis=1)
        here = np.arange(len(after))
        is_smooth &= (after != here) & (after[after] != here)
        return is_smooth


def _cuts_of(shape: LineShape) -> _Places:
    if len(shape.corners) > 1:
        return shape.corners
    first = int(shape.corners[0]) if len(shape.corners) else 0
    return np.sort((first + np.array([0, len(shape.points) // 2])) % len(shape.points))


def _choose_apart(pairs: _Places, after: _Places, errors: NDArray[np.float64]) -> tuple[_Places, NDArray[np.bool_]]:
    """Of pairs of neighbours that fit, the best that share no piece; and which pieces those take."""
    taken, chosen = np.zeros(len(after), bool), []
    for number in np.argsort(errors, kind="stable"):
        piece = pairs[number]
        if errors[number] > 1:
            break
        if not taken[piece] and not taken[after[piece]]:
            taken[piece] = taken[after[piece]] = True
            chosen.append(number)
    return np.array(chosen, np.intp), taken


def path_tolerance_px(kind: str, height_px: int) -> float:
    """How far a path may lie from the outline of a garment in a photo of this height.

    Args:
        kind: `editable`: larger photos give it more room, so that it has the same few knots; `exact`: a quarter pixel.
        height_px: of the whole photo.
    """
    return EXACT_PX if kind == "exact" else EDITABLE_PX * max(height_px / _REFERENCE_HEIGHT_PX, 1)


def trace_outline(alpha: NDArray[np.float32], *, tolerance_px: float = EDITABLE_PX, name: str = "Path 1") -> PenPath:
    """The outline of a garment, its holes too.

    Args:
        alpha: `(H, W)` float32 in [0, 1]. What lies outside the picture counts as background.
        tolerance_px: how far the path may lie from the line at alpha 0.5.
        name: the path's.

    Returns:
        Closed outlines, to be filled under the even-odd rule; none where no pixel is half covered.
    """
    lines = trace_contours(alpha)
    if not lines:
        return PenPath(name, ())
    width_px = abs(sum(map(area_of, lines))) / sum(map(_length_of, lines))
    lost_share = min(_LOST_SHARE * tolerance_px, _MOST_LOST_SHARE)
    lost_share = max(min(lost_share, _MOST_LOST_WITH_RIM - _RIM_LOST_PX / width_px), _LEAST_LOST_SHARE)
    lost_px = lost_share * width_px
    limits = Limits(tolerance_px, min(_MEAN * tolerance_px, lost_px))
    size = alpha.shape[::-1]
    outlines = fit_lines([shape_of(line) for line in lines], limits)
    return PenPath(name, tuple(Subpath(0, True, _knots(curves) / size) for curves in outlines))


def _length_of(line: Points) -> float:
    return float(np.hypot(*(line - np.roll(line, 1, axis=0)).T).sum())


def _knots(curves: Points) -> Points:
    """`(K, 3, 2)`: control point before, anchor, control point after, of a closed row of curves."""
    return np.stack([np.roll(curves[:, 2], 1, axis=0), curves[:, 0], curves[:, 1]], axis=1)
