"""The bare mannequin as a layer of the frame."""

import numpy as np

from garmentcut.dataset.studio.canvas import Floats, Layer, Patch, ellipse, polygon_coverage, stroke
from garmentcut.dataset.studio.mannequin import MannequinDesign, bust_relief
from garmentcut.dataset.studio.placement import Light, Placement, shine
from garmentcut.dataset.studio.tube import Surface, Tube, cut_slices, facing, look_at, outline, unit


def paint_mannequin(design: MannequinDesign, place: Placement, light: Light) -> Layer:
    """Return the bare mannequin as a layer of the frame, far limbs first."""
    layer = Layer.empty(place.size_hw)
    turn = float(np.sin(place.yaw))
    for side in (-1, 1):
        if side * turn >= -0.2:
            _paint_arm(layer, side, design, place)
    _paint_tube(layer, design.torso, design, place, light)
    for leg in sorted(design.legs, key=lambda leg: _depth(leg, place.yaw)):
        _paint_tube(layer, leg, design, place, light)
    for side in (-1, 1):
        if side * turn < -0.2:
            _paint_arm(layer, side, design, place)
    _paint_neck_cap(layer, design, place)
    return layer


def _depth(tube: Tube, yaw: float) -> float:
    middle = np.array([(tube.top + tube.bottom) / 2])
    return float((tube.centre_z(middle) * np.cos(yaw) - tube.centre_x(middle) * np.sin(yaw))[0])


def _paint_tube(layer: Layer, tube: Tube, design: MannequinDesign, place: Placement, light: Light) -> None:
    patch = polygon_coverage(place.to_px(outline(tube, place.yaw)), place.size_hw)
    colour = _skin(tube, patch, design, place, light)
    if tube is not design.torso:  # a leg grows out of the hips without an edge
        rows = np.arange(patch.window[0].start, patch.window[0].stop) + 0.5
        grown = np.clip((place.y_of(rows) - tube.top) / 0.055, 0, 1).astype(np.float32)
        patch = Patch(patch.top, patch.left, patch.coverage * grown[:, None])
    layer.paint(patch, colour)


def _skin(tube: Tube, patch: Patch, design: MannequinDesign, place: Placement, light: Light) -> Floats:
    rows, columns = patch.window
    y = place.y_of(np.arange(rows.start, rows.stop) + 0.5)
    x = place.x_of(np.arange(columns.start, columns.stop) + 0.5)
    slices = cut_slices(tube, y, place.yaw)
    surface = look_at(slices, x, near=True)
    normals = facing(slices, surface, y)
    level = y[:, None].astype(np.float32)
    if tube is design.torso:
        # The angle jumps from pi to -pi behind, but the bust is in front, where it does not.
        down, right = np.gradient(bust_relief(surface.theta, level), 1 / place.unit_px)
        normals = unit(normals - np.stack([right, down, np.zeros_like(right)], axis=-1))
    colour = design.skin * shine(light, normals, 0.5)[..., None]
    toward_key = normals[..., 0] * light.key[0] + normals[..., 1] * light.key[1] + normals[..., 2] * light.key[2]
    colour = colour + design.gloss * np.maximum(toward_key, 0)[..., None] ** 24
    if tube is design.torso:
        colour = colour * _joints(design, surface, level)[..., None]
    return np.asarray(np.clip(colour, 0, 1), np.float32)


def _joints(design: MannequinDesign, surface: Surface, y: Floats) -> Floats:
    """Brightness of the torso along its joints: a line around each shoulder and, for some, one around the waist."""
    reach = np.interp(y, (0.05, 0.09, 0.135), (0.079, 0.074, 0.079)).astype(np.float32)
    shoulder = np.clip(1 - np.abs(np.abs(surface.x) - reach) * 900, 0, 1) * (y > 0.045) * (y < 0.138)
    waist = np.clip(1 - np.abs(y - 0.262 - 0.004 * surface.depth) * 700, 0, 1) * design.has_waist_seam
    return np.asarray((1 - 0.11 * shoulder) * (1 - 0.28 * waist), np.float32)


def _paint_arm(layer: Layer, side: int, design: MannequinDesign, place: Placement) -> None:
    """Paint one upper-arm stump, or only the joint where it would be, with its end disc if that faces the camera."""
    cos, sin = float(np.cos(place.yaw)), float(np.sin(place.yaw))
    flat = max(abs(sin), 0.14)
    outer = 0.094 + design.arm_length
    x, y = side * outer * cos, 0.100 + 0.3 * design.arm_length  # the stump hangs a little
    if design.arm_length:
        _paint_stump(layer, (side * 0.07 * cos, 0.097), (x, y), flat, design, place)
    faces_camera = side * sin < 0 or abs(sin) < 0.3
    if not faces_camera or (not design.arm_length and abs(sin) < 0.3):
        return  # the far arm shows no end; joints without a stump are seen only from the side
    for size, colour in ((0.0295, design.skin * 0.9), (0.027, design.skin), (0.018, design.skin * 1.04)):
        disc = polygon_coverage(place.to_px(ellipse((x, y), (size * flat, size))), place.size_hw)
        layer.paint(disc, np.clip(colour, 0, 1).astype(np.float32))
    bolt = polygon_coverage(place.to_px(ellipse((x, y), (0.011 * flat, 0.011))), place.size_hw)
    layer.paint(bolt, design.socket)


def _paint_stump(
    layer: Layer,
    inner: tuple[float, float],
    outer: tuple[float, float],
    flat: float,
    design: MannequinDesign,
    place: Placement,
) -> None:
    radius = 0.036
    rim = ellipse((0.0, 0.0), (radius * flat, radius))
    outward = np.sign(outer[0] - inner[0])
    at_end = (rim[:, :1] * outward) >= 0
    sides = np.where(at_end, rim * (1.0, 0.86) + outer, rim + inner)
    patch = polygon_coverage(place.to_px(sides), place.size_hw)
    rows, columns = patch.window
    up = (place.y_of(np.arange(rows.start, rows.stop) + 0.5)[:, None] - outer[1]) / radius
    along = (place.x_of(np.arange(columns.start, columns.stop) + 0.5) - inner[0]) / (outer[0] - inner[0])
    shade = (0.97 - 0.1 * np.clip(up, -1, 1) - 0.16 * up**2) * (1 - 0.06 * np.clip(along, 0, 1))
    grown = np.clip((along + 0.4) / 0.8, 0, 1).astype(np.float32)
    soft = Patch(patch.top, patch.left, patch.coverage * grown)
    layer.paint(soft, np.clip(design.skin * shade[..., None], 0, 1).astype(np.float32))


def _paint_neck_cap(layer: Layer, design: MannequinDesign, place: Placement) -> None:
    slices = cut_slices(design.torso, np.array([0.0]), place.yaw)
    middle = float((slices.left + slices.right)[0, 0] / 2)
    half = float((slices.right - slices.left)[0, 0] / 2)
    rim = ellipse((middle, 0.001), (half, 0.0035))
    layer.paint(polygon_coverage(place.to_px(rim), place.size_hw), design.cap)
    lower = ellipse((middle, 0.0), (half * 1.02, 0.006))[2:31]
    line = polygon_coverage(place.to_px(stroke(lower, 0.0015)), place.size_hw)
    layer.paint(line, design.cap * np.float32(0.82))
