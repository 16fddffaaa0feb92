"""Judges cutouts: verdict by the model card's threshold, reasons, heat map, and comparison of a garment's views."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.config import CutConfig
from garmentcut.errors import ConfigError, FolderError, Note
from garmentcut.model.card import DoubtModel, ModelCard
from garmentcut.naming import VIEWS
from garmentcut.photo.mask import bounding_box, box_sums, erode, slices_of
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.doubt import (
    ALL_FEATURES,
    LOW_CONTRAST,
    NUM_COMPARED,
    Maps,
    Observation,
    Plane,
    check_doubt,
    continuation_of,
    doubt_of,
    features_of,
    is_foreign,
    lines_at_border,
    observe_prediction,
    standardized,
    usual_doubt,
)
from garmentcut.prediction.locate import count_garments
from garmentcut.prediction.results import FOREIGN, VIEW_FLAGS, Journal, Row, Verdict, may_replace
from garmentcut.prediction.sources import Source, garment_of, sorted_outputs, subject_of, unsorted_output

if TYPE_CHECKING:
    from garmentcut.prediction.cutter import Prediction

_MOST = 3  # reasons; more would not be read
_AREA_PX = 12  # of the map, on each side: what counts as one place
_BELOW_THE_WAIST = 0.42  # of the frame's height: a garment that begins lower is worn below the waist
_INSIDE_PX = 3
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


class Reason(NamedTuple):
    """A reason why a cutout is doubted."""

    flag: str  # a key of `garmentcut.errors.FLAGS`
    text: str  # in words


# Sections of the garment's height: where each ends, as a share, and words for its left, middle and right.
_SIDES = "left side", "middle", "right side"
_HEM = "hem on the left", "hem", "hem on the right"
_ABOVE = (
    (0.16, ("left shoulder", "neckline", "right shoulder")),
    (0.5, ("left sleeve", "chest", "right sleeve")),
    (0.86, _SIDES),
    (np.inf, _HEM),
)
_BELOW = ((0.12, ("waist on the left", "waist", "waist on the right")), (0.88, _SIDES), (np.inf, _HEM))
_IS_FOREIGN = Reason(FOREIGN, "unlike the studio this model learned from")
_SIDEWAYS = Reason("sideways", "the garment lies on its side: turn the photo upright")
_LYING_ASPECT = 1.5  # width to height of a garment that lies on its side
_HEIGHT_INDEX = 7  # index of the height in the appearance; the width follows
_MIDDLE = (0.3, 0.7)  # of the garment's width


def reasons_of(model: DoubtModel, observation: Observation, *, at_least_one: bool = True) -> tuple[Reason, ...]:
    """Why a cutout is doubted, strongest reason first, at most three; left and right are those of the picture.

    With `at_least_one`, for a cutout known to be doubtful, what counts most is named if nothing is unusual.
    """
    features = features_of(model, observation)
    own = features[[ALL_FEATURES.index(name) for name in model.features]]
    beyond = (own - np.array(model.limits)) / np.array(model.scale)
    pushes = standardized(model, features) * np.array(model.weights)
    strongest = [model.features[index] for index in np.argsort(-beyond) if beyond[index] > 1e-9]
    if observation.features[ALL_FEATURES.index("contact")] > 0:
        strongest = list(dict.fromkeys([*strongest[:1], "contact", *strongest[1:]]))
    found = list(_reasons_in(observation.maps, (feature for feature in strongest if feature != _FINE_IF_MUCH)))
    if at_least_one and not found:
        likely = (model.features[index] for index in np.argsort(-pushes) if pushes[index] > 0)
        found = list(islice(_reasons_in(observation.maps, likely), 1))
    if is_foreign(model, observation.appearance):
        height, width = observation.appearance[_HEIGHT_INDEX : _HEIGHT_INDEX + 2]
        lying = [_SIDEWAYS] if width > _LYING_ASPECT * height and count_garments(observation.maps.mask) < 2 else []
        found = [_IS_FOREIGN, *lying, *(reason for reason in found if reason.flag != "unlike_training")]
    return tuple(dict.fromkeys(found))[:_MOST]


def _reasons_in(maps: Maps, features: Iterable[str]) -> Iterator[Reason]:
    for flag, text, where in map(_REASONS.__getitem__, features):
        if isinstance(text, str):
            spot = densest(where(maps)) if where else None
            text = f"{text} at the {place_of(maps, *spot)}" if spot else text
        elif not (text := text(maps)):
            continue  # there is no such thing in the cutout
        yield Reason(flag, text)


def place_of(maps: Maps, x: float, y: float) -> str:
    """Words for a place in the garment's box; `x` and `y` are in pixels of the map."""
    left, top, right, bottom = bounding_box(maps.mask) or (0, 0, 1, 1)
    across = (x - left) / (right - left)
    down = (y - top) / (bottom - top)
    is_below = (maps.corner_xy[1] + top) / maps.frame_hw[0] > _BELOW_THE_WAIST
    words = next(words for end, words in (_BELOW if is_below else _ABOVE) if down < end)
    return words[int(across > _MIDDLE[0]) + int(across > _MIDDLE[1])]


def densest(plane: Plane) -> tuple[float, float] | None:
    """Middle x, y of the square of the map in which a plane has the largest sum; None: it is 0 everywhere."""
    found = box_sums(plane, _AREA_PX)
    if found.max(initial=0) <= 0:
        return None
    top, left = np.unravel_index(int(np.argmax(found)), found.shape)
    rows, columns = slices_of((int(left), int(top), int(left) + 1, int(top) + 1), _AREA_PX)
    sums = cv2.moments(plane[rows, columns])  # the centroid, because many squares have the same sum
    return columns.start + sums["m10"] / sums["m00"] + 0.5, rows.start + sums["m01"] / sums["m00"] + 0.5


def _several(num: int, unit: str) -> str:
    return f"{_NUMBERS.get(num, str(num))} {unit}" if num > 1 else ""


def _holes(maps: Maps) -> str:
    holes = maps.holes_xy
    return f"hole at the {place_of(maps, *holes[0])}" if len(holes) == 1 else _several(len(holes), "holes")


def _contact(maps: Maps) -> str:
    touched = [name for name, line in lines_at_border(maps).items() if line.any()]
    return f"touches the frame: {', '.join(touched)}" if touched else ""


def _inside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return erode(mask, _INSIDE_PX, neighbours=4)


_SOFT_EDGE = ("soft_edge", "soft or sheer edge", lambda maps: maps.softness)
_REASONS: dict[str, tuple[str, str | Callable[[Maps], str], Callable[[Maps], Plane] | None]] = {
    "edge_softness": _SOFT_EDGE,
    "wide_edge": _SOFT_EDGE,
    "sheer": ("sheer", "sheer or unsure inside", lambda maps: maps.softness * _inside(maps.mask)),
    "haze": ("traces", "faint traces beside the garment", lambda maps: maps.alpha * _inside(~maps.mask)),
    "outline": ("long_outline", "ragged or very long outline", None),
    "components": ("components", lambda maps: _several(maps.num_components, "parts"), None),
    "holes": ("holes", _holes, None),
    "contact": ("touches_frame", _contact, None),
    "low_contrast": (
        "low_contrast",
        "garment like background",
        lambda maps: (maps.edge & (maps.contrast < LOW_CONTRAST)).astype(np.float32),
    ),
    "contrast": ("low_contrast", "little contrast along the edge", None),
    "mixed_colors": ("pattern", "strong pattern", None),
    "stage_disagreement": ("stages_disagree", "the stages of the model disagree", None),
    "unlike": ("unlike_training", "unlike the training photos", None),
    "cut_off": ("cut_off", "something thin may be cut off", continuation_of),
}
"""For each feature: the flag; the words (empty: there is no such thing); where it is, to name the place."""

_FINE_IF_MUCH = "contrast"
"""The feature that is a reason to doubt only if it is low."""


_REACH_PX = 3  # of the map: errors at an edge are widened so that they can be seen
_FULL_SOFTNESS = 0.45  # mean softness of a square that is shown white: an edge of a few unsure pixels
_FAINT_EDGE = 0.7  # brightness of an edge without any contrast
_FAINT_SHARE = 0.14  # share of a square that a straight edge through it covers


def heat_of(maps: Maps) -> NDArray[np.uint8]:
    """Where to look first: unsure alpha and edges without contrast, widened, on a small copy of the whole photo.

    Returns `maps.frame_hw` uint8: from 0, nothing to check, to 255, surely check.
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


@dataclass(frozen=True)
class Judgement:
    """The judgement of one cutout."""

    doubt: float | None = None  # 1 - expected surface Dice at 2 px, in [0, 1]; None: the model cannot tell
    verdict: Verdict = ""  # by the doubt
    # Why it is doubted, in words; empty if it was accepted. Without a verdict, only what is unusual, and only if it is
    # doubted more than most. That a photo is foreign comes first.
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()  # a code for each of the reasons
    # An 8-bit gray PNG of where to look, if it is to be reviewed, or has reasons and no verdict; else None.
    heat: bytes | None = None
    appearance: tuple[float, ...] = ()  # for comparison with the garment's other views


@dataclass(frozen=True)
class Judge:
    """Judges the cutouts of a model by a threshold."""

    card: ModelCard  # the model's
    max_doubt: float | None = None  # up to which photos are accepted; None: no verdict

    @classmethod
    def of(cls, card: ModelCard, accept_risk: float | None = None, *, cut: CutConfig | None = None) -> "Judge":
        """The judge of a model.

        The calibration holds for the card's own settings: for others nothing is guaranteed, and for `fast` cutouts,
        which come from another network, doubt is not known either. `accept_risk` is the share of the accepted garments
        that may fall short; None: the card's.

        Raises:
            ConfigError: the card guarantees nothing, or not so low a risk; the message says why.
            garmentcut.errors.ModelError: the card's doubt model is of another version.
        """
        check_doubt(card)
        if cut is not None and cut != CutConfig():
            if accept_risk is not None:
                only = "guarantees normal effort and its own edge only: leave {cut.effort} and {cut.choke_px} out"
                raise ConfigError(f"{card.label} {only}", ["cut.effort", "cut.choke_px"])
            card = replace(card, doubt=card.doubt if cut.effort != "fast" else None, acceptance=None)
        acceptance = card.acceptance if card.doubt is not None else None
        if acceptance is None:
            if accept_risk is not None:
                fix = "leave {folder.accept_risk} out, or run `garmentcut calibrate` on photos of your own"
                raise ConfigError(f"{card.label} guarantees nothing: {fix}", ["folder.accept_risk"])
            return cls(card)
        threshold = acceptance.threshold_of(acceptance.risk if accept_risk is None else accept_risk)
        if accept_risk is not None and (threshold is None or threshold.max_doubt is None):
            least = min((one.risk for one in acceptance.thresholds), default=1.0)
            why = threshold.reason if threshold else f"the least risk it was calibrated for is {least:g}"
            fault = f"{card.label} cannot guarantee {{folder.accept_risk}} {accept_risk:g}: {why}"
            raise ConfigError(fault, ["folder.accept_risk"])
        return cls(card, threshold.max_doubt if threshold else None)

    def verdict_of(self, doubt: float | None, flags: Iterable[str] = ()) -> Verdict:
        """The verdict on a doubt; a photo whose flags say that it is foreign is never accepted."""
        if doubt is None or self.max_doubt is None:
            return ""
        return "accept" if doubt <= self.max_doubt and FOREIGN not in flags else "review"

    def __call__(self, prediction: "Prediction") -> Judgement:
        """Judge the cutout that was made from a prediction."""
        model = self.card.doubt
        observation = observe_prediction(prediction) if model is not None else None
        if model is None or observation is None:
            return Judgement()
        # Rounded before it is compared, so that the row shows exactly what was decided on.
        doubt = round(doubt_of(model, observation), 4)
        foreign = is_foreign(model, observation.appearance)
        verdict = self.verdict_of(doubt, (FOREIGN,) if foreign else ())
        is_doubted = verdict == "review" or foreign or (not verdict and doubt > usual_doubt(model))
        reasons = reasons_of(model, observation, at_least_one=bool(verdict)) if is_doubted else ()
        appearance = (*observation.appearance[:NUM_COMPARED], observation.maps.num_components)
        return Judgement(
            doubt=doubt,
            verdict=verdict,
            reasons=tuple(reason.text for reason in reasons),
            flags=tuple(reason.flag for reason in reasons),
            heat=png_bytes(heat_of(observation.maps)) if verdict == "review" or reasons else None,
            appearance=tuple(round(float(value), 4) for value in appearance),
        )


COLOR_LIMIT = 28.0
"""Distance of two views' mean colours (Y at half weight, Cb, Cr; levels of 255) that light and folds do not explain."""

LENGTH_LIMIT = 0.22
"""Difference of two views' heights, over the larger one; dip hems and tails cause less."""

RAISE = 0.5
"""Share of an odd view's certainty (1 - doubt) that is added to its doubt."""

_Y, _CB, _CR, _COMPONENTS = 0, 1, 2, 10  # further indices in a judgement's `appearance`


def find_odd_views(appearance: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[Reason, ...]]:
    """The views of one garment that do not fit the others.

    Among three or more views, one that differs from all others is odd. If there are two, or all differ, nobody can know
    which one is wrong, so all that differ are odd. Returns, by view, what is odd about it, strongest first; views that
    fit are left out.
    """
    known = {view: values for view, values in appearance.items() if len(values) > _COMPONENTS}
    found: dict[str, tuple[Reason, ...]] = {}
    for view, values in known.items() if len(known) > 1 else ():
        others = sorted(known.keys() - {view})
        differs = np.all([_differing(values, known[other]) for other in others], axis=0)
        odd = [Reason(flag, f"{words} {' and '.join(others)}") for flag, words in compress(VIEW_FLAGS.items(), differs)]
        if odd:
            found[view] = tuple(odd)
    return found


def _differing(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[bool, ...]:
    """Whether colour, length and number of parts of two views differ, in the order of `VIEW_FLAGS`."""
    color = math.hypot((one[_Y] - other[_Y]) / 2, one[_CB] - other[_CB], one[_CR] - other[_CR])
    length = abs(one[_HEIGHT_INDEX] - other[_HEIGHT_INDEX]) / max(one[_HEIGHT_INDEX], other[_HEIGHT_INDEX], 1e-9)
    return color > COLOR_LIMIT, length > LENGTH_LIMIT, one[_COMPONENTS] != other[_COMPONENTS]


@dataclass
class ViewComparison:
    """Compares the views of each garment once all its photos are cut; rows of earlier runs count too."""

    judge: Judge  # gives the verdict on the raised doubt
    journal: Journal  # holds the rows, and records changed ones
    by_verdict: bool = False  # outputs are in the verdicts' folders, so a new verdict moves them
    _views: dict[str, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))

    def follow(self, rows: Iterable[Row], todo: Iterable[tuple[Path, str]]) -> Iterator[Row]:
        """Yield the rows; those of a garment are held back until its last one."""
        if self.judge.card.doubt is None:
            yield from rows
            return
        left = Counter(_garment(str(path), place) for path, place in todo)
        for row in self.journal.rows.values():
            self._note(row)
        waiting: dict[str, list[Row]] = defaultdict(list)
        try:
            for row in rows:
                garment = _garment(row.input, row.place)
                self._note(row)
                waiting[garment].append(row)
                left[garment] -= 1
                if left[garment] <= 0:
                    yield from self._compared(garment, waiting[garment])
                    del waiting[garment]
        except (FolderError, OSError):  # what was finished is reported first
            yield from (row for group in waiting.values() for row in group)
            raise
        yield from (row for group in waiting.values() for row in group)

    def catch_up(self, is_cut: Callable[[Row], bool]) -> None:
        """Compare the views of garments whose run ended after their last view was cut, but before they were compared.

        `is_cut` says whether a row's photo need not be cut again.
        """
        rows = [row for row in self.journal.rows.values() if row.status != "failed"]
        for row in filter(is_cut, rows):
            self._note(row)
        num_photos = Counter(_garment(row.input, row.place) for row in rows)
        for garment, views in list(self._views.items()):
            if 1 < len(views) == num_photos[garment]:
                list(self._compared(garment, []))

    def _note(self, row: Row) -> None:
        view = subject_of(PurePosixPath(row.place)).view
        if view in VIEWS and row.ok and row.appearance:
            self._views[_garment(row.input, row.place)][view] = row

    def _compared(self, garment: str, mine: list[Row]) -> Iterator[Row]:
        """Yield this run's rows, updated; changed rows, also of earlier runs, are recorded."""
        views = self._views.pop(garment, {})
        odd = find_odd_views({view: row.appearance for view, row in views.items()})
        changed = {}
        for view, row in views.items():
            new = self._judged(row, odd.get(view, ()))
            if new != row:
                self.journal.append(new)
                changed[row.input] = new
        yield from (changed.get(row.input, row) for row in mine)

    def _judged(self, row: Row, odd: tuple[Reason, ...]) -> Row:
        if row.own_doubt is None:
            return row
        doubt = round(row.own_doubt + RAISE * (1 - row.own_doubt), 4) if odd else row.own_doubt
        verdict = self.judge.verdict_of(doubt, row.flags)
        first = int(row.flags[:1] == (FOREIGN,))
        # What an earlier comparison found is at the front, after `foreign`.
        rest = first + sum(flag in VIEW_FLAGS for flag in row.flags)
        flags = (*row.flags[:first], *(reason.flag for reason in odd), *row.flags[rest:])
        reasons = (*row.reasons[:first], *(reason.text for reason in odd), *row.reasons[rest:])
        new = replace(row, doubt=doubt, verdict=verdict, reasons=reasons, flags=flags)
        return self._moved(row, new) if self.by_verdict and verdict != row.verdict else new

    def _moved(self, row: Row, new: Row) -> Row:
        """Move the outputs to the folder of the new verdict; returns the new row with their names."""
        earlier = (*row.outputs, *row.sidecars)
        names = sorted_outputs(map(unsorted_output, earlier), new.verdict)
        hashes = {name: row.written.get(old, ()) for old, name in zip(earlier, names, strict=True)}
        new = replace(new, written={**row.written, **hashes})
        # If the run is killed now, the photo is cut again, and may replace the files under either name.
        self.journal.append(replace(new, status="pending"))
        try:
            return move_outputs(self.journal.path.parent, new)
        except OSError as error:  # the files stay where they were; the next run cuts the photo again
            return new.noted([Note(f"not moved by its verdict: {error.strerror or error}", "not_moved")])


def _garment(path: str, place: str) -> str:
    return garment_of(Source(Path(path), PurePosixPath(place)))


def move_outputs(out_dir: Path, row: Row) -> Row:
    """Move a photo's outputs and the sidecar files beside them to its verdict's folder; returns the row with new names.

    If somebody has changed one of them, or another file is in the way, none is moved. Raises OSError if that fails.
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
