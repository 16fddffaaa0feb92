"""Draws the garment in one view, for `render`: the coverage of its layers, and both sides of its cloth."""

from typing import NamedTuple

import numpy as np

from garmentcut.synthetic.canvas import Floats, dot, sample
from garmentcut.synthetic.fabric import fold_relief, look_up
from garmentcut.synthetic.garment import HEM_ANGLES, Cut, GarmentDesign, Trims, cloth_density, cloth_mask
from garmentcut.synthetic.mannequin import Slices, bust_relief, cut_slices, facing, look_at, unit
from garmentcut.synthetic.scene import FigurePlacement, Light, lower_by_perspective, shine

_SUPERSAMPLING = 4  # samples of a pixel along each axis
_STRIP_ROWS = 16  # rows of the photo at a time, so that their samples stay in the processor's cache
_MARGIN = 0.03  # body units around the garment, for perspective and swings
_BUTTON_STEP, _BUTTON_RADIUS = 0.036, 0.0052  # body units
_LAPEL_END = 0.27  # body y
_BACK_WIDTH = 0.09  # body units per radian, for lines that run down the cloth
_STEEPEST = 1.5  # slope at which cloth overhangs; a steeper relief would only alias
_SEQUIN_STEP = 0.005  # body units
_WEAVE_CELLS = 4.0  # lattices of the weave in one body unit


Window = tuple[slice, slice]  # A part of the frame: its rows and columns


class Coverage(NamedTuple):
    """Shares of each pixel, float32 (h, w), where the near side of the tube is cloth, the far side, or both."""

    near: Floats
    far: Floats
    both: Floats


def find_window(garment: GarmentDesign, place: FigurePlacement) -> Window:
    """Return the part of the frame that the garment may touch."""
    y = np.linspace(garment.cut.top, garment.cut.bottom + _MARGIN, 200)
    slices = slices_of(garment, y, place.yaw)
    upper_left = slices.left.min() - _MARGIN, garment.cut.top - _MARGIN
    lower_right = slices.right.max() + _MARGIN, garment.cut.bottom + _MARGIN
    corners = place.to_px(np.array([upper_left, lower_right]))
    left, right = (int(v) for v in np.clip(corners[:, 0], 0, place.size_hw[1]))
    top, bottom = (int(v) for v in np.clip(corners[:, 1], 0, place.size_hw[0]))
    return slice(top, bottom), slice(left, right)


def slices_of(garment: GarmentDesign, y: Floats, yaw: float) -> Slices:
    """Return the cross-sections of the cloth at the rows y, (rows,), with outlines that swing like its folds."""
    plain = cut_slices(garment.tube, y, yaw)
    half = (plain.right - plain.left) / 2
    around = np.arctan2(plain.cos_turn, plain.sin_turn) / (2 * np.pi)
    down, amount = y[:, None] * 1.1, garment.bulge(y)[:, None].astype(np.float32)
    right = plain.right + half * amount * sample(garment.bulges, around, down)
    left = plain.left - half * amount * sample(garment.bulges, around + 0.5, down)
    return plain._replace(left=left, right=right)


def measure_coverage(garment: GarmentDesign, place: FigurePlacement, window: Window) -> Coverage:
    """Return the shares of each pixel of the window that the garment's layers cover, from 4 x 4 samples."""
    frame_rows, columns = window
    height, width = frame_rows.stop - frame_rows.start, columns.stop - columns.start
    x = place.x_of(columns.start + (np.arange(width * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING)
    shares = np.zeros((3, height, width), np.float32)
    for top in range(0, height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, height - top)
        y = place.y_of(frame_rows.start + top + (np.arange(rows * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING)
        slices, level = slices_of(garment, y, place.yaw), y[:, None].astype(np.float32)
        surfaces = (look_at(slices, x, near=near) for near in (True, False))
        near, far = (cloth_mask(garment.cut, one, lower_by_perspective(level, one.depth)) for one in surfaces)
        for layer, hits in enumerate((near, far, near & far)):
            blocks = hits.reshape(rows, _SUPERSAMPLING, width, _SUPERSAMPLING)
            counts = blocks.sum(axis=(1, 3), dtype=np.int32)
            shares[layer, top : top + rows] = counts / np.float32(_SUPERSAMPLING**2)
    return Coverage(*shares)


def belt_coverage(trims: Trims, y: Floats, unit_px: float) -> Floats:
    """Return the share of the cloth at heights y, body units, that is belt or waistband; 0 without one."""
    if trims.belt is None:
        return np.zeros_like(y)
    return _line_coverage(y - trims.belt_middle, trims.belt_half_height, unit_px)


def _line_coverage(distance: Floats, half_width: float, unit_px: float) -> Floats:
    """Coverage of a line at these distances from its middle, both in body units."""
    return np.asarray(np.clip((half_width - np.abs(distance)) * unit_px + 0.5, 0, 1), np.float32)


def sew(trims: Trims, cut: Cut, rgb: Floats, theta: Floats, y: Floats, unit_px: float) -> Floats:
    """Return the print's colours, (h, w, 3), with the trims added; theta and y, (h, w), are places on the cloth."""
    rgb = rgb * _seams(trims, cut, theta, y, unit_px)[..., None]
    if trims.belt is not None:
        outline = _line_coverage(y - trims.belt_middle, trims.belt_half_height + 0.0012, unit_px)
        rgb = rgb * (1 - 0.3 * outline)[..., None]
        rgb = rgb + belt_coverage(trims, y, unit_px)[..., None] * (trims.belt - rgb)
    if trims.lapel is not None and cut.opening is not None:
        rgb = _turn_lapels(rgb, trims.lapel, cut.opening(y), theta, y, unit_px=unit_px)
    if trims.buttons is not None:
        row = (y / _BUTTON_STEP % 1 - 0.5) * _BUTTON_STEP
        distance = np.hypot(theta * _BACK_WIDTH, row)
        rgb = rgb * (1 - 0.4 * _line_coverage(distance, _BUTTON_RADIUS * 1.25, unit_px))[..., None]
        rgb = rgb + _line_coverage(distance, _BUTTON_RADIUS, unit_px)[..., None] * (trims.buttons - rgb)
    return np.asarray(rgb, np.float32)


def _seams(trims: Trims, cut: Cut, theta: Floats, y: Floats, unit_px: float) -> Floats:
    """Brightness of the cloth along its seams."""
    shade = 1 - 0.16 * _line_coverage(y - np.interp(theta, HEM_ANGLES, cut.hem) + 0.013, 0.0006, unit_px)
    if trims.side_seams:
        for angle in (np.pi / 2, -np.pi / 2):
            shade -= 0.14 * _line_coverage((theta - angle) * _BACK_WIDTH, 0.0005, unit_px)
    if trims.waist_seam:
        shade -= 0.2 * _line_coverage(y - trims.waist_seam, 0.0007, unit_px)
    if trims.zip_end:
        shade -= 0.3 * _line_coverage((np.abs(theta) - np.pi) * _BACK_WIDTH, 0.0009, unit_px) * (y < trims.zip_end)
    return np.asarray(shade, np.float32)


def _turn_lapels(rgb: Floats, lapel: Floats, opening: Floats, theta: Floats, y: Floats, *, unit_px: float) -> Floats:
    """Turn the edges of an open front outwards, so that they show the inside."""
    edge = opening + 0.05 * np.clip((_LAPEL_END - y) / 0.15, 0, 1)
    off_middle = np.abs(np.sin(theta)) * 0.1
    in_front = (np.cos(theta) > 0) & (y < _LAPEL_END)
    turned = np.clip((edge - off_middle) * unit_px + 0.5, 0, 1) * in_front
    crease = _line_coverage(off_middle - edge, 0.0014, unit_px) * in_front
    rgb = rgb + turned[..., None] * (lapel - rgb)
    return np.asarray(rgb * (1 - 0.35 * crease)[..., None])


class ClothSide(NamedTuple):
    """One side of the garment in a window: colour (h, w, 3) and opacity (h, w), float32 in [0, 1]."""

    rgb: Floats
    opacity: Floats


class _Spots(NamedTuple):
    """The cloth under each pixel, (h, w): angle, body y, place along the cloth, relief, and normals (h, w, 3)."""

    theta: Floats
    y: Floats
    around: Floats
    relief: Floats
    normals: Floats


def drape_side(
    garment: GarmentDesign,
    texture: Floats,
    weave: Floats,
    place: FigurePlacement,
    window: Window,
    light: Light,
    *,
    near: bool,
) -> ClothSide:
    """Return colour and opacity of the near side's outside, or of the far side's inside.

    `texture` is the unrolled cloth from `paint_texture`; `weave` is the lattice of its threads' heights.
    """
    spots = _spots(garment, place, window, near=near)
    texels = look_up(texture, spots.around, spots.y)
    print_rgb, print_density = texels[..., :3], texels[..., 3]
    density = cloth_density(garment.cut, spots.y, place.unit_px)
    density = np.maximum(density, belt_coverage(garment.trims, spots.y, place.unit_px))
    if garment.fabric.print_name == "lace":
        # In sheer lace the cut's density is 0, so there is only the print; elsewhere a lining shows between its motifs.
        lining = (1 - print_density) * density
        print_rgb = print_rgb + lining[..., None] * (garment.fabric.inner - print_rgb)
        density = print_density + lining
    # The line of sight through slanted cloth is longer, so folds and outlines of sheer parts are denser.
    slant = np.clip(np.abs(spots.normals[..., 2]), 0.3, 1)
    opacity = 1 - (1 - np.minimum(density, 1)) ** (1 / slant)
    if not near:
        return ClothSide(_inside(garment, spots, light), np.asarray(opacity, np.float32))
    rgb = sew(garment.trims, garment.cut, print_rgb, spots.theta, spots.y, place.unit_px)
    rgb = rgb * _woven(garment, weave, spots, place.unit_px)[..., None]
    return ClothSide(_lit(garment, rgb, spots, light), np.asarray(opacity, np.float32))


def _spots(garment: GarmentDesign, place: FigurePlacement, window: Window, *, near: bool) -> _Spots:
    x, y = place.of_window(window)
    slices = slices_of(garment, y, place.yaw)
    surface = look_at(slices, x, near=near)
    body_y = lower_by_perspective(y[:, None].astype(np.float32), surface.depth)
    theta = surface.theta
    relief = fold_relief(garment.folds, theta, body_y)
    relief *= 1 - 0.85 * belt_coverage(garment.trims, body_y, place.unit_px)  # a belt holds the cloth flat
    fullness = 0.0 if garment.kind == "limb" else 0.8
    down, right = np.gradient(relief + bust_relief(theta, body_y, fullness), 1 / place.unit_px)
    slope = np.stack([right, down, np.zeros_like(right)], axis=-1)
    normals = unit(facing(slices, surface, y) - np.clip(slope, -_STEEPEST, _STEEPEST))
    around = theta * (0.055 + 0.45 * slices.half_width) + 0.5 * relief
    return _Spots(theta, body_y, around, relief, normals)


def _woven(garment: GarmentDesign, weave: Floats, spots: _Spots, unit_px: float) -> Floats:
    """Brightness of single threads or sequins, which fades if they are finer than pixels."""
    name, strength = garment.fabric.finish_name, garment.fabric.finish.weave
    if name == "sequins":
        return _sequins(weave, spots, unit_px, strength)
    lean = {"denim": 0.35, "knit": 0.25}.get(name, 1.0)
    cells_px = unit_px / (_WEAVE_CELLS * weave.shape[0])
    bumps = sample(weave, spots.around * _WEAVE_CELLS, (spots.y * _WEAVE_CELLS * lean) % 1)
    return np.asarray(1 + strength * min(cells_px, 1.0) * bumps, np.float32)


def _sequins(weave: Floats, spots: _Spots, unit_px: float, strength: float) -> Floats:
    """Rows of round discs like roof tiles, each tilted differently, so that a few flash and most are dark."""
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
        gloss += strength * np.maximum(dot(spots.normals, way), 0) ** finish.sharpness
    tone = 0.45 + 0.55 * garment.fabric.rgb
    lit = rgb * brightness[..., None] + finish.gloss * 0.6 * gloss[..., None] * tone
    return np.asarray(np.clip(lit - finish.gloss * 0.22 * rgb, 0, 1), np.float32)


def _inside(garment: GarmentDesign, spots: _Spots, light: Light) -> Floats:
    """Colour of the inside of the far side, which faces the camera and is lit mostly through the openings."""
    brightness = shine(light, spots.normals * np.array([-1, -1, -1], np.float32), 0.5)
    from_hem = np.clip((spots.y - garment.cut.bottom + 0.22) / 0.22, 0, 1)
    from_neck = np.clip((0.2 - spots.y) / 0.12, 0, 1)
    reached = 0.5 + 0.34 * np.maximum(from_hem, from_neck)
    return np.asarray(np.clip(garment.fabric.inner * (brightness * reached)[..., None], 0, 1), np.float32)
