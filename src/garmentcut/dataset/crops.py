"""Samples for a second look: windows inside the garment's box, with the first look's alpha as a fourth channel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.dataset.frames import frame_pair
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.dataset.samples import Planes, Samples
from garmentcut.photo.photo import PhotoError
from garmentcut.recipe import Recipe

MARGIN_PX = 96
"""What a second look is shown around the first one's box at least, in pixels of a photo framed 1728 pixels high."""

_MARGINS = 0.5, 3.0  # of that, in training: crops come in few shapes, so a garment that fills none has more around it

_MARGIN_HEIGHT_PX = 1728

WINDOWS = 32
"""Of each photo, drawn once and for all: an epoch shows all of them."""

_SURE = 128  # of 255
_Levels = NDArray[np.uint8]


class CropSamples(Samples):
    """Windows of `data.size_hw` from photos framed at `crops.frame_hw`; each photo is read once, as room allows.

    The box is the first look's, as it will be in use, its margin drawn anew for each window: what is
    beyond the window, the second look does not see. Only its target is the retoucher's.

    Args:
        manifest: the data set.
        pairs: of it.
        recipe: all knobs.
        maps: folder with the first look's alphas, `map_path` for each pair.
        num_windows: of each photo; 1: the middle of the box.
    """

    num_channels = 4

    def __init__(
        self, manifest: Manifest, pairs: Sequence[Pair], recipe: Recipe, *, maps: Path, num_windows: int
    ) -> None:
        super().__init__(manifest, pairs, recipe.data)
        self.recipe, self.maps, self.num_windows = recipe, maps, num_windows
        height, width = recipe.crops.frame_hw
        self._room = int(recipe.data.cache_gb * 1e9) // (5 * height * width)

    def __len__(self) -> int:
        return len(self.pairs) * self.num_windows

    def pair_of(self, index: int) -> Pair:
        """See `Samples`."""
        return self.pairs[index // self.num_windows]

    def planes(self, index: int) -> Planes:
        """See `Samples`."""
        which, window = divmod(index, self.num_windows)
        whole = self._whole(which)
        area = self._window(whole.photo[3], which, window)
        return Planes(whole.photo[:, *area], whole.alpha[:, *area])

    def _whole(self, which: int) -> Planes:
        kept = self._kept.get(which)
        if kept is not None:
            return kept
        pair = self.pairs[which]
        try:
            planes = self._read(pair)
        except PhotoError:
            raise
        # A decoder out of memory, a profile that cannot be applied: without the photo's name nobody could mend it.
        except Exception as error:
            raise PhotoError(f"{self.manifest.path_of(pair.photo)}: {str(error) or type(error).__name__}") from error
        with self._lock:
            if len(self._kept) < self._room:
                self._kept[which] = planes
        return planes

    def _read(self, pair: Pair) -> Planes:
        photo, alpha = read_pair(self.manifest, pair)
        data = replace(self.data, size_hw=self.recipe.crops.frame_hw)
        rgb, levels = frame_pair(photo, alpha, box_xyxy=pair.box_xyxy, data=data)
        seen = read_map(self.maps, pair.name, photo.size_hw)
        _, map_levels = frame_pair(photo, seen, box_xyxy=pair.box_xyxy, data=replace(data, target="alpha"))
        both = np.dstack([rgb, map_levels]).transpose(2, 0, 1)
        return Planes(np.ascontiguousarray(both), np.ascontiguousarray(levels)[None])

    def _window(self, levels: _Levels, which: int, window: int) -> tuple[slice, slice]:
        draws = np.random.default_rng([self.recipe.training.seed, which, window])
        sure = levels >= _SURE
        spans = []
        for axis, size in enumerate(self.data.size_hw):
            side, found = levels.shape[axis], np.flatnonzero(sure.any(axis=1 - axis))
            low, high = (int(found[0]), int(found[-1]) + 1) if found.size else (0, side)
            start = self._start(draws, low, high, size)
            start = min(max(start, 0), side - size)
            spans.append(slice(start, start + size))
        return spans[0], spans[1]

    def _start(self, draws: np.random.Generator, low: int, high: int, size: int) -> int:
        """Where a window begins, from box's side to box's side with a margin; anywhere that holds a smaller box."""
        if self.num_windows == 1:
            return (low + high - size) // 2
        margins = draws.uniform(*_MARGINS, 2) * margin_px(self.recipe.crops.frame_hw)
        first, last = low - margins[0], high + margins[1] - size
        return round(float(draws.uniform(min(first, last), max(first, last))))


def open_crops(
    manifest: Manifest, sides: tuple[Sequence[Pair], Sequence[Pair]], recipe: Recipe, *, maps: Path
) -> tuple[CropSamples, CropSamples]:
    """Samples to learn from and to measure on; they share the memory that the recipe allows."""
    share = recipe.data.cache_gb / sum(map(len, sides))
    shared = [replace(recipe, data=replace(recipe.data, cache_gb=share * len(side))) for side in sides]
    learn_from = CropSamples(manifest, sides[0], shared[0], maps=maps, num_windows=WINDOWS)
    return learn_from, CropSamples(manifest, sides[1], shared[1], maps=maps, num_windows=1)


def margin_px(frame_hw: tuple[int, int]) -> int:
    """`MARGIN_PX` in pixels of photos framed at another height."""
    return round(MARGIN_PX * frame_hw[0] / _MARGIN_HEIGHT_PX)


def map_path(folder: Path, name: str) -> Path:
    """Where the first look's alpha of a pair is kept."""
    return folder / f"{name}.png"


def read_map(folder: Path, name: str, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The first look's alpha of a pair, `size_hw` float32 in [0, 1], enlarged smoothly: it knows no edges.

    Raises:
        PhotoError: it is missing or damaged; names the file.
    """
    path = map_path(folder, name)
    try:
        with Image.open(path) as image:
            large = image.convert("L").resize(size_hw[::-1], Image.Resampling.BILINEAR)
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path}: {error}; delete the run's maps, and train again") from error
    return np.asarray(large, np.float32) / np.float32(255)
