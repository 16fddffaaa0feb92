"""What the network is fed: each step's photos and targets, augmented, on the device."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import torch
from lightning.fabric import Fabric
from torch import Tensor

from garmentcut.dataset.augment import augment, augment_crops
from garmentcut.dataset.samples import Batch, Samples, batches, open_crops, seeded_generator, shared_generator
from garmentcut.recipe import Recipe
from garmentcut.training.run import Run


def open_samples(run: Run) -> tuple[Samples, Samples]:
    """Samples to learn from and to measure on; they share the memory that the recipe allows."""
    sides, data = ((*run.division.train, *run.drawn), run.division.validation), run.recipe.data
    if run.recipe.crops.first:
        return open_crops(run.manifest, sides, run.recipe, maps=run.maps_path)
    share = data.cache_gb / sum(map(len, sides))
    learn_from, measure_on = (Samples(run.manifest, side, replace(data, cache_gb=share * len(side))) for side in sides)
    return learn_from, measure_on


def open_feed(samples: Samples, recipe: Recipe, steps: range, *, fabric: Fabric) -> Iterator[tuple[int, Batch]]:
    """Some steps, counted from 0, each with this device's share of its batch.

    Raises:
        DatasetError: the batch cannot be shared evenly by the devices.
        PhotoError: a photo cannot be read; names the file.
    """
    feed = batches(
        samples,
        steps,
        batch=recipe.training.batch,
        seed=recipe.training.seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        workers=recipe.data.workers,
    )
    with closing(feed):
        yield from zip(steps, feed, strict=True)


def augmented(batch: Batch, recipe: Recipe, step: int, *, fabric: Fabric) -> tuple[Tensor, Tensor]:
    """A step's photos and targets on the device, varied as the recipe says.

    All that is random in a step is drawn from generators that are seeded here, by seed and step, the network's dropout
    by device too: nothing depends on the steps before, so a resume needs no state of them; and photos are varied alike
    on one device and on several, but for those that another photo's garment is pasted on.

    Returns:
        Photos `(N, 3, H, W)`, channels last, and targets `(N, 1, H, W)`, float32 in [0, 1].
    """
    seed, rank = recipe.training.seed, fabric.global_rank
    torch.manual_seed(seeded_generator("network", seed, step, rank).initial_seed())
    vary = partial(augment_crops, crops=recipe.crops) if recipe.crops.first else augment
    photos, targets = vary(
        *batch.on(fabric.device),
        views=batch.views,
        config=recipe.augment,
        generator=shared_generator(seed, step, rank=rank, world_size=fabric.world_size),
        hard=recipe.data.target != "alpha",
    )
    return photos.contiguous(memory_format=torch.channels_last), targets
