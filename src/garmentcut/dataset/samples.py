"""Pairs as a network in training sees them: scaled to one size or cut to windows, kept in memory, batched by threads.

Which samples a step gets, and what its augmentation draws from, follows from its number alone: resuming needs no state.
"""

import functools
import hashlib
import math
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from garmentcut.dataset.manifest import DatasetError, Manifest, Pair, read_pair
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import Photo, PhotoError, to_8_bit
from garmentcut.photo.resize import resize_alpha, resize_rgb
from garmentcut.recipe import DataConfig, Recipe

_Levels = NDArray[np.uint8]
MARGIN_PX = 96
"""What a second look is shown around the first one's box at least, in pixels of a photo framed 1728 pixels high."""

_MARGINS = 0.5, 3.0  # of that, in training: crops come in few shapes, so a garment that fills none has more around it
_MARGIN_HEIGHT_PX = 1728
WINDOWS = 32
"""Of each photo, drawn once and for all: an epoch shows all of them."""

_SURE = 128  # of 255
THREAD_NAME = "garmentcut-batches"
_MAX_THREADS = 16


def seeded_generator(*names: str | int) -> torch.Generator:
    """A generator on the CPU of its own for these names, such as `("order", seed, epoch)`.

    The names are hashed: torch's generator looks at 32 bits of a seed only, and neighbouring seeds must not collide.
    """
    digest = hashlib.blake2b(repr(names).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """What one step's augmentation on one device draws from: the same whether or not the training was resumed.

    Args:
        seed: of the training.
        step: counted from 0.
        rank: of the device.
    """
    return seeded_generator("augment", seed, step, rank)


class SharedGenerator(torch.Generator):
    """Numbers for a batch that several devices share: all draw those of the whole batch, and each takes its own.

    So a sample's numbers do not tell how many devices there were.

    Attributes:
        rank: of this device.
        world_size: number of devices.
    """

    rank: int = 0
    world_size: int = 1


def shared_generator(seed: int, step: int, *, rank: int, world_size: int) -> SharedGenerator:
    """As `step_generator` of the first device, for a batch that is shared.

    Args:
        seed: of the training.
        step: counted from 0.
        rank: of the device.
        world_size: number of devices, each with as many samples.
    """
    generator = SharedGenerator()
    generator.manual_seed(step_generator(seed, step).initial_seed())
    generator.rank, generator.world_size = rank, world_size
    return generator


def frame_pair(
    photo: Photo, alpha: NDArray[np.float32], *, box_xyxy: tuple[int, int, int, int], data: DataConfig
) -> tuple[_Levels, _Levels]:
    """Scale a photo and its target to the height of `data.size_hw`; cut or pad the width.

    What is too wide is cut about the middle of the garment. What is too narrow is padded at the right by repeating the
    border, of photo and target alike: a garment that runs out of the photo runs on in the padding.

    Args:
        photo: of any size, depth and colour profile.
        alpha: `(H, W)` float32 in [0, 1], at the photo's size.
        box_xyxy: of the garment in the photo, in pixels.
        data: size and kind of target.

    Returns:
        The photo, `(*size_hw, 3)` uint8 sRGB, and the target, `size_hw` uint8, 255 for fully garment. Eight bits lose
        nothing: retouchers' alphas have 33 levels.
    """
    height, width = data.size_hw
    scale = height / photo.size_hw[0]
    content_hw = height, max(round(photo.size_hw[1] * scale), 1)
    rgb = srgb_of(resize_rgb(to_8_bit(photo.rgb), content_hw), photo.profile)
    left = round((box_xyxy[0] + box_xyxy[2]) / 2 * scale - width / 2)
    left = min(max(left, 0), max(content_hw[1] - width, 0))
    return _of_width(rgb, left, width), _of_width(_target(alpha, content_hw, data), left, width)


def _target(alpha: NDArray[np.float32], content_hw: tuple[int, int], data: DataConfig) -> _Levels:
    if data.target == "alpha":
        return np.rint(resize_alpha(alpha, content_hw) * 255).astype(np.uint8)
    # Made hard before it is scaled: `alpha > 0` of a reduced alpha would be fatter still.
    mask = alpha >= 0.5 if data.target == "alpha >= 128" else alpha > 0
    covered = resize_alpha(mask.astype(np.float32), content_hw)
    return np.where(covered >= 0.5, np.uint8(255), np.uint8(0))


def _of_width(levels: _Levels, left: int, width: int) -> _Levels:
    levels = levels[:, left : left + width]
    missing = width - levels.shape[1]
    if missing:
        levels = np.pad(levels, ((0, 0), (0, missing), *[(0, 0)] * (levels.ndim - 2)), mode="edge")
    return levels


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
        return self._whole(index)

    def _whole(self, which: int) -> Planes:
        """A pair's planes, from memory or from disk."""
        kept = self._kept.get(which)
        if kept is not None:
            return kept
        pair = self.pairs[which]
        try:
            planes = self._read(pair)
        except PhotoError:
            raise
        # A decoder out of memory, a profile that cannot be applied: without the photo's name nobody could fix it.
        except Exception as error:
            raise PhotoError(f"{self.manifest.path_of(pair.photo)}: {str(error) or type(error).__name__}") from error
        with self._lock:
            if len(self._kept) < self._room:
                self._kept[which] = planes
        return planes

    def _read(self, pair: Pair) -> Planes:
        photo, alpha = read_pair(self.manifest, pair)
        rgb, levels = frame_pair(photo, alpha, box_xyxy=pair.box_xyxy, data=self.data)
        return Planes(np.ascontiguousarray(rgb.transpose(2, 0, 1)), np.ascontiguousarray(levels)[None])


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


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of one step.

    Attributes:
        photos: `(N, 3, H, W)` uint8 sRGB (of a second look, 4 channels), in page-locked memory where there is CUDA.
        alphas: `(N, 1, H, W)` uint8.
        views: of each.
        names: of each.
    """

    photos: Tensor
    alphas: Tensor
    views: tuple[str, ...]
    names: tuple[str, ...]

    def on(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Photos and alphas on a device, float32 in [0, 1]; the copy does not wait for what is queued there."""
        photos, alphas = (part.to(device, non_blocking=True).float().div_(255) for part in (self.photos, self.alphas))
        return photos, alphas


def batches(
    samples: Samples, steps: range, *, batch: int, seed: int, rank: int = 0, world_size: int = 1, workers: int = 0
) -> Generator[Batch, None, None]:
    """The batches of some steps, prepared ahead by threads.

    A step's samples follow from its number alone: samples are shuffled anew each epoch, the epochs are laid end to end,
    and step `s` takes the `batch` samples from place `s * batch` on. A resumed training goes on exactly, and a data set
    smaller than a batch is just several epochs a step.

    Args:
        samples: what there is.
        steps: of the training, counted from 0.
        batch: samples a step, all devices together.
        seed: of the training.
        rank: of this device; it gets its share of each step.
        world_size: number of devices.
        workers: threads; 0: as many as the processor has cores, at most 16.

    Returns:
        A generator; closing it, or dropping it, ends its threads.

    Raises:
        DatasetError: no samples, or a batch that the devices cannot share evenly.
        PhotoError: while iterating: a photo cannot be read; names the file.
    """
    if not len(samples):
        raise DatasetError(f"{samples.manifest.folder}: no pairs to train on")
    if batch % world_size:
        near = max(batch // world_size, 1) * world_size
        raise DatasetError(f"a batch of {batch} cannot be shared evenly by {world_size} devices; use {near}")
    share = batch // world_size
    places = (range(step * batch + rank * share, step * batch + (rank + 1) * share) for step in steps)
    return _prepared(samples, places, seed, workers or min(os.cpu_count() or 1, _MAX_THREADS))


def _prepared(samples: Samples, places: Iterable[range], seed: int, workers: int) -> Generator[Batch, None, None]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix=THREAD_NAME)
    under_way = deque[tuple[Batch, list[Future[None]]]]()
    try:
        for step_places in places:
            under_way.append(_begin(samples, [_index(place, samples, seed) for place in step_places], pool))
            # One batch is ready, and every thread has a sample of a later one to do.
            if len(under_way) > 1 + math.ceil(workers / len(step_places)):
                yield _finish(*under_way.popleft())
        while under_way:
            yield _finish(*under_way.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(samples: Samples, indices: Sequence[int], pool: ThreadPoolExecutor) -> tuple[Batch, list[Future[None]]]:
    """A batch still empty, and the work of filling it."""
    (height, width), pairs = samples.data.size_hw, [samples.pair_of(index) for index in indices]
    photos, alphas = (
        torch.empty((len(indices), channels, height, width), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        for channels in (samples.num_channels, 1)
    )
    batch = Batch(photos, alphas, tuple(pair.view for pair in pairs), tuple(pair.name for pair in pairs))
    slots = zip(indices, photos.numpy(), alphas.numpy(), strict=True)
    return batch, [pool.submit(_fill, samples, index, photo, alpha) for index, photo, alpha in slots]


def _fill(samples: Samples, index: int, photo: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> None:
    planes = samples.planes(index)
    photo[:], alpha[:] = planes.photo, planes.alpha


def _finish(batch: Batch, work: list[Future[None]]) -> Batch:
    for future in work:
        future.result()
    return batch


def _index(place: int, samples: Samples, seed: int) -> int:
    """Which sample stands at a place of the endless row of shuffled epochs.

    A cutout marked wrong keeps its place in a share of the epochs only; in the others the next good one stands there.
    """
    num = len(samples)
    epoch, rest = divmod(place, num)
    order = _order(epoch, num, seed)
    index = int(order[rest])
    if samples.is_wrong(index) and _draw(epoch, rest, seed) >= samples.data.wrong_weight:
        following = (int(order[(rest + step) % num]) for step in range(1, num))
        return next((other for other in following if not samples.is_wrong(other)), index)
    return index


def _draw(epoch: int, rest: int, seed: int) -> float:
    """Even in [0, 1), the same each time."""
    return float(torch.rand((), generator=seeded_generator("wrong", seed, epoch, rest)))


@functools.lru_cache(maxsize=4)
def _order(epoch: int, num: int, seed: int) -> Tensor:
    return torch.randperm(num, generator=seeded_generator("order", seed, epoch))
