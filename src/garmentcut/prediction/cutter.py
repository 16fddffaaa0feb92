"""Cutter: photo in, cutout out."""

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import RuntimeConfig
from garmentcut.model.card import ModelCard, read_model
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.photo import Photo, PhotoError
from garmentcut.prediction.frame import Frame, frame_photo, unframe_alpha
from garmentcut.prediction.runtime import Runtime, load_runtime

_LEAST_ALPHA = 1 / 128  # below, the sigmoid's tail: invisible, but it would keep every pixel from being fully hidden
_LEAST_SHARE = 5e-4  # of the frame: the smallest garment, a tenth of a bikini; less is a stray speck


@dataclass(frozen=True)
class Cutter:
    """Cuts garments out of photos; load it once, call it often.

    Attributes:
        card: what the model is and how good.
        runtime: the network, ready to run.
    """

    card: ModelCard
    runtime: Runtime

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None, *, config: RuntimeConfig | None = None) -> "Cutter":
        """Load a model file.

        Args:
            model: an ONNX file with a garmentcut card; None: the embedded default.
            config: backend and threads.

        Raises:
            garmentcut.model.card.ModelError: the file or the backend cannot be used; says why.
        """
        content, card = read_model(Path(model) if model is not None else default_model())
        return cls(card, load_runtime(content, card, config))

    def __call__(self, photo: Photo | NDArray[np.uint8] | NDArray[np.uint16]) -> Cutout:
        """Cut the garment out of one photo.

        Args:
            photo: what `read_photo` returns, or bare pixels: `(H, W, 3)`, uint8 or uint16 (full range), sRGB, upright.

        Returns:
            The cutout, at the photo's own size and depth.

        Raises:
            PhotoError: no garment was found.
            ValueError: an array of another shape or dtype.
        """
        photo = photo if isinstance(photo, Photo) else Photo(photo)
        frame = self.frame(photo)
        return self.finish(photo, frame, self.runtime(frame.rgb))

    def frame(self, photo: Photo) -> Frame:
        """First step of a call: the photo as the network sees it."""
        return frame_photo(photo, self.card)

    def finish(self, photo: Photo, frame: Frame, alpha: NDArray[np.float32]) -> Cutout:
        """Last step of a call: the network's alpha back at the photo's size.

        Args:
            photo: the photo.
            frame: what `frame` made of it.
            alpha: what `runtime` made of `frame.rgb`.

        Raises:
            PhotoError: no garment was found.
        """
        if np.count_nonzero(alpha >= 0.5) < _LEAST_SHARE * alpha.size:
            raise PhotoError("no garment found; check that it is a studio photo of a dressed mannequin")
        # Stretched a little beyond both ends and cut off there.
        settled = (alpha - _LEAST_ALPHA) * np.float32(1 / (1 - 2 * _LEAST_ALPHA))
        return Cutout.of(photo, unframe_alpha(settled.clip(0, 1), frame))


def default_model() -> Path:
    """Path of the embedded model."""
    return Path(str(resources.files("garmentcut") / "weights" / "default.onnx"))
