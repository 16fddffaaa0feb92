"""`Cutter`: loads a model once, then turns each photo into a cutout in three steps: frame, predict, finish."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import CutConfig, RuntimeConfig
from garmentcut.errors import ModelError, NoGarmentError, Note, PhotoError
from garmentcut.model.card import DoubtModel, ModelCard, read_model
from garmentcut.photo.compose import choke_alpha
from garmentcut.photo.files import map_in_order
from garmentcut.photo.mask import bounding_box, dilate, erode
from garmentcut.photo.photo import Cutout, Photo
from garmentcut.prediction.doubt import doubt_of, is_foreign, observe_prediction
from garmentcut.prediction.inputs import PhotoLike, Result, photo_of
from garmentcut.prediction.locate import Box, Frame, frame_photo
from garmentcut.prediction.runtime import Runtime, load_runtime
from garmentcut.prediction.stages import Prediction, Stages, check_garment
from garmentcut.prediction.verdict import Judge

_SMALLER, _LARGER = 0.8, 1.15  # than what was learned: from there on a photo is cut at another scale too
_AROUND, _ASPECT = 1.3, 1.5  # of a window: what it shows around the garment; height to width, as of studio photos
_PLAIN, _PLAIN_SHARE = 12, 0.6  # levels of 255 from the median, and how much of the border lies so near: plain ground
_SPARSE = 4  # one pixel in so many, each way, shows the ground
_READ_AHEAD = 2
_RESCALED = Note("too large or too small in the photo: cut at another scale", "rescaled")


@dataclass(frozen=True)
class Cutter:
    """Cuts garments out of photos; load it once, call it often.

    Attributes:
        card: what the model is and how good.
        runtime: its network, ready to run; of a model of stages, the segment stage's.
        config: how much effort is made, and where the edge is put.
        stages: the networks of a model of three stages; None: one network sees the whole photo.
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
        """Load a model file.

        Args:
            model: an ONNX file with a garmentcut card; None: the embedded default.
            config: backend and threads.
            cut: effort and choke.

        Raises:
            garmentcut.errors.ModelError: the file or the backend cannot be used, or the model has no
                stages and `fast` was asked for.
        """
        content, card = read_model(Path(model) if model is not None else default_model())
        cut = cut or CutConfig()
        if card.stages is not None:
            stages = Stages.load(content, card, config, fast=cut.effort == "fast")
            return cls(card, cast(Runtime, stages.segment), cut, stages=stages)
        if cut.effort == "fast":
            raise ModelError(f"{card.label} has no stage that `fast` could leave out; use normal")
        return cls(card, load_runtime(content, card, config), cut)

    def __call__(self, photo: PhotoLike) -> Cutout:
        """Cut the garment out of one photo.

        Args:
            photo: bytes, a path, an open file, a PIL image, an array or a `Photo`; see
                `garmentcut.prediction.inputs.photo_of`.

        Returns:
            The cutout, at the photo's own size and depth, with the doubt in it.

        Raises:
            PhotoError: it cannot be read, or no garment was found.
            ValueError: an array of another shape or dtype.
        """
        photo = photo_of(photo)
        frame = self.frame(photo)
        prediction = self.predict(photo, frame)
        found = Judge.of(self.card, cut=self.config)(prediction)
        return replace(self.finish(photo, prediction), doubt=found.doubt, reasons=found.reasons, flags=found.flags)

    def map(self, photos: Iterable[PhotoLike]) -> Iterator[Result]:
        """Cut photos in order, reading each while the one before is cut; a failure becomes a result that says why.

        >>> for result in cutter.map(sorted(Path("photos").glob("*.jpg"))):  # doctest: +SKIP
        ...     print(result.source, result.reason or result.cutout.doubt)
        """
        with ThreadPoolExecutor(1) as pool:
            for source, photo in map_in_order(pool, _read, photos, num_ahead=_READ_AHEAD):
                if isinstance(photo, Result):
                    yield photo
                    continue
                try:
                    result = Result(source, self(photo))
                except (PhotoError, MemoryError) as error:
                    result = Result.of(source, error)
                yield result

    def frame(self, photo: Photo) -> Frame:
        """First step of a call: bring the photo to the size at which the network works."""
        return frame_photo(photo, self.card)

    def predict(self, photo: Photo, frame: Frame) -> Prediction:
        """Second step: find the garment and its alpha; nearly all of a call's time.

        Raises:
            NoGarmentError: no garment was found.
        """
        if self.stages is not None:
            return self._predict_in_stages(self.stages, photo, frame)
        return Prediction.of_frame(self.runtime(frame.rgb), frame)

    def _predict_in_stages(self, stages: Stages, photo: Photo, frame: Frame) -> Prediction:
        """What the stages say of a photo; of a foreign one, with test-time augmentation.

        If its garment has an unusual size, it is cut at another scale too, and the less doubtful prediction is kept.
        """
        first, refusal = _tried(stages, photo, frame)
        doubt = self.card.doubt
        if doubt is not None:
            seen = observe_prediction(first) if first is not None else None
            if seen is None or is_foreign(doubt, seen.appearance):
                stages = replace(stages, test_time_augmentation=True)
                if first is not None:
                    first, refusal = _tried(stages, photo, frame)
                window = window_of(frame, stages.sizes.garment_px)
                second = self._predicted_in(window, stages, photo, frame) if window is not None else None
                if second is not None and (first is None or _doubt_in(second, doubt) < _doubt_in(first, doubt)):
                    first = second
        if first is None:
            raise refusal
        return first

    def _predicted_in(self, window_xyxy: Box, stages: Stages, photo: Photo, frame: Frame) -> Prediction | None:
        """A prediction at the scale of a window; None: no garment was found in it."""
        part, window_xyxy = photo_in(window_xyxy, photo, frame)
        try:
            prediction = stages(part, self.frame(part)).moved_to(frame, window_xyxy)
            check_garment(prediction)
        except NoGarmentError:
            return None
        return replace(prediction, notes=(*prediction.notes, _RESCALED))

    def finish(self, photo: Photo, prediction: Prediction) -> Cutout:
        """Last step of a call: the alpha at the photo's size.

        Raises:
            NoGarmentError: no garment was found.
        """
        check_garment(prediction)
        alpha = choke_alpha(prediction.full_alpha(), self.card.choke_px + self.config.choke_px)
        return Cutout.of(photo, alpha)


def window_of(frame: Frame, garment_px: tuple[float, float]) -> Box | None:
    """The window in which to cut a photo on plain ground whose garment is larger or smaller than all that were learned.

    Args:
        frame: the photo.
        garment_px: as of `garmentcut.model.card.StageSizes`.

    Returns:
        A window in fractions of the photo, reaching beyond it if the garment is too large: in it what stands on the
        ground has the middle size of the garments that were learned. None: its size is usual, or the ground not plain.
    """
    (height, width), (least, most), ground = frame.content_hw, garment_px, _ground_of(frame)
    if most <= 0 or ground is None:
        return None
    stands_out = np.abs(_sparse(frame).astype(np.int16) - ground).max(axis=2) > _PLAIN
    box = bounding_box(dilate(erode(stands_out)))  # without specks and the noise of JPEG
    if box is None:
        return None
    left, top, right, bottom = (_SPARSE * side for side in box)
    size = ((right - left) * (bottom - top)) ** 0.5
    if _SMALLER * least <= size <= _LARGER * most:
        return None
    window_height = max(
        height * size / (least * most) ** 0.5, _AROUND * (bottom - top), _AROUND * (right - left) * _ASPECT
    )
    window_width = window_height / _ASPECT
    x, y = (left + right) / 2, (top + bottom) / 2
    return (
        (x - window_width / 2) / width,
        (y - window_height / 2) / height,
        (x + window_width / 2) / width,
        (y + window_height / 2) / height,
    )


def photo_in(window_xyxy: Box, photo: Photo, frame: Frame) -> tuple[Photo, Box]:
    """What a window shows of a photo on plain ground; the ground goes on beyond the photo.

    Args:
        window_xyxy: of `window_of`.
        photo: the photo.
        frame: what `frame_photo` made of it; a window that is larger than the photo needs no finer pixels.

    Returns:
        The part, and the window in fractions of the photo, now on whole pixels.
    """
    is_larger = window_xyxy[3] - window_xyxy[1] > 1
    source = Photo(frame.rgb[: frame.content_hw[0], : frame.content_hw[1]]) if is_larger else photo
    height, width = source.size_hw
    left, top, right, bottom = (round(side) for side in np.multiply(window_xyxy, (width, height) * 2).tolist())
    if not is_larger:  # moved into the photo, as far as it fits
        left, top = max(min(left, width - (right - left)), 0), max(min(top, height - (bottom - top)), 0)
        right, bottom = min(left + round(width * (window_xyxy[2] - window_xyxy[0])), width), min(bottom, height)
    ground = np.asarray(_ground_of(frame)).astype(np.uint8)  # it has one, or there would be no window
    part = source.rgb[max(top, 0) : bottom, max(left, 0) : right]
    if is_larger:
        whole = np.empty((bottom - top, right - left, 3), np.uint8)
        whole[:] = ground
        rows, columns = max(-top, 0), max(-left, 0)
        whole[rows : rows + part.shape[0], columns : columns + part.shape[1]] = part
        part = whole
    box = left / width, top / height, right / width, bottom / height
    return replace(source, rgb=np.ascontiguousarray(part)), box


def _ground_of(frame: Frame) -> NDArray[np.int16] | None:
    """The colour along the photo's borders, `(3,)`; None: it has no single one."""
    rgb = _sparse(frame)
    rows, columns = (max(side // 12, 1) for side in rgb.shape[:2])
    strips = rgb[:rows], rgb[-rows:], rgb[:, :columns], rgb[:, -columns:]
    border = np.concatenate([strip.reshape(-1, 3) for strip in strips]).astype(np.int16)
    ground: NDArray[np.int16] = np.median(border, axis=0).astype(np.int16)
    is_near = np.abs(border - ground).max(axis=1) <= _PLAIN
    return ground if is_near.mean() >= _PLAIN_SHARE else None


def _sparse(frame: Frame) -> NDArray[np.uint8]:
    return frame.rgb[: frame.content_hw[0] : _SPARSE, : frame.content_hw[1] : _SPARSE]


def _read(source: PhotoLike) -> tuple[PhotoLike, Photo | Result]:
    try:
        return source, photo_of(source)
    except (PhotoError, OSError, MemoryError) as error:
        return source, Result.of(source, error)


def _tried(stages: Stages, photo: Photo, frame: Frame) -> tuple[Prediction | None, NoGarmentError]:
    """A prediction, or why there is none."""
    try:
        return stages(photo, frame), NoGarmentError()
    except NoGarmentError as error:
        return None, error


def _doubt_in(prediction: Prediction, model: DoubtModel) -> float:
    observation = observe_prediction(prediction)
    return 1.0 if observation is None else doubt_of(model, observation)


def default_model() -> Path:
    """Path of the embedded model."""
    return Path(str(resources.files("garmentcut") / "weights" / "default.onnx"))
