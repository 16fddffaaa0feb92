"""How many photos per second the loader provides, by stage, compared with the rate at which training uses them.

    python benchmarks/loader.py DATASET                              recipes/cutnet.toml: native size
    python benchmarks/loader.py DATASET --recipe recipes/simple.toml
    python benchmarks/loader.py DATASET --rate 75                    photos/s of the training, for the ratios
    python benchmarks/loader.py DATASET --size 576x384 --workers 8 --steps 40

Cold: each photo is read from disk (or from the system's file cache) and scaled. Warm: scaled photos come from memory.
Augmentation runs on the GPU if there is one. Run it on an otherwise idle machine.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from garmentcut.dataset.augment import augment
from garmentcut.dataset.manifest import read_manifest
from garmentcut.dataset.samples import SampleBatch, Samples, batches
from garmentcut.recipe import Recipe, load_recipe

_RECIPE = Path(__file__).parents[1] / "recipes" / "cutnet.toml"
_WARM_UP_STEPS = 2  # first calls fill caches and page-lock memory
_DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def photos_a_second(batch: int, steps: int, run: Callable[[int], object]) -> float:
    """Rate of `run(step)` over steps, after a warm-up."""
    for step in range(_WARM_UP_STEPS):
        run(step)
    _wait()
    start = time.perf_counter()
    for step in range(_WARM_UP_STEPS, _WARM_UP_STEPS + steps):
        run(step)
    _wait()
    return batch * steps / (time.perf_counter() - start)


def one_photo(samples: Samples, rounds: int = 12) -> float:
    """Median milliseconds of reading and scaling a photo and its target, on one thread."""
    times = []
    for index in range(min(rounds, len(samples))):
        start = time.perf_counter()
        samples.planes(index)
        times.append((time.perf_counter() - start) * 1000)
    return median(times)


def varied(batch: SampleBatch, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """What a training step does before it runs the network."""
    photos, alphas = batch.on(_DEVICE)
    return augment(photos, alphas, views=batch.views, config=recipe.augment, key=(0, step, 0))


def report(folder: Path, recipe: Recipe, steps: int, rate: float) -> None:
    """Measure and print."""
    manifest, data, size = read_manifest(folder), recipe.data, recipe.training.batch
    cold = Samples(manifest, manifest.usable, replace(data, cache_gb=0.0))
    kept = Samples(manifest, manifest.usable[: 4 * size], replace(data, cache_gb=1e6))
    for index in range(len(kept)):
        kept.planes(index)

    def fed(samples: Samples) -> Iterator[SampleBatch]:
        return batches(samples, range(_WARM_UP_STEPS + steps), batch=size, seed=0, workers=data.workers)

    from_disk, from_memory, through = fed(cold), fed(kept), fed(kept)
    first = next(fed(kept))
    figures = {
        "loader, cold": photos_a_second(size, steps, lambda _: next(from_disk)),
        "loader, warm": photos_a_second(size, steps, lambda _: next(from_memory)),
        f"augmenting, {_DEVICE.type}": photos_a_second(size, steps, lambda step: varied(first, recipe, step)),
        "loader, warm, and augmenting": photos_a_second(size, steps, lambda step: varied(next(through), recipe, step)),
    }
    height, width = data.size_hw
    title = f"{width}x{height}, batches of {size}, {data.workers or min(os.cpu_count() or 1, 16)} threads"
    table = Table("", "photos/s", f"times {rate:g} photos/s", title=title, title_justify="left")
    for name, value in figures.items():
        table.add_row(name, f"{value:.1f}", f"{value / rate:.2f}")
    console = Console(width=100)
    console.print(table)
    console.print(f"read and scale one photo, one thread: {one_photo(cold):.0f} ms")


def _wait() -> None:
    if _DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Photos a second that training is fed.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--recipe", type=Path, default=_RECIPE)
    parser.add_argument("--size", help="HEIGHTxWIDTH instead of the recipe's")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=75.0, help="photos/s of the training")
    given = parser.parse_args()
    settings = {
        "data.size_hw": [int(side) for side in given.size.split("x")] if given.size else None,
        "data.workers": given.workers,
        "training.batch": given.batch,
    }
    overrides = {key: value for key, value in settings.items() if value is not None}
    report(given.dataset, load_recipe(given.recipe, overrides), given.steps, given.rate)
