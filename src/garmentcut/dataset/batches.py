"""Batches for training, prepared ahead by threads; which samples a step gets follows from its number alone."""

import functools
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from garmentcut.dataset.manifest import DatasetError
from garmentcut.dataset.samples import Samples
from garmentcut.dataset.seeds import seeded_generator

THREAD_NAME = "garmentcut-batches"
_MAX_THREADS = 16


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
