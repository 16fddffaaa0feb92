"""What is sewn onto the cloth: seams, zips, belts, buttons, lapels."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.cut import HEM_ANGLES, Cut

_BUTTON_STEP, _BUTTON_RADIUS = 0.036, 0.0052  # body units
_LAPEL_END = 0.27  # body y
_BACK_WIDTH = 0.09  # body units a radian, where lines run down the cloth


@dataclass(frozen=True)
class Trims:
    """What is sewn onto one garment.

    Attributes:
        belt: (3,) colour of a belt or waistband, or None.
        belt_middle: Body y of its middle.
        belt_half_height: Body units.
        buttons: (3,) colour of a row of buttons in front, or None.
        zip_end: Body y where a zip in the back ends; 0 is none.
        side_seams: Whether the seams at the sides show.
        waist_seam: Body y of a seam around the waist; 0 is none.
        lapel: (3,) colour of an open front's turned edges, or None.
    """

    belt: Floats | None = None
    belt_middle: float = 0.0
    belt_half_height: float = 0.0
    buttons: Floats | None = None
    zip_end: float = 0.0
    side_seams: bool = False
    waist_seam: float = 0.0
    lapel: Floats | None = None


def belt_coverage(trims: Trims, y: Floats, unit_px: float) -> Floats:
    """Return how much of the cloth at heights y, body units, is belt or waistband; all 0 without one."""
    if trims.belt is None:
        return np.zeros_like(y)
    return _line_coverage(y - trims.belt_middle, trims.belt_half_height, unit_px)


def _line_coverage(distance: Floats, half_width: float, unit_px: float) -> Floats:
    """Coverage of a line at these distances from its middle, both in body units."""
    return np.asarray(np.clip((half_width - np.abs(distance)) * unit_px + 0.5, 0, 1), np.float32)


def sew(trims: Trims, cut: Cut, rgb: Floats, theta: Floats, y: Floats, unit_px: float) -> Floats:
    """Return the cloth's colours with the trims on them.

    Args:
        trims: What to sew on.
        cut: Where the cloth ends.
        rgb: (h, w, 3) colours of the print.
        theta: (h, w) angle of each place of the cloth.
        y: (h, w) its body y.
        unit_px: Pixels in a body unit.
    """
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
    """Turn the edges of an open front out, so that they show the inside."""
    edge = opening + 0.05 * np.clip((_LAPEL_END - y) / 0.15, 0, 1)
    off_middle = np.abs(np.sin(theta)) * 0.1
    in_front = (np.cos(theta) > 0) & (y < _LAPEL_END)
    turned = np.clip((edge - off_middle) * unit_px + 0.5, 0, 1) * in_front
    crease = _line_coverage(off_middle - edge, 0.0014, unit_px) * in_front
    rgb = rgb + turned[..., None] * (lapel - rgb)
    return np.asarray(rgb * (1 - 0.35 * crease)[..., None])
