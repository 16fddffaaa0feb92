"""Synthetic studio photos: design from the seed, paint the parts, compose them, take the photo, write it."""

import io
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from garmentcut.photo.cutout import Cutout
from garmentcut.photo.files import write_atomic
from garmentcut.synthetic.canvas import Floats, Layer, lattice, named_stream, soften
from garmentcut.synthetic.cloth import ClothSide, Coverage, drape_side, find_window, measure_coverage
from garmentcut.synthetic.fabric import PRINTS, design_fabric, paint_texture
from garmentcut.synthetic.garment import KINDS, GarmentDesign, design_garment, pick_kind
from garmentcut.synthetic.mannequin import MannequinDesign, design_mannequin, paint_mannequin
from garmentcut.synthetic.scene import (
    VIEWS,
    Light,
    Placement,
    SceneDesign,
    design_light,
    design_scene,
    expose,
    paint_scene,
    place_figure,
)

_WEAVE_LATTICE = 256
_NAMESPACE = uuid.UUID("6f1f5c0e-52a8-4f0f-9a39-5c0a8b8f3c11")
_JPEG_QUALITY = 95


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


@dataclass(frozen=True)
class StudioPhoto:
    """One synthetic studio photo and its exact alpha.

    Attributes:
        rgb: uint8 (H, W, 3) sRGB.
        alpha: float32 (H, W) in [0, 1]: the garment's coverage of each pixel.
        garment: Id of the garment, the same in all views of one seed.
        view: `Front`, `FrontRight` or `Back`.
        traits: Words that describe the garment and the studio, e.g. `dress`, `sheer`, `dip hem`, `stripes`.
    """

    rgb: npt.NDArray[np.uint8]
    alpha: Floats
    garment: str
    view: str
    traits: frozenset[str]


def draw_studio_photo(
    seed: int,
    *,
    view: str = "Front",
    size_hw: tuple[int, int] = (1728, 1152),
    garment_kind: str | None = None,
    print_name: str | None = None,
    fabric_rgb: Sequence[float] | None = None,
) -> StudioPhoto:
    """Draw a photo of a dressed mannequin; the same arguments give the same photo, bit for bit.

    Args:
        seed: 0 or more; decides on garment, mannequin and studio, which are the same in every view and size.
        view: One of `VIEWS`; the turntable turns the figure, all else stays.
        size_hw: Height and width in pixels; meant for upright photos of about 3:2.
        garment_kind: `dress`, `skirt`, `top` or `vest`; None lets the seed decide.
        print_name: A print, e.g. `plain`, `stripes`, `lace`; None lets the seed decide.
        fabric_rgb: Ground colour of the fabric, sRGB in [0, 1]; None lets the seed decide.

    Raises:
        ValueError: The view, kind or print is unknown, or the size is too small to hold a figure.
    """
    for value, known in ((view, VIEWS), (garment_kind or "dress", KINDS), (print_name or "plain", PRINTS)):
        if value not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
    if min(size_hw) < 32:
        raise ValueError(f"size_hw {size_hw} is too small; each side needs at least 32 pixels")
    scene, mannequin, light = design_scene(seed), design_mannequin(seed), design_light(seed)
    garment = _tailored(seed, scene, mannequin, garment_kind, print_name, fabric_rgb)

    place = place_figure(seed, view, size_hw)
    studio = paint_scene(scene, place)
    figure = paint_mannequin(mannequin, place, light)
    picture = compose(garment, figure, studio, place, light, seed=seed)
    rgb, alpha = expose(picture.rgb, picture.alpha, light, seed=seed, view=view)

    fabric = garment.fabric
    name = f"{seed}/{garment.kind}/{fabric.print_name}/{[round(float(part), 4) for part in fabric.rgb]}"
    return StudioPhoto(rgb, alpha, str(uuid.uuid5(_NAMESPACE, name)), view, garment.traits | {scene.name})


def studio_traits(seed: int) -> frozenset[str]:
    """The traits of the photos that a seed draws, without drawing one."""
    scene = design_scene(seed)
    return _tailored(seed, scene, design_mannequin(seed), None, None, None).traits | {scene.name}


def _tailored(
    seed: int,
    scene: SceneDesign,
    mannequin: MannequinDesign,
    kind: str | None,
    print_name: str | None,
    rgb: Sequence[float] | None,
) -> GarmentDesign:
    fabric = design_fabric(seed, mannequin.skin, scene.backdrop, rgb=rgb, print_name=print_name)
    return design_garment(seed, kind or pick_kind(seed), mannequin.torso, fabric)


def write_studio_photos(
    out_dir: Path, seeds: Iterable[int], *, size_hw: tuple[int, int] = (1728, 1152), cutouts_dir: Path | None = None
) -> Iterator[Path]:
    """Draw a garment for each seed, in all three views.

    Args:
        out_dir: gets `<garment>_<view>.jpg`.
        seeds: 0 or more each; the same seed gives the same garment.
        size_hw: height and width in pixels.
        cutouts_dir: gets `<garment>_<view>.png`, RGBA with the exact alpha, as a retoucher would deliver it.

    Yields:
        The path of each photo when it is written.
    """
    for seed in seeds:
        for view in VIEWS:
            shot = draw_studio_photo(seed, view=view, size_hw=size_hw)
            name = f"{shot.garment}_{shot.view}"
            if cutouts_dir is not None:
                Cutout(shot.rgb, shot.alpha).save(cutouts_dir / f"{name}.png")
            write_atomic(out_dir / f"{name}.jpg", _jpeg_of(shot))
            yield out_dir / f"{name}.jpg"


def _jpeg_of(shot: StudioPhoto) -> bytes:
    file = io.BytesIO()
    Image.fromarray(shot.rgb).save(file, "JPEG", quality=_JPEG_QUALITY, dpi=(300, 300))
    return file.getvalue()
