"""Designs a garment from a seed, for `render`: kind, lengths, cut and trims, in body units (see `mannequin`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from garmentcut.synthetic.canvas import Floats, between, happens, lattice, named_stream, pick, read_table
from garmentcut.synthetic.fabric import FabricDesign, FoldDesign, Silhouette, design_folds, fold_relief
from garmentcut.synthetic.mannequin import Profile, Surface, Tube, profile, tube_of

Curve = tuple[tuple[float, float], ...]

_Edges = dict[str, tuple[Curve, float]]  # each with its weight
NECKLINES, TOP_EDGES, BACK_NECKLINES, ARMHOLES = (
    read_table(_Edges, name) for name in ("necklines", "top_edges", "back_necklines", "armholes")
)
_BARE_BACKS = read_table(dict[str, Curve], "bare_backs")
STRAPS = read_table(dict[str, tuple[tuple[float, float], tuple[float, float], float]], "straps")
SILHOUETTES = read_table(dict[str, tuple[Silhouette, float]], "silhouettes")
_TOP_SHAPES = read_table(dict[str, Silhouette], "top_shapes")
LENGTHS = read_table(dict[str, tuple[float, float, float]], "lengths")
WIDE_ONLY = frozenset({"a-line", "flared", "full", "gathered", "trapeze"})
Mask = npt.NDArray[np.bool_]
SHOULDER = 0.035  # body y of the upper end of straps
_STRAP_OVERLAP = 0.012  # by which straps begin inside the bodice
HEM_ANGLES = np.linspace(-np.pi, np.pi, 1441)
_WIDE_OPEN = profile([(0.0, 1.0), (0.01, 1.0)])  # an armhole that removes no cloth
_EDGE_ROUNDING = 0.005  # body units
_HEM_SHIFT = 0.45  # how far a protruding fold lowers the hem, in units of its relief
KINDS = {"dress": 6.0, "skirt": 2.2, "top": 1.0, "vest": 1.0}
_BUST, _WAIST, _CROTCH = 0.155, 0.25, 0.452


class Strap(NamedTuple):
    """A band over the shoulder, mirrored on both sides: its x at the top and at the bodice, and its half width."""

    x_top: float
    x_bottom: float
    half_width: float
    in_front: bool


class Hole(NamedTuple):
    """An elliptical opening: angle, height and half axes (radians, body units)."""

    theta: float
    y: float
    half_angle: float
    half_height: float


class Slit(NamedTuple):
    """An opening from the hem up: its angle, body y of its upper end, and half width at the hem in radians."""

    theta: float
    top: float
    half_angle: float


class SheerBand(NamedTuple):
    """A sheer part: body y of its top and bottom, and its opacity in [0, 1]."""

    top: float
    bottom: float
    opacity: float


@dataclass(frozen=True)
class Cut:
    """The cut of one garment."""

    neck_front: Profile  # Distance from the middle -> height above which there is no cloth in front
    neck_back: Profile  # The same at the back
    armhole: Profile  # Height -> distance from the middle to which the cloth reaches
    straps: tuple[Strap, ...] = ()  # Bands above the bodice
    hem: Floats = field(default_factory=lambda: np.zeros(HEM_ANGLES.shape))  # (1441,) body y at `HEM_ANGLES`
    opening: Profile | None = None  # Height -> half width of the open front; None if it is closed
    slit: Slit | None = None  # An opening from the hem, if any
    holes: tuple[Hole, ...] = ()  # Further openings
    sheer: tuple[SheerBand, ...] = ()  # Sheer parts

    @property
    def top(self) -> float:
        """Body y of the highest cloth."""
        return SHOULDER if self.straps else min(self.neck_front.least, self.neck_back.least)

    @property
    def bottom(self) -> float:
        """Body y of the lowest cloth."""
        return float(self.hem.max())


def cloth_mask(cut: Cut, place: Surface, y: Floats) -> Mask:
    """Return whether there is cloth where lines of sight meet the garment's tube, at `place` and body y, same shape."""
    mask = np.array(place.inside)
    highest, lowest = float(y.min()), float(y.max())
    neck_end = max(cut.neck_front.most, cut.neck_back.most)
    if highest < max(neck_end, cut.armhole.end):
        mask &= _upper_part(cut, place, y)
    if cut.opening is not None:
        mask &= (place.ahead < 0) | (np.abs(place.x) > cut.opening(y))
    is_low = lowest > float(cut.hem.min())
    if cut.holes or is_low or (cut.slit is not None and lowest > cut.slit.top):
        theta = place.theta
        for hole in cut.holes:
            mask &= (_turn(theta, hole.theta) / hole.half_angle) ** 2 + ((y - hole.y) / hole.half_height) ** 2 > 1
        if is_low:
            mask &= y < np.interp(theta, HEM_ANGLES, cut.hem)
        if cut.slit is not None:
            opened = np.clip((y - cut.slit.top) / max(cut.bottom - cut.slit.top, 0.01), 0, 1)
            mask &= np.abs(_turn(theta, cut.slit.theta)) >= cut.slit.half_angle * opened
    return mask


def _turn(theta: Floats, origin: float) -> Floats:
    return np.asarray((theta - origin + np.pi) % (2 * np.pi) - np.pi)


def _upper_part(cut: Cut, place: Surface, y: Floats) -> Mask:
    off_middle = np.abs(place.x)
    edge = np.where(place.ahead > 0, cut.neck_front(off_middle), cut.neck_back(off_middle))
    mask = (y > edge) & (off_middle < cut.armhole(y))
    for strap in cut.straps:
        curve = cut.neck_front if strap.in_front else cut.neck_back
        end = float(curve(np.array([abs(strap.x_bottom)]))[0]) + _STRAP_OVERLAP
        along = (y - end) / (SHOULDER + 0.02 - end)
        middle = strap.x_bottom + (strap.x_top - strap.x_bottom) * along
        near = np.minimum(np.abs(place.x - middle), np.abs(place.x + middle)) < strap.half_width
        mask |= near & (y > SHOULDER) & (y < end) & ((place.ahead > 0) == strap.in_front) & place.inside
    return mask


def cloth_density(cut: Cut, y: Floats, unit_px: float) -> Floats:
    """Return the opacity of the cloth in [0, 1] at heights y, seen straight on; edges are one pixel wide."""
    density = np.ones(y.shape, np.float32)
    for band in cut.sheer:
        within = np.clip(np.minimum(y - band.top, band.bottom - y) * unit_px + 0.5, 0, 1)
        density += within * (band.opacity - density)
    return density


class Brief(NamedTuple):
    """What a cut depends on: kind, heights of waist and hem (body y), name of the length, kind of cloth."""

    kind: str
    waist: float
    hem: float
    length: str
    is_wide: bool
    is_lace: bool
    is_thin: bool


def cut_cloth(rng: np.random.Generator, brief: Brief, folds: FoldDesign) -> tuple[Cut, set[str]]:
    """Return a random cut and the words that describe it."""
    if brief.kind == "skirt":
        edge = profile([(0.0, brief.waist), (1.0, brief.waist)])
        cut, traits = Cut(edge, edge, _WIDE_OPEN), {"skirt"}
    elif brief.kind != "vest" and happens(rng, 0.36):
        cut, traits = _bare_shoulders(rng)
    else:
        cut, traits = _covered_shoulders(rng, brief)
    hem, hem_traits = _hem(rng, brief, folds)
    cut = replace(cut, hem=hem)
    if brief.kind == "vest":
        top, middle, bottom = between(rng, 0.02, 0.045), between(rng, 0.014, 0.05), between(rng, 0.02, 0.085)
        cut = replace(cut, opening=profile([(0.05, top), (0.2, middle), (0.42, bottom)], 0.05))
        more = {"open front"}
    else:
        cut, more = _openings(rng, brief, cut)
    sheer, sheer_traits = _sheer_parts(rng, brief, cut)
    return replace(cut, sheer=sheer), traits | hem_traits | more | sheer_traits


def _choose(rng: np.random.Generator, table: dict[str, tuple[Curve, float]]) -> tuple[str, Profile]:
    name = pick(rng, {key: weight for key, (_, weight) in table.items()})
    return name, profile(table[name][0], _EDGE_ROUNDING)


def _bare_shoulders(rng: np.random.Generator) -> tuple[Cut, set[str]]:
    edge_name, front = _choose(rng, TOP_EDGES)
    back = profile(_BARE_BACKS["low" if happens(rng, 0.3) else "bare"], _EDGE_ROUNDING)
    traits = {edge_name, "bare shoulders"}
    straps: tuple[Strap, ...] = ()
    if happens(rng, 0.8):
        name = pick(rng, {key: weight for key, (_, _, weight) in STRAPS.items()})
        half_width = between(rng, 0.007, 0.012) if name == "wide" else between(rng, 0.0022, 0.0045)
        ahead, behind, _ = STRAPS[name]
        straps = (Strap(*ahead, half_width, True), Strap(*behind, half_width, False))
        traits |= {"straps", f"{name} straps"}
    return Cut(front, back, _WIDE_OPEN, straps), traits


def _covered_shoulders(rng: np.random.Generator, brief: Brief) -> tuple[Cut, set[str]]:
    neck_name, front = _choose(rng, NECKLINES)
    _, back = _choose(rng, BACK_NECKLINES)
    armhole_name, armhole = _choose(rng, ARMHOLES)
    if brief.kind == "vest":
        neck_name, front = "v", profile(NECKLINES["v"][0], _EDGE_ROUNDING)
        armhole_name, armhole = "", profile(ARMHOLES[""][0], _EDGE_ROUNDING)
        back = profile(BACK_NECKLINES["crew"][0], _EDGE_ROUNDING)
    if neck_name == "high":
        back = front
    return Cut(front, back, armhole), {f"{neck_name} neck", armhole_name}


def _hem(rng: np.random.Generator, brief: Brief, folds: FoldDesign) -> tuple[Floats, set[str]]:
    traits = set()
    dips, slants, scallops = happens(rng, 0.22), happens(rng, 0.07), happens(rng, 0.35)
    dip, slant = between(rng, 0.035, 0.14), between(rng, -0.06, 0.06)
    hem = np.full(HEM_ANGLES.shape, brief.hem)
    room = min(0.965 - brief.hem, brief.hem - brief.waist - 0.1)
    if dips and room > 0.03 and (brief.is_wide or brief.kind in ("top", "vest")):
        dip = min(dip, room)
        hem += dip * (0.5 - 0.5 * np.cos(HEM_ANGLES)) - 0.5 * dip
        traits.add("dip hem")
    elif slants:
        hem += min(abs(slant), room) * np.sign(slant) * np.sin(HEM_ANGLES)
        traits.add("slanted hem")
    if brief.is_lace and scallops:
        hem += 0.004 * np.abs(np.sin(HEM_ANGLES * 22))
        traits.add("scalloped hem")
    hem += _HEM_SHIFT * fold_relief(folds, HEM_ANGLES, hem)
    return hem, traits


def _openings(rng: np.random.Generator, brief: Brief, cut: Cut) -> tuple[Cut, set[str]]:
    traits = set()
    slit_wanted, side_holes, keyhole = happens(rng, 0.3), happens(rng, 0.06), happens(rng, 0.08)
    angle = (0.45, -0.5, 1.45, -1.45, np.pi)[int(rng.integers(5))]
    start, half_angle = between(rng, 0.3, 0.6), between(rng, 0.1, 0.3)
    if slit_wanted and (brief.length in ("midi", "maxi") or (brief.length == "knee" and not brief.is_wide)):
        top = brief.waist + start * (brief.hem - brief.waist)
        cut = replace(cut, slit=Slit(angle, max(top, 0.40), half_angle))
        traits.add("slit")
    if side_holes and brief.kind == "dress":
        cut = replace(cut, holes=tuple(Hole(side * 1.25, brief.waist - 0.015, 0.42, 0.018) for side in (-1, 1)))
        traits.add("cut-outs")
    elif keyhole and brief.kind != "skirt" and cut.neck_back.most < 0.1:
        cut = replace(cut, holes=(Hole(np.pi, 0.125, 0.22, 0.032),))
        traits.add("keyhole")
    return cut, traits


def _sheer_parts(rng: np.random.Generator, brief: Brief, cut: Cut) -> tuple[tuple[SheerBand, ...], set[str]]:
    """A sheer yoke, a sheer lower skirt, or all of it; lace is sheer only where it has no lining."""
    where = pick(rng, {"none": 0.86, "yoke": 0.04, "lower": 0.07, "all": 0.03})
    if (brief.is_lace or brief.is_thin) and where == "none":
        where = pick(rng, {"none": 0.3, "yoke": 0.15, "lower": 0.35, "all": 0.2})
    opacity = 0.0 if brief.is_lace else between(rng, 0.35, 0.75)
    share = between(rng, 0.12, 0.45)
    has_yoke = brief.kind in ("dress", "top") and not cut.straps and cut.neck_front.least < 0.05
    if where == "yoke" and has_yoke:
        band = SheerBand(-1.0, between(rng, 0.11, 0.135), opacity)
    elif where == "lower" and brief.kind in ("dress", "skirt"):
        lining = brief.hem - share * (brief.hem - max(brief.waist, 0.4))
        band = SheerBand(max(lining, 0.42), 2.0, opacity)
    elif where == "all":
        band = SheerBand(-1.0, 2.0, opacity if brief.is_lace else max(opacity, 0.5))
    else:
        return (), set()
    return (band,), {"sheer", f"sheer {where}"}


class Trims(NamedTuple):
    """What is sewn onto a garment."""

    belt: Floats | None = None  # (3,) colour of a belt or waistband, or None
    belt_middle: float = 0.0  # Body y of its middle
    belt_half_height: float = 0.0  # Body units
    buttons: Floats | None = None  # (3,) colour of a row of buttons in front, or None
    zip_end: float = 0.0  # Body y of the end of a zip in the back; 0 is none
    side_seams: bool = False  # Whether the side seams are visible
    waist_seam: float = 0.0  # Body y of a seam around the waist; 0 is none
    lapel: Floats | None = None  # (3,) colour of an open front's turned edges, or None


@dataclass(frozen=True)
class GarmentDesign:
    """One garment."""

    kind: str  # A key of `KINDS`
    tube: Tube  # The shape of the cloth without folds and openings
    cut: Cut  # Which parts of the tube are cloth
    folds: FoldDesign  # The relief on it
    fabric: FabricDesign  # What it is made of
    trims: Trims  # What is sewn on
    bulge: Profile  # How far the outline swings out, as a share of its width, by body y
    bulges: Floats  # Lattice of these swings
    traits: frozenset[str]  # Words that describe it
    limbs: tuple["GarmentDesign", ...] = ()  # Its sleeves and trouser legs, each of kind `limb`


def pick_kind(seed: int) -> str:
    """Return the kind of garment for a seed."""
    return pick(named_stream(seed, "kind"), KINDS)


def design_garment(
    seed: int, kind: str, torso: Tube, fabric: FabricDesign, *, legs: Sequence[Tube] = (), arms: Sequence[Tube] = ()
) -> GarmentDesign:
    """Return the garment for a seed, fitted to a torso; around `legs` it is trousers, around `arms` it has sleeves."""
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
    garment = GarmentDesign(
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
    return _with_sleeves(_with_legs(garment, seed, legs, torso) if legs else garment, seed, arms)


def _with_legs(garment: GarmentDesign, seed: int, legs: Sequence[Tube], torso: Tube) -> GarmentDesign:
    """Make trousers of a skirt, a jumpsuit of anything else: its hem ends at the crotch, and legs continue it."""
    rng = named_stream(seed, "trousers")
    hem, ease, flare = between(rng, 0.5, 0.965), between(rng, 0.002, 0.012), max(between(rng, -0.03, 0.05), 0.0)
    tube = _drape(torso, SILHOUETTES["pencil"][0], _WAIST, _CROTCH, ease=ease)
    cut = replace(garment.cut, hem=np.full(HEM_ANGLES.shape, _CROTCH), slit=None, sheer=())
    whole = replace(garment, tube=tube, cut=cut, bulge=profile([(0.0, 0.004), (1.1, 0.008)]))
    limbs = tuple(_limb(whole, seed, leg, top=_CROTCH - 0.06, hem=hem, ease=ease, flare=flare) for leg in legs)
    return replace(whole, limbs=limbs, traits=garment.traits | {"trousers"})


def _with_sleeves(garment: GarmentDesign, seed: int, arms: Sequence[Tube]) -> GarmentDesign:
    """Add sleeves of any length and width; what leaves the shoulders bare stays as it is."""
    if not arms or garment.kind == "skirt" or "bare shoulders" in garment.traits:
        return garment
    rng = named_stream(seed, "sleeves")
    hem, ease, flare = between(rng, 0.14, 0.44), between(rng, 0.002, 0.008), max(between(rng, -0.03, 0.04), 0.0)
    sleeves = tuple(_limb(garment, seed, arm, top=0.05, hem=hem, ease=ease, flare=flare) for arm in arms)
    cut, limbs = replace(garment.cut, armhole=_WIDE_OPEN), (*garment.limbs, *sleeves)
    return replace(garment, cut=cut, limbs=limbs, traits=garment.traits | {"sleeves"})


def _limb(
    garment: GarmentDesign, seed: int, inner: Tube, *, top: float, hem: float, ease: float, flare: float
) -> GarmentDesign:
    """A sleeve or trouser leg around an arm or leg: wider than it by `ease`, and at its hem by `flare` more."""
    y = np.linspace(inner.top, hem + 0.06, 160)
    wider = np.interp(y, (top, top + 0.02, hem), (0, ease, ease + flare))
    # Cloth hangs straight down, so below a thigh or an upper arm it is hardly narrower.
    width, depth = (
        np.maximum(half(y), 0.72 * np.maximum.accumulate(half(y))) + wider
        for half in (inner.half_width, inner.half_depth)
    )
    tube = tube_of(y, inner.centre_x, inner.centre_z, half_width=width, half_depth=depth, smoothness=0.008)
    upper_edge = profile([(0.0, top), (1.0, top)])
    shape = replace(SILHOUETTES["straight"][0], fold=0.0015 + flare / 12)
    folds = design_folds(seed, shape, seam=top, hem=hem, stiffness=garment.fabric.finish.stiffness)
    cut = Cut(upper_edge, upper_edge, _WIDE_OPEN, hem=np.full(HEM_ANGLES.shape, hem), sheer=garment.cut.sheer)
    return replace(garment, kind="limb", tube=tube, cut=cut, folds=folds, trims=Trims(), limbs=())


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
    """Lay the silhouette around the torso: nowhere tighter than the body; from `begin` down as wide as in the table."""
    y = np.linspace(0, max(hem, begin + 0.1) + 0.06, 240)
    spread = np.interp((y - begin) / (hem - begin), np.linspace(0, 1, len(shape.half_widths)), shape.half_widths)
    spread = np.where(y < begin, 0, spread)
    roomy = ease * np.clip((y - 0.03) / 0.06, 0.35, 1)
    width = np.maximum(torso.half_width(y) + roomy, spread)
    depth = np.maximum(torso.half_depth(y) + roomy * 1.3, spread * np.interp(y, (begin, hem), (0.74, 0.86)))
    return tube_of(y, torso.centre_x, torso.centre_z, half_width=width, half_depth=depth, smoothness=0.008)


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
