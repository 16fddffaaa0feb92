"""Renders synthetic studio photos with exact alpha, for `garmentcut studio` and for extra training pairs."""

import io
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from garmentcut.photo.compose import clean_edge_color
from garmentcut.photo.files import write_atomic
from garmentcut.photo.mask import bounding_box
from garmentcut.photo.photo import Cutout
from garmentcut.synthetic.canvas import (
    Floats,
    PaintLayer,
    between,
    happens,
    lattice,
    named_stream,
    pick,
    soften,
    spline,
    stroke,
)
from garmentcut.synthetic.cloth import ClothSide, Coverage, drape_side, find_window, measure_coverage
from garmentcut.synthetic.fabric import PRINTS, design_fabric, paint_texture
from garmentcut.synthetic.garment import HEM_ANGLES, KINDS, GarmentDesign, design_garment, pick_kind
from garmentcut.synthetic.mannequin import MAKES, depth_of, design_mannequin, paint_mannequin
from garmentcut.synthetic.scene import (
    CAMERA_DISTANCE,
    CAMERA_HEIGHT,
    GROUNDS,
    VIEWS,
    FigurePlacement,
    Light,
    design_light,
    design_scene,
    expose,
    paint_ground,
    paint_scene,
    place_figure,
)

_WEAVE_LATTICE = 256
_NAMESPACE = uuid.UUID("6f1f5c0e-52a8-4f0f-9a39-5c0a8b8f3c11")
_JPEG_QUALITY = 95
_SHARES, _MOST_SCALE = (0.35, 0.97), 1.5  # of the garment's largest size in the frame; enlargement
_SHOULDER, _WAIST = 0.05, 0.24  # body y
_IN_FRONT, _FADE_IN = 0.03, 0.055  # body units: a sleeve this near the camera covers the body; height of a blended seam
_SHADOW = 0.3  # share of the light behind the garment that its shadow may take


def compose(
    garment: GarmentDesign, figure: PaintLayer, studio: Floats, place: FigurePlacement, light: Light, *, seed: int
) -> tuple[Floats, Floats]:
    """Put the garment on the figure, a layer of the frame, and both into the empty studio, float32 (H, W, 3).

    Returns the picture, float32 (H, W, 3), and alpha, float32 (H, W), before the camera.
    """
    window = find_window(garment, place)
    coverage = measure_coverage(garment, place, window)
    texture = paint_texture(garment.fabric, place.unit_px)
    weave = lattice(named_stream(seed, "weave"), _WEAVE_LATTICE, _WEAVE_LATTICE)
    outside, inside = (drape_side(garment, texture, weave, place, window, light, near=near) for near in (True, False))
    skin = figure.rgb * _contact_shade(coverage, window, place)[..., None]
    rgb, alpha = skin + (1 - figure.alpha[..., None]) * studio, np.zeros(place.size_hw, np.float32)
    bare = PaintLayer(skin[window], figure.alpha[window])
    rgb[window], alpha[window] = _dress(coverage, outside, inside, bare, studio[window])
    for limb in sorted(garment.limbs, key=lambda limb: depth_of(limb.tube, place.yaw)):
        window = find_window(limb, place)
        outside = drape_side(limb, texture, weave, place, window, light, near=True)
        cover = measure_coverage(limb, place, window).near * outside.opacity
        # A sleeve that is not in front of the body is hidden by its cloth; any other limb blends into it at the seam.
        is_under = limb.cut.top < _WAIST and depth_of(limb.tube, place.yaw) < _IN_FRONT
        below = (place.of_window(window)[1] - limb.cut.top) / _FADE_IN * (not is_under)
        cover *= 1 - alpha[window] * (1 - np.clip(below, 0, 1).astype(np.float32)[:, None])
        rgb[window] += cover[..., None] * (outside.rgb - rgb[window])
        alpha[window] += cover * (1 - alpha[window])
    return rgb, alpha


def _dress(
    coverage: Coverage, outside: ClothSide, inside: ClothSide, figure: PaintLayer, studio: Floats
) -> tuple[Floats, Floats]:
    """Return the picture and alpha.

    From near to far: the outside of the cloth, the mannequin, the inside of the far cloth, the studio. How the two
    layers of cloth overlap within a pixel is known from the samples; the mannequin's edge is independent of them.
    """
    near = coverage.near * outside.opacity
    far_seen = inside.opacity * (coverage.far - coverage.both * outside.opacity)
    far = far_seen * (1 - figure.alpha)
    open_air = 1 - near - far_seen
    garment_rgb = near[..., None] * outside.rgb + far[..., None] * inside.rgb
    remains = (1 - near)[..., None] * figure.rgb + (open_air * (1 - figure.alpha))[..., None] * studio
    return garment_rgb + remains, np.clip(near + far, 0, 1)


def _contact_shade(coverage: Coverage, part: tuple[slice, slice], place: FigurePlacement) -> Floats:
    """Brightness (H, W) of the mannequin near the cloth: soft shadows beside its edges and below its hem."""
    covered = np.zeros(place.size_hw, np.float32)
    covered[part] = coverage.near
    drop, reach = round(0.01 * place.unit_px), 0.007 * place.unit_px
    # The blur reaches only this part of the frame.
    top, left = max(part[0].start - drop, 0), max(part[1].start - drop, 0)
    around = (slice(top, part[0].stop + 6 * drop), slice(left, part[1].stop + 2 * drop))
    near_edge = soften(covered[around], max(reach, 1.0))
    lowered = np.roll(near_edge, drop, axis=0)
    lowered[:drop] = 0
    long_shadow = np.roll(soften(near_edge, max(reach * 1.5, 1.0)), 2 * drop, axis=0)
    long_shadow[: 2 * drop] = 0
    shade = np.ones(place.size_hw, np.float32)
    shadow = 0.16 * near_edge + 0.2 * lowered + 0.14 * long_shadow
    shade[around] -= shadow * (1 - 0.65 * covered[around])  # under the cloth, light shines through it
    return shade


class StudioPhoto(NamedTuple):
    """One synthetic studio photo and its exact alpha."""

    rgb: npt.NDArray[np.uint8]  # uint8 (H, W, 3) sRGB
    alpha: Floats  # float32 (H, W) in [0, 1]: the garment's coverage of each pixel
    garment: str  # Id of the garment, the same in all views of one seed
    view: str  # `Front`, `FrontRight` or `Back`
    # Words that describe the garment and the studio, e.g. `dress`, `sheer`, `dip hem`, `stripes`.
    traits: frozenset[str]


@dataclass(frozen=True)
class Variation:
    """How a photo from elsewhere differs from the studios'; by default it does not."""

    make: str = ""  # A key of `MAKES`: what wears the garment; empty: a studio's mannequin
    ground: str = ""  # A key of `GROUNDS`: where it is; empty: a studio
    details: tuple[str, ...] = ()  # Names of `DETAILS`: thin things that belong to the garment
    like_skin: bool = False  # The cloth has the colour of the bare figure
    arms: str = ""  # One of `ARMS`; empty: the figure has stumps
    trousers: bool = False  # The garment is a pair of trousers, or a jumpsuit


DETAILS = ("straps", "ties", "cords", "fringe")
"""Thin details on garments: straps around the neck, ties at the waist, a bow of cord, fringe along the hem."""
ARMS = ("bare", "sleeves")
"""What a figure's arms are, if it has any; sleeves hang empty where nobody wears them."""


def draw_variation(seed: int) -> Variation:
    """Return a random combination of all differences."""
    rng = named_stream(seed, "variation")
    return Variation(
        make=pick(rng, {"": 2.0, **dict.fromkeys(MAKES, 1.0)}),
        ground=pick(rng, {"": 2.0, **dict.fromkeys(GROUNDS, 1.0)}),
        details=tuple(name for name in DETAILS if happens(rng, 0.2)),
        like_skin=happens(rng, 0.12),
        arms=pick(rng, {"": 2.0, "bare": 1.0, "sleeves": 3.0}),
        trousers=happens(rng, 0.35),
    )


def draw_studio_photo(
    seed: int,
    *,
    view: str = "Front",
    size_hw: tuple[int, int] = (1728, 1152),
    garment_kind: str | None = None,
    print_name: str | None = None,
    fabric_rgb: Sequence[float] | None = None,
    variation: Variation | None = None,
) -> StudioPhoto:
    """Draw a photo of a dressed mannequin; the same arguments give the same photo, bit for bit.

    `seed`, 0 or more, determines garment, mannequin and studio, which are the same in every view and size, unless
    `garment_kind` (`dress`, `skirt`, `top` or `vest`), `print_name` (e.g. `plain`, `stripes`, `lace`) or `fabric_rgb`
    (ground colour, sRGB in [0, 1]) decides; `variation` is what differs from the studios. `view` is one of `VIEWS`: the
    turntable turns the figure, everything else stays. `size_hw` is in pixels, meant for upright photos of about 3:2.

    Raises:
        ValueError: The view, kind or print is unknown, or the size is too small to hold a figure.
    """
    own = variation or Variation()
    words: list[tuple[str, Collection[str]]] = [(view, VIEWS), (garment_kind or "dress", KINDS)]
    words += [(print_name or "plain", PRINTS), (own.make or "nothing", MAKES), (own.ground or "white", GROUNDS)]
    words += [(name, DETAILS) for name in own.details] + [(own.arms or "bare", ARMS)]
    for value, known in words:
        if value not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
    if min(size_hw) < 32:
        raise ValueError(f"size_hw {size_hw} is too small; each side needs at least 32 pixels")
    scene, light = design_scene(seed), design_light(seed)
    mannequin = design_mannequin(seed, own.make, has_arms=own.arms != "")
    if own.like_skin and fabric_rgb is None:
        fabric_rgb = np.clip(mannequin.skin + named_stream(seed, "likeness").normal(0, 0.015, 3), 0, 1).tolist()
    if own.ground == "white":  # as in shops' photos
        light = replace(light, tint=np.ones(3, np.float32))
    fabric = design_fabric(seed, mannequin.skin, scene.backdrop, rgb=fabric_rgb, print_name=print_name)
    if garment_kind is None and own.trousers and happens(named_stream(seed, "trousers", "kind"), 0.6):
        garment_kind = "skirt"
    legs, arms = mannequin.legs if own.trousers else (), mannequin.arms if own.arms == "sleeves" else ()
    garment = design_garment(seed, garment_kind or pick_kind(seed), mannequin.torso, fabric, legs=legs, arms=arms)

    place = place_figure(seed, view, size_hw)
    studio = paint_ground(seed, own.ground, size_hw) if own.ground else paint_scene(scene, place)
    figure = paint_mannequin(mannequin, place, light)
    rgb, alpha = compose(garment, figure, studio, place, light, seed=seed)
    for name in own.details:  # they are part of the garment, also of its alpha
        layer = _drawn_detail(name, garment, place, seed)
        rest = 1 - layer.alpha
        rgb, alpha = layer.rgb + rest[..., None] * rgb, layer.alpha + rest * alpha
    photo, alpha = expose(rgb, alpha, light, seed=seed, view=view)

    colour = [round(float(part), 4) for part in fabric.rgb]
    limbs = sorted(garment.traits & {"sleeves", "trousers"})
    name = "/".join([str(seed), garment.kind, fabric.print_name, str(colour), *own.details, *limbs])
    traits = garment.traits | {own.ground or scene.name, *own.details} | ({own.make} if own.make else set())
    return StudioPhoto(photo, alpha, str(uuid.uuid5(_NAMESPACE, name)), view, traits)


def _drawn_detail(name: str, garment: GarmentDesign, place: FigurePlacement, seed: int) -> PaintLayer:
    """A layer with one of `DETAILS`, made of the garment's cloth."""
    rng, layer = named_stream(seed, "detail", name), PaintLayer.empty(place.size_hw)
    for points, width in _DRAWN[name](rng, garment, place.yaw):
        patch = place.cover(stroke(points, width))
        if patch.coverage.size:
            layer.paint(patch, np.asarray(garment.fabric.rgb * between(rng, 0.65, 1.0), np.float32))
    return layer


_Lines = Iterator[tuple[Floats, float]]  # points in the picture, in body units, and the line's width


def _straps(rng: np.random.Generator, garment: GarmentDesign, yaw: float) -> _Lines:
    """Two thin straps from the upper edge up around the neck."""
    width, x = between(rng, 0.0014, 0.004), between(rng, 0.03, 0.058)
    if garment.kind == "skirt":
        return
    edge = max(float(garment.cut.neck_front(np.array([x]))[0]), 0.06)
    for side in (-1, 1):
        low, high = _seen(side * x, edge + 0.012, 0.05, yaw), _seen(side * 0.036, 0.03, 0.0, yaw)
        yield np.linspace(np.array(low), np.array(high), 12), width


def _ties(rng: np.random.Generator, garment: GarmentDesign, yaw: float) -> _Lines:
    """Bands that hang down from the waist."""
    y, parts = garment.trims.belt_middle or 0.25, (0.0, 0.35, 0.7, 1.0)
    x, width = between(rng, -0.05, 0.05), between(rng, 0.002, 0.007)
    for side in (-1, 1):
        drop, sway = between(rng, 0.08, 0.3), side * between(rng, 0.01, 0.06)
        points = [_seen(x + sway * part**1.5, y + drop * part, 0.07 + 0.03 * part, yaw) for part in parts]
        yield spline(np.array(points), closed=False), width


def _cords(rng: np.random.Generator, garment: GarmentDesign, yaw: float) -> _Lines:
    """A bow: two loops and two ends of a thin cord."""
    y, size, width = (garment.trims.belt_middle or 0.25), between(rng, 0.02, 0.05), between(rng, 0.0012, 0.0028)
    for side in (-1, 1):
        loop = [(0, 0), (0.5, -0.35), (1.0, -0.1), (0.8, 0.3), (0.0, 0.02)]
        end = [(0, 0), (0.25, 0.8), (0.15, 1.7), (0.4, between(rng, 2, 4))]
        for shape in (loop, end):
            points = [_seen(side * size * x, y + size * down, 0.075, yaw) for x, down in shape]
            yield spline(np.array(points), closed=False), width


def _fringe(rng: np.random.Generator, garment: GarmentDesign, yaw: float) -> _Lines:
    """Threads along the hem, each with a random length and sway."""
    length = between(rng, 0.015, 0.07)
    for theta in np.linspace(-np.pi, np.pi, int(rng.integers(150, 320)), endpoint=False).tolist():
        y = float(np.interp(theta, HEM_ANGLES, garment.cut.hem))
        at = np.array([y])
        x = float(garment.tube.half_width(at)[0] * np.sin(theta))
        z = float(garment.tube.half_depth(at)[0] * np.cos(theta))
        if z * np.cos(yaw) - x * np.sin(yaw) < 0:
            continue  # behind
        down, sway = length * between(rng, 0.6, 1.1), float(rng.normal(0, 0.006))
        points = [_seen(x + sway * part**2, y - 0.006 + (down + 0.006) * part, z, yaw) for part in (0.0, 0.5, 1.0)]
        yield spline(np.array(points), closed=False), between(rng, 0.0008, 0.0018)


_DRAWN = {"straps": _straps, "ties": _ties, "cords": _cords, "fringe": _fringe}


def _seen(x: float, y: float, z: float, yaw: float) -> tuple[float, float]:
    """The place of a point of the body in the picture, in body units."""
    depth = z * np.cos(yaw) - x * np.sin(yaw)
    near = depth / CAMERA_DISTANCE
    return float(x * np.cos(yaw) + z * np.sin(yaw)), float((y - CAMERA_HEIGHT * near) / (1 - near))


def composite(
    photo: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32], seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Put the garment of a photo, uint8 (H, W, 3) sRGB, on a synthetic background, with or without a figure in it.

    Returns:
        The picture, uint8 (H, W, 3), and its exact alpha, float32 (H, W): every pixel is the garment's colour times
        alpha plus the background times 1 - alpha. A photo without a garment gives the background and zeros.
    """
    rng, size_hw = named_stream(seed, "composite"), (alpha.shape[0], alpha.shape[1])
    behind = paint_ground(seed, pick(rng, dict.fromkeys(GROUNDS, 1.0)), size_hw)
    share, spot = between(rng, *_SHARES), rng.random(2)
    make = pick(rng, {"": 3.0, **dict.fromkeys(MAKES, 1.0)})
    colour = clean_edge_color(photo, alpha).astype(np.float32) / 255 * alpha[..., None]
    planes = _moved(np.dstack([colour, alpha]), share, spot)
    garment, moved = planes[..., :3], planes[..., 3]
    box = bounding_box(moved >= 0.5)
    if make and box is not None:
        worn_at = _worn_at(moved, box, _WAIST if happens(rng, 0.3) else _SHOULDER)
        figure = paint_mannequin(design_mannequin(seed, make), worn_at, design_light(seed))
        behind = figure.rgb + (1 - figure.alpha)[..., None] * behind
    reach = max(round(0.012 * size_hw[0]), 1)
    shade = 1 - _SHADOW * rng.random() * np.roll(soften(moved, reach), (reach // 2, reach // 3), axis=(0, 1))
    grain = rng.standard_normal(behind.shape, np.float32) * between(rng, 0.002, 0.008)  # as in any photo
    behind = np.clip(behind * shade[..., None] + grain, 0, 1)
    rgb = garment + (1 - moved)[..., None] * behind
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8), moved


def _moved(planes: Floats, share: float, spot: Floats) -> npt.NDArray[np.float32]:
    """Move and resize the garment in planes (H, W, C), the last of them alpha, so that it is wholly in the frame."""
    framed = np.zeros(planes.shape, np.float32)
    box = bounding_box(planes[..., -1] > 0)
    if box is None:
        return framed
    left, top, right, bottom = box
    part = planes[top:bottom, left:right]
    most = min(planes.shape[0] / part.shape[0], planes.shape[1] / part.shape[1])
    scale = min(share * most, _MOST_SCALE)
    size_wh = max(int(part.shape[1] * scale), 1), max(int(part.shape[0] * scale), 1)
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    moved = np.asarray(cv2.resize(part, size_wh, interpolation=kernel), np.float32)
    y, x = (round(float(spot[axis]) * (planes.shape[axis] - moved.shape[axis])) for axis in (0, 1))
    framed[y : y + size_wh[1], x : x + size_wh[0]] = moved
    return framed


def _worn_at(alpha: Floats, box: tuple[int, int, int, int], begins: float) -> FigurePlacement:
    """The placement of a figure on which the garment begins at body y `begins`, as wide there as the garment's top."""
    left, top, right, bottom = box
    upper = alpha[top : top + max((bottom - top) // 6, 1)] >= 0.5
    widths = upper.sum(axis=1)
    middle = float((upper * (np.arange(alpha.shape[1]) + 0.5)).sum() / max(upper.sum(), 1))
    unit = max(float(np.median(widths)) / 0.17, (bottom - top) / 0.9, 1.0)
    size_hw = (alpha.shape[0], alpha.shape[1])
    return FigurePlacement(size_hw, middle or (left + right) / 2, top - begins * unit, unit, 0.0)


def studio_traits(seed: int) -> frozenset[str]:
    """The traits of a seed's photos, without drawing one."""
    scene, mannequin = design_scene(seed), design_mannequin(seed)
    fabric = design_fabric(seed, mannequin.skin, scene.backdrop)
    return design_garment(seed, pick_kind(seed), mannequin.torso, fabric).traits | {scene.name}


def write_studio_photos(
    out_dir: Path, seeds: Iterable[int], *, size_hw: tuple[int, int] = (1728, 1152), cutouts_dir: Path | None = None
) -> Iterator[Path]:
    """Draw a garment for each seed, in all three views; yields the path of each photo, once it is written.

    `out_dir` gets `<garment>_<view>.jpg`; `cutouts_dir` gets `<garment>_<view>.png`, RGBA with the exact alpha, like a
    retoucher's cutout. Seeds are 0 or more; the same seed gives the same garment. `size_hw` is in pixels.
    """
    for seed in seeds:
        for view in VIEWS:
            shot = draw_studio_photo(seed, view=view, size_hw=size_hw)
            name = f"{shot.garment}_{shot.view}"
            if cutouts_dir is not None:
                Cutout(shot.rgb, shot.alpha).save(cutouts_dir / f"{name}.png")
            file = io.BytesIO()
            Image.fromarray(shot.rgb).save(file, "JPEG", quality=_JPEG_QUALITY, dpi=(300, 300))
            write_atomic(out_dir / f"{name}.jpg", file.getvalue())
            yield out_dir / f"{name}.jpg"
