"""The look of the cloth: print, weave, trims, folds and highlights, for one side of the garment's tube."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.cut import cloth_density
from garmentcut.dataset.studio.folds import fold_relief
from garmentcut.dataset.studio.garment import GarmentDesign
from garmentcut.dataset.studio.mannequin import bust_relief
from garmentcut.dataset.studio.noise import sample
from garmentcut.dataset.studio.placement import Light, Placement, lower_by_perspective, shine
from garmentcut.dataset.studio.prints import look_up
from garmentcut.dataset.studio.trims import belt_coverage, sew
from garmentcut.dataset.studio.tube import facing, look_at, unit
from garmentcut.dataset.studio.wrap import Window, slices_of

_STEEPEST = 1.5  # slope at which cloth hangs over; steeper relief would only alias
_SEQUIN_STEP = 0.005  # body units
_WEAVE_CELLS = 4.0  # lattices of the weave in one body unit


@dataclass(frozen=True)
class ClothSide:
    """One side of the garment in a window: colour (h, w, 3) and opacity (h, w), float32 in [0, 1]."""

    rgb: Floats
    opacity: Floats


@dataclass(frozen=True)
class _Spots:
    """Places of the cloth under the pixels, (h, w): angle, body y, place along the cloth, and relief and normals."""

    theta: Floats
    y: Floats
    around: Floats
    relief: Floats
    normals: Floats


def drape_side(
    garment: GarmentDesign,
    texture: Floats,
    weave: Floats,
    place: Placement,
    window: Window,
    light: Light,
    *,
    near: bool,
) -> ClothSide:
    """Return colour and opacity of the near side's outside, or of the far side's inside.

    Args:
        garment: What is worn.
        texture: The unrolled cloth, from `paint_texture`.
        weave: Lattice heights of the weave.
        place: Where the figure stands.
        window: The part of the frame to draw.
        light: The studio's light.
        near: The side towards the camera.
    """
    spots = _spots(garment, place, window, near=near)
    texels = look_up(texture, spots.around, spots.y)
    print_rgb, print_density = texels[..., :3], texels[..., 3]
    density = cloth_density(garment.cut, spots.y, place.unit_px)
    density = np.maximum(density, belt_coverage(garment.trims, spots.y, place.unit_px))
    if garment.fabric.print_name == "lace":
        # The cut gives bare lace no density of its own: there only the motifs hold, elsewhere the lining shows.
        lining = (1 - print_density) * density
        print_rgb = print_rgb + lining[..., None] * (garment.fabric.inner - print_rgb)
        density = print_density + lining
    # Slanted cloth is seen through a longer way, so that folds and outlines of sheer parts are denser.
    slant = np.clip(np.abs(spots.normals[..., 2]), 0.3, 1)
    opacity = 1 - (1 - np.minimum(density, 1)) ** (1 / slant)
    if not near:
        return ClothSide(_inside(garment, spots, light), np.asarray(opacity, np.float32))
    rgb = sew(garment.trims, garment.cut, print_rgb, spots.theta, spots.y, place.unit_px)
    rgb = rgb * _woven(garment, weave, spots, place.unit_px)[..., None]
    return ClothSide(_lit(garment, rgb, spots, light), np.asarray(opacity, np.float32))


def _spots(garment: GarmentDesign, place: Placement, window: Window, *, near: bool) -> _Spots:
    y = place.y_of(np.arange(window.rows.start, window.rows.stop) + 0.5)
    x = place.x_of(np.arange(window.columns.start, window.columns.stop) + 0.5)
    slices = slices_of(garment, y, place.yaw)
    surface = look_at(slices, x, near=near)
    body_y = lower_by_perspective(y[:, None].astype(np.float32), surface.depth)
    theta = surface.theta
    relief = fold_relief(garment.folds, theta, body_y)
    relief *= 1 - 0.85 * belt_coverage(garment.trims, body_y, place.unit_px)  # a belt holds the cloth flat
    down, right = np.gradient(relief + bust_relief(theta, body_y, 0.8), 1 / place.unit_px)
    slope = np.stack([right, down, np.zeros_like(right)], axis=-1)
    normals = unit(facing(slices, surface, y) - np.clip(slope, -_STEEPEST, _STEEPEST))
    around = theta * (0.055 + 0.45 * slices.half_width) + 0.5 * relief
    return _Spots(theta, body_y, around, relief, normals)


def _woven(garment: GarmentDesign, weave: Floats, spots: _Spots, unit_px: float) -> Floats:
    """Brightness of single threads or sequins; it fades out where they are finer than pixels."""
    name, strength = garment.fabric.finish_name, garment.fabric.finish.weave
    if name == "sequins":
        return _sequins(weave, spots, unit_px, strength)
    lean = {"denim": 0.35, "knit": 0.25}.get(name, 1.0)
    cells_px = unit_px / (_WEAVE_CELLS * weave.shape[0])
    bumps = sample(weave, spots.around * _WEAVE_CELLS, (spots.y * _WEAVE_CELLS * lean) % 1)
    return np.asarray(1 + strength * min(cells_px, 1.0) * bumps, np.float32)


def _sequins(weave: Floats, spots: _Spots, unit_px: float, strength: float) -> Floats:
    """Rows of round discs like tiles, each tilted its own way, so that a few flash and most are dark."""
    down = spots.y / _SEQUIN_STEP
    row = np.floor(down)
    across = spots.around / _SEQUIN_STEP + 0.5 * (row % 2)
    column = np.floor(across)
    tilt = weave[row.astype(np.int32) % weave.shape[0], column.astype(np.int32) % weave.shape[1]]
    rim = np.hypot(across - column - 0.5, down - row - 0.35)
    seen = min(unit_px * _SEQUIN_STEP / 4, 1.0)
    disc = 1 - 0.4 * seen * np.clip((rim - 0.3) / 0.25, 0, 1)
    return np.asarray((0.9 + strength * (0.3 * tilt + np.maximum(tilt, 0) ** 9)) * disc, np.float32)


def _lit(garment: GarmentDesign, rgb: Floats, spots: _Spots, light: Light) -> Floats:
    finish = garment.fabric.finish
    brightness = shine(light, spots.normals, 0.44)
    # Little light reaches into the valleys between folds.
    brightness = brightness * (1 - 9.0 * np.clip(-spots.relief, 0, 0.02))
    toward = light.key + np.array([0, 0, 1], np.float32)
    toward = toward / np.float32(np.sqrt((toward * toward).sum()))
    mirrored = toward * np.array([-1, 1, 1], np.float32)
    gloss = np.zeros(brightness.shape, np.float32)
    for way, strength in ((toward, 1.0), (mirrored, 0.45)):
        x, y, z = (float(part) for part in way)
        along = spots.normals[..., 0] * x + spots.normals[..., 1] * y + spots.normals[..., 2] * z
        gloss += strength * np.maximum(along, 0) ** finish.sharpness
    tone = 0.45 + 0.55 * garment.fabric.rgb
    lit = rgb * brightness[..., None] + finish.gloss * 0.6 * gloss[..., None] * tone
    return np.asarray(np.clip(lit - finish.gloss * 0.22 * rgb, 0, 1), np.float32)


def _inside(garment: GarmentDesign, spots: _Spots, light: Light) -> Floats:
    """The inside of the far side faces the camera, lit mostly from the openings."""
    brightness = shine(light, spots.normals * np.array([-1, -1, -1], np.float32), 0.5)
    from_hem = np.clip((spots.y - garment.cut.bottom + 0.22) / 0.22, 0, 1)
    from_neck = np.clip((0.2 - spots.y) / 0.12, 0, 1)
    reached = 0.5 + 0.34 * np.maximum(from_hem, from_neck)
    return np.asarray(np.clip(garment.fabric.inner * (brightness * reached)[..., None], 0, 1), np.float32)
