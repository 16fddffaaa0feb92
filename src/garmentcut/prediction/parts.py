"""Separate parts of a mask: which pixels hang together, how many they are, where they lie. numpy alone."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a mask, each pixel's eight neighbours being its own; part 0, 1, 2 ... by falling area.

    A mask is held as runs: stretches of a row.

    Attributes:
        shape_hw: of the mask.
        rows: `(runs,)`: row of each run.
        starts: its first column.
        stops: its last column plus one.
        part: which part it belongs to.
        areas: `(parts,)`: pixels of each part.
    """

    shape_hw: tuple[int, int]
    rows: _Ints
    starts: _Ints
    stops: _Ints
    part: _Ints
    areas: _Ints

    def __len__(self) -> int:
        return len(self.areas)

    @cached_property
    def boxes_xyxy(self) -> _Ints:
        """`(parts, 4)`: left, top, right, bottom, the latter two exclusive."""
        boxes = np.empty((len(self), 4), np.intp)
        boxes[:, :2], boxes[:, 2:] = np.iinfo(np.intp).max, 0
        for column, extreme, values in (
            (0, np.minimum, self.starts),
            (1, np.minimum, self.rows),
            (2, np.maximum, self.stops),
            (3, np.maximum, self.rows + 1),
        ):
            extreme.at(boxes[:, column], self.part, values)
        return boxes

    def counts_of(self, mask: NDArray[np.bool_]) -> _Ints:
        """`(parts,)`: how many of each part's pixels are true in a mask of the same shape."""
        before = np.zeros(mask.size + 1, np.int32)
        np.cumsum(mask, out=before[1:])
        row_starts = self.rows * self.shape_hw[1]
        found = before[row_starts + self.stops] - before[row_starts + self.starts]
        return np.bincount(self.part, found, len(self)).astype(np.intp)

    def mask_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask of some parts.

        Args:
            chosen: `(parts,)` bool.
        """
        runs = chosen[self.part]
        lengths = (self.stops - self.starts)[runs]
        # Pixels are counted on through all runs; each run shifts its own to where it begins.
        shifts = (self.rows * self.shape_hw[1] + self.starts)[runs] - (np.cumsum(lengths) - lengths)
        mask = np.zeros(self.shape_hw, np.bool_)
        mask.reshape(-1)[np.repeat(shifts, lengths) + np.arange(lengths.sum())] = True
        return mask


def parts_of(mask: NDArray[np.bool_]) -> Parts:
    """Find the parts of a mask `(H, W)`; none if nothing is true."""
    stride = mask.shape[1] + 1  # a column to spare, so that runs end with their row
    pixels = np.flatnonzero(np.pad(mask, ((0, 0), (0, 1))))  # of few true pixels, ten times as fast as `nonzero`
    rows, starts = np.divmod(pixels[np.diff(pixels, prepend=-2) != 1], stride)
    stops = pixels[np.diff(pixels, append=-2) != 1] + 1 - rows * stride
    roots = _joined(len(rows), *_touching(rows, starts, stops, mask.shape[1]))
    _, part = np.unique(roots, return_inverse=True)
    areas = np.bincount(part, stops - starts).astype(np.intp) if len(part) else np.zeros(0, np.intp)
    order = np.argsort(-areas, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    height, width = mask.shape
    return Parts((height, width), rows, starts, stops, rank[part], areas[order])


def _touching(rows: _Ints, starts: _Ints, stops: _Ints, width: int) -> tuple[_Ints, _Ints]:
    """Pairs of runs, one row apart, that share an edge or a corner; runs are in reading order."""
    # A row is laid out with two columns to spare, so that rows do not touch over their ends.
    stride = width + 2
    begin, end = rows * stride + starts, rows * stride + stops
    first = np.searchsorted(end, begin - stride, side="left")  # of the row above: ends at or after our start
    last = np.searchsorted(begin, end - stride, side="right")  # and starts at or before our end
    num = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(rows)), num)
    above = np.arange(num.sum()) - np.repeat(np.cumsum(num) - num, num) + np.repeat(first, num)
    return below, above


def _joined(num: int, one: _Ints, other: _Ints) -> _Ints:
    """The least number among all that are joined, directly or over others, to each of `num` things."""
    root = np.arange(num)
    while True:
        low, high = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        if np.array_equal(low, high):
            return root
        np.minimum.at(root, high, low)
        while not np.array_equal(shorter := root[root], root):
            root = shorter
