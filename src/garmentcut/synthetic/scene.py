"""Draws the studio around the figure, for `render`: its furniture, its light, and the camera that takes the photo."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from garmentcut.synthetic.canvas import (
    Floats,
    PaintLayer,
    Patch,
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

Point = tuple[float, float]
Colour = tuple[int, int, int]
VIEWS = ("Front", "FrontRight", "Back")
_TURN = {"Front": 0.0, "FrontRight": 45.0, "Back": 180.0}  # degrees
CAMERA_HEIGHT = 0.42  # body y that the camera looks at straight on
CAMERA_DISTANCE = 3.4  # body units
_FULL_HEIGHT = 1728  # the lens blurs a photo of this height; smaller ones are reduced from it, and so are sharper


@dataclass(frozen=True)
class Piece:
    """One flat thing in the studio."""

    shape: str  # `polygon` (corners), `curve` (a smooth closed outline), `line` (a smooth stroke), `disc` (two corners)
    points: tuple[Point, ...]  # x, y in fractions of the frame
    top: Colour  # sRGB at its upper end, 0 to 255
    bottom: Colour  # sRGB at its lower end
    chance: float = 1.0  # How often it is there
    jitter: float = 0.0  # How far it may be moved as a whole, in fractions of the frame
    grain: float = 0.0  # Strength of its speckle (carpet, concrete), in [0, 1]
    width: float = 0.003  # Thickness of a line, in fractions of the frame's height
    group: int = 0  # Pieces of one group are there together or not at all; 0 is a piece by itself
    in_front: bool = False  # It stands before the turntable


def _box(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


_EVERYWHERE = _box(-0.2, -0.2, 1.2, 1.2)
_BLACK_CARD = (
    Piece("polygon", ((-0.1, 0.953), (0.82, 0.918), (0.85, 1.1), (-0.1, 1.1)), (18, 18, 20), (12, 12, 14), 0.7, 0.012,
          group=1, in_front=True),
    Piece("line", ((-0.1, 0.963), (0.4, 0.944), (0.8, 0.9295), (0.812, 0.929)),
          (190, 190, 190), (150, 150, 150), 0.7, 0.012,
          group=1, in_front=True),
    Piece("line", ((0.812, 0.929), (0.76, 1.1)), (120, 120, 122), (90, 90, 92), 0.7, 0.012, width=0.002,
          group=1, in_front=True),
)  # fmt: skip
_CABLE = Piece(
    "line", ((0.58, 0.922), (0.7, 0.927), (0.82, 0.916), (0.93, 0.905), (1.1, 0.903)), (30, 30, 32), (30, 30, 32), 0.8,
    0.006, width=0.0035,
)  # fmt: skip
_LAMPS = (
    Piece("disc", ((-0.06, 0.405), (0.05, 0.455)), (150, 150, 152), (92, 92, 95), 0.7, 0.02),
    Piece("disc", ((0.955, 0.51), (1.06, 0.575)), (150, 150, 152), (92, 92, 95), 0.7, 0.02),
)
_STAND = (
    Piece("line", ((0.03, 0.62), (0.05, 0.93)), (36, 36, 38), (30, 30, 32), width=0.004),
    Piece("line", ((0.05, 0.8), (-0.02, 0.94)), (36, 36, 38), (30, 30, 32), width=0.004),
    Piece("line", ((0.05, 0.8), (0.11, 0.94)), (36, 36, 38), (30, 30, 32), width=0.004),
)
_STOOL = (
    Piece("line", ((0.86, 0.665), (0.835, 0.81)), (165, 158, 150), (120, 112, 102), 1.0, width=0.008),
    Piece("line", ((0.935, 0.665), (0.95, 0.84)), (172, 165, 155), (128, 118, 108), 1.0, width=0.009),
    Piece("line", ((0.985, 0.68), (0.99, 0.9)), (182, 175, 165), (138, 128, 118), 1.0, width=0.009),
    Piece("polygon", _box(0.85, 0.655, 1.05, 0.672), (188, 182, 174), (150, 142, 132)),
    Piece("curve", ((0.9, 0.6), (0.865, 0.645), (0.9, 0.665), (0.935, 0.645)), (228, 216, 190), (170, 152, 124), 0.8),
    Piece(
        "curve", ((0.95, 0.625), (0.92, 0.655), (0.955, 0.672), (0.99, 0.655)), (240, 234, 222), (186, 178, 164), 0.8
    ),
    Piece("polygon", _box(0.945, 0.6, 0.975, 0.64), (24, 92, 88), (16, 66, 64), 0.5, 0.01),
)
_BOXES = (
    Piece("polygon", ((0.1, 0.81), (0.21, 0.8), (0.3, 0.815), (0.19, 0.828)), (246, 246, 248), (240, 240, 242), 0.3,
          group=2),
    Piece("polygon", ((0.1, 0.81), (0.19, 0.828), (0.19, 0.94), (0.1, 0.92)), (206, 207, 212), (192, 193, 198), 0.3,
          group=2),
    Piece("polygon", ((0.19, 0.828), (0.3, 0.815), (0.3, 0.92), (0.19, 0.94)), (226, 227, 231), (212, 213, 218), 0.3,
          group=2),
)  # fmt: skip

_PAPER_ROLL = (
    Piece("polygon", _EVERYWHERE, (14, 14, 16), (24, 24, 26)),
    Piece("polygon", _box(-0.1, 0.757, 1.1, 1.1), (158, 140, 114), (188, 168, 138), grain=0.16),
    Piece(
        "polygon",
        ((-0.1, 0.085), (0.9, 0.095), (0.897, 0.7), (0.905, 0.755), (0.93, 0.8), (0.98, 0.84), (1.1, 0.88),
         (1.1, 0.907), (0.5, 0.907), (-0.1, 0.903)),
        (236, 237, 243), (230, 231, 238), jitter=0.004,
    ),
    Piece("polygon", ((-0.1, 0.069), (0.908, 0.082), (0.908, 0.107), (-0.1, 0.097)), (250, 250, 250), (206, 206, 212)),
    Piece("line", ((0.905, 0.093), (0.955, 0.094)), (190, 190, 190), (190, 190, 190), width=0.006),
    Piece("line", ((0.932, 0.1), (0.931, 0.56)), (132, 132, 132), (110, 110, 110), width=0.004),
    *_BOXES,
    _CABLE,
)  # fmt: skip
_LOFT = (
    Piece("polygon", _EVERYWHERE, (226, 221, 213), (238, 233, 228)),
    Piece("polygon", _box(-0.1, 0.19, 1.1, 0.78), (243, 240, 236), (235, 230, 223)),
    Piece("polygon", ((0.7, -0.1), (1.1, -0.1), (1.1, 0.19), (0.86, 0.175), (0.77, 0.12)),
          (206, 201, 193), (222, 217, 209)),
    Piece("polygon", ((0.7, -0.1), (0.9, -0.1), (0.96, 0.02), (0.78, 0.13)), (232, 228, 221), (214, 209, 201)),
    Piece("polygon", ((-0.1, 0.184), (1.1, 0.18), (1.1, 0.2), (-0.1, 0.204)), (248, 246, 242), (214, 208, 200)),
    Piece("polygon", ((0.075, -0.1), (0.64, -0.1), (0.637, 0.358), (0.08, 0.362)),
          (222, 221, 218), (234, 233, 231), 0.6, 0.03),
    Piece("line", ((0.03, -0.1), (0.035, 0.035)), (28, 28, 30), (28, 28, 30), 0.8, 0.01, width=0.012),
    Piece("line", ((0.636, -0.1), (0.636, 0.035)), (28, 28, 30), (28, 28, 30), 0.8, 0.01, width=0.007),
    *_LAMPS,
    Piece("line", ((0.02, 0.94), (0.3, 0.905), (0.32, 0.955)), (206, 194, 178), (190, 178, 162), 0.5, width=0.002),
    Piece("curve", ((0.2, 0.9), (0.24, 0.895), (0.26, 0.903), (0.22, 0.907)),
          (222, 208, 190), (206, 190, 170), 0.5, 0.04),
    *_STOOL,
    *_BLACK_CARD,
)  # fmt: skip
_WARM_WALL = (
    Piece("polygon", _EVERYWHERE, (250, 240, 224), (240, 226, 204)),
    Piece("polygon", _box(-0.1, -0.1, 1.1, 0.068), (216, 196, 164), (228, 208, 178), 0.8),
    Piece(
        "polygon", ((-0.1, 0.064), (1.1, 0.07), (1.1, 0.09), (-0.1, 0.085)), (172, 114, 68), (140, 86, 46), 0.9, 0.01
    ),
    Piece("polygon", _box(-0.1, 0.87, 1.1, 1.1), (242, 229, 209), (228, 213, 191), grain=0.012),
    _CABLE,
    *_BLACK_CARD,
)
_BRIGHT_SWEEP = (
    Piece("polygon", _EVERYWHERE, (238, 238, 236), (226, 226, 224)),
    Piece("polygon", _box(-0.1, 0.9, 1.1, 1.1), (62, 70, 84), (50, 56, 68), grain=0.1),
    Piece(
        "polygon",
        ((-0.1, 0.1), (0.93, 0.1), (0.94, 0.3), (0.925, 0.32), (0.935, 0.55), (0.92, 0.78), (0.96, 0.8), (0.985, 0.9),
         (0.7, 0.935), (0.2, 0.925), (0.06, 0.94), (-0.1, 0.9)),
        (252, 252, 252), (244, 244, 244), jitter=0.01,
    ),
    Piece("line", ((-0.1, 0.098), (0.5, 0.113), (0.93, 0.1)), (224, 224, 224), (214, 214, 214), width=0.004),
    Piece("curve", ((0.8, 0.15), (0.92, 0.105), (1.1, 0.12), (1.1, 0.19), (0.92, 0.185)),
          (16, 16, 18), (34, 34, 36), 0.8, 0.02),
    Piece("curve", ((-0.1, 0.395), (0.06, 0.4), (0.085, 0.43), (0.06, 0.46), (-0.1, 0.46)),
          (14, 14, 16), (40, 40, 42), 0.8, 0.02),
    Piece("polygon", _box(-0.1, 0.92, 0.03, 1.1), (212, 182, 30), (196, 166, 22), 0.4),
    Piece("line", ((-0.1, 0.93), (0.1, 0.96), (0.22, 0.945), (0.34, 0.975), (0.5, 0.965)),
          (22, 22, 24), (22, 22, 24), width=0.004),
    Piece("line", ((0.62, 0.955), (0.74, 0.985), (0.86, 0.96), (1.1, 0.975)), (22, 22, 24), (22, 22, 24), width=0.004),
    *_STAND,
)  # fmt: skip
_DARK_HALL = (
    Piece("polygon", _EVERYWHERE, (16, 15, 15), (30, 29, 29)),
    Piece("polygon",
          ((0.1, 0.11), (0.93, 0.135), (0.94, 0.7), (1.1, 0.86), (1.1, 0.95), (-0.1, 0.95), (-0.1, 0.86), (0.1, 0.72)),
          (240, 240, 248), (222, 222, 232), jitter=0.02),
    Piece("polygon", ((0.07, 0.098), (0.96, 0.122), (0.96, 0.14), (0.07, 0.116)), (120, 118, 116), (70, 68, 66), 0.8),
    Piece("line", ((-0.1, 0.06), (0.3, 0.045), (1.1, 0.07)), (58, 56, 54), (58, 56, 54), width=0.006),
    Piece("polygon", _box(-0.1, 0.31, 0.05, 0.46), (50, 48, 48), (28, 27, 27), 0.7, 0.02),
    *_STAND,
    *_BLACK_CARD,
)  # fmt: skip
_GREY_SWEEP = (
    Piece("polygon", _EVERYWHERE, (206, 207, 211), (226, 227, 231)),
    Piece("polygon", ((-0.1, -0.1), (1.1, -0.1), (1.1, 0.045), (-0.1, 0.075)), (26, 26, 28), (34, 34, 36), 0.7, 0.02),
    Piece("polygon", _box(0.955, -0.1, 1.1, 0.8), (30, 30, 32), (44, 44, 46), 0.5, 0.02),
    _CABLE,
    *_BOXES,
    *_BLACK_CARD,
)

STUDIOS = {
    "paper roll": (_PAPER_ROLL, 5.0),
    "loft": (_LOFT, 4.0),
    "warm wall": (_WARM_WALL, 2.5),
    "bright sweep": (_BRIGHT_SWEEP, 1.5),
    "dark hall": (_DARK_HALL, 1.0),
    "grey sweep": (_GREY_SWEEP, 1.0),
}


@dataclass(frozen=True)
class FigurePlacement:
    """Maps body coordinates to pixels."""

    size_hw: tuple[int, int]  # The frame in pixels
    axis_px: float  # Column of the turntable's axis
    neck_px: float  # Row of body y 0
    unit_px: float  # Pixels in one body unit
    yaw: float  # Radians

    def to_px(self, points: Floats) -> Floats:
        """Return body points (N, 2) as pixel positions."""
        return np.asarray(points * self.unit_px + np.array([self.axis_px, self.neck_px]))

    def of_window(self, window: tuple[slice, slice]) -> tuple[Floats, Floats]:
        """Return body x (w,) and y (h,) of the middles of a window's pixels."""
        rows, columns = (np.arange(side.start, side.stop) + 0.5 for side in window)
        return self.x_of(columns), self.y_of(rows)

    def cover(self, points: Floats) -> Patch:
        """Return how much of each pixel a polygon (N, 2) of body points covers."""
        return polygon_coverage(self.to_px(points), self.size_hw)

    def x_of(self, columns_px: Floats) -> Floats:
        """Return body x of pixel positions."""
        return np.asarray((columns_px - self.axis_px) / self.unit_px)

    def y_of(self, rows_px: Floats) -> Floats:
        """Return body y of pixel positions."""
        return np.asarray((rows_px - self.neck_px) / self.unit_px)


def place_figure(seed: int, view: str, size_hw: tuple[int, int]) -> FigurePlacement:
    """Return where the figure of this seed stands in a view; only the turntable moves between views."""
    rng = named_stream(seed, "placement")
    height, width = size_hw
    axis, neck, unit = between(rng, 0.44, 0.56), between(rng, 0.155, 0.215), between(rng, 0.68, 0.75)
    unit = min(unit, 0.93 - neck)
    wobble = {name: between(rng, -4, 4) for name in VIEWS}
    yaw = np.deg2rad(_TURN[view] + wobble[view])
    return FigurePlacement(size_hw, axis * width, neck * height, unit * height, float(yaw))


def lower_by_perspective(y: Floats, depth: Floats) -> Floats:
    """Return the body y that appears at picture y: what is near the camera moves away from its axis."""
    return np.asarray(y - (y - CAMERA_HEIGHT) * depth * np.float32(1 / CAMERA_DISTANCE), np.float32)


@dataclass(frozen=True)
class Light:
    """Soft studio light."""

    key: Floats  # Unit direction to the key light (right, down, towards the camera)
    key_share: float  # How much of the light comes from it, in [0, 1]
    tint: Floats  # (3,) colour of the light, about 1


def design_light(seed: int) -> Light:
    """Return the light of a seed: two large softboxes, one a little stronger."""
    rng = named_stream(seed, "light")
    side = -1.0 if rng.random() < 0.5 else 1.0
    key = np.array([side * between(rng, 0.35, 0.85), between(rng, -0.7, -0.3), between(rng, 0.5, 0.9)])
    warmth = between(rng, -0.02, 0.035)
    tint = np.array([1 + warmth, 1 + warmth * 0.25, 1 - warmth], np.float32)
    return Light(np.asarray(key / np.linalg.norm(key), np.float32), between(rng, 0.22, 0.5), tint)


def shine(light: Light, normals: Floats, softness: float = 0.62) -> Floats:
    """Return brightness (rows, columns) of matt surfaces with unit normals (rows, columns, 3), about 1 in full light.

    `softness` is that of a surface that sees only the white surroundings.
    """
    # Written out, not a matrix product: the order of a library's sums may vary from machine to machine.
    x, y, z = (float(part) for part in light.key)
    key = np.maximum(normals[..., 0] * x + normals[..., 1] * y + normals[..., 2] * z, 0)
    fill = 0.5 + 0.5 * normals[..., 2] - 0.12 * normals[..., 1]
    lit = light.key_share * key * 1.25 + (1 - light.key_share) * fill
    return np.asarray(softness + (1.06 - softness) * lit, np.float32)


@dataclass(frozen=True)
class SceneDesign:
    """One studio."""

    name: str  # Its key in the table of studios
    # What is there, back to front, with where each is moved to: x, y in fractions of the frame.
    pieces: tuple[tuple[Piece, Floats], ...]
    zoom: float  # Scale of the room in the frame
    glow: float  # Brightness that the lamps add around the figure
    patches: Floats  # Uneven light, lattice heights in [-1, 1]
    speckle: Floats  # Lattice heights of the grain of floors
    has_box: bool  # The turntable stands on a black box rather than flat on the floor
    backdrop: Floats  # (3,) colour behind the figure, for garments that should resemble it


def design_scene(seed: int) -> SceneDesign:
    """Return the studio of a seed."""
    rng = named_stream(seed, "scene")
    name = pick(rng, {name: weight for name, (_, weight) in STUDIOS.items()})
    pan = rng.normal(0, 0.012, 2)
    groups = [(rng.random(), rng.uniform(-1, 1, 2)) for _ in range(3)]
    kept = []
    for piece in STUDIOS[name][0]:
        alone = (rng.random(), rng.uniform(-1, 1, 2))  # drawn for every piece, so that none shifts the others
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
    """Lay the soft shadow of the figure and its turntable on the floor."""
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
    for corner_z, drop, grey in ((0.030, 0.0, 0.93), (0.018, -0.004, 0.74), (0.018, -0.012, 0.88)):
        lay(np.add(_turned_bar(0.105, corner_z, place.yaw), (0.0, 1.006 + drop)), grey)
    for side in (-0.05, 0.05):
        lay(ellipse((side * float(np.cos(place.yaw)), 0.994), (0.032, 0.010), 32), 0.9)


def _turned_bar(half_length: float, half_width: float, yaw: float) -> Floats:
    """A bar that lies on the turntable, seen from a little above."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_length, half_width)
    right = corners[:, 0] * cos + corners[:, 1] * sin
    towards = corners[:, 1] * cos - corners[:, 0] * sin
    return np.stack([right, 0.21 * towards], axis=1)


def expose(rgb: Floats, alpha: Floats, light: Light, *, seed: int, view: str) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Return the photo, uint8 (H, W, 3), and its alpha, float32 (H, W), both blurred by the same lens.

    The light's colour is what the white balance left; each view has noise of its own.
    """
    rng = named_stream(seed, "camera")
    side_weight = between(rng, 0.02, 0.09) * min(1.0, alpha.shape[0] / _FULL_HEIGHT)
    corner, noise = between(rng, 0.01, 0.06), between(rng, 0.002, 0.006)
    balanced = _blur(rgb, side_weight) * (light.tint / light.tint.max()) * _vignette(alpha.shape, corner)[..., None]
    grain = named_stream(seed, "grain", view).standard_normal(rgb.shape, np.float32)
    sensed = balanced + grain * noise * (0.4 + np.sqrt(balanced))
    return np.clip(np.rint(sensed * 255), 0, 255).astype(np.uint8), np.clip(_blur(alpha, side_weight), 0, 1)


def _blur(image: Floats, side_weight: float) -> Floats:
    """Blur rows and columns with weights (side, 1 - 2 side, side); edges repeat."""
    for axis in (0, 1):
        place, last = np.arange(image.shape[axis]), image.shape[axis] - 1
        before, after = (image.take((place + step).clip(0, last), axis=axis) for step in (-1, 1))
        image = image + np.float32(side_weight) * (before + after - 2 * image)
    return np.asarray(image, np.float32)


def _vignette(size_hw: tuple[int, ...], corner: float) -> Floats:
    """Brightness (H, W): 1 in the middle, 1 - `corner` in the corners."""
    across, down = (place * 2 - 1 for place in axes(size_hw))
    return np.asarray(1 - corner * ((across**2 + down**2) / 2) ** 1.5, np.float32)
