"""Smooth noise on a small lattice: the same bumps at any size of the photo."""

import numpy as np

from garmentcut.dataset.studio.canvas import Floats


def lattice(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return random heights in [-1, 1], float32 (rows, columns)."""
    return rng.uniform(-1, 1, (rows, columns)).astype(np.float32)


def sample(heights: Floats, across: Floats, down: Floats) -> Floats:
    """Return the smooth surface through a lattice at given places.

    Args:
        heights: (rows, columns).
        across: Place along the columns; 1 is once around, and it repeats.
        down: Place along the rows; 0 is the first row and 1 the last, and it stays beyond.
    """
    rows, columns = heights.shape
    x = across * columns
    y = np.clip(down, 0, 1) * (rows - 1)
    x_floor, y_floor = np.floor(x), np.floor(y)
    column, row = x_floor.astype(np.int32) % columns, y_floor.astype(np.int32)
    right, below = (column + 1) % columns, np.minimum(row + 1, rows - 1)
    u, v = _ease(x - x_floor), _ease(y - y_floor)
    upper = heights[row, column] * (1 - u) + heights[row, right] * u
    lower = heights[below, column] * (1 - u) + heights[below, right] * u
    return np.asarray(upper * (1 - v) + lower * v, np.float32)


def _ease(t: Floats) -> Floats:
    return np.asarray(t * t * (3 - 2 * t))
