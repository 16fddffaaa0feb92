"""Closed lines to rows of curves: split until each piece fits one curve, then joined where two pieces fit as one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.bezier_fit import Fits, Limits, Runs, fit_runs
from garmentcut.photo.line_shape import LineShape
from garmentcut.photo.path import Points

_MERGE_ROUNDS = 8

_Places = NDArray[np.intp]


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
