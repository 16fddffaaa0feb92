"""Tubes with elliptic cross-sections seen from any side: the torso, the legs and the garment around them are tubes.

Body coordinates: y runs from 0 at the top of the neck to 1 at the soles, x to the viewer's right and z towards the
viewer, all in the same unit, for a figure that faces the camera. Yaw turns it to the viewer's right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats, soften

_PROFILE_SAMPLES = 400


@dataclass(frozen=True)
class Profile:
    """A smooth number along y: `values` (N,) at even steps from `start` to `end`; constant beyond."""

    start: float
    end: float
    values: Floats

    @property
    def least(self) -> float:
        """The smallest number."""
        return float(self.values.min())

    @property
    def most(self) -> float:
        """The largest number."""
        return float(self.values.max())

    def __call__(self, y: Floats) -> Floats:
        """Return the number at each y, same shape."""
        return np.interp(y, np.linspace(self.start, self.end, len(self.values)), self.values)


def profile(points: Sequence[tuple[float, float]], smoothness: float = 0.012) -> Profile:
    """Return a profile through (y, value) pairs, its corners rounded over about `smoothness`."""
    ys, values = np.array(points, np.float64).T
    fine = np.linspace(ys[0], ys[-1], _PROFILE_SAMPLES)
    reach = smoothness / max(ys[-1] - ys[0], 1e-6) * _PROFILE_SAMPLES
    return Profile(float(ys[0]), float(ys[-1]), soften(np.interp(fine, ys, values)[:, None], reach)[:, 0])


@dataclass(frozen=True)
class Tube:
    """A stack of ellipses from `top` to `bottom`; every profile is in body units along y."""

    top: float
    bottom: float
    centre_x: Profile
    centre_z: Profile
    half_width: Profile
    half_depth: Profile


@dataclass(frozen=True)
class Slices:
    """The cross-sections of a tube at some rows, seen at one yaw; every array is (rows, 1).

    Attributes:
        left: Where the outline begins in the picture.
        right: Where it ends.
        half_width: Half axis of the ellipse along the body's x.
        half_depth: Half axis along the body's z.
        centre_x: Centre of the ellipse.
        centre_z: Centre of the ellipse.
        cos_turn: Cosine of the ellipse angle that makes the right outline.
        sin_turn: Its sine.
        yaw: Radians.
    """

    left: Floats
    right: Floats
    half_width: Floats
    half_depth: Floats
    centre_x: Floats
    centre_z: Floats
    cos_turn: Floats
    sin_turn: Floats
    yaw: float


@dataclass(frozen=True)
class Surface:
    """Where the lines of sight meet a tube; every array is (rows, columns).

    Attributes:
        inside: bool, the line of sight meets the tube at all.
        across: Cosine of the ellipse angle: -1 and 1 at the body's sides.
        ahead: Sine of the ellipse angle: 1 at the front, -1 at the back.
        x: Body x.
        depth: Towards the camera.
    """

    inside: np.typing.NDArray[np.bool_]
    across: Floats
    ahead: Floats
    x: Floats
    depth: Floats

    @property
    def theta(self) -> Floats:
        """Angle around the body in radians: 0 in front, +-pi behind, positive to the figure's left."""
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
    """Return where lines of sight at x, (columns,), meet the near or the far side of the tube."""
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
    """Return a tube's outline in the picture as a polygon (N, 2) in body coordinates."""
    y = np.linspace(tube.top, tube.bottom, rows)
    slices = cut_slices(tube, y, yaw)
    right = np.stack([slices.right[:, 0], y], axis=1)
    left = np.stack([slices.left[:, 0], y], axis=1)
    return np.concatenate([right, left[::-1]])
