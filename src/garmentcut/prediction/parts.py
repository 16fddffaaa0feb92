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
        before = np.zeros((self.shape_hw[0], self.shape_hw[1] + 1), np.intp)
        np.cumsum(mask, axis=1, out=before[:, 1:])
        found = before[self.rows, self.stops] - before[self.rows, self.starts]
        return np.bincount(self.part, found, len(self)).astype(np.intp)

    def mask_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The mask of some parts.

        Args:
            chosen: `(parts,)` bool.
        """
        runs = chosen[self.part]
        steps = np.zeros((self.shape_hw[0], self.shape_hw[1] + 1), np.int8)
        steps[self.rows[runs], self.starts[runs]] += 1
        steps[self.rows[runs], self.stops[runs]] -= 1
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(np.bool_)


def parts_of(mask: NDArray[np.bool_]) -> Parts:
    """Find the parts of a mask `(H, W)`; none if nothing is true."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change > 0)
    stops = np.nonzero(change < 0)[1]
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
