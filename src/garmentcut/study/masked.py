"""Photos seen through a first mask: what the second of two passes is trained on, as a data set of its own."""

import functools
import hashlib
import os
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import Manifest, Pair, read_pair, write_manifest
from garmentcut.errors import PhotoError
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import write_atomic
from garmentcut.photo.photo import Photo, to_8_bit
from garmentcut.photo.png import png_bytes
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.runtime import runtime_for
from garmentcut.study.declaration import FirstPass

HIDDEN_LEVEL = 128
"""Of all three channels, where the photo is hidden."""

_MAX_THREADS = 4  # each holds a photo and its distances, some 50 MB


@dataclass(frozen=True)
class Source:
    """A first network, and photos that it had never seen.

    Attributes:
        model: its file.
        pairs: the photos.
        for_training: the second network learns from them; else it is measured on them.
    """

    model: Path
    pairs: tuple[Pair, ...]
    for_training: bool


def write_masked(
    folder: Path, manifest: Manifest, sources: Sequence[Source], *, config: FirstPass, seed: int
) -> Manifest:
    """Write the photos of some first networks as a data set.

    Photos to learn from are there `config.copies` times, each with another widening, as `<name>-0`, `<name>-1` ...;
    held-out ones once, under their own name. Targets are the data set's own. Where the first network finds no garment,
    the photo is shown whole, as it would be in use.

    Args:
        folder: gets `photos/` and, last, `manifest.jsonl`.
        manifest: the data set.
        sources: all photos, each in one.
        config: of the widening.
        seed: of the widenings.

    Raises:
        PhotoError: a photo cannot be read; names the file.
        ModelError: a first network cannot be loaded.
    """
    rows: list[Pair] = []
    for source in sources:
        settled = runtime_for(RuntimeConfig(), len(source.pairs))
        cutter = Cutter.load(source.model, config=settled)
        drawer = _Drawer(folder, manifest, cutter, config, seed, threading.Semaphore(cutter.runtime.streams))
        with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
            draw = functools.partial(drawer.draw, for_training=source.for_training)
            for drawn in pool.map(draw, source.pairs):
                rows += drawn
    masked = Manifest(folder, tuple(rows), manifest.scheme, manifest.seed)
    write_manifest(masked)
    return masked


def widened(mask: NDArray[np.bool_], width_px: int) -> NDArray[np.bool_]:
    """A mask and all pixels at most `width_px` from it, as the crow flies; all of the frame if the mask is empty."""
    if not mask.any():
        return np.ones_like(mask)
    near: NDArray[np.bool_] = distance_transform_edt(~mask) <= width_px
    return near


@dataclass(frozen=True)
class _Drawer:
    """Draws the photos of one first network; may be called from several threads at once."""

    folder: Path
    manifest: Manifest
    cutter: Cutter
    config: FirstPass
    seed: int
    turns: threading.Semaphore  # as many threads may be in the network at a time

    def draw(self, pair: Pair, *, for_training: bool) -> list[Pair]:
        """Write a photo's masked forms; their rows."""
        photo, _ = read_pair(self.manifest, pair)
        rgb, mask = srgb_of(to_8_bit(photo.rgb), photo.profile), self._first_mask(photo)
        return [
            self._write(pair, name, np.where(widened(mask, width)[..., None], rgb, np.uint8(HIDDEN_LEVEL)))
            for name, width in self._widths(pair, for_training=for_training)
        ]

    def _first_mask(self, photo: Photo) -> NDArray[np.bool_]:
        try:
            with self.turns:
                mask: NDArray[np.bool_] = self.cutter(photo).alpha >= 0.5
        except PhotoError:  # no garment found
            return np.zeros(photo.size_hw, np.bool_)
        return mask

    def _widths(self, pair: Pair, *, for_training: bool) -> Iterator[tuple[str, int]]:
        low, high = self.config.dilation_px
        if not for_training:
            yield pair.name, (low + high) // 2
            return
        draws = random.Random(f"{self.seed} {pair.name}")
        for number in range(self.config.copies):
            yield f"{pair.name}-{number}", draws.randint(low, high)

    def _write(self, pair: Pair, name: str, rgb: NDArray[np.uint8]) -> Pair:
        content = png_bytes(rgb)
        write_atomic(self.folder / "photos" / f"{name}.png", content)
        return replace(
            pair,
            name=name,
            photo=f"photos/{name}.png",
            photo_sha256=hashlib.sha256(content).hexdigest(),
            cutout=self._absolute(pair.cutout),
            alpha=self._absolute(pair.alpha),
        )

    def _absolute(self, text: str) -> str:
        return self.manifest.path_of(text).resolve().as_posix()
