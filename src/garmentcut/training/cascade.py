"""Train a cascade: first looks, out of fold; their maps; then the second look, which learns from those.

A second look that learned from maps of photos which the first look had been trained on would learn to trust them, and
first looks at new photos are worse. So each training photo's map comes from a network that had never seen it nor
another view of its garment, and those of held-out photos from one that had seen none of them: the first look that goes
into the model file.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from garmentcut.dataset.manifest import Pair, read_pair
from garmentcut.dataset.samples import map_path
from garmentcut.errors import TrainingError
from garmentcut.export.card import card_of_network
from garmentcut.model.checkpoint import load_network
from garmentcut.photo.files import write_atomic
from garmentcut.photo.png import png_bytes
from garmentcut.prediction.frame import frame_photo
from garmentcut.recipe import first_recipe
from garmentcut.training.devices import Devices
from garmentcut.training.divisions import Division
from garmentcut.training.logging import Ended, Event
from garmentcut.training.loop import train_runs
from garmentcut.training.run import FIRST_NAME, Run

WHOLE_NAME = "whole"
"""In a run's `first/`: the first look that goes into the model file."""


def train_all(
    runs: Sequence[Run], devices: Devices, *, minutes: float | None = None
) -> Generator[tuple[Run, Event], None, None]:
    """Train runs of one recipe, each from where it stands; of a cascade's, first looks and second look in turn.

    Args:
        runs: as `train_runs`; of a cascade, those of the second look: first looks are trained below their folders.
        devices: what to train on.
        minutes: after these, the network under way saves its state, and the others are not begun.

    Raises:
        TrainingError, DatasetError: as `train_runs`; or the data set has too few splits for first looks out of fold.
        PhotoError: a photo cannot be read; names the file.
    """
    if not runs[0].recipe.crops.first:
        yield from train_runs(runs, devices, minutes=minutes)
        return
    until = None if minutes is None else time.monotonic() + minutes * 60
    for run in runs:
        for stage in _stages(run):
            left = None if until is None else max((until - time.monotonic()) / 60, 0.0)
            for told in train_runs([stage], devices, minutes=left):
                yield told
                if isinstance(told[1], Ended) and not told[1].finished:
                    return


def first_runs(run: Run) -> tuple[Run, ...]:
    """The first looks: one for each split that is learned from, which it holds out; last, the one that learns of all.

    Raises:
        TrainingError: there is but one split to learn from, so no photo could be held out.
    """
    recipe, division = first_recipe(run.recipe), run.division
    # One evaluation, the last: held-out photos that chose the weights would not be held out.
    once = replace(recipe, training=replace(recipe.training, evaluate_every=recipe.training.steps))
    splits = sorted({pair.split for pair in division.train})
    if len(splits) < 2:
        raise TrainingError(
            f"{run.manifest.folder}: a cascade learns from first looks at photos they have not seen, and there is but"
            f" one split to learn from; split it into folds: garmentcut ingest --folds 5"
        )
    folder, firsts = run.folder / FIRST_NAME, []
    for split in splits:
        train = tuple(pair for pair in division.train if pair.split != split)
        held = tuple(pair for pair in division.train if pair.split == split)
        left_out = tuple(dict.fromkeys((split, *division.held_out)))
        firsts.append(Run(folder / split, once, run.manifest, Division(f"first-{split}", train, held, left_out)))
    whole = replace(division, name=f"first-{division.name}")
    return (*firsts, Run(folder / WHOLE_NAME, once, run.manifest, whole))


def _stages(run: Run) -> Iterator[Run]:
    """Each training in turn; the caller trains it to its end before it asks for the next."""
    for first in first_runs(run):
        yield first
        # Of a whole that held nothing out, the few photos it was looked at with have maps out of fold already.
        write_maps(run, first, [pair for pair in first.division.validation if not _has_map(run, pair)])
    write_maps(run, first, [pair for pair in run.drawn if not _has_map(run, pair)])
    yield run


def write_maps(run: Run, first: Run, pairs: Sequence[Pair]) -> None:
    """Write the maps of photos that a first look held out.

    Args:
        run: of the second look.
        first: finished.
        pairs: the photos.

    Raises:
        PhotoError: a photo cannot be read; names the file.
    """
    if not pairs:
        return
    network, spec = load_network(first.best_path)
    network.eval()
    card = card_of_network(network, spec)
    for pair in pairs:
        frame = frame_photo(read_pair(run.manifest, pair)[0], card)
        height, width = frame.content_hw
        levels = np.rint(alpha_of(network, frame.rgb)[:height, :width] * 255).astype(np.uint8)
        write_atomic(map_path(run.maps_path, pair.name), png_bytes(levels))


@torch.no_grad()
def alpha_of(network: nn.Module, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network's alpha of a photo.

    Args:
        network: in evaluation mode, on the CPU.
        rgb: `(H, W, 3)` uint8 sRGB, sides as the network takes them.

    Returns:
        `(H, W)` float32 in [0, 1].
    """
    photos = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float() / 255
    alpha: NDArray[np.float32] = network(photos).sigmoid()[0, 0].numpy()
    return alpha


def _has_map(run: Run, pair: Pair) -> bool:
    return map_path(run.maps_path, pair.name).exists()
