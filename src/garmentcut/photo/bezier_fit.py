"""Fit cubic Bezier curves to rows of points, one a row, all rows at once.

P. J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics Gems (1990): least squares for the
lengths of both handles and Newton's method for where on the curve each point belongs, in turn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.path import Points, count_up

_ROUNDS = 5  # of fitting and moving the points' places; more hardly change a curve
_HOPELESS, _HOPELESS_PX = 4.0, 2.0  # times the limit, and on top of it: no moving of places will mend that
_SHORTEST_HANDLE, _LONGEST_HANDLE = 1e-3, 3.0  # chords; beyond, a curve would loop or fold back

_Numbers = NDArray[np.float64]
_Places = NDArray[np.intp]


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
