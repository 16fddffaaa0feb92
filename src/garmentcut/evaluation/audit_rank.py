"""Rank cutouts by how much speaks against them, beyond what the prediction's own errors explain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from garmentcut.evaluation.audit_evidence import REFERENCE_HEIGHT_PX, Evidence, Region

_LEAST_SPREAD = 0.15  # of a logarithm: spreads below it are chance
_USUAL_SHIFT_PX, _LEAST_SHIFT_PX = 0.8, 0.3  # nobody corrects so little; and the least spread of what is beyond
_SPREADS_PX = (0.7, 2.5)  # no prediction is better than that; beyond, it is the cutout that differs
_QUALITY_COUNTS = 0.5  # of a region's own strength: what the label quality score adds to it
_LEAST_QUALITY = 1e-3  # added before its logarithm
_USUAL_PX = 100.0  # disputed pixels that every cutout has: below, more or fewer say nothing
_MOST = 40.0
_OTHER_DICE = 0.6  # below, and the model is sure of itself: it is another photo's cutout
_TURNED = 0.5  # cosine: two shifts that point elsewhere do not confirm each other


@dataclass(frozen=True)
class Clue:
    """One thing that speaks against a cutout.

    Attributes:
        kind: `region`, `shift`, `whole`.
        strength: in robust standard deviations of the dataset's own cutouts.
        text: in words.
        region: the disputed one, for `region`.
    """

    kind: str
    strength: float
    text: str
    region: Region | None = None


@dataclass(frozen=True)
class Suspect:
    """A cutout and what speaks against it.

    Attributes:
        name: of the pair.
        score: the strongest clue's strength; higher is more suspect.
        clues: strongest first.
        doubt: cross-fitted, in the prediction; None: not known.
        evidence: what the clues were made of.
    """

    name: str
    score: float
    clues: tuple[Clue, ...]
    doubt: float | None
    evidence: Evidence


def rank_suspects(
    names: Sequence[str],
    evidence: Sequence[Evidence],
    doubts: NDArray[np.float64] | None,
    *,
    heights_px: Sequence[int],
    places: Sequence[str],
) -> list[Suspect]:
    """All cutouts, most suspect first.

    Each measure of disagreement is compared with those of the dataset's other cutouts, after what the prediction itself
    explains is taken out: disputed pixels are divided by the root of how far its border scatters about the rest of the
    cutout's, and the shift that all cutouts have in common is the model's. A region's strength is that of its weight
    and half of that of the label quality score.

    Args:
        names: of the pairs.
        evidence: of each.
        doubts: `(N,)` of each, by a model learned from other garments, to be told beside; None: not known.
        heights_px: of each photo.
        places: where in the garment each one's heaviest region lies, in words; empty: not known.
    """
    units = np.array(heights_px) / REFERENCE_HEIGHT_PX
    weights = np.array([sum(region.weight**2 for region in one.regions) ** 0.5 for one in evidence]) / units**2
    spreads = (np.array([one.spread_px for one in evidence]) / units).clip(*_SPREADS_PX)
    qualities = np.array([one.softmin_confidence for one in evidence])
    shifts = np.array([_shift_of(one) for one in evidence]) / units[:, None]
    shifts = shifts - np.median(shifts, axis=0)  # the model's own
    lengths = np.maximum(np.hypot(*shifts.T) - _USUAL_SHIFT_PX, 0)
    regions = _beyond(np.log(weights / np.sqrt(spreads) + _USUAL_PX))
    strengths = {
        "region": regions + _QUALITY_COUNTS * _beyond(-np.log(qualities + _LEAST_QUALITY)),
        "shift": _beyond(lengths, least=_LEAST_SHIFT_PX) * (1 + _QUALITY_COUNTS),
        "whole": _beyond(np.log(1.0005 - np.array([one.dice for one in evidence]))),
    }
    found = []
    for index, (name, one) in enumerate(zip(names, evidence, strict=True)):
        values = {kind: float(np.clip(strength[index], 0, _MOST)) for kind, strength in strengths.items()}
        if one.dice >= _OTHER_DICE:
            values["whole"] = 0.0
        clues = tuple(
            sorted(_clues(one, values, shift_xy=shifts[index], place=places[index]), key=lambda c: -c.strength)
        )
        doubt = None if doubts is None else float(doubts[index])
        found.append(Suspect(name, max(values.values()), clues, doubt, one))
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.name))


def _shift_of(evidence: Evidence) -> tuple[float, float]:
    """What the prediction and the photo agree on; nothing where they contradict each other."""
    model, photo = np.array(evidence.model_shift_xy), np.array(evidence.photo_shift_xy)
    long = float(np.hypot(*model)), float(np.hypot(*photo))
    if min(long) == 0 or float(model @ photo) < _TURNED * long[0] * long[1]:
        return 0.0, 0.0
    x, y = model * min(1.0, long[1] / long[0])
    return float(x), float(y)


def _beyond(values: NDArray[np.float64], *, least: float = _LEAST_SPREAD) -> NDArray[np.float64]:
    """By how many robust standard deviations each value lies above the middle one."""
    away = values - np.median(values)
    beyond: NDArray[np.float64] = away / max(1.4826 * float(np.median(np.abs(away))), least)
    return beyond


def _clues(evidence: Evidence, strengths: dict[str, float], *, shift_xy: NDArray[np.float64], place: str) -> list[Clue]:
    clues = []
    if evidence.regions and strengths["region"] > 0:
        region = evidence.regions[0]
        clues.append(Clue("region", strengths["region"], _region_text(region, place), region))
    if strengths["shift"] > 0:
        clues.append(Clue("shift", strengths["shift"], _shift_text(shift_xy)))
    if strengths["whole"] > 0:
        shared = f"cutout and prediction share {100 * evidence.dice:.0f} %"
        clues.append(Clue("whole", strengths["whole"], f"perhaps of another photo: {shared}"))
    return clues


def _region_text(region: Region, place: str) -> str:
    left, top, right, bottom = region.box_xyxy
    what = "lacks" if region.is_missing else "has too much"
    where = f" at the {place}" if place else ""
    support = region.edge_support + region.color_support
    photo = "; the photo agrees" if support > 0.15 else "; the photo speaks for the cutout" if support < -0.15 else ""
    size = f"{right - left} x {bottom - top}, up to {region.depth_px:.0f} px deep"
    return f"{what} {region.area_px} px{where}, {size}{photo}"


def _shift_text(shift_xy: NDArray[np.float64]) -> str:
    x, y = shift_xy
    parts = [f"{abs(x):.1f} px to the {'right' if x > 0 else 'left'}"] if abs(x) >= 0.5 else []
    parts += [f"{abs(y):.1f} px {'down' if y > 0 else 'up'}"] if abs(y) >= 0.5 else []
    return f"shifted as a whole: {' and '.join(parts) or 'less than a pixel'}"
