"""Cutting the cloth: necklines, armholes, straps, hems, slits and sheer parts for one garment."""

from dataclasses import dataclass, replace

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.cut import HEM_ANGLES, Cut, Hole, SheerBand, Slit
from garmentcut.dataset.studio.folds import FoldDesign, fold_relief
from garmentcut.dataset.studio.patterns import (
    ARMHOLES,
    BACK_NECKLINES,
    BARE_BACK,
    LOW_BACK,
    NECKLINES,
    STRAPS,
    TOP_EDGES,
    Curve,
    Strap,
)
from garmentcut.dataset.studio.streams import between, happens, pick
from garmentcut.dataset.studio.tube import Profile, profile

_WIDE_OPEN = profile([(0.0, 1.0), (0.01, 1.0)])  # an armhole that takes nothing away
_EDGE_ROUNDING = 0.005  # body units
_HEM_SHIFT = 0.45  # how far a fold that comes forward lowers the hem, body units a unit of relief


@dataclass(frozen=True)
class Brief:
    """What the tailor is told: kind, heights of waist and hem (body y), length's name, and the cloth's nature."""

    kind: str
    waist: float
    hem: float
    length: str
    is_wide: bool
    is_lace: bool
    is_thin: bool


def cut_cloth(rng: np.random.Generator, brief: Brief, folds: FoldDesign) -> tuple[Cut, set[str]]:
    """Return the cut and the words for what was cut."""
    if brief.kind == "skirt":
        edge = profile([(0.0, brief.waist), (1.0, brief.waist)])
        cut, traits = Cut(edge, edge, _WIDE_OPEN, (), np.full(HEM_ANGLES.shape, brief.hem)), {"skirt"}
    elif brief.kind != "vest" and happens(rng, 0.36):
        cut, traits = _bare_shoulders(rng, brief)
    else:
        cut, traits = _covered_shoulders(rng, brief)
    hem, hem_traits = _hem(rng, brief, folds)
    cut = replace(cut, hem=hem)
    if brief.kind == "vest":
        cut, more = _open_front(rng, cut)
    else:
        cut, more = _openings(rng, brief, cut)
    sheer, sheer_traits = _sheer_parts(rng, brief, cut)
    return replace(cut, sheer=sheer), traits | hem_traits | more | sheer_traits


def _choose(rng: np.random.Generator, table: dict[str, tuple[Curve, float]]) -> tuple[str, Profile]:
    name = pick(rng, {key: weight for key, (_, weight) in table.items()})
    return name, profile(table[name][0], _EDGE_ROUNDING)


def _bare_shoulders(rng: np.random.Generator, brief: Brief) -> tuple[Cut, set[str]]:
    edge_name, front = _choose(rng, TOP_EDGES)
    back = profile(LOW_BACK if happens(rng, 0.3) else BARE_BACK, _EDGE_ROUNDING)
    traits = {edge_name, "bare shoulders"}
    straps: tuple[Strap, ...] = ()
    if happens(rng, 0.8):
        name = pick(rng, {key: weight for key, (_, _, weight) in STRAPS.items()})
        half_width = between(rng, 0.007, 0.012) if name == "wide" else between(rng, 0.0022, 0.0045)
        ahead, behind, _ = STRAPS[name]
        straps = (Strap(*ahead, half_width, True), Strap(*behind, half_width, False))
        traits |= {"straps", f"{name} straps"}
    return Cut(front, back, _WIDE_OPEN, straps, np.full(HEM_ANGLES.shape, brief.hem)), traits


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
    return Cut(front, back, armhole, (), np.full(HEM_ANGLES.shape, brief.hem)), {f"{neck_name} neck", armhole_name}


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


def _open_front(rng: np.random.Generator, cut: Cut) -> tuple[Cut, set[str]]:
    top, middle, bottom = between(rng, 0.02, 0.045), between(rng, 0.014, 0.05), between(rng, 0.02, 0.085)
    return replace(cut, opening=profile([(0.05, top), (0.2, middle), (0.42, bottom)], 0.05)), {"open front"}


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
    """Sheer yoke, sheer lower skirt, or all of it; lace is sheer only where it has no lining."""
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
