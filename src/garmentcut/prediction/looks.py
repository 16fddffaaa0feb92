"""What the looks at a photo have seen: the first at the whole of it, the second at the garment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from garmentcut.photo.resize import resize_alpha
from garmentcut.prediction.crop import Crop, whole_crop
from garmentcut.prediction.frame import Frame

_LEAST_ALPHA = 1 / 128  # below, the sigmoid's tail: invisible, but it would keep every pixel from being fully hidden


@dataclass(frozen=True, eq=False)
class Looks:
    """What was seen, before it is brought to the photo's own size.

    Attributes:
        frame: the photo as it was framed.
        crop: where the last look was.
        fine: `crop.content_hw` float32 in [0, 1]: its alpha, nothing of the garment being outside.
        coarse: `(h, w)` float32 in [0, 1]: the first look's alpha of the whole photo, in small, strays taken out; None:
            there was no first look.
        notes: what is worth telling: that the frame cuts the garment off, for one.
    """

    frame: Frame
    crop: Crop
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of_frame(cls, alpha: NDArray[np.float32], frame: Frame) -> "Looks":
        """One look at the whole frame: a network's alpha of `frame.rgb`."""
        height, width = frame.content_hw
        return cls(frame, whole_crop(frame), alpha[:height, :width])

    @property
    def share_of_photo(self) -> float:
        """How much of the photo the crop is, 0 to 1."""
        left, top, right, bottom = self.crop.box_xyxy
        return (right - left) * (bottom - top) / (self.frame.photo_hw[0] * self.frame.photo_hw[1])

    @cached_property
    def agreement(self) -> float:
        """Dice of the first and the last look's masks, in small; 1 where there was one look."""
        if self.coarse is None:
            return 1.0
        first, last = self.coarse >= 0.5, self.small_alpha(_size_of(self.coarse)) >= 0.5
        total = np.count_nonzero(first) + np.count_nonzero(last)
        return float(2 * np.count_nonzero(first & last) / total) if total else 1.0

    @cached_property
    def alpha(self) -> NDArray[np.float32]:
        """`frame.content_hw` float32 in [0, 1]: the alpha of `frame.rgb` without its padding."""
        return self._laid_out(self.fine, self.frame.content_hw)

    def small_alpha(self, size_hw: tuple[int, int]) -> NDArray[np.float32]:
        """The last look's alpha of the whole photo at a size of choice, that of `coarse` for one."""
        return self._laid_out(self.fine, size_hw)

    def full_alpha(self) -> NDArray[np.float32]:
        """`frame.photo_hw` float32 in [0, 1]: the alpha at the photo's own size, hidden and opaque pixels wholly so."""
        # Stretched a little beyond both ends and cut off there.
        settled = (self.fine - _LEAST_ALPHA) * np.float32(1 / (1 - 2 * _LEAST_ALPHA))
        return self._laid_out(settled.clip(0, 1), self.frame.photo_hw)

    def _laid_out(self, fine: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
        """The crop's alpha in its place in the whole photo, at some size."""
        rows, columns = (self._span(axis, size_hw) for axis in (1, 0))
        size = rows[1] - rows[0], columns[1] - columns[0]
        if size == size_hw:
            return resize_alpha(fine, size_hw)
        whole = np.zeros(size_hw, np.float32)
        if min(size) > 0:
            whole[slice(*rows), slice(*columns)] = resize_alpha(fine, size)
        return whole

    def _span(self, axis: int, size_hw: tuple[int, int]) -> tuple[int, int]:
        step = size_hw[1 - axis] / self.frame.photo_hw[1 - axis]
        return round(self.crop.box_xyxy[axis] * step), round(self.crop.box_xyxy[axis + 2] * step)


def _size_of(alpha: NDArray[np.float32]) -> tuple[int, int]:
    height, width = alpha.shape
    return height, width
