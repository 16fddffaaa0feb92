"""How well sheer cloth, lace and brushed edges are cut: on drawn photos whose alpha is exact, by any version's command.

    python benchmarks/sheer.py draw FOLDER
    garmentcut cut FOLDER/photos --out CUT        (of one model, commit or tool, and of another)
    python benchmarks/sheer.py score FOLDER CUT...

Draws the first 12 seeds of each kind in the three views in turn, 1152x1728. Prints, for each kind and each folder of
RGBA cutouts, the sum of absolute differences (in 1000 px) and the gradient error, both over the whole photo, and Dice
(`alpha >= 128`): means over the photos. A photo without a cutout counts as cut empty.
"""

import sys
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.evaluation.metrics import dice, gradient_error, sad
from garmentcut.synthetic import VIEWS, draw_studio_photo, studio_traits

_KINDS = ("sheer", "lace", "brushed")
_NUM_PHOTOS = 12
_SIZE_HW = (1728, 1152)


def draw(folder: Path) -> None:
    """Write photos and their exact alphas."""
    for name in ("photos", "alphas"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for kind in _KINDS:
        seeds = islice((seed for seed in count(1) if kind in studio_traits(seed)), _NUM_PHOTOS)
        for number, seed in enumerate(seeds):
            view = VIEWS[number % len(VIEWS)]
            shot = draw_studio_photo(seed, view=view, size_hw=_SIZE_HW)
            name = f"{kind}-{seed:04d}_{view}.png"
            Image.fromarray(shot.rgb).save(folder / "photos" / name)
            Image.fromarray(np.rint(shot.alpha * 255).astype(np.uint8)).save(folder / "alphas" / name)


def score(folder: Path, *cuts: str) -> None:
    """Print a line for each kind and folder of cutouts."""
    for kind in _KINDS:
        for cut in map(Path, cuts):
            rows = []
            for path in sorted((folder / "alphas").glob(f"{kind}-*.png")):
                target = _alpha(Image.open(path))
                alpha, everywhere = np.zeros_like(target), np.ones(target.shape, bool)
                if (cut / path.name).exists():
                    alpha = _alpha(Image.open(cut / path.name).getchannel("A"))
                errors = sad(alpha, target, everywhere), gradient_error(alpha, target, everywhere)
                rows.append((*errors, dice(alpha >= 0.5, target >= 0.5)))
            difference, gradient, overlap = np.mean(rows, axis=0)
            print(f"{kind:8} {cut}: SAD {difference:.2f}, gradient {gradient:.2f}, Dice {overlap:.4f}")


def _alpha(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, np.float32) / np.float32(255)


if __name__ == "__main__":
    (draw if sys.argv[1] == "draw" else score)(Path(sys.argv[2]), *sys.argv[3:])
