"""Samples for training: pairs scaled to one size, and kept in memory as far as there is room."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from garmentcut.dataset.frames import frame_pair
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.photo.photo import PhotoError
from garmentcut.recipe import DataConfig


@dataclass(frozen=True, eq=False)
class Sample:
    """One pair as the network sees it; not to be written to, the cache shares it.

    Attributes:
        photo: `(3, H, W)` uint8 sRGB; of a second look `(4, H, W)`, the fourth channel being the first look's alpha.
        alpha: `(1, H, W)` uint8, 255 for fully garment: the target.
        view: `Front`, `FrontRight`, `Back` or `unknown`.
        name: of the pair.
    """

    photo: Tensor
    alpha: Tensor
    view: str
    name: str


class Planes(NamedTuple):
    """A sample's pixels, `(3, H, W)` (or 4) and `(1, H, W)` uint8.

    Arrays, for each of a loader's threads would make torch start threads of its own to copy a tensor.
    """

    photo: NDArray[np.uint8]
    alpha: NDArray[np.uint8]


class Samples:
    """The samples of some pairs, read when asked for; any number of threads may ask.

    The first ones asked for are kept, up to `data.cache_gb`; further ones are read from disk each time. Kept ones never
    make room for others: in an epoch every sample is used once, so the least recently used is the next to come.
    """

    num_channels = 3
    """Of a photo."""

    def __init__(self, manifest: Manifest, pairs: Sequence[Pair], data: DataConfig) -> None:
        self.manifest, self.pairs, self.data = manifest, tuple(pairs), data
        height, width = data.size_hw
        self._room = int(data.cache_gb * 1e9) // (4 * height * width)
        self._kept: dict[int, Planes] = {}
        self._lock = threading.Lock()

    def is_wrong(self, index: int) -> bool:
        """True for a sample whose cutout was marked wrong."""
        return self.pair_of(index).verdict == "wrong"

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: there are not so many.
            PhotoError: its files cannot be read; names the file.
        """
        planes, pair = self.planes(index), self.pair_of(index)
        return Sample(torch.from_numpy(planes.photo), torch.from_numpy(planes.alpha), pair.view, pair.name)

    def pair_of(self, index: int) -> Pair:
        """The pair that a sample is of."""
        return self.pairs[index]

    def planes(self, index: int) -> Planes:
        """The pixels of one sample, as `__getitem__` gives them."""
        pair = self.pairs[index]
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        try:
            photo, alpha = read_pair(self.manifest, pair)
            rgb, levels = frame_pair(photo, alpha, box_xyxy=pair.box_xyxy, data=self.data)
        except PhotoError:
            raise
        # A decoder out of memory, a profile that cannot be applied: without the photo's name nobody could mend it.
        except Exception as error:
            raise PhotoError(f"{self.manifest.path_of(pair.photo)}: {str(error) or type(error).__name__}") from error
        planes = Planes(np.ascontiguousarray(rgb.transpose(2, 0, 1)), np.ascontiguousarray(levels)[None])
        with self._lock:
            if len(self._kept) < self._room:
                self._kept[index] = planes
        return planes
