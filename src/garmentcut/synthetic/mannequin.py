"""Draws the mannequin, for `render`, as tubes with elliptical cross-sections, seen from any side; cloth hangs on them.

Body coordinates: y runs from 0 at the top of the neck to 1 at the soles, x to the viewer's right and z towards the
viewer, all in the same unit, for a figure that faces the camera. Yaw turns it to the viewer's right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from garmentcut.synthetic.canvas import (
    Floats,
    PaintLayer,
    Patch,
    between,
    dot,
    ellipse,
    happens,
    named_stream,
    pick,
    read_table,
    soften,
    spline,
    stroke,
)
from garmentcut.synthetic.scene import FigurePlacement, Light, shine

_PROFILE_SAMPLES = 400
SKINS = read_table(dict[str, tuple[tuple[int, int, int], float]], "skins")
_TORSO, _LEG, _ARM, _HEAD = (np.array(read_table(list[list[float]], name)) for name in ("torso", "leg", "arm", "head"))


class Profile(NamedTuple):
    """A smooth function of y: `values` (N,) at equal steps from `start` to `end`; constant beyond."""

    start: float
    end: float
    values: Floats

    @property
    def least(self) -> float:
        """The smallest value."""
        return float(self.values.min())

    @property
    def most(self) -> float:
        """The largest value."""
        return float(self.values.max())

    def __call__(self, y: Floats) -> Floats:
        """Return the value at each y, same shape."""
        return np.interp(y, np.linspace(self.start, self.end, len(self.values)), self.values)


def profile(points: Sequence[tuple[float, float]] | Floats, smoothness: float = 0.012) -> Profile:
    """Return a profile through (y, value) pairs, with corners rounded over about `smoothness`."""
    ys, values = np.array(points, np.float64).T
    fine = np.linspace(ys[0], ys[-1], _PROFILE_SAMPLES)
    reach = smoothness / max(ys[-1] - ys[0], 1e-6) * _PROFILE_SAMPLES
    return Profile(float(ys[0]), float(ys[-1]), soften(np.interp(fine, ys, values)[:, None], reach)[:, 0])


class Tube(NamedTuple):
    """A stack of ellipses from `top` to `bottom`; every profile is in body units along y."""

    top: float
    bottom: float
    centre_x: Profile
    centre_z: Profile
    half_width: Profile
    half_depth: Profile


class Slices(NamedTuple):
    """The cross-sections of a tube at some rows, seen at a yaw; every array is (rows, 1)."""

    left: Floats  # Where the outline begins in the picture
    right: Floats  # Where it ends
    half_width: Floats  # Half axis of the ellipse along the body's x
    half_depth: Floats  # Half axis along the body's z
    centre_x: Floats  # Centre of the ellipse
    centre_z: Floats  # Centre of the ellipse
    cos_turn: Floats  # Cosine of the ellipse angle at the right outline
    sin_turn: Floats  # Its sine
    yaw: float  # Radians


class Surface(NamedTuple):
    """Where the lines of sight meet a tube; every array is (rows, columns)."""

    inside: np.typing.NDArray[np.bool_]  # The line of sight meets the tube
    across: Floats  # Cosine of the ellipse angle: -1 and 1 at the body's sides
    ahead: Floats  # Sine of the ellipse angle: 1 at the front, -1 at the back
    x: Floats  # Body x
    depth: Floats  # Distance from the axis towards the camera

    @property
    def theta(self) -> Floats:
        """Angle around the body in radians: 0 in front, +-pi at the back, positive on the figure's left."""
        return np.arctan2(self.across, self.ahead)


def cut_slices(tube: Tube, y: Floats, yaw: float) -> Slices:
    """Return the cross-sections of a tube at the rows y, (rows,)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x0, z0, a, b = (
        p(y)[:, None].astype(np.float32) for p in (tube.centre_x, tube.centre_z, tube.half_width, tube.half_depth)
    )
    reach = np.sqrt((a * cos) ** 2 + (b * sin) ** 2)
    middle = x0 * cos + z0 * sin
    return Slices(middle - reach, middle + reach, a, b, x0, z0, a * cos / reach, b * sin / reach, float(yaw))


def look_at(slices: Slices, x: Floats, *, near: bool) -> Surface:
    """Return where lines of sight at x, (columns,), meet the near or far side of the tube."""
    u = (2 * x.astype(np.float32) - slices.left - slices.right) / (slices.right - slices.left)
    rest = np.sqrt(np.maximum(1 - u * u, 0))
    root = rest if near else -rest
    across = u * slices.cos_turn - root * slices.sin_turn
    ahead = u * slices.sin_turn + root * slices.cos_turn
    body_x = slices.centre_x + slices.half_width * across
    body_z = slices.centre_z + slices.half_depth * ahead
    depth = body_z * np.float32(np.cos(slices.yaw)) - body_x * np.float32(np.sin(slices.yaw))
    return Surface(np.abs(u) <= 1, across, ahead, body_x, depth)


def facing(slices: Slices, surface: Surface, y: Floats) -> Floats:
    """Return the unit normals in the picture, (rows, columns, 3): right, down, towards the camera."""
    cos, sin = np.float32(np.cos(slices.yaw)), np.float32(np.sin(slices.yaw))
    out_x = surface.across / slices.half_width
    out_z = surface.ahead / slices.half_depth
    length = np.hypot(out_x, out_z)
    flare = np.gradient((slices.right - slices.left)[:, 0] / 2, y)[:, None] if len(y) > 1 else 0.0
    down = np.broadcast_to(-np.clip(flare, -0.8, 0.8), out_x.shape)
    right, towards = (out_x * cos + out_z * sin) / length, (out_z * cos - out_x * sin) / length
    return unit(np.stack([right, down, towards], axis=-1))


def unit(vectors: Floats) -> Floats:
    """Return vectors (..., 3) scaled to length 1, float32."""
    return np.asarray(vectors / np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)), np.float32)


def outline(tube: Tube, yaw: float, rows: int = 160) -> Floats:
    """Return a tube's outline in the picture, as a polygon (N, 2) in body coordinates."""
    y = np.linspace(tube.top, tube.bottom, rows)
    slices = cut_slices(tube, y, yaw)
    return np.concatenate([np.c_[slices.right, y], np.c_[slices.left, y][::-1]])


@dataclass(frozen=True)
class Make:
    """A kind of figure."""

    skin: tuple[int, int, int] = (230, 226, 220)  # sRGB of its surface in full light, 0 to 255
    gloss: float = 0.0  # Strength of its highlights
    grain: str = ""  # `wood`, `linen` or empty
    # `mannequin`; `form`, a dress form on a stand; `hanger`; `nothing`: the garment is worn by nobody.
    build: str = "mannequin"
    has_head: bool = False  # A mannequin without one ends at the neck


MAKES = read_table(dict[str, Make], "makes")
"""Figures in other studios, shops and homes, by name."""


@dataclass(frozen=True)
class MannequinDesign:
    """One mannequin."""

    skin: Floats  # (3,) sRGB in [0, 1]
    gloss: float  # Strength of the highlights
    torso: Tube  # Neck to hips
    legs: tuple[Tube, Tube]  # The figure's right and left leg
    arms: tuple[Tube, Tube]  # Where its right and left arm are, or would be
    has_arms: bool  # Else it has stumps
    arm_length: float  # How far the upper-arm stumps extend beyond the shoulder, body units; 0 is none
    socket: Floats  # (3,) colour of the disc where an arm would be attached
    has_waist_seam: bool  # The torso lifts off the legs at a visible seam
    cap: Floats  # (3,) colour of the top of the neck
    make: Make = Make()  # Its kind; by default a studio's own mannequin
    head: Tube | None = None  # On the neck, or None


def design_mannequin(seed: int, make: str = "", *, has_arms: bool = False) -> MannequinDesign:
    """Return the mannequin for a seed; with `make`, a key of `MAKES`, it is of that make, with the seed's measures."""
    rng, posture = named_stream(seed, "mannequin"), named_stream(seed, "arms")
    skin = np.array(SKINS[pick(rng, {name: weight for name, (_, weight) in SKINS.items()})][0], np.float32) / 255
    skin = np.clip(skin + rng.normal(0, 0.012, 3).astype(np.float32), 0, 1)
    width = between(rng, 0.95, 1.05)
    stance = between(rng, -0.014, 0.014)
    slim = between(rng, 0.92, 1.04)
    arm_length = between(rng, 0.016, 0.028) if happens(rng, 0.6) else 0.0
    grey = between(rng, 0.35, 0.75)
    cap = np.clip(skin * between(rng, 0.9, 1.08), 0, 1)
    design = MannequinDesign(
        skin=skin,
        gloss=between(rng, 0.0, 0.14),
        torso=_torso(width),
        legs=(_leg(-1, stance, slim, width), _leg(1, -stance, slim, width)),
        arms=(_arm(-1, between(posture, 0.2, 2.5)), _arm(1, between(posture, 0.2, 2.5))),
        has_arms=has_arms,
        arm_length=arm_length,
        socket=np.full(3, grey, np.float32),
        has_waist_seam=happens(rng, 0.7),
        cap=np.asarray(cap, np.float32),
    )
    return _made_as(design, MAKES[make], named_stream(seed, "make", make)) if make else design


def _made_as(design: MannequinDesign, make: Make, rng: np.random.Generator) -> MannequinDesign:
    tint = np.array(make.skin) / 255 * between(rng, 0.85, 1.1) + rng.normal(0, 0.02, 3)
    skin = np.asarray(np.clip(tint, 0.02, 0.99), np.float32)
    return replace(
        design,
        skin=skin,
        gloss=make.gloss * between(rng, 0.6, 1.1),
        has_arms=design.has_arms and make.build == "mannequin",
        arm_length=0.0 if make.build == "form" else design.arm_length,
        cap=np.asarray(np.clip(skin * between(rng, 0.8, 1.1), 0, 1), np.float32),
        make=make,
        head=_head() if make.has_head else None,
    )


def _head() -> Tube:
    y, half = _HEAD.T
    middle, leaning = profile([(0, 0), (1, 0)]), profile([(float(y[0]), 0.006), (0.02, -0.004)])
    return tube_of(y, middle, leaning, half_width=half, half_depth=half * 1.2, smoothness=0.01)


def _torso(width: float) -> Tube:
    y, half_width, half_depth, forward = _TORSO.T
    middle, leaning = profile([(0, 0), (1, 0)]), profile(np.c_[y, forward])
    return tube_of(y, middle, leaning, half_width=half_width * width, half_depth=half_depth, smoothness=0.008)


def _leg(side: int, stance: float, slim: float, hips: float) -> Tube:
    y, spread, radius, back = _LEG.T
    radius = radius * np.interp(y, (0.46, 0.6), (hips, slim))
    spread = spread * np.interp(y, (0.46, 0.6), (hips, 1.0))
    depth = radius * np.interp(y, (0.42, 0.55), (1.22, 1.06))  # thighs are deeper than wide
    x, z = profile(np.c_[y, side * spread]), profile(np.c_[y, stance - back], 0.03)
    return tube_of(y, x, z, half_width=radius, half_depth=depth, smoothness=0.025)


def _arm(side: int, spread: float) -> Tube:
    """An arm that hangs down; `spread` says how far from the body, 1 is usual."""
    y, away, radius, forward = _ARM.T
    away = away[3] + (away - away[3]) * np.where(y > y[3], spread, 1.0)
    x, z = profile(np.c_[y, side * away]), profile(np.c_[y, forward])
    return tube_of(y, x, z, half_width=radius, half_depth=radius * 1.1, smoothness=0.008)


def tube_of(y: Floats, x: Profile, z: Profile, *, half_width: Floats, half_depth: Floats, smoothness: float) -> Tube:
    """Return the tube with these centres, and half axes at each y, (N,), rounded over about `smoothness`."""
    width, depth = (profile(np.c_[y, half], smoothness) for half in (half_width, half_depth))
    return Tube(float(y[0]), float(y[-1]), x, z, width, depth)


def bust_relief(theta: Floats, y: Floats, fullness: float = 1.0) -> Floats:
    """Return how far the bust stands out from the torso's ellipses, in body units, at angles and heights."""
    relief = np.zeros(np.broadcast_shapes(theta.shape, y.shape), np.float32)
    for side in (-1, 1):
        across = (theta - side * 0.62) / 0.36
        down = (y - 0.152) / np.where(y > 0.152, 0.026, 0.042)
        relief += np.exp(-(across**2) - down**2)
    return np.asarray(0.019 * fullness * relief, np.float32)


def paint_mannequin(design: MannequinDesign, place: FigurePlacement, light: Light) -> PaintLayer:
    """Return the bare mannequin as a layer of the frame, far limbs first."""
    layer = PaintLayer.empty(place.size_hw)
    if design.make.build == "hanger":
        _paint_hanger(layer, design, place)
    if design.make.build == "form":
        _paint_form(layer, design, place, light)
    if design.make.build != "mannequin":
        return layer
    far_arms = [side for side in (-1, 1) if side * float(np.sin(place.yaw)) >= -0.2]
    for side in far_arms:
        _paint_arm(layer, side, design, place, light)
    for tube in (design.torso, *sorted(design.legs, key=lambda leg: depth_of(leg, place.yaw))):
        _paint_tube(layer, tube, design, place, light)
    for side in {-1, 1}.difference(far_arms):
        _paint_arm(layer, side, design, place, light)
    if design.head is None:
        _paint_neck_cap(layer, design, place)
    else:
        _paint_tube(layer, design.head, design, place, light)
    return layer


def _paint_form(layer: PaintLayer, design: MannequinDesign, place: FigurePlacement, light: Light) -> None:
    """Paint a torso on a pole with a round foot, with a knob on the neck."""
    dark = np.asarray(design.cap * 0.45, np.float32)
    for shape in (ellipse((0.0, 0.985), (0.115, 0.026)), stroke(np.array([(0.0, 0.42), (0.0, 0.985)]), 0.013)):
        layer.paint(place.cover(shape), dark)
    _paint_tube(layer, design.torso, design, place, light)
    _paint_neck_cap(layer, design, place)
    layer.paint(place.cover(ellipse((0.0, -0.014), (0.017, 0.015))), dark)


def _paint_hanger(layer: PaintLayer, design: MannequinDesign, place: FigurePlacement) -> None:
    """Paint two shoulders and a hook above them, narrowed by the yaw."""
    width = 0.1 * max(abs(float(np.cos(place.yaw))), 0.15)
    half = width / 2
    bow = np.array([(-width, 0.088), (-half, 0.062), (0.0, 0.045), (half, 0.062), (width, 0.088)])
    hook = np.array([(0.0, 0.05), (0.0, -0.005), (0.012, -0.024), (0.0, -0.046), (-0.018, -0.036), (-0.02, -0.024)])
    steel = np.full(3, 0.55, np.float32)
    layer.paint(place.cover(stroke(spline(hook, closed=False), 0.005)), steel)
    layer.paint(place.cover(stroke(spline(bow, closed=False), 0.015)), design.skin)


def depth_of(tube: Tube, yaw: float) -> float:
    """Return how far a tube's middle lies from the figure's axis, towards the camera, body units."""
    middle = np.array([(tube.top + tube.bottom) / 2])
    return float((tube.centre_z(middle) * np.cos(yaw) - tube.centre_x(middle) * np.sin(yaw))[0])


def _paint_tube(layer: PaintLayer, tube: Tube, design: MannequinDesign, place: FigurePlacement, light: Light) -> None:
    patch = place.cover(outline(tube, place.yaw))
    colour = _skin(tube, patch, design, place, light)
    if any(tube is leg for leg in design.legs):  # a leg fades in below the hips without an edge
        grown = np.clip((place.of_window(patch.window)[1] - tube.top) / 0.055, 0, 1).astype(np.float32)
        patch = Patch(patch.top, patch.left, patch.coverage * grown[:, None])
    layer.paint(patch, colour)


def _skin(tube: Tube, patch: Patch, design: MannequinDesign, place: FigurePlacement, light: Light) -> Floats:
    x, y = place.of_window(patch.window)
    slices = cut_slices(tube, y, place.yaw)
    surface = look_at(slices, x, near=True)
    normals = facing(slices, surface, y)
    level = y[:, None].astype(np.float32)
    if tube is design.torso:
        # The angle jumps from pi to -pi at the back, but the bust is in front, where it does not.
        down, right = np.gradient(bust_relief(surface.theta, level), 1 / place.unit_px)
        normals = unit(normals - np.stack([right, down, np.zeros_like(right)], axis=-1))
    colour = design.skin * shine(light, normals, 0.5)[..., None]
    colour = colour + design.gloss * np.maximum(dot(normals, light.key), 0)[..., None] ** 24
    if tube is design.torso and design.make.build != "form":
        colour = colour * _joints(design, surface, level)[..., None]
    if design.make.grain:
        colour = colour * _grained(design.make.grain, surface, level)[..., None]
    return np.asarray(np.clip(colour, 0, 1), np.float32)


def _grained(grain: str, surface: Surface, y: Floats) -> Floats:
    """Brightness of wood by its rings, or of linen by its threads."""
    if grain == "wood":
        return np.asarray(1 + 0.06 * np.sin(170 * surface.x + 14 * y + 2.5 * np.sin(9 * y)), np.float32)
    return np.asarray(1 + 0.05 * np.sin(2600 * y) * np.sin(2600 * surface.x), np.float32)


def _joints(design: MannequinDesign, surface: Surface, y: Floats) -> Floats:
    """Brightness of the torso at its joints: a line around each shoulder and, on some, one around the waist."""
    reach = np.interp(y, (0.05, 0.09, 0.135), (0.079, 0.074, 0.079)).astype(np.float32)
    shoulder = np.clip(1 - np.abs(np.abs(surface.x) - reach) * 900, 0, 1) * (y > 0.045) * (y < 0.138)
    waist = np.clip(1 - np.abs(y - 0.262 - 0.004 * surface.depth) * 700, 0, 1) * design.has_waist_seam
    return np.asarray((1 - 0.11 * shoulder) * (1 - 0.28 * waist), np.float32)


def _paint_arm(layer: PaintLayer, side: int, design: MannequinDesign, place: FigurePlacement, light: Light) -> None:
    """Paint an arm, a stump, or only the joint in its place, with its end disc if that faces the camera."""
    if design.has_arms:
        _paint_tube(layer, design.arms[side > 0], design, place, light)
        return
    cos, sin = float(np.cos(place.yaw)), float(np.sin(place.yaw))
    flat = max(abs(sin), 0.14)
    outer = 0.094 + design.arm_length
    x, y = side * outer * cos, 0.100 + 0.3 * design.arm_length  # the stump hangs a little
    if design.arm_length:
        inner, radius = (side * 0.07 * cos, 0.097), 0.036
        rim = ellipse((0.0, 0.0), (radius * flat, radius))
        at_end = rim[:, :1] * (x - inner[0]) >= 0
        patch = place.cover(np.where(at_end, rim * (1.0, 0.86) + (x, y), rim + inner))
        columns, rows = place.of_window(patch.window)
        up, along = (rows[:, None] - y) / radius, (columns - inner[0]) / (x - inner[0])
        shade = (0.97 - 0.1 * np.clip(up, -1, 1) - 0.16 * up**2) * (1 - 0.06 * np.clip(along, 0, 1))
        grown = np.clip((along + 0.4) / 0.8, 0, 1).astype(np.float32)
        patch = Patch(patch.top, patch.left, patch.coverage * grown)
        layer.paint(patch, np.clip(design.skin * shade[..., None], 0, 1).astype(np.float32))
    faces_camera = side * sin < 0 or abs(sin) < 0.3
    if not faces_camera or (not design.arm_length and abs(sin) < 0.3):
        return  # the far arm's end is hidden; joints without a stump are visible only from the side
    for size, colour in ((0.0295, design.skin * 0.9), (0.027, design.skin), (0.018, design.skin * 1.04)):
        disc = place.cover(ellipse((x, y), (size * flat, size)))
        layer.paint(disc, np.clip(colour, 0, 1).astype(np.float32))
    bolt = place.cover(ellipse((x, y), (0.011 * flat, 0.011)))
    layer.paint(bolt, design.socket)


def _paint_neck_cap(layer: PaintLayer, design: MannequinDesign, place: FigurePlacement) -> None:
    slices = cut_slices(design.torso, np.array([0.0]), place.yaw)
    middle = float((slices.left + slices.right)[0, 0] / 2)
    half = float((slices.right - slices.left)[0, 0] / 2)
    layer.paint(place.cover(ellipse((middle, 0.001), (half, 0.0035))), design.cap)
    lower = ellipse((middle, 0.0), (half * 1.02, 0.006))[2:31]
    layer.paint(place.cover(stroke(lower, 0.0015)), design.cap * np.float32(0.82))
