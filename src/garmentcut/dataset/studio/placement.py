"""Where the figure stands in the frame, how it is turned, and what light falls on it."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.streams import between, named_stream

VIEWS = ("Front", "FrontRight", "Back")
_TURN = {"Front": 0.0, "FrontRight": 45.0, "Back": 180.0}  # degrees
CAMERA_HEIGHT = 0.42  # body y that the camera looks at straight on
CAMERA_DISTANCE = 3.4  # body units


@dataclass(frozen=True)
class Placement:
    """Maps body coordinates to pixels.

    Attributes:
        size_hw: The frame in pixels.
        axis_px: Column of the turntable's axis.
        neck_px: Row of body y 0.
        unit_px: Pixels in one body unit.
        yaw: Radians.
    """

    size_hw: tuple[int, int]
    axis_px: float
    neck_px: float
    unit_px: float
    yaw: float

    def to_px(self, points: Floats) -> Floats:
        """Return body points (N, 2) as pixel positions."""
        return np.asarray(points * self.unit_px + np.array([self.axis_px, self.neck_px]))

    def x_of(self, columns_px: Floats) -> Floats:
        """Return body x of pixel positions."""
        return np.asarray((columns_px - self.axis_px) / self.unit_px)

    def y_of(self, rows_px: Floats) -> Floats:
        """Return body y of pixel positions."""
        return np.asarray((rows_px - self.neck_px) / self.unit_px)


def place_figure(seed: int, view: str, size_hw: tuple[int, int]) -> Placement:
    """Return where the figure of this seed stands in a view; only the turntable moves between views."""
    rng = named_stream(seed, "placement")
    height, width = size_hw
    axis, neck, unit = between(rng, 0.44, 0.56), between(rng, 0.155, 0.215), between(rng, 0.68, 0.75)
    unit = min(unit, 0.93 - neck)
    wobble = {name: between(rng, -4, 4) for name in VIEWS}
    yaw = np.deg2rad(_TURN[view] + wobble[view])
    return Placement(size_hw, axis * width, neck * height, unit * height, float(yaw))


def lower_by_perspective(y: Floats, depth: Floats) -> Floats:
    """Return the body y that appears at picture y: what is near the camera moves away from its axis."""
    return np.asarray(y - (y - CAMERA_HEIGHT) * depth * np.float32(1 / CAMERA_DISTANCE), np.float32)


@dataclass(frozen=True)
class Light:
    """Soft studio light.

    Attributes:
        key: Unit direction to the key light (right, down, towards the camera).
        key_share: How much of the light comes from it, in [0, 1].
        tint: (3,) colour of the light, about 1.
    """

    key: Floats
    key_share: float
    tint: Floats


def design_light(seed: int) -> Light:
    """Return the light of a seed: two large softboxes, one a little stronger."""
    rng = named_stream(seed, "light")
    side = -1.0 if rng.random() < 0.5 else 1.0
    key = np.array([side * between(rng, 0.35, 0.85), between(rng, -0.7, -0.3), between(rng, 0.5, 0.9)])
    warmth = between(rng, -0.02, 0.035)
    tint = np.array([1 + warmth, 1 + warmth * 0.25, 1 - warmth], np.float32)
    return Light(np.asarray(key / np.linalg.norm(key), np.float32), between(rng, 0.22, 0.5), tint)


def shine(light: Light, normals: Floats, softness: float = 0.62) -> Floats:
    """Return brightness (rows, columns) of matt surfaces, about 1 where they face the light.

    Args:
        light: Where the light comes from.
        normals: (rows, columns, 3) unit normals.
        softness: Brightness of a surface that sees only the white surroundings.
    """
    # Written out, not a matrix product: the order of a library's sums may vary from machine to machine.
    x, y, z = (float(part) for part in light.key)
    key = np.maximum(normals[..., 0] * x + normals[..., 1] * y + normals[..., 2] * z, 0)
    fill = 0.5 + 0.5 * normals[..., 2] - 0.12 * normals[..., 1]
    lit = light.key_share * key * 1.25 + (1 - light.key_share) * fill
    return np.asarray(softness + (1.06 - softness) * lit, np.float32)
