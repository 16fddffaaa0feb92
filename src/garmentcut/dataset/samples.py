"""Feeds the training loop: pairs scaled to one size or cut to windows, cached in memory, batched by threads.

The samples of a step, and the seeds of its augmentation, depend only on the step's number: resuming needs no state.
"""

import functools
import hashlib
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.errors import DatasetError, PhotoError
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import map_in_order
from garmentcut.photo.photo import Photo, resize_alpha, resize_rgb, to_8_bit
from garmentcut.recipe import DataConfig

_Levels = NDArray[np.uint8]
THREAD_NAME = "garmentcut-batches"
_LEAST_HARD, _LEAST_LOSS = 0.5, 1e-6
DRAW_STEPS = 100  # steps until the weights that samples are drawn by are updated
_MAX_THREADS = 16


def seeded_generator(*names: str | int) -> torch.Generator:
    """A generator on the CPU, seeded by a hash of `names`, such as `("order", seed, epoch)`.

    Hashed, because torch's generator uses only 32 bits of a seed, and neighbouring seeds must not collide.
    """
    digest = hashlib.blake2b(repr(names).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def framed(photo: Photo, alpha: NDArray[np.float32], height: int, *, target: str = "alpha") -> tuple[_Levels, _Levels]:
    """Scale a photo and its target `(H, W)` in [0, 1] to one height, keeping the whole width.

    Returns `(height, w, 3)` uint8 sRGB and `(height, w)` uint8, 255 for fully garment. `target` is one of the values of
    `DataConfig.target`. Eight bits lose nothing: retouchers' alphas have 33 levels.
    """
    size_hw = height, max(round(photo.size_hw[1] * height / photo.size_hw[0]), 1)
    rgb = srgb_of(resize_rgb(to_8_bit(photo.rgb), size_hw), photo.profile)
    if target == "alpha":
        return rgb, np.rint(resize_alpha(alpha, size_hw) * 255).astype(np.uint8)
    # Thresholded before it is scaled: `alpha > 0` of a reduced alpha would cover even more.
    mask = alpha >= 0.5 if target == "alpha >= 128" else alpha > 0
    covered = resize_alpha(mask.astype(np.float32), size_hw)
    return rgb, np.where(covered >= 0.5, np.uint8(255), np.uint8(0))


def frame_pair(
    photo: Photo, alpha: NDArray[np.float32], *, box_xyxy: tuple[int, int, int, int], data: DataConfig
) -> tuple[_Levels, _Levels]:
    """Scale a photo and its target as `framed` does, to the height of `data.size_hw`; crop or pad the width.

    A photo that is too wide is cropped around the middle of the garment's box, which is given in pixels of the photo.
    One that is too narrow is padded at the right by repeating the border of both photo and target, so that a garment
    cut off by the border continues in the padding.
    """
    height, width = data.size_hw
    rgb, levels = framed(photo, alpha, height, target=data.target)
    middle = (box_xyxy[0] + box_xyxy[2]) / 2 * height / photo.size_hw[0]
    left = min(max(round(middle - width / 2), 0), max(rgb.shape[1] - width, 0))
    columns = np.arange(left, left + width).clip(max=rgb.shape[1] - 1)
    return rgb[:, columns], levels[:, columns]


@dataclass(frozen=True, eq=False)
class Sample:
    """One pair as the network sees it. Read-only, because the cache shares its memory."""

    # `(3, H, W)` uint8 sRGB; of the refine stage `(4, H, W)`, the fourth channel being the segment stage's alpha.
    photo: Tensor
    alpha: Tensor  # `(1, H, W)` uint8, 255 for fully garment: the target
    view: str  # `Front`, `FrontRight`, `Back` or `unknown`
    name: str  # of the pair


class Planes(NamedTuple):
    """A sample's pixels, `(3, H, W)` (or 4) and `(1, H, W)` uint8.

    Arrays and not tensors: copying a tensor in a loader's thread makes torch start further threads for each of them.
    """

    photo: _Levels
    alpha: _Levels

    @property
    def nbytes(self) -> int:
        """Memory that they take, in bytes."""
        return self.photo.nbytes + self.alpha.nbytes


class Samples:
    """The samples of some pairs, read on demand; safe to use from several threads.

    The first samples are cached, up to `data.cache_gb`; the others are read from disk each time. Nothing is evicted:
    each sample is used once per epoch, so the least recently used one is the one that is needed next.
    """

    num_channels = 3
    """Number of channels of a sample's photo."""

    def __init__(self, manifest: Manifest, pairs: Sequence[Pair], data: DataConfig) -> None:
        self.manifest, self.pairs, self.data = manifest, tuple(pairs), data
        self._kept: dict[int, Any] = {}
        self._bytes_left = int(data.cache_gb * 1e9)
        self._lock = threading.Lock()

    def is_wrong(self, index: int) -> bool:
        """True for a sample whose cutout was marked wrong."""
        return self.pairs[index].verdict == "wrong"

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Raises: IndexError: there is no such sample. PhotoError: a file cannot be read; the message names it."""
        planes, pair = self.planes(index), self.pairs[index]
        return Sample(torch.from_numpy(planes.photo), torch.from_numpy(planes.alpha), pair.view, pair.name)

    def planes(self, index: int, draw: int = 0) -> Planes:  # noqa: ARG002 - whole photos are the same in each draw
        """The pixels of one sample; if samples are windows, another `draw` gives another window."""
        return cast(Planes, self._cached(index))

    def _cached(self, index: int) -> Any:
        if (kept := self._kept.get(index)) is not None:
            return kept
        pair = self.pairs[index]
        try:
            found = self._read(pair)
        except PhotoError:
            raise
        # A decoder out of memory, a profile that cannot be applied: the photo's name is needed to fix it.
        except Exception as error:
            raise PhotoError(f"{self.manifest.path_of(pair.photo)}: {str(error) or type(error).__name__}") from error
        with self._lock:
            if found.nbytes <= self._bytes_left and index not in self._kept:
                self._kept[index] = found
                self._bytes_left -= found.nbytes
        return found

    def _read(self, pair: Pair) -> Any:
        """Read what is cached of a pair, here its planes; the result has an attribute `nbytes`."""
        photo, alpha = read_pair(self.manifest, pair)
        rgb, levels = frame_pair(photo, alpha, box_xyxy=pair.box_xyxy, data=self.data)
        return Planes(np.ascontiguousarray(rgb.transpose(2, 0, 1)), np.ascontiguousarray(levels)[None])


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """The samples of one step, or of a device's share of it."""

    # `(N, 3, H, W)` uint8 sRGB (of the refine stage, 4 channels), in page-locked memory where there is CUDA.
    photos: Tensor
    alphas: Tensor  # `(N, 1, H, W)` uint8
    views: tuple[str, ...]  # of each pair
    names: tuple[str, ...]  # of each pair
    indices: tuple[int, ...] = ()  # index of each in its `Samples`

    def on(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Photos and alphas on a device, float32 in [0, 1]. The copy does not wait for the work queued there."""
        photos, alphas = (part.to(device, non_blocking=True).float().div_(255) for part in (self.photos, self.alphas))
        return photos, alphas


def batches(
    samples: Samples,
    steps: range,
    *,
    batch: int,
    seed: int,
    shard: tuple[int, int] = (0, 1),
    workers: int = 0,
    weights: Tensor | None = None,
) -> Generator[SampleBatch, None, None]:
    """Yield the batches of some steps, prepared ahead by threads; closing the generator ends the threads.

    A step's samples depend only on its number, from 0. Samples are shuffled anew each epoch and the epochs are
    concatenated; step `s` takes the `batch` samples from position `s * batch` on, and each device its share of them:
    `shard` is its rank, and the number of devices. So a resumed training continues exactly, and if the dataset is
    smaller than a batch, a step takes several epochs. `workers` is the number of threads; 0: one per core, at most 16.

    `weights`, `(len(samples),)` float64, say how often each sample is drawn relative to the others; `steps` must then
    lie between two multiples of `DRAW_STEPS`. None: all equally often.

    Raises:
        DatasetError: there are no samples, or the devices cannot share a batch evenly.
        PhotoError: while iterating: a photo cannot be read; the message names the file.
    """
    if not len(samples):
        raise DatasetError(f"{samples.manifest.folder}: no pairs to train on")
    rank, world_size = shard
    if batch % world_size:
        near = max(batch // world_size, 1) * world_size
        raise DatasetError(f"a batch of {batch} cannot be shared evenly by {world_size} devices; use {near}")
    share = batch // world_size
    starts = (step * batch + rank * share for step in steps)
    index_at: Callable[[int], int] = functools.partial(_index, samples=samples, seed=seed)
    if weights is not None:
        first = steps.start // DRAW_STEPS * DRAW_STEPS * batch
        order = drawn_order(weights, DRAW_STEPS * batch, seed=seed, chunk=steps.start // DRAW_STEPS)
        index_at = dict(enumerate(order, first)).__getitem__
    return _prepared(samples, starts, share, index_at, workers or min(os.cpu_count() or 1, _MAX_THREADS))


class DrawWeights:
    """How often each sample is drawn: photos of rare views and photos with a high loss more often than others.

    The weights change only every `DRAW_STEPS` steps, so that samples can be prepared ahead. Resuming is exact.
    """

    @classmethod
    def of(cls, samples: Samples, data: DataConfig) -> "DrawWeights | None":
        """The weights by `rare_views`, `hard_photos` and `wrong_weight`; None: all samples are drawn equally often."""
        return cls(samples, data) if data.rare_views > 1 or data.hard_photos > 1 else None

    def __init__(self, samples: Samples, data: DataConfig) -> None:
        views = [pair.view for pair in samples.pairs]
        most = max(views.count(view) for view in set(views))
        rarity = [min(most / views.count(view), data.rare_views) for view in views]
        wrong = [data.wrong_weight if samples.is_wrong(index) else 1.0 for index in range(len(samples))]
        self._fixed = torch.tensor(rarity, dtype=torch.float64) * torch.tensor(wrong, dtype=torch.float64)
        self._most_hard = data.hard_photos
        self._hardness = torch.ones(len(samples), dtype=torch.float64)
        self._used = self._hardness.clone()
        self._mean_loss = 0.0

    def at(self, step: int) -> Tensor:
        """The weights for this step, `(N,)` float64. Steps count from 0; call this in their order."""
        if step % DRAW_STEPS == 0:
            self._used = self._hardness.clone()
        return self._fixed * self._used

    def note(self, indices: Sequence[int], losses: Sequence[float]) -> None:
        """Record the losses of the samples with these indices; they count only if `hard_photos` is above 1."""
        if self._most_hard == 1:
            return
        mean = sum(losses) / len(losses)
        self._mean_loss = 0.98 * self._mean_loss + 0.02 * mean if self._mean_loss else mean
        for index, loss in zip(indices, losses, strict=True):
            ratio = min(max(loss / max(self._mean_loss, _LEAST_LOSS), _LEAST_HARD), self._most_hard)
            self._hardness[index] = 0.8 * self._hardness[index] + 0.2 * ratio

    def state_dict(self) -> dict[str, Any]:
        """The state that resuming needs."""
        return {"hardness": self._hardness, "used": self._used, "mean_loss": self._mean_loss}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._hardness, self._used = state["hardness"].clone(), state["used"].clone()
        self._mean_loss = float(state["mean_loss"])


def drawn_order(weights: Tensor, num: int, *, seed: int, chunk: int) -> list[int]:
    """Draw `num` sample indices in random order, each as often as its weight `(N,)` says, give or take one.

    Systematic resampling (Kitagawa 1996), which varies much less than independent draws. Weights must not be negative,
    and at least one must be positive. Each `chunk` of a training has its own draws.
    """
    generator = seeded_generator("drawn", seed, chunk)
    ends = weights.double().cumsum(0) / weights.double().sum()
    marks = (torch.arange(num, dtype=torch.float64) + torch.rand((), generator=generator, dtype=torch.float64)) / num
    found = torch.searchsorted(ends, marks).clamp(max=len(weights) - 1)
    return cast(list[int], found[torch.randperm(num, generator=generator)].tolist())


def _prepared(
    samples: Samples, starts: Iterable[int], share: int, index_at: Callable[[int], int], workers: int
) -> Generator[SampleBatch, None, None]:
    def rows() -> Iterator[tuple[SampleBatch, int, int]]:
        """Each row of each batch to fill, and its position in the sequence of all samples."""
        for start in starts:
            batch = _empty_batch(samples, tuple(map(index_at, range(start, start + share))))
            yield from ((batch, row, start + row) for row in range(share))

    def filled(job: tuple[SampleBatch, int, int]) -> SampleBatch | None:
        """Fill a row; returns the batch with its last row, when the results of all earlier rows have been taken."""
        batch, row, place = job
        batch.photos.numpy()[row], batch.alphas.numpy()[row] = samples.planes(batch.indices[row], place)
        return batch if row == share - 1 else None

    num_ahead = share + max(share, workers)  # one batch is ready while every thread works on a later one
    with (
        ThreadPoolExecutor(workers, thread_name_prefix=THREAD_NAME) as pool,
        closing(map_in_order(pool, filled, rows(), num_ahead=num_ahead)) as batches_or_none,
    ):
        yield from filter(None, batches_or_none)


def _empty_batch(samples: Samples, indices: tuple[int, ...]) -> SampleBatch:
    (height, width), pairs = samples.data.size_hw, [samples.pairs[index] for index in indices]
    photos, alphas = (
        torch.empty((len(indices), channels, height, width), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        for channels in (samples.num_channels, 1)
    )
    return SampleBatch(photos, alphas, tuple(pair.view for pair in pairs), tuple(pair.name for pair in pairs), indices)


def _index(place: int, samples: Samples, seed: int) -> int:
    """Index of the sample at a position in the endless sequence of shuffled epochs.

    A cutout marked wrong keeps its position only in a share of the epochs; in the others the next good one replaces it.
    """
    num = len(samples)
    epoch, rest = divmod(place, num)
    order = _order(epoch, num, seed)
    index = int(order[rest])
    chance = seeded_generator("wrong", seed, epoch, rest)
    if samples.is_wrong(index) and float(torch.rand((), generator=chance)) >= samples.data.wrong_weight:
        following = (int(order[(rest + step) % num]) for step in range(1, num))
        return next((other for other in following if not samples.is_wrong(other)), index)
    return index


@functools.lru_cache(maxsize=4)
def _order(epoch: int, num: int, seed: int) -> Tensor:
    return torch.randperm(num, generator=seeded_generator("order", seed, epoch))
