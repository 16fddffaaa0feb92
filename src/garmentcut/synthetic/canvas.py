"""Drawing tools for the synthetic studio: named random streams, smooth noise, polygons with exact coverage, layers."""

import tomllib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from garmentcut.photo.path import draw_coverage

Floats = npt.NDArray[np.floating[Any]]
Table = TypeVar("Table")
_TABLES = tomllib.loads(Path(__file__).with_name("studio.toml").read_text(encoding="utf-8"))


def read_table(kind: type[Table], name: str) -> Table:
    """Return the table of this name in `studio.toml`."""
    return TypeAdapter(kind).validate_python(_TABLES[name])


def named_stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random generator for a part of a photo, e.g. `"garment", "folds"`; each name has its own stream."""
    keys = [zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


def pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """Return one key of `weights`, with a probability proportional to its weight."""
    point = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        point -= weight
        if point < 0:
            return name
    return next(reversed(list(weights)))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a uniform random number in [low, high)."""
    return float(low + (high - low) * rng.random())


def happens(rng: np.random.Generator, chance: float) -> bool:
    """Return True with this probability in [0, 1]."""
    return bool(rng.random() < chance)


def lattice(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return random heights in [-1, 1], float32 (rows, columns)."""
    return rng.uniform(-1, 1, (rows, columns)).astype(np.float32)


def sample(heights: Floats, across: Floats, down: Floats) -> Floats:
    """Sample the smooth surface through a lattice, (rows, columns), at given places.

    `across` is the place along the columns; it repeats with a period of 1. `down` is the place along the rows, from 0,
    the first, to 1, the last; it is clipped to that range.
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


def dot(vectors: Floats, direction: Floats) -> Floats:
    """Return the dot products of vectors (..., 3) with a direction, (3,)."""
    # Written out, because the order of sums in a library's matrix product may differ between machines.
    x, y, z = (float(part) for part in direction)
    return np.asarray(vectors[..., 0] * x + vectors[..., 1] * y + vectors[..., 2] * z)


class Patch(NamedTuple):
    """Coverage of a small part of the frame."""

    top: int  # Row of the frame where the patch begins
    left: int  # Column of the frame where the patch begins
    coverage: Floats  # float32 (h, w) in [0, 1]

    @property
    def window(self) -> tuple[slice, slice]:
        """The part of a frame that lies under the patch."""
        height, width = self.coverage.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class PaintLayer(NamedTuple):
    """A layer with premultiplied colour, (H, W, 3), and its coverage, (H, W), both float32 in [0, 1]."""

    rgb: Floats
    alpha: Floats

    @staticmethod
    def empty(size_hw: tuple[int, int]) -> "PaintLayer":
        """Return an empty layer of this size."""
        return PaintLayer(np.zeros((*size_hw, 3), np.float32), np.zeros(size_hw, np.float32))

    def paint(self, patch: Patch, rgb: Floats) -> None:
        """Paint a patch in a colour, (3,) or (h, w, 3), over what is already there."""
        cover, window = patch.coverage, patch.window
        self.rgb[window] += cover[..., None] * (rgb - self.rgb[window])
        self.alpha[window] += cover * (1 - self.alpha[window])


def polygon_coverage(points_px: Floats, size_hw: tuple[int, int]) -> Patch:
    """Return the exact share of each pixel that a polygon covers, clipped to the frame.

    Corners are (N, 2), x and y; pixel i spans [i, i + 1]. Self-intersections follow the even-odd rule.
    """
    low = np.clip(np.floor(points_px.min(axis=0)), 0, (size_hw[1], size_hw[0])).astype(int)
    high = np.clip(np.ceil(points_px.max(axis=0)), low, (size_hw[1], size_hw[0])).astype(int)
    width, height = (int(side) for side in high - low)
    coverage = np.zeros((height, width), np.float32)
    if coverage.size:
        coverage = draw_coverage([(points_px - low).astype(np.float64)], (height, width))
    return Patch(int(low[1]), int(low[0]), coverage)


def axes(size_hw: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the centres of pixels across (1, W) and down (H, 1), in [0, 1]."""
    height, width = size_hw
    return ((np.arange(width) + 0.5) / width)[None, :], ((np.arange(height) + 0.5) / height)[:, None]


def spline(points: Floats, *, closed: bool, samples: int = 12) -> Floats:
    """Return a Catmull-Rom curve through control points, (N, 2) to (M, 2), with `samples` points per span."""
    padded = np.concatenate([points[-1:], points, points[:2]]) if closed else points[[0, *range(len(points)), -1]]
    before, start, end, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(samples) / samples)[None, :, None]
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def stroke(points: Floats, width: float) -> Floats:
    """Return the outline of a line of this width along (N, 2) points."""
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across *= width / 2 / np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    return np.concatenate([points + across, (points - across)[::-1]])


def ellipse(centre: tuple[float, float], half_axes: tuple[float, float], corners: int = 64) -> Floats:
    """Return an ellipse as a polygon, (corners, 2)."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([centre[0] + half_axes[0] * np.cos(angle), centre[1] + half_axes[1] * np.sin(angle)], axis=1)


def soften(image: Floats, radius_px: float) -> Floats:
    """Return (H, W) blurred by three box filters, about a Gaussian of sigma `radius_px`; edges repeat."""
    reach = round(radius_px)
    if reach < 1:
        return image
    blurred: Any = np.ascontiguousarray(image, np.float32)
    for _ in range(3):
        blurred = cv2.blur(blurred, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(image.shape)
