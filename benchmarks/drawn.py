"""How well any version cuts drawn photos, whose alpha is exact: soft cloth, the three views, large photos.

    python benchmarks/drawn.py draw FOLDER [HEIGHT [SEEDS]]
    garmentcut cut FOLDER/photos --out CUT        (once for each model, commit or tool to compare)
    python benchmarks/drawn.py score FOLDER CUT...

Draws the first 12 seeds of sheer cloth, lace and brushed cloth in the three views in turn, and the first 12 (or SEEDS)
of other cloth in all three views, 1728 (or HEIGHT) pixels high; with HEIGHT, only the latter. Prints the means for each
kind, or view, and folder of RGBA cutouts: the sum of absolute differences (in 1000 px) and the gradient error, both
over the whole photo, Dice and surface Dice (`alpha >= 128`), the latter at 2 px of a photo 1728 pixels high, and how
much of the thin parts is kept and right. A photo without a cutout counts as cut empty.
"""

import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.evaluation.metrics import compare_outlines, dice, gradient_error, sad, surface_dice, thin_parts
from garmentcut.synthetic import VIEWS, draw_studio_photo, studio_traits

_SOFT = ("sheer", "lace", "brushed")
_HEIGHT, _SEEDS = 1728, 12


def draw(folder: Path, height: str = str(_HEIGHT), seeds: str = str(_SEEDS)) -> None:
    """Write photos and their exact alphas."""
    for name in ("photos", "alphas"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    size_hw = int(height), round(int(height) / 1.5)
    for group, seed, view in _shots(int(seeds), with_soft=int(height) == _HEIGHT):
        shot = draw_studio_photo(seed, view=view, size_hw=size_hw)
        name = f"{group}-{seed:04d}_{view}.png"
        Image.fromarray(shot.rgb).save(folder / "photos" / name)
        Image.fromarray(np.rint(shot.alpha * 255).astype(np.uint8)).save(folder / "alphas" / name)


def _shots(num_seeds: int, *, with_soft: bool) -> Iterator[tuple[str, int, str]]:
    for kind in _SOFT if with_soft else ():
        seeds = islice((seed for seed in count(1) if kind in studio_traits(seed)), _SEEDS)
        yield from ((kind, seed, VIEWS[number % len(VIEWS)]) for number, seed in enumerate(seeds))
    opaque = (seed for seed in count(1) if not studio_traits(seed).intersection(_SOFT))
    for seed in islice(opaque, num_seeds):
        yield from ((view, seed, view) for view in VIEWS)


def score(folder: Path, *cuts: str) -> None:
    """Print a line for each kind, or view, and folder of cutouts."""
    for group in (*_SOFT, *VIEWS):
        targets = sorted((folder / "alphas").glob(f"{group}-*.png"))
        for cut in map(Path, cuts) if targets else ():
            rows, thin = [], np.zeros(4)
            for path in targets:
                target = _alpha(Image.open(path))
                alpha, everywhere = np.zeros_like(target), np.ones(target.shape, bool)
                if (cut / path.name).exists():
                    alpha = _alpha(Image.open(cut / path.name).getchannel("A"))
                masks = alpha >= 0.5, target >= 0.5
                near = surface_dice(compare_outlines(*masks), 2 * target.shape[0] / _HEIGHT)
                errors = sad(alpha, target, everywhere), gradient_error(alpha, target, everywhere)
                rows.append((*errors, dice(*masks), near))
                thin += thin_parts(*masks)
            difference, gradient, overlap, surface = np.mean(rows, axis=0)
            print(
                f"{group:10} {cut}: SAD {difference:.2f}, gradient {gradient:.2f}, Dice {overlap:.4f}, surface Dice"
                f" {surface:.4f}, thin kept {thin[1] / max(thin[0], 1):.2f}, right {thin[3] / max(thin[2], 1):.2f}"
            )


def _alpha(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, np.float32) / np.float32(255)


if __name__ == "__main__":
    (draw if sys.argv[1] == "draw" else score)(Path(sys.argv[2]), *sys.argv[3:])
