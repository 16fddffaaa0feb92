"""Synthetic studio photos: design from the seed, paint the parts, compose them, take the photo."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from garmentcut.dataset.studio.camera import expose
from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.composition import compose
from garmentcut.dataset.studio.fabric import PRINTS, design_fabric
from garmentcut.dataset.studio.figure import paint_mannequin
from garmentcut.dataset.studio.garment import KINDS, GarmentDesign, design_garment, pick_kind
from garmentcut.dataset.studio.mannequin import MannequinDesign, design_mannequin
from garmentcut.dataset.studio.placement import VIEWS, design_light, place_figure
from garmentcut.dataset.studio.scene import SceneDesign, design_scene, paint_scene

_NAMESPACE = uuid.UUID("6f1f5c0e-52a8-4f0f-9a39-5c0a8b8f3c11")


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
