"""Judges the cutouts of `folder` and `cutter`: verdict by the card's threshold, reasons, a map of where to look."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import CutConfig
from garmentcut.errors import ConfigError
from garmentcut.model.card import ModelCard
from garmentcut.model.doubt_model import DoubtModel
from garmentcut.photo.files import write_atomic
from garmentcut.photo.mask import bounding_box, box_sums, erode
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.batch import OWN_FOLDER
from garmentcut.prediction.doubt import (
    ALL_FEATURES,
    LOW_CONTRAST,
    NUM_COMPARED,
    Maps,
    Observation,
    check_doubt,
    continuation_of,
    doubt_of,
    features_of,
    is_foreign,
    observe_prediction,
    standardized,
    usual_doubt,
)
from garmentcut.prediction.results import FOREIGN, Row, may_replace
from garmentcut.prediction.stages import Prediction

_MOST = 3  # reasons: more are not read
_AREA_PX = 12  # of the map, to either side: what counts as one place
_BELOW_THE_WAIST = 0.42  # of the frame's height: a garment that begins lower is worn below the waist
_INSIDE_PX = 3
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


class Reason(NamedTuple):
    """Why a cutout is doubted."""

    flag: str  # a key of `garmentcut.errors.FLAGS`
    text: str  # in words


class _Stretch(NamedTuple):
    """A stretch of the garment's height: where it ends, as a share, and words for its left, middle and right."""

    end: float
    words: tuple[str, str, str]


_ABOVE = (
    _Stretch(0.16, ("left shoulder", "neckline", "right shoulder")),
    _Stretch(0.5, ("left sleeve", "chest", "right sleeve")),
    _Stretch(0.86, ("left side", "middle", "right side")),
    _Stretch(np.inf, ("hem on the left", "hem", "hem on the right")),
)
_BELOW = (
    _Stretch(0.12, ("waist on the left", "waist", "waist on the right")),
    _Stretch(0.88, ("left side", "middle", "right side")),
    _Stretch(np.inf, ("hem on the left", "hem", "hem on the right")),
)
_IS_FOREIGN = Reason(FOREIGN, "unlike the studio this model learned from")
_LIES = Reason("sideways", "the garment lies on its side: turn the photo upright")
_LYING, _HEIGHT = 1.5, 7  # width to height of a garment that lies; place of the height in the appearance, before width
_MIDDLE = (0.3, 0.7)  # of the garment's width


def reasons_of(model: DoubtModel, observation: Observation, *, at_least_one: bool = True) -> tuple[Reason, ...]:
    """Why one cutout is doubted, strongest first, three at most; left and right are the picture's.

    Args:
        model: says which amount of each feature is much.
        observation: of the cutout.
        at_least_one: it is known to be doubtful: where nothing is unusual by itself, say what counts most.
    """
    features = features_of(model, observation)
    own = features[[ALL_FEATURES.index(name) for name in model.features]]
    beyond = (own - np.array(model.limits)) / np.array(model.scale)
    pushes = standardized(model, features) * np.array(model.weights)
    strongest = [model.features[index] for index in np.argsort(-beyond) if beyond[index] > 1e-9]
    if observation.features[ALL_FEATURES.index("contact")] > 0:
        strongest = list(dict.fromkeys([*strongest[:1], "contact", *strongest[1:]]))
    words = [(feature, _WORDS[feature](observation.maps)) for feature in strongest if feature in _WORDS]
    if at_least_one and not any(text for _, text in words):
        likely = [model.features[index] for index in np.argsort(-pushes) if pushes[index] > 0]
        telling = ((feature, {**_WORDS, **_IF_LITTLE}.get(feature, _nothing)(observation.maps)) for feature in likely)
        words = list(islice((one for one in telling if one[1]), 1))
    found = [Reason(_FLAGS[feature], text) for feature, text in words if text]
    if is_foreign(model, observation.appearance):
        height, width = observation.appearance[_HEIGHT : _HEIGHT + 2]
        lying = [_LIES] if width > _LYING * height else []
        found = [_IS_FOREIGN, *lying, *(reason for reason in found if reason.flag != _FLAGS["unlike"])]
    return tuple(dict.fromkeys(found))[:_MOST]


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
    sums = box_sums(plane, _AREA_PX)
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


def _soft_edge(maps: Maps) -> str:
    return _at(maps, maps.softness, "soft or sheer edge")


def _sheer(maps: Maps) -> str:
    return _at(maps, maps.softness * erode(maps.mask, _INSIDE_PX, neighbours=4), "sheer or unsure inside")


def _haze(maps: Maps) -> str:
    return _at(maps, maps.alpha * erode(~maps.mask, _INSIDE_PX, neighbours=4), "faint traces beside the garment")


def _low_contrast(maps: Maps) -> str:
    faint = maps.edge & (maps.contrast < LOW_CONTRAST)
    return _at(maps, faint.astype(np.float32), "garment like background")


def _components(maps: Maps) -> str:
    num = len(maps.components)
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


def _cut_off(maps: Maps) -> str:
    return _at(maps, continuation_of(maps), "something thin may be cut off")


def _nothing(_: Maps) -> str:
    return ""


_WORDS: dict[str, Callable[[Maps], str]] = {
    "edge_softness": _soft_edge,
    "wide_edge": _soft_edge,
    "sheer": _sheer,
    "haze": _haze,
    "outline": lambda _: "ragged or very long outline",
    "components": _components,
    "holes": _holes,
    "contact": _contact,
    "low_contrast": _low_contrast,
    "mixed_colors": lambda _: "strong pattern",
    "stage_disagreement": lambda _: "the stages of the model disagree",
    "unlike": lambda _: "unlike the training photos",
    "cut_off": _cut_off,
}

_IF_LITTLE: dict[str, Callable[[Maps], str]] = {"contrast": lambda _: "little contrast along the edge"}
"""Features of which much is nothing to doubt."""

_FLAGS = {
    "edge_softness": "soft_edge",
    "wide_edge": "soft_edge",
    "sheer": "sheer",
    "haze": "traces",
    "outline": "long_outline",
    "components": "components",
    "holes": "holes",
    "contact": "touches_frame",
    "low_contrast": "low_contrast",
    "contrast": "low_contrast",
    "mixed_colors": "pattern",
    "stage_disagreement": "stages_disagree",
    "unlike": "unlike_training",
    "cut_off": "cut_off",
}


_REACH_PX = 3  # of the map: errors at an edge are shown as wide as a finger can point at
_FULL_SOFTNESS = 0.45  # mean softness of a square that is white: an edge of a few pixels all unsure
_FAINT_EDGE = 0.7  # how bright an edge without any contrast is
_FAINT_SHARE = 0.14  # of a square: a straight edge through it


def heat_of(maps: Maps) -> NDArray[np.uint8]:
    """Where to look first.

    Args:
        maps: of the cutout.

    Returns:
        `maps.frame_hw` uint8: 0 nothing to see, 255 surely look: unsure alpha and edges without contrast, spread out;
        the whole photo, in small.
    """
    num = (2 * _REACH_PX + 1) ** 2
    unsure = box_sums(maps.softness, _REACH_PX) / num / _FULL_SOFTNESS
    lack = np.where(maps.edge, np.clip(1 - maps.contrast / (2 * LOW_CONTRAST), 0, 1), 0).astype(np.float32)
    faint = _FAINT_EDGE * box_sums(lack, _REACH_PX) / num / _FAINT_SHARE
    traces = np.where(erode(~maps.mask, _REACH_PX, neighbours=4), maps.alpha, 0)
    heat = np.clip(np.maximum(np.maximum(unsure, faint), traces), 0, 1)
    whole = np.zeros(maps.frame_hw, np.uint8)
    (left, top), (height, width) = maps.corner_xy, heat.shape
    whole[top : top + height, left : left + width] = np.rint(255 * heat)
    return whole


def heat_bytes(maps: Maps) -> bytes:
    """`heat_of` as an 8-bit gray PNG."""
    return png_bytes(heat_of(maps))


Verdict = Literal["", "accept", "review"]
"""Empty: there is no threshold."""


@dataclass(frozen=True)
class Judgement:
    """What is thought of one cutout."""

    doubt: float | None = None  # 1 - expected surface Dice at 2 px, in [0, 1]; None: the model cannot tell
    verdict: Verdict = ""  # of the doubt
    # Why it is doubted, in words; none for accepted ones; without a verdict only what is unusual, of those that are
    # doubted more than most. That a photo is foreign stands first.
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # a code for each of the reasons
    # An 8-bit gray PNG of where, for photos to review, or with reasons and no verdict; else None.
    heat: bytes | None = None
    appearance: tuple[float, ...] = ()  # what the garment's other views are compared with


@dataclass(frozen=True)
class Judge:
    """Judges cutouts of one model by one threshold."""

    card: ModelCard  # of the model
    max_doubt: float | None = None  # up to which photos are accepted; None: no verdict

    @classmethod
    def of(cls, card: ModelCard, accept_risk: float | None = None, *, cut: CutConfig | None = None) -> "Judge":
        """The judge of a model.

        Cutouts were calibrated as the card makes them: nothing is guaranteed for others, and of `fast` ones, which are
        another network's, no doubt is known either.

        Args:
            card: its card.
            accept_risk: share of the accepted garments that may fall short; None: what the card says.
            cut: effort and choke.

        Raises:
            ConfigError: the card guarantees nothing, or not so little risk; says why.
            garmentcut.errors.ModelError: the doubt on the card is of another version.
        """
        check_doubt(card)
        if (cut or CutConfig()) != CutConfig():
            if accept_risk is not None:
                raise ConfigError(
                    f"{card.label} guarantees normal effort and its own edge only: leave effort and choke out"
                )
            known = card.doubt if cut is not None and cut.effort != "fast" else None
            card = replace(card, doubt=known, acceptance=None)
        acceptance = card.acceptance if card.doubt is not None else None
        if acceptance is None:
            if accept_risk is not None:
                raise ConfigError(f"{card.label} guarantees nothing: run `garmentcut calibrate` on photos of your own")
            return cls(card)
        threshold = acceptance.threshold_of(acceptance.risk if accept_risk is None else accept_risk)
        if accept_risk is not None and (threshold is None or threshold.max_doubt is None):
            why = threshold.reason if threshold else f"the least risk it was calibrated for is {_least(card):g}"
            raise ConfigError(f"{card.label} cannot guarantee a risk of {accept_risk:g}: {why}")
        return cls(card, threshold.max_doubt if threshold else None)

    def verdict_of(self, doubt: float | None, flags: Iterable[str] = ()) -> Verdict:
        """The verdict on a doubt; a photo whose flags say that it is foreign is never accepted."""
        if doubt is None or self.max_doubt is None:
            return ""
        return "accept" if doubt <= self.max_doubt and FOREIGN not in flags else "review"

    def __call__(self, prediction: Prediction) -> Judgement:
        """Judge the cutout that was made from a prediction."""
        if self.card.doubt is None:
            return Judgement()
        observation = observe_prediction(prediction)
        if observation is None:
            return Judgement()
        # Rounded before it is compared: the row then says exactly what was decided on.
        doubt = round(doubt_of(self.card.doubt, observation), 4)
        foreign = is_foreign(self.card.doubt, observation.appearance)
        verdict = self.verdict_of(doubt, (FOREIGN,) if foreign else ())
        is_doubted = verdict == "review" or foreign or (not verdict and doubt > usual_doubt(self.card.doubt))
        reasons = reasons_of(self.card.doubt, observation, at_least_one=bool(verdict)) if is_doubted else ()
        return Judgement(
            doubt=doubt,
            verdict=verdict,
            reasons=tuple(reason.text for reason in reasons),
            flags=tuple(reason.flag for reason in reasons),
            heat=heat_bytes(observation.maps) if verdict == "review" or reasons else None,
            appearance=_plain(*observation.appearance[:NUM_COMPARED], len(observation.maps.components)),
        )


def _plain(*values: float) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)


def _least(card: ModelCard) -> float:
    assert card.acceptance is not None
    return min((one.risk for one in card.acceptance.thresholds), default=1.0)


VERDICT_FOLDERS: Mapping[str, str] = {"accept": "accepted", "review": "review"}
"""Where outputs go, if they are sorted by verdict; without one they stay where they are."""


def sorted_outputs(outputs: Iterable[str], verdict: str) -> tuple[str, ...]:
    """Output names in the verdict's folder."""
    folder = VERDICT_FOLDERS.get(verdict)
    return tuple(f"{folder}/{name}" if folder else name for name in outputs)


def unsorted_output(name: str) -> str:
    """An output's name without the verdict's folder."""
    first, _, rest = name.partition("/")
    return rest if rest and first in VERDICT_FOLDERS.values() else name


def heat_path(out_dir: Path, place: str) -> Path:
    """Where the heat map of a photo is kept; `place` as in its row."""
    return out_dir.joinpath(OWN_FOLDER, "heat", *PurePosixPath(f"{place}.png").parts)


def keep_heat(out_dir: Path, place: str, heat: bytes | None) -> None:
    """Write a photo's heat map, or remove that of an earlier run.

    Raises:
        OSError: it cannot be written.
    """
    path = heat_path(out_dir, place)
    if heat is not None:
        write_atomic(path, heat, root=out_dir)
    else:
        path.unlink(missing_ok=True)


def remove_misplaced(out_dir: Path, row: Row) -> None:
    """Remove what an earlier run wrote for this photo under another verdict, unless somebody has worked on it."""
    wanted = (*row.outputs, *row.sidecars)
    names = {unsorted_output(name) for name in wanted}
    for name, hashes in row.written.items():
        if name in wanted or unsorted_output(name) not in names:
            continue
        path = out_dir / name
        if path.is_file() and may_replace(path, hashes):
            path.unlink(missing_ok=True)


def move_outputs(out_dir: Path, row: Row) -> Row:
    """Move a photo's outputs, and the sidecar files beside them, to its verdict's folder.

    Where somebody has worked on one, or another file stands in the way, none is moved.

    Returns:
        The row with their names now.

    Raises:
        OSError: a file cannot be moved.
    """
    names = (*row.outputs, *row.sidecars)
    wanted = sorted_outputs(map(unsorted_output, names), row.verdict)
    for name in (*names, *wanted):
        if not may_replace(out_dir / name, row.written.get(name, ())):
            return row
    for old, new in zip(names, wanted, strict=True):
        (out_dir / new).parent.mkdir(parents=True, exist_ok=True)
        (out_dir / old).replace(out_dir / new)
    return replace(row, outputs=wanted[: len(row.outputs)], sidecars=wanted[len(row.outputs) :])
