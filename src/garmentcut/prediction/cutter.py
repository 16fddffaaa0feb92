"""`Cutter`: loads a model once, then turns each photo into a cutout in three steps: frame, predict, finish.

A model of three stages has three networks. Locate sees a small copy of the photo and finds the garment. Segment sees
the garment's box and a margin at half of the frame's size and decides what is garment. Refine sees the frame's own
pixels, but only in tiles along the edge and where segment is unsure: elsewhere all is decided.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import NoReturn, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from garmentcut.config import CutConfig, RuntimeConfig, check_kind
from garmentcut.errors import ModelError, NoGarmentError, Note, RunError
from garmentcut.model.card import DoubtModel, ModelCard, StageSizes, read_model, stage_network_of
from garmentcut.photo.compose import choke_alpha
from garmentcut.photo.files import map_in_order
from garmentcut.photo.mask import HALF_LEVEL, agree_with_colors, components, dilate, erode, grab_cut, thin_of
from garmentcut.photo.photo import Cutout, Photo, resize_alpha
from garmentcut.prediction import locate
from garmentcut.prediction.doubt import doubt_of, is_foreign, observe_prediction
from garmentcut.prediction.inputs import PhotoLike, Result, is_one_photo, photo_of, photo_or_reason
from garmentcut.prediction.locate import Box, Crop, Frame
from garmentcut.prediction.runtime import Predict, Runtime, load_runtime
from garmentcut.prediction.verdict import Judge

_READ_AHEAD = 2
_RESCALED = Note("too large or too small in the photo: cut at another scale", "rescaled")
_WIDENINGS = 3  # how often a box that is too small is widened
_SURE = 0.03  # distance from 0 or 1: closer, segment needs no second opinion
_OVERLAP_PX = 16  # on each side of a tile, where it fades into its neighbours
_SMALLER_COPY = 0.72  # scale of the crop's copy for test-time augmentation
_ROUNDS = 4  # of adding tiles; each follows a strap by half a tile
_DIFFERS, _LEAST_LEAD_PX = 0.3, 6  # refine against segment at a tile's end: a lead for another tile
_REACH_PX, _RAMP_PX = 6, 3  # from segment's edge: how far refine counts fully, and half width of the ramp beyond
_THIN_PX, _SEEN = 11, 0.1  # of a strap that refine has found on its own: largest width, least alpha
_LEAST_STRAP_PX = 20  # its least length
_FIRMER = np.exp(np.interp(np.arange(256) / 255, (0.1, 0.5), (0, 1.5))).astype(np.float32)  # odds, by segment's levels
# Maps segment's levels where it decides: a faint haze over the background becomes 0, half-sure cloth becomes 1.
_STEEPER = np.interp(np.arange(256) / 255, (0.25, 0.5, 0.6), (0, 0.5, 1)).astype(np.float32)
_Alpha = NDArray[np.float32]
_TAIL_ALPHA = 1 / 128  # below is the sigmoid's invisible tail, which would keep every pixel from being fully hidden


@dataclass(frozen=True, eq=False)
class Prediction:
    """A photo's alpha, before it is resized to the photo."""

    frame: Frame  # the photo as it was framed
    crop: Crop  # where the garment is
    fine: NDArray[np.float32]  # alpha of the crop, in [0, 1]; the garment lies wholly inside
    # `(h, w)` in [0, 1]: the locate stage's alpha of a small copy of the photo; None: the model has no stages.
    coarse: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()  # remarks for the row, such as that the frame cuts the garment off

    @classmethod
    def of_frame(cls, alpha: NDArray[np.float32], frame: Frame) -> "Prediction":
        """The prediction of a network that sees the whole frame, from its alpha of `frame.rgb`."""
        height, width = frame.content_hw
        return cls(frame, locate.whole_crop(frame), alpha[:height, :width])

    @cached_property
    def alpha(self) -> NDArray[np.float32]:
        """`frame.content_hw` float32 in [0, 1]: the alpha of `frame.rgb` without its padding."""
        return self.small_alpha(self.frame.content_hw)

    def small_alpha(self, size_hw: tuple[int, int]) -> NDArray[np.float32]:
        """The alpha of the whole photo at a given size, such as that of `coarse`: the crop's in its place, 0 around."""
        scale_yx = np.divide(size_hw, self.frame.photo_hw)
        left, top, right, bottom = np.rint(self.crop.box_xyxy * np.tile(scale_yx[::-1], 2)).astype(int)
        whole = np.zeros(size_hw, np.float32)
        if right > left and bottom > top:
            whole[top:bottom, left:right] = resize_alpha(self.fine, (int(bottom - top), int(right - left)))
        return whole

    def full_alpha(self) -> NDArray[np.float32]:
        """`frame.photo_hw` float32 in [0, 1]: the alpha at the photo's size, stretched to end at exactly 0 and 1."""
        stretched = (self.fine - _TAIL_ALPHA) * np.float32(1 / (1 - 2 * _TAIL_ALPHA))
        return replace(self, fine=stretched.clip(0, 1)).small_alpha(self.frame.photo_hw)

    def moved_to(self, frame: Frame, window_xyxy: Box) -> "Prediction":
        """The same prediction for the whole photo, whose frame is `frame`.

        This one's photo is the part `window_xyxy` of it, in fractions of the whole; it may reach beyond.
        """
        photo_wh, part_wh = np.array(frame.photo_hw[::-1]), np.array(self.frame.photo_hw[::-1])
        corner = np.multiply(window_xyxy[:2], photo_wh)
        scale = (np.multiply(window_xyxy[2:], photo_wh) - corner) / part_wh
        own = self.crop.box_xyxy * np.tile(scale, 2) + np.tile(corner, 2)
        box = np.rint(own.clip(0, np.tile(photo_wh, 2))).astype(int)
        # The part of the crop that lies in the photo, in pixels of the crop's alpha.
        steps = self.fine.shape[::-1] / (own[2:] - own[:2])
        left, top, right, bottom = np.rint((box - np.tile(own[:2], 2)) * np.tile(steps, 2)).astype(int)
        fine, coarse = self.fine[max(top, 0) : bottom, max(left, 0) : right], self.coarse
        if coarse is not None:
            size = np.rint(coarse.shape[::-1] * photo_wh / (scale * part_wh)).astype(int).clip(1)
            shift = np.column_stack([np.eye(2), corner / photo_wh * size])
            coarse = np.asarray(cv2.warpAffine(coarse, shift, size.tolist(), flags=cv2.INTER_LINEAR), np.float32)
        crop = Crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])), (fine.shape[0], fine.shape[1]))
        return Prediction(frame, crop, np.ascontiguousarray(fine), coarse, self.notes)


@dataclass(frozen=True, eq=False)
class Stages:
    """The networks of the three stages, ready to run."""

    locate: Predict  # sees the whole photo
    segment: Predict  # sees a box
    refine: Predict  # sees tiles of four channels
    sizes: StageSizes  # sizes of their inputs, from the card
    fast: bool = False  # leave the refine stage out
    # For photos unlike the training photos: segment's alpha is the mean over the crop, a smaller copy, and both
    # mirrored, corrected by colours. Dark suits and stripes get fewer holes, and rough walls and floors go; other
    # photos gain nothing.
    foreign: bool = False

    @classmethod
    def load(
        cls, model: bytes, card: ModelCard, config: RuntimeConfig | None = None, *, fast: bool = False
    ) -> "Stages":
        """Load the three networks from the content of a model file, whose card has `stages`."""
        assert card.stages is not None

        def load(stage: str) -> Runtime:
            network = stage_network_of(model, card, stage)
            return load_runtime(network, card.stage_card(stage), config, any_shape=stage != "refine")

        return cls(load("locate"), load("segment"), load("refine"), card.stages, fast)

    def __call__(self, photo: Photo, frame: Frame) -> Prediction:
        """Predict a photo's alpha inside the box of its garment; raises NoGarmentError if there is none."""
        place = locate.find_garment(self.locate, frame, self.sizes)
        box = place.box_xyxy
        for _ in range(1 + _WIDENINGS):
            crop = locate.crop_of(box, frame, self.sizes)
            rgb = locate.crop_pixels(photo, frame, crop)
            seen = self._segmented(rgb)
            if (wider := locate.wider_box(box, seen, crop, frame)) is None:
                break
            box = wider
        fine = self._refined(rgb, seen)
        coarse = locate.coarse_in(crop, place.garment, frame.photo_hw)
        fine = locate.correct_small_parts(locate.clean(fine, coarse), rgb)
        fine = locate.without_false_positives(fine, coarse) if self.foreign else locate.opaque(fine, coarse)
        num = locate.count_garments(fine >= 0.5)
        together = [Note(f"{num} garments are cut out together", "several_garments")] if num > 1 else []
        return Prediction(frame, crop, fine, place.seen, (*place.notes, *together))

    def alpha_of(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The last two stages: the alpha of a crop, `(H, W)` float32 in [0, 1], from `(H, W, 3)` uint8 sRGB."""
        return self._refined(rgb, self._segmented(rgb))

    def _segmented(self, rgb: NDArray[np.uint8]) -> _Alpha:
        if not self.foreign:
            return segment_crop(self.segment, rgb, self.sizes)
        half = _reduced(rgb, self.sizes)
        smaller = cv2.resize(rgb, None, fx=_SMALLER_COPY, fy=_SMALLER_COPY, interpolation=cv2.INTER_AREA)
        copies = half, _reduced(np.asarray(smaller, np.uint8), self.sizes)
        alphas = []
        for copy, step in itertools.product(copies, (1, -1)):
            alpha = _alpha_of_reduced(self.segment, np.ascontiguousarray(copy[:, ::step]))[:, ::step]
            alphas.append(resize_alpha(np.ascontiguousarray(alpha), (half.shape[0], half.shape[1])))
        return agree_with_colors(np.mean(alphas, axis=0), half)

    def _refined(self, rgb: NDArray[np.uint8], seen: _Alpha) -> _Alpha:
        if self.fast:
            return resize_alpha(seen, (rgb.shape[0], rgb.shape[1]))
        fine = refine_edges(self.refine, rgb, seen, self.sizes.tile_px)
        if self.foreign:  # bits of wall would become firmer, too
            return fine
        return firmer_straps(fine, enlarged(seen, (rgb.shape[0], rgb.shape[1])))


def segment_crop(network: Predict, rgb: NDArray[np.uint8], sizes: StageSizes) -> _Alpha:
    """The segment stage: a crop's alpha, at reduced size; where it is unsure, colours and GrabCut correct it.

    `rgb` is the crop, `(H, W, 3)` uint8 sRGB; `sizes.segment_reduction` is the factor by which it is reduced. Returns
    `(h, w)` float32 in [0, 1], at the reduced size; `enlarged` brings it to the crop's.
    """
    half = _reduced(rgb, sizes)
    return grab_cut(agree_with_colors(_alpha_of_reduced(network, half), half, unsure_only=True), half)


def _reduced(rgb: NDArray[np.uint8], sizes: StageSizes) -> NDArray[np.uint8]:
    height, width = (-(-side // sizes.segment_reduction) for side in rgb.shape[:2])
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _alpha_of_reduced(network: Predict, rgb: NDArray[np.uint8]) -> _Alpha:
    height, width = rgb.shape[:2]
    return network(locate.padded(rgb, locate.MULTIPLE_OF))[:height, :width]


def enlarged(alpha: _Alpha, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The segment stage's alpha as the refine stage sees it: of `size_hw`, uint8, 255 for 1."""
    levels = np.rint(alpha * 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def refine_edges(network: Predict, rgb: NDArray[np.uint8], alpha: _Alpha, tile_px: int) -> _Alpha:
    """The refine stage: the soft edge, from the crop's own pixels.

    `rgb` is the crop, `(H, W, 3)` uint8 sRGB, `alpha` the segment stage's, `(h, w)` float32 in [0, 1], `tile_px` the
    side of the tiles. Returns `(H, W)` float32 in [0, 1]; outside the tiles it is 0 or 1.
    """
    height, width = rgb.shape[:2]
    missing = [(0, max(tile_px - side, 0)) for side in (height, width)]
    levels = np.pad(enlarged(alpha, (height, width)), missing, mode="edge")
    four = np.dstack([np.pad(rgb, (*missing, (0, 0)), mode="edge"), levels])
    low, high = round(_SURE * 255), round((1 - _SURE) * 255)
    sure = ((levels.astype(np.float32) - low) / (high - low)).clip(0, 1)
    total, weights, fine = np.zeros_like(sure), np.zeros_like(sure), sure
    place = np.arange(tile_px, dtype=np.float32)
    ramp = np.minimum(np.minimum(place + 1, tile_px - place) / _OVERLAP_PX, 1)  # above 0 at a tile's border
    fade, places = np.outer(ramp, ramp), tiles((levels > low) & (levels < high), tile_px)
    for _ in range(_ROUNDS):
        for top, left in places:
            area = slice(top, top + tile_px), slice(left, left + tile_px)
            total[area] += network(np.ascontiguousarray(four[area])) * fade
            weights[area] += fade
        fine = (total + sure * (1 - weights).clip(0)) / np.maximum(weights, 1)
        places = _leads((weights > 0) & (weights < 1) & (np.abs(fine - sure) > _DIFFERS), tile_px)
        if not places:
            break
    return within_reach(fine, levels)[:height, :width].copy()


def within_reach(fine: _Alpha, levels: NDArray[np.uint8]) -> _Alpha:
    """Refine's alpha near segment's edge and in thin parts; elsewhere segment's, which refine may only confirm.

    A tile is too small to tell what is garment: on new photos refine mistakes prints for background and background for
    cloth. But it does find straps that segment has lost.

    `fine`, `(H, W)` float32 in [0, 1], is refine's alpha, and `levels`, of the same size, uint8, segment's (255 for 1).
    Returns `(H, W)` float32 in [0, 1], with a smooth transition between the two.
    """
    inside, seen = levels >= 128, _STEEPER[levels]
    anchor = np.where(inside, np.maximum(fine, seen), np.minimum(fine, seen))
    parts = components(inside)
    is_speck = parts.areas < locate.LARGEST_SPECK * parts.areas.sum()  # on a rough wall; refine would widen them
    wider, narrower = dilate(inside & ~parts.mask_of(is_speck), _REACH_PX), erode(inside, _REACH_PX)
    if not (np.abs(fine - anchor) > HALF_LEVEL)[~wider | narrower].any():
        return fine
    near = dilate(wider & ~narrower, _RAMP_PX)
    if (fine > _SEEN)[~near & ~inside].any():
        found = components(~wider & (fine > _SEEN))
        is_thin = locate.counts_in(found, erode(fine > _SEEN, _THIN_PX // 2, outside="background")) == 0
        near |= dilate(found.mask_of(is_thin), _RAMP_PX)
    heard = cv2.blur(near.astype(np.float32), (2 * _RAMP_PX + 1,) * 2)
    return np.asarray(anchor + (fine - anchor) * heard, np.float32)


def firmer_straps(fine: _Alpha, levels: NDArray[np.uint8]) -> _Alpha:
    """Raise the alpha of long thin parts that segment sees, too: refine sees straps too faint and too narrow.

    `fine` and `levels` are as for `within_reach`; an alpha of 0 or 1 stays.
    """
    thin = thin_of(fine >= _SEEN)
    if not thin.any():
        return fine
    found = components(thin)
    lengths = (found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]).max(axis=1)
    straps = (lengths >= _LEAST_STRAP_PX) & (locate.counts_in(found, dilate(fine >= 0.5, 2)) > 0)
    odds = _FIRMER[levels]
    return np.where(found.mask_of(straps), odds * fine / (1 + (odds - 1) * fine), fine)


def _leads(differing: NDArray[np.bool_], tile_px: int) -> list[tuple[int, int]]:
    """Tiles around what continues beyond the tiles so far, such as a strap that segment has lost."""
    if not differing.any():
        return []
    lines = components(differing)
    boxes_xyxy = lines.boxes_xyxy[lines.areas >= _LEAST_LEAD_PX]
    centres_xy = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) // 2
    corners_xy = np.clip(centres_xy - tile_px // 2, 0, np.subtract(differing.shape[::-1], tile_px))
    return [(top, left) for left, top in corners_xy.tolist()]


def tiles(unsure: NDArray[np.bool_], tile_px: int) -> list[tuple[int, int]]:
    """A few tiles that cover all unsure pixels, with a margin, in a picture at least as large as a tile.

    From the top down, each row of tiles begins at the first unsure pixel not yet covered; within it, each tile begins
    at the first one from the left. Returns top and left of each, all within the picture.
    """
    height, width = unsure.shape
    inner = tile_px - 2 * _OVERLAP_PX
    found: list[tuple[int, int]] = []
    rows: NDArray[np.bool_] = np.asarray(unsure.any(axis=1))
    top = 0
    while top < height and rows[top:].any():
        top += int(rows[top:].argmax())
        columns: NDArray[np.bool_] = np.asarray(unsure[top : top + inner].any(axis=0))
        left = 0
        while left < width and columns[left:].any():
            left += int(columns[left:].argmax())
            place = (min(max(start - _OVERLAP_PX, 0), side - tile_px) for start, side in ((top, height), (left, width)))
            found.append((next(place), next(place)))
            left += inner
        top += inner
    return found


def check_garment(prediction: Prediction) -> None:
    """Raise NoGarmentError if a prediction is smaller than any garment."""
    (height, width), (left, top, right, bottom) = prediction.frame.photo_hw, prediction.crop.box_xyxy
    share_of_photo = (right - left) * (bottom - top) / (height * width)
    if np.count_nonzero(prediction.fine >= 0.5) * share_of_photo < locate.LEAST_SHARE * prediction.fine.size:
        raise NoGarmentError(locate.NO_GARMENT)


@dataclass(frozen=True)
class Cutter:
    """Cuts garments out of photos; load it once, call it often.

    Attributes:
        card: describes the model and its quality.
        runtime: its network, ready to run; for a model with stages, the segment stage's.
        config: the effort, and where the edge is put.
        stages: the networks of a model with three stages; None: one network sees the whole photo.
    """

    card: ModelCard
    runtime: Runtime
    config: CutConfig = field(default_factory=CutConfig)
    stages: Stages | None = None

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        config: RuntimeConfig | None = None,
        cut: CutConfig | None = None,
    ) -> "Cutter":
        """Load an ONNX file with a garmentcut card; None or `default`: the embedded model.

        Raises:
            garmentcut.errors.ModelError: the file or the backend cannot be used, or the model has no
                stages and `fast` was asked for.
        """
        check_kind(config, RuntimeConfig)
        check_kind(cut, CutConfig)
        content, card = read_model(model_path(model or "default"))
        cut = cut or CutConfig()
        if card.stages is not None:
            stages = Stages.load(content, card, config, fast=cut.effort == "fast")
            return cls(card, cast(Runtime, stages.segment), cut, stages=stages)
        if cut.effort == "fast":
            raise ModelError(f"{card.label} has no stage that `fast` could leave out; use normal")
        return cls(card, load_runtime(content, card, config), cut)

    def __repr__(self) -> str:
        return f"<Cutter {self.card.label}, {self.runtime.name}>"

    def __deepcopy__(self, _memo: object = None) -> "Cutter":
        """Itself, because it never changes."""
        return self

    __copy__ = __deepcopy__

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: what runs the networks belongs to one process."""
        raise TypeError("a Cutter stays in its process: load one in each, in a function that they all call")

    def __call__(self, photo: PhotoLike) -> Cutout:
        """Cut the garment out of one photo, at its own size and depth; the cutout has its doubt, reasons and flags.

        A photo is bytes, a path, an open file, a PIL image, an array or a `Photo`; see
        `garmentcut.prediction.inputs.photo_of`.

        Raises:
            PhotoError: it cannot be read, or no garment was found.
        """
        photo = photo_of(photo)
        frame = self.frame(photo)
        prediction = self.predict(photo, frame)
        found = Judge.of(self.card, cut=self.config)(prediction)
        return replace(self.finish(photo, prediction), doubt=found.doubt, reasons=found.reasons, flags=found.flags)

    def map(self, photos: Iterable[PhotoLike]) -> Iterator[Result]:
        """Cut photos in order, reading ahead meanwhile; a failure becomes a result that says why.

        >>> for result in cutter.map(sorted(Path("photos").glob("*.jpg"))):  # doctest: +SKIP
        ...     print(result.source, result.reason or result.cutout.doubt)
        """
        if is_one_photo(photos):
            raise TypeError("map takes several photos, for example a list; for one call the cutter itself")
        with ThreadPoolExecutor(1) as pool:
            for source, photo in map_in_order(pool, photo_or_reason, photos, num_ahead=_READ_AHEAD):
                try:
                    result = photo if isinstance(photo, Result) else Result(source, self(photo))
                except RunError:  # the network does not start, so no other photo could be cut either
                    raise
                except Exception as error:  # noqa: BLE001 - whatever is wrong with one photo must not stop the others
                    result = Result.of(source, error)
                yield result

    def frame(self, photo: Photo) -> Frame:
        """First step of a call: scale the photo to the size at which the network works."""
        return locate.frame_photo(photo, self.card)

    def predict(self, photo: Photo, frame: Frame) -> Prediction:
        """Second step: find the garment and its alpha; takes nearly all of a call's time.

        Raises:
            NoGarmentError: no garment was found.
        """
        if self.stages is None:
            return Prediction.of_frame(self.runtime(frame.rgb), frame)
        found = self._predicted(self.stages, photo, frame)
        if (doubt := self.card.doubt) is not None and _looks_foreign(found, doubt):
            # With test-time augmentation and, if its garment has an unusual size, at another scale, too.
            stages = replace(self.stages, foreign=True)
            tries = [self._predicted(stages, photo, frame) if isinstance(found, Prediction) else found]
            if (window_xyxy := locate.window_of(frame, stages.sizes.garment_px)) is not None:
                tries.append(self._predicted(stages, photo, frame, window_xyxy))
            found = min(tries, key=lambda one: _doubt_in(one, doubt))
        if isinstance(found, NoGarmentError):
            raise found
        return found

    def _predicted(
        self, stages: Stages, photo: Photo, frame: Frame, window_xyxy: Box | None = None
    ) -> Prediction | NoGarmentError:
        """The prediction, at a window's scale if there is one; or why there is none."""
        try:
            if window_xyxy is None:
                return stages(photo, frame)
            part, window_xyxy = locate.photo_in(window_xyxy, photo, frame)
            prediction = stages(part, self.frame(part)).moved_to(frame, window_xyxy)
            check_garment(prediction)
            return replace(prediction, notes=(*prediction.notes, _RESCALED))
        except NoGarmentError as error:
            return error

    def finish(self, photo: Photo, prediction: Prediction) -> Cutout:
        """Last step of a call: the alpha at the photo's size; raises NoGarmentError if no garment was found."""
        check_garment(prediction)
        alpha = choke_alpha(prediction.full_alpha(), self.card.choke_px + self.config.choke_px)
        return Cutout.of(photo, alpha)


def _looks_foreign(found: Prediction | NoGarmentError, model: DoubtModel) -> bool:
    """True if a photo looks unlike the training photos, or there is too little to tell by."""
    seen = observe_prediction(found) if isinstance(found, Prediction) else None
    return seen is None or is_foreign(model, seen.appearance)


def _doubt_in(found: Prediction | NoGarmentError, model: DoubtModel) -> float:
    """The doubt of a prediction; above 1 if there is none."""
    if isinstance(found, NoGarmentError):
        return 2.0
    observation = observe_prediction(found)
    return 1.0 if observation is None else doubt_of(model, observation)


def model_path(model: str | os.PathLike[str] = "default") -> Path:
    """Path of a model file; `default` is the embedded one."""
    embedded = Path(str(resources.files("garmentcut") / "weights" / "default.onnx"))
    return embedded if os.fspath(model) == "default" else Path(model)
