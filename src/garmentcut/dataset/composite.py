"""Makes extra training pairs with exact alpha for a training run: drawn photos, and garments on other backgrounds."""

from collections.abc import Callable, Sequence
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.manifest import Manifest, Pair, read_pair, read_target, target_bytes
from garmentcut.naming import VIEWS
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import sha256_of, write_atomic
from garmentcut.photo.mask import bounding_box
from garmentcut.photo.photo import to_8_bit
from garmentcut.photo.write import png_bytes
from garmentcut.recipe import DataConfig
from garmentcut.synthetic import composite, draw_studio_photo, draw_variation, studio_traits

SPLIT = "synthetic"  # split of the extra pairs; no split of a dataset has this name, and nothing is measured on it
FIRST_SEED = 1_000_000  # far from the seeds of `garmentcut studio`, whose photos are measured on
_WANTED = "sheer"  # includes lace only if it has no lining
_LEAST_SHARE = 0.01  # of the photo; a garment of lace motifs alone can cover almost nothing


def extra_pairs(
    folder: Path,
    data: DataConfig,
    *,
    height: int,
    manifest: Manifest,
    pairs: Sequence[Pair],
    first_seed: int = FIRST_SEED,
) -> tuple[Pair, ...]:
    """Make all extra pairs that a recipe asks for in `folder`; those that exist are not made again.

    Drawn photos are `height` pixels high. Composites are made from the given training pairs and as large as these.
    Trainings use seeds from `FIRST_SEED` on; photos that must be new to all models need other ones.

    Raises:
        OSError: a file cannot be written.
        PhotoError: a photo cannot be read; the message names the file.
    """
    drawn = draw_pairs(folder, data.synthetic, height=height, first_seed=first_seed)
    varied = draw_pairs(folder, data.varied, height=height, is_varied=True, first_seed=first_seed)
    chosen = [pairs[number * len(pairs) // data.composites] for number in range(data.composites)] if pairs else []

    def composed(seed: int, pair: Pair) -> Pair | None:
        def compose() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
            photo, alpha = read_pair(manifest, pair)
            return composite(srgb_of(to_8_bit(photo.rgb), photo.profile), alpha, seed)

        content = f"{pair.photo_sha256[:8]}{pair.cutout_sha256[:8]}"  # a folder may outlive a correction
        path = folder.resolve() / f"composite-{seed}-{content}-{pair.name}"
        return _pair(path, compose, view=pair.view, size_hw=pair.size_hw, group=pair.group)

    made = (composed(seed, pair) for seed, pair in enumerate(chosen, first_seed))
    return (*drawn, *varied, *(pair for pair in made if pair is not None))


def draw_pairs(
    folder: Path, num: int, *, height: int, is_varied: bool = False, first_seed: int = FIRST_SEED
) -> tuple[Pair, ...]:
    """Draw studio photos, with the views in turn, of garments that are partly or wholly of sheer cloth or lace.

    The folder gets `<name>.png` and `<name>_alpha.png`, two thirds as wide as high; existing files are not drawn again.
    With `is_varied`, garments of any cloth are drawn, with other mannequins, backgrounds and details; see
    `garmentcut.synthetic.draw_variation`. Returns the pairs, whose `photo` and `alpha` are absolute paths, so that they
    can be read together with any dataset's. Raises as `extra_pairs`.
    """
    kind, size_hw = f"{SPLIT}-varied" if is_varied else SPLIT, (height, height * 2 // 3)

    def drawn(seed: int, view: str) -> Pair | None:
        def draw() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
            variation = draw_variation(seed) if is_varied else None
            shot = draw_studio_photo(seed, view=view, size_hw=size_hw, variation=variation)
            return shot.rgb, shot.alpha

        path = folder.resolve() / f"{kind}-{seed}-{height}_{view}"
        return _pair(path, draw, view=view, size_hw=size_hw, group=f"{kind}-{seed}")

    seeds = (seed for seed in count(first_seed) if is_varied or _WANTED in studio_traits(seed))
    pairs = (drawn(seed, view) for seed, view in zip(seeds, cycle(VIEWS), strict=False))
    return tuple(islice((pair for pair in pairs if pair is not None), num))


def _pair(
    path: Path,
    make: Callable[[], tuple[NDArray[np.uint8], NDArray[np.float32]]],
    *,
    view: Any,
    size_hw: tuple[int, int],
    group: str,
) -> Pair | None:
    """The pair of a generated photo, which is written if it is missing; None: it shows almost no garment."""
    photo_path, alpha_path = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}_alpha.png")
    if not alpha_path.exists():  # written last, so that its existence proves that both are complete
        rgb, alpha = make()
        write_atomic(photo_path, png_bytes(rgb))
        write_atomic(alpha_path, target_bytes(alpha))
    mask = read_target(alpha_path, size_hw) >= 0.5
    box = bounding_box(mask)
    if box is None or mask.mean() < _LEAST_SHARE:
        return None
    return Pair(
        name=path.name,
        garment=group,
        view=view,
        photo=str(photo_path),
        cutout=str(alpha_path),
        alpha=str(alpha_path),
        photo_sha256=sha256_of(photo_path),
        cutout_sha256=sha256_of(alpha_path),
        size_hw=size_hw,
        box_xyxy=box,
        split=SPLIT,
        source="drawn",
        faults=(),
        group=group,
    )
