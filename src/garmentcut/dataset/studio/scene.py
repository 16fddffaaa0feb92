"""The studio around the figure: designed from tables, painted back to front."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats, Layer, Patch, ellipse, polygon_coverage, soften, spline, stroke
from garmentcut.dataset.studio.furniture import STUDIOS, Piece
from garmentcut.dataset.studio.noise import lattice, sample
from garmentcut.dataset.studio.placement import Placement
from garmentcut.dataset.studio.streams import between, happens, named_stream, pick


@dataclass(frozen=True)
class SceneDesign:
    """One studio.

    Attributes:
        name: Its key in the table of studios.
        pieces: What is there, back to front, with where each is moved to: x, y in fractions of the frame.
        zoom: Scale of the room in the frame.
        glow: Brightness that the lamps add around the figure.
        patches: Uneven light, lattice heights in [-1, 1].
        speckle: Lattice heights of the grain of floors.
        has_box: The turntable stands on a black box rather than flat on the floor.
        backdrop: (3,) colour behind the figure, for garments that should resemble it.
    """

    name: str
    pieces: tuple[tuple[Piece, Floats], ...]
    zoom: float
    glow: float
    patches: Floats
    speckle: Floats
    has_box: bool
    backdrop: Floats


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


def paint_scene(design: SceneDesign, place: Placement) -> Floats:
    """Return the empty studio with its turntable, float32 (H, W, 3) in [0, 1]."""
    layer = Layer.empty(place.size_hw)
    _paint_pieces(layer, design, place, in_front=False)
    _darken_floor(layer.rgb, place)
    _paint_turntable(layer, design, place)
    _paint_pieces(layer, design, place, in_front=True)
    return _lit(layer.rgb, design, place)


def _paint_pieces(layer: Layer, design: SceneDesign, place: Placement, *, in_front: bool) -> None:
    for piece, move in design.pieces:
        if piece.in_front == in_front:
            patch = polygon_coverage(_outline_px(piece, move, design.zoom, place.size_hw), place.size_hw)
            if patch.coverage.size:
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


def _lit(rgb: Floats, design: SceneDesign, place: Placement) -> Floats:
    height, width = place.size_hw
    across = ((np.arange(width) + 0.5) / width)[None, :]
    down = ((np.arange(height) + 0.5) / height)[:, None]
    spot = np.exp(-(((across - 0.5) / 0.45) ** 2) - ((down - 0.5) / 0.4) ** 2)
    uneven = sample(design.patches, across * 0.8, down)
    light = 1 + design.glow * spot + 0.018 * uneven - 0.035 * np.abs(across - 0.5)
    return np.asarray(np.clip(rgb * light[..., None], 0, 1), np.float32)


def _darken_floor(room: Floats, place: Placement) -> None:
    """Lay the soft shadow of the figure and its turntable on the floor."""
    pool = polygon_coverage(place.to_px(ellipse((0.02, 1.012), (0.27, 0.03))), place.size_hw)
    reach = round(0.05 * place.unit_px)
    top, left = max(pool.top - reach, 0), max(pool.left - reach, 0)
    height, width = pool.coverage.shape
    window = (slice(top, pool.top + height + reach), slice(left, pool.left + width + reach))
    shadow = np.zeros(room[window].shape[:2], np.float32)
    shadow[pool.top - top :, pool.left - left :][:height, :width] = pool.coverage
    room[window] *= 1 - 0.3 * soften(shadow, reach / 3)[..., None]


def _paint_turntable(layer: Layer, design: SceneDesign, place: Placement) -> None:
    def lay(points: Floats, grey: float) -> None:
        patch = polygon_coverage(place.to_px(points), place.size_hw)
        if patch.coverage.size:
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
