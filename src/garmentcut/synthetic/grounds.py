"""Other backgrounds, for `render` and training composites: packshots on white, walls, rooms, lamps, floors."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from garmentcut.photo.compose import clean_edge_color
from garmentcut.photo.mask import bounding_box
from garmentcut.synthetic.canvas import (
    Floats,
    PaintLayer,
    axes,
    between,
    ellipse,
    happens,
    lattice,
    named_stream,
    pick,
    polygon_coverage,
    sample,
    soften,
    spline,
    stroke,
)
from garmentcut.synthetic.mannequin import MAKES, design_mannequin, paint_mannequin
from garmentcut.synthetic.scene import FigurePlacement, design_light

_SHARES, _MOST_SCALE = (0.35, 0.97), 1.5  # of the frame that the garment takes, high or wide; of the photo, enlarged
_SHOULDER, _WAIST = 0.05, 0.24  # body y
_SHADOW = 0.3  # of the light behind the garment


def paint_ground(seed: int, name: str, size_hw: tuple[int, int]) -> Floats:
    """Return one of `GROUNDS`, an empty place, float32 (H, W, 3) in [0, 1]; a seed gives the same one at any size."""
    rng = named_stream(seed, "ground", name)
    rgb = GROUNDS[name](rng, size_hw)
    across, down = axes(size_hw)
    slope = between(rng, -0.08, 0.08) * (across - 0.5) + between(rng, -0.06, 0.06) * (down - 0.5)
    uneven = 0.03 * sample(lattice(rng, 6, 5), across * 0.8, down)
    strength = 0.15 if name == "white" else 1.0
    return np.asarray(np.clip(rgb * (1 + strength * (slope + uneven))[..., None], 0, 1), np.float32)


def composite(
    photo: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32], seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Put a photo's garment onto another ground, smaller and elsewhere, with or without a figure in it.

    The photo is uint8 (H, W, 3) sRGB; the seed decides on all that is drawn.

    Returns:
        The picture, uint8 (H, W, 3), and its exact alpha, float32 (H, W): every pixel is the garment's colour times
        alpha plus the ground times the rest. A photo without a garment gives the ground and zeros.
    """
    rng, size_hw = named_stream(seed, "composite"), (alpha.shape[0], alpha.shape[1])
    behind = paint_ground(seed, pick(rng, dict.fromkeys(GROUNDS, 1.0)), size_hw)
    share, spot = between(rng, *_SHARES), rng.random(2)
    make = pick(rng, {"": 3.0, **dict.fromkeys(MAKES, 1.0)})
    colour = clean_edge_color(photo, alpha).astype(np.float32) / 255 * alpha[..., None]
    planes = _moved(np.dstack([colour, alpha]), share, spot)
    garment, moved = planes[..., :3], planes[..., 3]
    box = bounding_box(moved >= 0.5)
    if make and box is not None:
        worn_at = _worn_at(moved, box, _WAIST if happens(rng, 0.3) else _SHOULDER)
        figure = paint_mannequin(design_mannequin(seed, make), worn_at, design_light(seed))
        behind = figure.rgb + (1 - figure.alpha)[..., None] * behind
    reach = max(round(0.012 * size_hw[0]), 1)
    shade = 1 - _SHADOW * rng.random() * np.roll(soften(moved, reach), (reach // 2, reach // 3), axis=(0, 1))
    grain = rng.standard_normal(behind.shape, np.float32) * between(rng, 0.002, 0.008)  # a photo has some everywhere
    behind = np.clip(behind * shade[..., None] + grain, 0, 1)
    rgb = garment + (1 - moved)[..., None] * behind
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8), moved


def _moved(planes: Floats, share: float, spot: Floats) -> npt.NDArray[np.float32]:
    """Planes (H, W, C), the last of them alpha, with the garment at another size and place, whole and in the frame."""
    import cv2

    framed = np.zeros(planes.shape, np.float32)
    box = bounding_box(planes[..., -1] > 0)
    if box is None:
        return framed
    left, top, right, bottom = box
    part = planes[top:bottom, left:right]
    most = min(planes.shape[0] / part.shape[0], planes.shape[1] / part.shape[1])
    scale = min(share * most, _MOST_SCALE)
    size_wh = max(int(part.shape[1] * scale), 1), max(int(part.shape[0] * scale), 1)
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    moved = np.asarray(cv2.resize(part, size_wh, interpolation=kernel), np.float32)
    y, x = (round(float(spot[axis]) * (planes.shape[axis] - moved.shape[axis])) for axis in (0, 1))
    framed[y : y + size_wh[1], x : x + size_wh[0]] = moved
    return framed


def _worn_at(alpha: Floats, box: tuple[int, int, int, int], begins: float) -> FigurePlacement:
    """Where a figure stands whose garment begins at this body y, the figure as wide there as the garment's top."""
    left, top, right, bottom = box
    upper = alpha[top : top + max((bottom - top) // 6, 1)] >= 0.5
    widths = upper.sum(axis=1)
    middle = float((upper * (np.arange(alpha.shape[1]) + 0.5)).sum() / max(upper.sum(), 1))
    unit = max(float(np.median(widths)) / 0.17, (bottom - top) / 0.9, 1.0)
    size_hw = (alpha.shape[0], alpha.shape[1])
    return FigurePlacement(size_hw, middle or (left + right) / 2, top - begins * unit, unit, 0.0)


def _colour(rng: np.random.Generator, low: float = 0.1, high: float = 0.95) -> Floats:
    """A muted colour: rooms have few bright ones."""
    grey = between(rng, low, high)
    return np.asarray(np.clip(grey + rng.normal(0, 0.07, 3), 0, 1), np.float32)


def _white(_: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    return np.full((*size_hw, 3), 0.995, np.float32)


def _plain(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """A wall or paper of one colour, one side of it darker."""
    across, down = axes(size_hw)
    ends, angle = (_colour(rng), _colour(rng)), between(rng, 0, np.pi)
    along = np.clip((across - 0.5) * np.cos(angle) + (down - 0.5) * np.sin(angle) + 0.5, 0, 1)[..., None]
    return np.asarray(ends[0] + 0.35 * along * (ends[1] - ends[0]), np.float32)


def _room(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Wall and floor, with windows, doors, pictures, shelves and boxes, more or less out of focus."""
    layer, horizon = PaintLayer(_plain(rng, size_hw), np.ones(size_hw, np.float32)), between(rng, 0.62, 0.9)
    _lay(layer, [(0, 0), (1, 0), (1, horizon), (0, horizon)], _colour(rng, 0.3))
    _lay(layer, [(0, horizon), (1, horizon), (1, 1), (0, 1)], _colour(rng, 0.15, 0.8))
    _lay(layer, [(0, horizon - 0.02), (1, horizon - 0.02), (1, horizon), (0, horizon)], _colour(rng, 0.5))
    for _ in range(int(rng.integers(3, 12))):
        width, height = between(rng, 0.05, 0.4), between(rng, 0.05, 0.5)
        x, y = between(rng, -0.15, 1), horizon - height if happens(rng, 0.5) else between(rng, -0.1, horizon - 0.05)
        frame, inside = _colour(rng), _colour(rng, 0.05, 1.0)
        _lay(layer, _box(x, y, width, height), frame)
        for part in range(int(rng.integers(0, 4))):  # panes, drawers, books
            step = height / 4
            _lay(layer, _box(x + 0.01, y + 0.01 + part * step, width - 0.02, step - 0.015), inside)
    for _ in range(int(rng.integers(0, 3))):  # leaves of plants
        x, y, green = between(rng, 0, 1), between(rng, 0.3, horizon), (0.15, between(rng, 0.25, 0.45), 0.12)
        for turn in rng.uniform(-1.2, 1.2, 9).tolist():
            tip = (x + 0.13 * np.sin(turn), y - 0.1 * np.cos(turn))
            leaf = np.array([(x, y), (x + 0.06 * np.sin(turn), y - 0.08), tip])
            _lay(layer, stroke(spline(leaf, closed=False), 0.012), np.array(green))
    sigma_px = between(rng, 0, 0.006) * size_hw[0]  # out of focus
    return np.stack([soften(layer.rgb[..., channel], sigma_px) for channel in range(3)], axis=-1)


def _lamps(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """A backdrop between softboxes and bare lamps, with their stands and the glow around them."""
    rgb = _plain(rng, size_hw) * between(rng, 0.25, 1.0)
    across, down = axes(size_hw)
    ratio = size_hw[0] / size_hw[1]
    for _ in range(int(rng.integers(2, 5))):
        x, y, size = between(rng, -0.05, 1.05), between(rng, 0, 0.6), between(rng, 0.02, 0.12)
        layer = PaintLayer(np.ascontiguousarray(rgb), np.ones(size_hw, np.float32))
        _lay(layer, stroke(np.array([(x, y), (x + 0.01, 0.97)]), 0.008), np.array((0.08, 0.08, 0.09)))
        if happens(rng, 0.5):
            _lay(layer, _box(x - size, y - size / ratio, 2 * size, 2 * size / ratio), np.array((1.0, 1.0, 0.98)))
        else:
            _lay(layer, ellipse((x, y), (size, size / ratio)), np.array((1.0, 0.99, 0.95)))
        far = ((across - x) / size) ** 2 + ((down - y) * ratio / size) ** 2
        rgb = layer.rgb + 0.5 * np.exp(-far / 12)[..., None]
    return np.asarray(np.clip(rgb, 0, 1), np.float32)


def _floor(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """Boards, tiles or carpet, as garments are laid on and photographed from above."""
    across, down = axes(size_hw)
    if happens(rng, 0.5):
        across, down = down * size_hw[0] / size_hw[1], across * size_hw[1] / size_hw[0]
    num, joint = int(rng.integers(3, 14)), between(rng, 0.01, 0.05)
    board = np.floor(down * num).astype(np.int32)
    shift = rng.random(num * 3 + 3)[board % (num * 3 + 3)]
    length = between(rng, 0.5, 3.0)
    piece = np.floor(across * length + shift).astype(np.int32)
    tone = rng.uniform(-1, 1, 997)[(board * 31 + piece * 17) % 997]
    heights = lattice(rng, 200, 40)
    grain = sample(heights, across * between(rng, 0.5, 3), (down * num / 3) % 1)
    edge = np.minimum((down * num) % 1, 1 - (down * num) % 1) < joint / 2
    light = 1 + between(rng, 0.02, 0.14) * tone + between(rng, 0.02, 0.08) * grain - 0.35 * edge
    warm = np.array((1.0, between(rng, 0.72, 1.0), between(rng, 0.45, 1.0)))
    return np.asarray(np.clip(between(rng, 0.25, 0.95) * warm * light[..., None], 0, 1), np.float32)


GROUNDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "white": _white,
    "plain": _plain,
    "room": _room,
    "lamps": _lamps,
    "floor": _floor,
}
"""Places by name."""


def _box(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _lay(layer: PaintLayer, points: "list[tuple[float, float]] | Floats", colour: Floats) -> None:
    """Paint a shape given in fractions of the frame."""
    height, width = layer.alpha.shape
    patch = polygon_coverage(np.array(points, np.float64) * (width, height), (height, width))
    layer.paint(patch, np.asarray(colour, np.float32))
