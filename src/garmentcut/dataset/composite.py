"""Drawn studio photos as pairs to learn from: sheer cloth and bare lace, whose alpha no retoucher can give exactly."""

import hashlib
from itertools import count, islice
from pathlib import Path

from garmentcut.dataset.manifest import VIEWS, Pair, read_target, target_bytes
from garmentcut.photo.files import write_atomic
from garmentcut.photo.mask import bounding_box
from garmentcut.photo.png import png_bytes
from garmentcut.synthetic import draw_studio_photo, studio_traits

SPLIT = "synthetic"
"""Of drawn pairs; none of a data set's is called so, and nothing is measured on it."""

FIRST_SEED = 1_000_000
"""Far from the seeds that `garmentcut studio` draws photos of to measure on."""

_WANTED = "sheer"  # lace is that only where it has no lining
_LEAST_SHARE = 0.01  # of the photo: a garment of bare lace motifs alone can be next to nothing


def draw_pairs(folder: Path, num: int, *, height: int) -> tuple[Pair, ...]:
    """Draw studio photos of garments of sheer cloth or bare lace, all of them or in part, in all views in turn.

    Those that are there are not drawn again.

    Args:
        folder: gets `<name>.png` and `<name>_alpha.png`.
        num: of photos.
        height: in pixels; two thirds as wide.

    Returns:
        Their pairs; `photo` and `alpha` are absolute paths, so they can be read beside any data set's.

    Raises:
        OSError: they cannot be written.
        PhotoError: one that is there is damaged; names the file.
    """
    seeds = (seed for seed in count(FIRST_SEED) if _WANTED in studio_traits(seed))
    pairs = (_pair(folder.resolve(), seed, VIEWS[number % len(VIEWS)], height) for number, seed in enumerate(seeds))
    return tuple(islice((pair for pair in pairs if pair is not None), num))


def _pair(folder: Path, seed: int, view: str, height: int) -> Pair | None:
    name, size_hw = f"{SPLIT}-{seed}-{height}_{view}", (height, height * 2 // 3)
    photo_path, alpha_path = folder / f"{name}.png", folder / f"{name}_alpha.png"
    if not alpha_path.exists():  # it is written last
        shot = draw_studio_photo(seed, view=view, size_hw=size_hw)
        write_atomic(photo_path, png_bytes(shot.rgb))
        write_atomic(alpha_path, target_bytes(shot.alpha))
    mask = read_target(alpha_path, size_hw) >= 0.5
    box = bounding_box(mask)
    if box is None or mask.mean() < _LEAST_SHARE:
        return None
    return Pair(
        name=name,
        garment=f"{SPLIT}-{seed}",
        view=view,
        photo=str(photo_path),
        cutout=str(alpha_path),
        alpha=str(alpha_path),
        photo_sha256=hashlib.sha256(photo_path.read_bytes()).hexdigest(),
        cutout_sha256=hashlib.sha256(alpha_path.read_bytes()).hexdigest(),
        size_hw=size_hw,
        box_xyxy=box,
        split=SPLIT,
        source="drawn",
        faults=(),
        group=f"{SPLIT}-{seed}",
    )
