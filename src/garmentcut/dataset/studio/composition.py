"""Garment, mannequin and studio in one picture: four layers whose shares of every pixel add up to one."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats, Layer, soften
from garmentcut.dataset.studio.cloth import ClothSide, drape_side
from garmentcut.dataset.studio.garment import GarmentDesign
from garmentcut.dataset.studio.noise import lattice
from garmentcut.dataset.studio.placement import Light, Placement
from garmentcut.dataset.studio.prints import paint_texture
from garmentcut.dataset.studio.streams import named_stream
from garmentcut.dataset.studio.wrap import Coverage, find_window, measure_coverage

_WEAVE_LATTICE = 256


@dataclass(frozen=True)
class Picture:
    """A picture before the camera.

    Attributes:
        rgb: float32 (H, W, 3) in [0, 1]: `garment_rgb + (1 - alpha) * behind`.
        alpha: float32 (H, W) in [0, 1], the garment's coverage.
        garment_rgb: float32 (H, W, 3), the garment's colour times alpha.
        behind: float32 (H, W, 3), all that is not garment; it counts only where alpha < 1.
    """

    rgb: Floats
    alpha: Floats
    garment_rgb: Floats
    behind: Floats


def compose(
    garment: GarmentDesign, figure: Layer, studio: Floats, place: Placement, light: Light, *, seed: int
) -> Picture:
    """Dress the figure and put it into the studio.

    Args:
        garment: What it wears.
        figure: The bare mannequin, a layer of the frame.
        studio: The empty studio, float32 (H, W, 3).
        place: Where the figure stands.
        light: The studio's light.
        seed: The photo's seed.
    """
    window = find_window(garment, place)
    coverage = measure_coverage(garment, place, window)
    texture = paint_texture(garment.fabric, place.unit_px)
    weave = lattice(named_stream(seed, "weave"), _WEAVE_LATTICE, _WEAVE_LATTICE)
    outside, inside = (drape_side(garment, texture, weave, place, window, light, near=near) for near in (True, False))
    part = (window.rows, window.columns)
    skin = figure.rgb * _contact_shade(coverage, part, place)[..., None]
    bare = skin + (1 - figure.alpha[..., None]) * studio
    alpha = np.zeros(place.size_hw, np.float32)
    garment_rgb, remains = np.zeros_like(bare), bare.copy()
    alpha[part], garment_rgb[part], remains[part] = _dress(
        coverage, outside, inside, Layer(skin[part], figure.alpha[part]), studio[part]
    )
    behind = np.where(alpha[..., None] < 1, remains / np.maximum(1 - alpha, 1e-6)[..., None], bare)
    return Picture(garment_rgb + remains, alpha, garment_rgb, np.clip(behind, 0, 1))


def _dress(
    coverage: Coverage, outside: ClothSide, inside: ClothSide, figure: Layer, studio: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return alpha, the garment's colour times alpha, and what remains of all else, times 1 - alpha.

    From near to far: the outside of the cloth, the mannequin, the inside of the far cloth, the studio. How the two
    layers of cloth meet within a pixel is known from the samples; the mannequin's edge is independent of them.
    """
    near = coverage.near * outside.opacity
    far_seen = inside.opacity * (coverage.far - coverage.both * outside.opacity)
    far = far_seen * (1 - figure.alpha)
    open_air = 1 - near - far_seen
    alpha = np.clip(near + far, 0, 1)
    garment_rgb = near[..., None] * outside.rgb + far[..., None] * inside.rgb
    remains = (1 - near)[..., None] * figure.rgb + (open_air * (1 - figure.alpha))[..., None] * studio
    return alpha, garment_rgb, remains


def _contact_shade(coverage: Coverage, part: tuple[slice, slice], place: Placement) -> Floats:
    """Brightness (H, W) of the mannequin near the cloth: soft shadows beside its edges and below its hem."""
    covered = np.zeros(place.size_hw, np.float32)
    covered[part] = coverage.near
    drop, reach = round(0.01 * place.unit_px), 0.007 * place.unit_px
    # Only this part of the frame can be reached by the blur.
    top, left = max(part[0].start - drop, 0), max(part[1].start - drop, 0)
    around = (slice(top, part[0].stop + 6 * drop), slice(left, part[1].stop + 2 * drop))
    near_edge = soften(covered[around], max(reach, 1.0))
    lowered = np.roll(near_edge, drop, axis=0)
    lowered[:drop] = 0
    long_shadow = np.roll(soften(near_edge, max(reach * 1.5, 1.0)), 2 * drop, axis=0)
    long_shadow[: 2 * drop] = 0
    shade = np.ones(place.size_hw, np.float32)
    shadow = 0.16 * near_edge + 0.2 * lowered + 0.14 * long_shadow
    shade[around] -= shadow * (1 - 0.65 * covered[around])  # under the cloth, light comes through it
    return shade
