"""The garment: its design drawn from the tailor's tables."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.cut import Cut
from garmentcut.dataset.studio.fabric import FabricDesign
from garmentcut.dataset.studio.folds import FoldDesign, design_folds
from garmentcut.dataset.studio.noise import lattice
from garmentcut.dataset.studio.patterns import LENGTHS, SILHOUETTES, WIDE_ONLY, Silhouette
from garmentcut.dataset.studio.streams import between, happens, named_stream, pick
from garmentcut.dataset.studio.tailoring import Brief, cut_cloth
from garmentcut.dataset.studio.trims import Trims
from garmentcut.dataset.studio.tube import Profile, Tube, profile

KINDS = {"dress": 6.0, "skirt": 2.2, "top": 1.0, "vest": 1.0}
_BUST, _WAIST = 0.155, 0.25
_TOP_SHAPES = {
    "fitted": Silhouette(True, (0.078, 0.09, 0.1), 0.0012, (3, 6), 0.0),
    "boxy": Silhouette(False, (0.094, 0.095, 0.1, 0.104), 0.0035, (5, 9), 0.0),
    "swing": Silhouette(False, (0.094, 0.106, 0.122, 0.138), 0.0085, (8, 13), 0.0),
    "peplum": Silhouette(True, (0.076, 0.112, 0.138), 0.0110, (10, 16), 0.0014),
}


@dataclass(frozen=True)
class GarmentDesign:
    """One garment.

    Attributes:
        kind: A key of `KINDS`.
        tube: The cloth's shape without folds and openings.
        cut: Which parts of the tube are cloth.
        folds: The relief on it.
        fabric: What it is made of.
        trims: What is sewn on.
        bulge: How far the outline swings out at the hem, as a share of its width.
        bulges: Lattice of these swings.
        traits: Words that describe it.
    """

    kind: str
    tube: Tube
    cut: Cut
    folds: FoldDesign
    fabric: FabricDesign
    trims: Trims
    bulge: Profile
    bulges: Floats
    traits: frozenset[str]


def pick_kind(seed: int) -> str:
    """Return the kind of garment that a seed draws."""
    return pick(named_stream(seed, "kind"), KINDS)


def design_garment(seed: int, kind: str, torso: Tube, fabric: FabricDesign) -> GarmentDesign:
    """Return the garment of a seed, made to fit a torso."""
    rng = named_stream(seed, "garment", kind)
    shape_name, shape = _pick_shape(rng, kind)
    waist = _WAIST + between(rng, -0.012, 0.012) - (0.045 if kind == "dress" and happens(rng, 0.12) else 0.0)
    length, hem = _pick_hem(rng, kind, shape_name)
    begin = waist if shape.from_waist else _BUST
    tube = _drape(torso, shape, begin, hem, ease=between(rng, 0.003, 0.009) + (0.007 if kind == "vest" else 0.0))
    quilting = between(rng, 0.022, 0.034) if kind == "vest" and happens(rng, 0.35) else 0.0
    folds = design_folds(seed, shape, seam=begin, hem=hem, stiffness=fabric.finish.stiffness, quilting=quilting)
    brief = Brief(kind, waist, hem, length, is_wide=shape_name in WIDE_ONLY, is_lace=fabric.print_name == "lace",
                  is_thin=fabric.finish_name == "chiffon")  # fmt: skip
    cut, cut_traits = cut_cloth(named_stream(seed, "cut", kind), brief, folds)
    trims = _choose_trims(named_stream(seed, "trims", kind), kind, shape, fabric, waist)
    swing = 3.2 * shape.fold
    traits = {kind, shape_name, length, fabric.print_name, fabric.finish_name, *cut_traits}
    if fabric.likeness:
        traits.add(f"like the {fabric.likeness}")
    if trims.belt is not None:
        traits.add("belt" if kind == "dress" else "waistband")
    if quilting:
        traits.add("quilted")
    return GarmentDesign(
        kind=kind,
        tube=tube,
        cut=cut,
        folds=folds,
        fabric=fabric,
        trims=trims,
        bulge=profile([(0.0, 0.004), (begin, 0.006), (hem, 0.008 + swing), (1.1, 0.008 + swing)]),
        bulges=lattice(rng, 7, 11),
        traits=frozenset(traits - {""}),
    )


def _pick_shape(rng: np.random.Generator, kind: str) -> tuple[str, Silhouette]:
    if kind in ("top", "vest"):
        name = pick(rng, {"fitted": 2, "boxy": 3, "swing": 1.5, "peplum": 1 if kind == "top" else 0.3})
        return name, _TOP_SHAPES[name]
    fits = {name: weight for name, (shape, weight) in SILHOUETTES.items() if kind == "dress" or shape.from_waist}
    name = pick(rng, fits)
    return name, SILHOUETTES[name][0]


def _pick_hem(rng: np.random.Generator, kind: str, shape_name: str) -> tuple[str, float]:
    if kind in ("top", "vest"):
        return "", between(rng, 0.335, 0.43)
    length = pick(rng, {name: weight for name, (_, _, weight) in LENGTHS.items()})
    if shape_name == "mermaid":
        length = "maxi"
    elif shape_name in ("full", "trapeze") and length == "maxi":
        length = "knee"
    low, high, _ = LENGTHS[length]
    return length, between(rng, low, high)


def _drape(torso: Tube, shape: Silhouette, begin: float, hem: float, *, ease: float) -> Tube:
    """Lay the silhouette around the torso: nowhere tighter than the body, from `begin` down as the table says."""
    y = np.linspace(0, max(hem, begin + 0.1) + 0.06, 240)
    spread = np.interp((y - begin) / (hem - begin), np.linspace(0, 1, len(shape.half_widths)), shape.half_widths)
    spread = np.where(y < begin, 0, spread)
    roomy = ease * np.clip((y - 0.03) / 0.06, 0.35, 1)
    width = np.maximum(torso.half_width(y) + roomy, spread)
    depth = np.maximum(torso.half_depth(y) + roomy * 1.3, spread * np.interp(y, (begin, hem), (0.74, 0.86)))
    return Tube(
        top=0.0,
        bottom=float(y[-1]),
        centre_x=torso.centre_x,
        centre_z=torso.centre_z,
        half_width=profile(list(zip(y, width, strict=True)), 0.008),
        half_depth=profile(list(zip(y, depth, strict=True)), 0.008),
    )


def _choose_trims(rng: np.random.Generator, kind: str, shape: Silhouette, fabric: FabricDesign, waist: float) -> Trims:
    belt_chance = {"dress": 0.25 if shape.from_waist else 0.0, "skirt": 0.7}.get(kind, 0.0)
    belted, own_colour = happens(rng, belt_chance), happens(rng, 0.5 if kind == "dress" else 0.12)
    colour = fabric.accents[1] if own_colour else fabric.rgb * np.float32(0.93)
    half = between(rng, 0.006, 0.018)
    lapelled, buttoned, zipped, seamed = (happens(rng, chance) for chance in (0.6, 0.15, 0.7, 0.7))
    return Trims(
        belt=colour if belted else None,
        belt_middle=waist + half if kind == "skirt" else waist,  # a waistband begins at the skirt's upper edge
        belt_half_height=half,
        buttons=fabric.accents[2] if kind in ("dress", "top") and buttoned else None,
        zip_end=waist + 0.12 if kind != "vest" and zipped else 0.0,
        side_seams=seamed,
        waist_seam=waist if seamed and kind == "dress" and shape.from_waist else 0.0,
        lapel=fabric.inner if kind == "vest" and lapelled else None,
    )
