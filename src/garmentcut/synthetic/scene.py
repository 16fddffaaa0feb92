"""Draws the surroundings of the figure, for `render`: studios and other places, their light, and the camera."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from garmentcut.synthetic.canvas import (
    Floats,
    PaintLayer,
    Patch,
    axes,
    between,
    dot,
    ellipse,
    happens,
    lattice,
    named_stream,
    pick,
    polygon_coverage,
    read_table,
    sample,
    soften,
    spline,
    stroke,
)

Point = tuple[float, float]
Colour = tuple[int, int, int]
VIEWS = ("Front", "FrontRight", "Back")
_TURN = {"Front": 0.0, "FrontRight": 45.0, "Back": 180.0}  # degrees
CAMERA_HEIGHT = 0.42  # body y at the camera's height
CAMERA_DISTANCE = 3.4  # body units
_FULL_HEIGHT = 1728  # the lens blurs a photo of this height; smaller ones are sharper, as if reduced from it


@dataclass(frozen=True)
class Piece:
    """A flat object in the studio."""

    shape: str  # `polygon` (corners), `curve` (a smooth closed outline), `line` (a smooth stroke), `disc` (two corners)
    points: tuple[Point, ...]  # x, y in fractions of the frame
    top: Colour  # sRGB at its upper end, 0 to 255
    bottom: Colour  # sRGB at its lower end
    chance: float = 1.0  # Probability that it is there
    jitter: float = 0.0  # How far it may be shifted, in fractions of the frame
    grain: float = 0.0  # Strength of its speckle (carpet, concrete), in [0, 1]
    width: float = 0.003  # Thickness of a line, in fractions of the frame's height
    group: int = 0  # Pieces of a group are there together or not at all; 0 is no group
    in_front: bool = False  # In front of the turntable


@dataclass(frozen=True)
class Studio:
    """The furniture of a studio."""

    weight: float  # Relative frequency
    pieces: tuple[Piece | str, ...]  # Back to front; a name stands for `FURNITURE` that several studios share


FURNITURE = read_table(dict[str, tuple[Piece, ...]], "furniture")
STUDIOS = read_table(dict[str, Studio], "studios")


class FigurePlacement(NamedTuple):
    """Maps body coordinates to pixels."""

    size_hw: tuple[int, int]  # The frame in pixels
    axis_px: float  # Column of the turntable's axis
    neck_px: float  # Row of body y = 0
    unit_px: float  # Pixels in one body unit
    yaw: float  # Radians

    def to_px(self, points: Floats) -> Floats:
        """Convert body points (N, 2) to pixel positions."""
        return np.asarray(points * self.unit_px + np.array([self.axis_px, self.neck_px]))

    def of_window(self, window: tuple[slice, slice]) -> tuple[Floats, Floats]:
        """Return body x (w,) and y (h,) of the centres of a window's pixels."""
        rows, columns = (np.arange(side.start, side.stop) + 0.5 for side in window)
        return self.x_of(columns), self.y_of(rows)

    def cover(self, points: Floats) -> Patch:
        """Return the share of each pixel that a polygon (N, 2) of body points covers."""
        return polygon_coverage(self.to_px(points), self.size_hw)

    def x_of(self, columns_px: Floats) -> Floats:
        """Return body x of pixel positions."""
        return np.asarray((columns_px - self.axis_px) / self.unit_px)

    def y_of(self, rows_px: Floats) -> Floats:
        """Return body y of pixel positions."""
        return np.asarray((rows_px - self.neck_px) / self.unit_px)


def place_figure(seed: int, view: str, size_hw: tuple[int, int]) -> FigurePlacement:
    """Return the placement of the seed's figure in a view; only the turntable moves between views."""
    rng = named_stream(seed, "placement")
    height, width = size_hw
    axis, neck, unit = between(rng, 0.44, 0.56), between(rng, 0.155, 0.215), between(rng, 0.68, 0.75)
    unit = min(unit, 0.93 - neck)
    wobble = {name: between(rng, -4, 4) for name in VIEWS}
    yaw = np.deg2rad(_TURN[view] + wobble[view])
    return FigurePlacement(size_hw, axis * width, neck * height, unit * height, float(yaw))


def lower_by_perspective(y: Floats, depth: Floats) -> Floats:
    """Return the body y that appears at picture y: perspective moves what is near the camera away from its axis."""
    return np.asarray(y - (y - CAMERA_HEIGHT) * depth * np.float32(1 / CAMERA_DISTANCE), np.float32)


@dataclass(frozen=True)
class Light:
    """Soft studio light."""

    key: Floats  # Unit direction to the key light (right, down, towards the camera)
    key_share: float  # Share of the light that comes from it, in [0, 1]
    tint: Floats  # (3,) colour of the light, about 1


def design_light(seed: int) -> Light:
    """Return the light for a seed: two large softboxes, one a little stronger."""
    rng = named_stream(seed, "light")
    side = -1.0 if rng.random() < 0.5 else 1.0
    key = np.array([side * between(rng, 0.35, 0.85), between(rng, -0.7, -0.3), between(rng, 0.5, 0.9)])
    warmth = between(rng, -0.02, 0.035)
    tint = np.array([1 + warmth, 1 + warmth * 0.25, 1 - warmth], np.float32)
    return Light(np.asarray(key / np.linalg.norm(key), np.float32), between(rng, 0.22, 0.5), tint)


def shine(light: Light, normals: Floats, softness: float = 0.62) -> Floats:
    """Return brightness (rows, columns), about 1 in full light, of matt surfaces with unit normals (rows, columns, 3).

    `softness` is the brightness of a surface that is lit only by the white surroundings.
    """
    key = np.maximum(dot(normals, light.key), 0)
    fill = 0.5 + 0.5 * normals[..., 2] - 0.12 * normals[..., 1]
    lit = light.key_share * key * 1.25 + (1 - light.key_share) * fill
    return np.asarray(softness + (1.06 - softness) * lit, np.float32)


class SceneDesign(NamedTuple):
    """One studio."""

    name: str  # Its key in the table of studios
    # Its pieces, back to front, each with its shift: x, y in fractions of the frame.
    pieces: tuple[tuple[Piece, Floats], ...]
    zoom: float  # Scale of the room in the frame
    glow: float  # Brightness that the lamps add around the figure
    patches: Floats  # Lattice of uneven light, in [-1, 1]
    speckle: Floats  # Lattice of the grain of floors
    has_box: bool  # The turntable stands on a black box rather than flat on the floor
    backdrop: Floats  # (3,) colour behind the figure, which some garments resemble


def design_scene(seed: int) -> SceneDesign:
    """Return the studio for a seed."""
    rng = named_stream(seed, "scene")
    name = pick(rng, {name: studio.weight for name, studio in STUDIOS.items()})
    pan = rng.normal(0, 0.012, 2)
    groups = [(rng.random(), rng.uniform(-1, 1, 2)) for _ in range(3)]
    kept = []
    parts = (FURNITURE[part] if isinstance(part, str) else (part,) for part in STUDIOS[name].pieces)
    for piece in chain.from_iterable(parts):
        alone = (rng.random(), rng.uniform(-1, 1, 2))  # drawn for every piece, so that none changes those of others
        chance, move = groups[piece.group] if piece.group else alone
        if chance < piece.chance:
            kept.append((piece, pan + move * piece.jitter))
    paper = max((piece for piece, _ in kept if sum(piece.top) > 580), key=lambda piece: sum(piece.top))
    return SceneDesign(
        name=name,
        pieces=tuple(kept),
        zoom=between(rng, 0.97, 1.06),
        glow=between(rng, 0.0, 0.09),
        patches=lattice(rng, 7, 5),
        speckle=lattice(rng, 300, 220),
        has_box=happens(rng, 0.75 if name in ("paper roll", "warm wall", "grey sweep") else 0.15),
        backdrop=np.array(paper.top, np.float32) / 255,
    )


def paint_scene(design: SceneDesign, place: FigurePlacement) -> Floats:
    """Return the empty studio with its turntable, float32 (H, W, 3) in [0, 1]."""
    layer = PaintLayer.empty(place.size_hw)
    _paint_pieces(layer, design, place, in_front=False)
    _darken_floor(layer.rgb, place)
    _paint_turntable(layer, design, place)
    _paint_pieces(layer, design, place, in_front=True)
    return _lit(layer.rgb, design, place)


def _paint_pieces(layer: PaintLayer, design: SceneDesign, place: FigurePlacement, *, in_front: bool) -> None:
    for piece, move in design.pieces:
        if piece.in_front == in_front:
            patch = polygon_coverage(_outline_px(piece, move, design.zoom, place.size_hw), place.size_hw)
            layer.paint(patch, _piece_colour(piece, patch, design, place.size_hw))


def _outline_px(piece: Piece, move: Floats, zoom: float, size_hw: tuple[int, int]) -> Floats:
    height, width = size_hw
    points = np.array(piece.points) + move
    pixels = ((points - 0.5) * zoom + 0.5) * (width, height)
    if piece.shape == "disc":
        centre, half = pixels.mean(axis=0), np.abs(pixels[1] - pixels[0]) / 2
        return ellipse((float(centre[0]), float(centre[1])), (float(half[0]), float(half[1])))
    if piece.shape == "line":
        return stroke(spline(pixels, closed=False), piece.width * height)
    return spline(pixels, closed=True) if piece.shape == "curve" else np.asarray(pixels)


def _piece_colour(piece: Piece, patch: Patch, design: SceneDesign, size_hw: tuple[int, int]) -> Floats:
    rows, columns = patch.window
    down = np.linspace(0, 1, patch.coverage.shape[0])[:, None, None]
    colour = (np.array(piece.top) * (1 - down) + np.array(piece.bottom) * down) / 255
    if not piece.grain:
        return np.asarray(colour, np.float32)
    across = (np.arange(columns.start, columns.stop) + 0.5)[None, :] / size_hw[1]
    height = (np.arange(rows.start, rows.stop) + 0.5)[:, None] / size_hw[0]
    fine = sample(design.speckle, across * 1.0, (height * 4.0) % 1.0) + sample(design.speckle, across * 2.7, height)
    return np.asarray(np.clip(colour * (1 + 0.5 * piece.grain * fine[..., None]), 0, 1), np.float32)


def _lit(rgb: Floats, design: SceneDesign, place: FigurePlacement) -> Floats:
    across, down = axes(place.size_hw)
    spot = np.exp(-(((across - 0.5) / 0.45) ** 2) - ((down - 0.5) / 0.4) ** 2)
    uneven = sample(design.patches, across * 0.8, down)
    light = 1 + design.glow * spot + 0.018 * uneven - 0.035 * np.abs(across - 0.5)
    return np.asarray(np.clip(rgb * light[..., None], 0, 1), np.float32)


def _darken_floor(room: Floats, place: FigurePlacement) -> None:
    """Draw the soft shadow of the figure and its turntable on the floor, in place."""
    pool = place.cover(ellipse((0.02, 1.012), (0.27, 0.03)))
    reach = round(0.05 * place.unit_px)
    top, left = max(pool.top - reach, 0), max(pool.left - reach, 0)
    height, width = pool.coverage.shape
    window = (slice(top, pool.top + height + reach), slice(left, pool.left + width + reach))
    shadow = np.zeros(room[window].shape[:2], np.float32)
    shadow[pool.top - top :, pool.left - left :][:height, :width] = pool.coverage
    room[window] *= 1 - 0.3 * soften(shadow, reach / 3)[..., None]


def _paint_turntable(layer: PaintLayer, design: SceneDesign, place: FigurePlacement) -> None:
    def lay(points: Floats, grey: float) -> None:
        patch = place.cover(points)
        shade = np.linspace(1.04, 0.94, patch.coverage.shape[1])[None, :, None]
        layer.paint(patch, np.clip(grey * shade * np.ones(3), 0, 1).astype(np.float32))

    if design.has_box:
        lay(np.array([(-0.185, 0.985), (0.185, 0.985), (0.205, 1.045), (-0.205, 1.045)]), 0.15)
        lay(np.array([(-0.205, 1.045), (0.205, 1.045), (0.203, 1.1), (-0.203, 1.1)]), 0.07)
        lay(np.array([(-0.2, 1.05), (0.2, 1.05), (0.2, 1.052), (-0.2, 1.052)]), 0.3)
        lay(np.array([(-0.17, 1.063), (-0.1, 1.063), (-0.1, 1.072), (-0.17, 1.072)]), 0.5)
        for knob in np.linspace(-0.06, 0.16, 9):
            lay(ellipse((float(knob), 1.068), (0.0065, 0.0065), 16), 0.26)
            lay(ellipse((float(knob), 1.067), (0.004, 0.004), 16), 0.62)
    for drop, half, grey in ((0.014, 0.168, 0.45), (0.008, 0.168, 0.80), (0.0, 0.166, 0.62), (0.0, 0.160, 0.84)):
        lay(ellipse((0.0, 1.01 + drop), (half, half * 0.21)), grey)
    cos, sin = float(np.cos(place.yaw)), float(np.sin(place.yaw))
    for half_width, drop, grey in ((0.030, 0.0, 0.93), (0.018, -0.004, 0.74), (0.018, -0.012, 0.88)):
        x, z = (np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (0.105, half_width)).T
        # A bar on the turntable, seen from slightly above.
        lay(np.stack([x * cos + z * sin, 0.21 * (z * cos - x * sin) + (1.006 + drop)], axis=1), grey)
    for side in (-0.05, 0.05):
        lay(ellipse((side * cos, 0.994), (0.032, 0.010), 32), 0.9)


def expose(rgb: Floats, alpha: Floats, light: Light, *, seed: int, view: str) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Return the photo, uint8 (H, W, 3), and its alpha, float32 (H, W), both blurred by the same lens.

    The light's colour is the cast that the white balance left; each view has its own noise.
    """
    rng = named_stream(seed, "camera")
    side_weight = between(rng, 0.02, 0.09) * min(1.0, alpha.shape[0] / _FULL_HEIGHT)
    corner, noise = between(rng, 0.01, 0.06), between(rng, 0.002, 0.006)
    across, down = (place * 2 - 1 for place in axes(alpha.shape))
    vignette = np.asarray(1 - corner * ((across**2 + down**2) / 2) ** 1.5, np.float32)
    balanced = _blur(rgb, side_weight) * (light.tint / light.tint.max()) * vignette[..., None]
    grain = named_stream(seed, "grain", view).standard_normal(rgb.shape, np.float32)
    sensed = balanced + grain * noise * (0.4 + np.sqrt(balanced))
    return np.clip(np.rint(sensed * 255), 0, 255).astype(np.uint8), np.clip(_blur(alpha, side_weight), 0, 1)


def _blur(image: Floats, side_weight: float) -> Floats:
    """Blur rows and columns with weights (side, 1 - 2 side, side); edges repeat."""
    kernel: Any = np.array([side_weight, 1 - 2 * side_weight, side_weight], np.float32)
    picture: Any = np.asarray(image, np.float32)
    return np.asarray(cv2.sepFilter2D(picture, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def paint_ground(seed: int, name: str, size_hw: tuple[int, int]) -> Floats:
    """Return one of `GROUNDS`, an empty place, float32 (H, W, 3) in [0, 1]; for a seed it is the same at any size."""
    rng = named_stream(seed, "ground", name)
    rgb = GROUNDS[name](rng, size_hw)
    across, down = axes(size_hw)
    slope = between(rng, -0.08, 0.08) * (across - 0.5) + between(rng, -0.06, 0.06) * (down - 0.5)
    uneven = 0.03 * sample(lattice(rng, 6, 5), across * 0.8, down)
    strength = 0.15 if name == "white" else 1.0
    return np.asarray(np.clip(rgb * (1 + strength * (slope + uneven))[..., None], 0, 1), np.float32)


def _colour(rng: np.random.Generator, low: float = 0.1, high: float = 0.95) -> Floats:
    """A muted colour, because rooms have few vivid ones."""
    return np.asarray(np.clip(between(rng, low, high) + rng.normal(0, 0.07, 3), 0, 1), np.float32)


def _plain(rng: np.random.Generator, size_hw: tuple[int, int]) -> Floats:
    """A wall or paper of one colour, darker on one side."""
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
    """Boards, tiles or carpet, for garments that are photographed from above."""
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
    "white": lambda _, size_hw: np.full((*size_hw, 3), 0.995, np.float32),
    "plain": _plain,
    "room": _room,
    "lamps": _lamps,
    "floor": _floor,
}
"""Places, by name."""


def _box(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _lay(layer: PaintLayer, points: "list[tuple[float, float]] | Floats", colour: Floats) -> None:
    """Paint a shape given in fractions of the frame."""
    height, width = layer.alpha.shape
    patch = polygon_coverage(np.array(points, np.float64) * (width, height), (height, width))
    layer.paint(patch, np.asarray(colour, np.float32))
