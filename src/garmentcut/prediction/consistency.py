"""Compare the views of a garment: one whose colour, length or parts fit none of the others is doubted more."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

COLOR_LIMIT = 28.0
"""Distance of two views' mean colours (Y at half weight, Cb, Cr; levels of 255) that light and folds do not explain."""

LENGTH_LIMIT = 0.22
"""Difference of two views' heights, over the larger: dip hems and tails make less."""

RAISE = 0.5
"""Of an odd view's certainty, what its oddness takes."""

_COLOR, _LENGTH, _NUM_PARTS = "colour unlike its", "length unlike its", "other number of parts than its"

_Y, _CB, _CR, _HEIGHT, _PARTS = 0, 1, 2, 7, 10  # places in a judgement's `looks`


@dataclass(frozen=True)
class Odd:
    """Why a view is odd, in words, strongest first."""

    reasons: tuple[str, ...]


def find_odd_views(looks: Mapping[str, tuple[float, ...]]) -> dict[str, Odd]:
    """The views of one garment that do not fit the others.

    With three views or more, one that differs from all others, while these agree among themselves, is odd. With two, or
    where all differ, nobody can tell which one is wrong: all that differ are.

    Args:
        looks: of each view, what `Judgement.looks` holds.

    Returns:
        View to what is odd about it; views that fit are not in it.
    """
    known = {view: values for view, values in looks.items() if len(values) > _PARTS}
    if len(known) < 2:
        return {}
    found: dict[str, list[str]] = {}
    for differs, words in (
        (_color_differs, _COLOR),
        (_length_differs, _LENGTH),
        (_parts_differ, _NUM_PARTS),
    ):
        pairs = {(a, b) for a in known for b in known if a != b and differs(known[a], known[b])}
        for view in known:
            others = [other for other in known if other != view and (view, other) in pairs]
            if others and (len(others) == len(known) - 1):
                found.setdefault(view, []).append(f"{words} {' and '.join(sorted(others))}")
    return {view: Odd(tuple(reasons)) for view, reasons in found.items()}


def is_of_views(reason: str) -> bool:
    """True for a reason that was found by comparing views."""
    return reason.startswith((_COLOR, _LENGTH, _NUM_PARTS))


def raised(doubt: float) -> float:
    """The doubt in an odd view."""
    return round(doubt + RAISE * (1 - doubt), 4)


def _color_differs(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    apart = np.array([(one[_Y] - other[_Y]) / 2, one[_CB] - other[_CB], one[_CR] - other[_CR]])
    return float(np.sqrt((apart**2).sum())) > COLOR_LIMIT


def _length_differs(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return abs(one[_HEIGHT] - other[_HEIGHT]) > LENGTH_LIMIT * max(one[_HEIGHT], other[_HEIGHT])


def _parts_differ(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[_PARTS] != other[_PARTS]
