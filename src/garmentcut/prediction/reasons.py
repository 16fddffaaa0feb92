"""Why a cutout is doubted, in words: what it shows more of than nine tenths of the photos doubt was learned from."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.model.doubt_model import DoubtModel
from garmentcut.photo.mask import bounding_box
from garmentcut.prediction.doubt import ALL_SIGNS, all_signs, standardized
from garmentcut.prediction.doubt_maps import Maps, box_sum, eroded
from garmentcut.prediction.doubt_signs import LOW_CONTRAST, Observation

_MOST = 3  # reasons: more are not read
_AREA_PX = 12  # of the map, to either side: what counts as one place
_BELOW_THE_WAIST = 0.42  # of the frame's height: a garment that begins lower is worn below the waist
_INSIDE_PX = 3
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


class _Rows(NamedTuple):
    """Words for stretches of the garment's height: where each ends, then for its left, middle and right."""

    end: float
    words: tuple[str, str, str]


_ABOVE = (
    _Rows(0.16, ("left shoulder", "neckline", "right shoulder")),
    _Rows(0.5, ("left sleeve", "chest", "right sleeve")),
    _Rows(0.86, ("left side", "middle", "right side")),
    _Rows(np.inf, ("hem on the left", "hem", "hem on the right")),
)
_BELOW = (
    _Rows(0.12, ("waist on the left", "waist", "waist on the right")),
    _Rows(0.88, ("left side", "middle", "right side")),
    _Rows(np.inf, ("hem on the left", "hem", "hem on the right")),
)
_MIDDLE = (0.3, 0.7)  # of the garment's width


def reasons_of(model: DoubtModel, observation: Observation, *, at_least_one: bool = True) -> tuple[str, ...]:
    """Why one cutout is doubted, strongest first, three at most; left and right are the picture's.

    Args:
        model: says which amount of each sign is much.
        observation: of the cutout.
        at_least_one: it is known to be doubtful: where nothing is unusual by itself, say what counts most.
    """
    signs = all_signs(observation.signs, observation.looks, mean=model.looks_mean, precision=model.looks_precision)
    beyond = (signs - np.array(model.limits)) / np.array(model.scale)
    pushes = standardized(model, signs) * np.array(model.weights)
    strongest = [ALL_SIGNS[index] for index in np.argsort(-beyond) if beyond[index] > 1e-9]
    if observation.signs[ALL_SIGNS.index("contact")] > 0:
        strongest = list(dict.fromkeys([*strongest[:1], "contact", *strongest[1:]]))
    words = [_WORDS[sign](observation.maps) for sign in strongest if sign in _WORDS]
    if at_least_one and not any(words):
        likely = [ALL_SIGNS[index] for index in np.argsort(-pushes) if pushes[index] > 0]
        words = [word for sign in likely if (word := {**_WORDS, **_IF_LITTLE}.get(sign, _nothing)(observation.maps))][
            :1
        ]
    return tuple(dict.fromkeys(word for word in words if word))[:_MOST]


def place_of(maps: Maps, x: float, y: float) -> str:
    """Words for a place in the garment's box; `x`, `y` in pixels of the map."""
    left, top, right, bottom = bounding_box(maps.mask) or (0, 0, 1, 1)
    across = (x - left) / (right - left)
    down = (y - top) / (bottom - top)
    is_below = (maps.corner_xy[1] + top) / maps.frame_hw[0] > _BELOW_THE_WAIST
    words = next(row.words for row in (_BELOW if is_below else _ABOVE) if down < row.end)
    return words[int(across > _MIDDLE[0]) + int(across > _MIDDLE[1])]


def densest(plane: NDArray[np.float32]) -> tuple[float, float] | None:
    """Middle x, y of the square of the map that holds most of a plane; None: there is nothing."""
    sums = box_sum(plane, _AREA_PX)
    if sums.max(initial=0) <= 0:
        return None
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    area = (slice(max(top - _AREA_PX, 0), top + _AREA_PX + 1), slice(max(left - _AREA_PX, 0), left + _AREA_PX + 1))
    weights = plane[area].astype(np.float64)  # its own middle: many squares hold the same
    y, x = np.mgrid[area[0].start : area[0].start + weights.shape[0], area[1].start : area[1].start + weights.shape[1]]
    return float((x * weights).sum() / weights.sum()) + 0.5, float((y * weights).sum() / weights.sum()) + 0.5


def _at(maps: Maps, plane: NDArray[np.float32], words: str) -> str:
    spot = densest(plane)
    return f"{words} at the {place_of(maps, *spot)}" if spot else words


def _rim(maps: Maps) -> str:
    return _at(maps, maps.softness, "soft or sheer rim")


def _sheer(maps: Maps) -> str:
    return _at(maps, maps.softness * eroded(maps.mask, _INSIDE_PX), "sheer or unsure inside")


def _haze(maps: Maps) -> str:
    return _at(maps, maps.alpha * eroded(~maps.mask, _INSIDE_PX), "faint traces beside the garment")


def _low_contrast(maps: Maps) -> str:
    faint = maps.edge & (maps.contrast < LOW_CONTRAST)
    return _at(maps, faint.astype(np.float32), "garment like background")


def _parts(maps: Maps) -> str:
    num = len(maps.parts)
    return f"{_NUMBERS.get(num, str(num))} parts" if num > 1 else ""


def _holes(maps: Maps) -> str:
    num = len(maps.holes)
    if num == 1:
        return f"hole at the {place_of(maps, maps.holes[0].x, maps.holes[0].y)}"
    return f"{_NUMBERS.get(num, str(num))} holes" if num else ""


def _contact(maps: Maps) -> str:
    (left, top), (height, width), mask = maps.corner_xy, maps.frame_hw, maps.mask
    bottom, right = top + mask.shape[0] == height, left + mask.shape[1] == width
    borders = {
        "top": top == 0 and mask[0].any(),
        "bottom": bottom and mask[-1].any(),
        "left": left == 0 and mask[:, 0].any(),
        "right": right and mask[:, -1].any(),
    }
    touched = [name for name, touches in borders.items() if touches]
    return f"touches the frame: {', '.join(touched)}" if touched else ""


def _nothing(_: Maps) -> str:
    return ""


_WORDS: dict[str, Callable[[Maps], str]] = {
    "rim": _rim,
    "wide_rim": _rim,
    "sheer": _sheer,
    "haze": _haze,
    "outline": lambda _: "ragged or very long outline",
    "parts": _parts,
    "holes": _holes,
    "contact": _contact,
    "low_contrast": _low_contrast,
    "mixed_colors": lambda _: "strong pattern",
    "two_looks": lambda _: "two looks at it disagree",
    "unlike": lambda _: "unlike the training photos",
}

_IF_LITTLE: dict[str, Callable[[Maps], str]] = {"contrast": lambda _: "little contrast along the edge"}
"""Signs of which much is nothing to doubt."""
