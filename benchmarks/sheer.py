"""How well models draw sheer cloth: on drawn photos whose alpha is exact, of garments that no training has drawn.

    python benchmarks/sheer.py MODEL...

The first 24 seeds whose garment is sheer, all of it or in part, in the three views in turn, 384x576. Prints for each
model the sum of the errors of alpha over the garment's area, the mean error in truly soft pixels (alpha 0.1 to 0.9),
and Dice (`alpha >= 128`); means over the photos.
"""

import sys
from itertools import count, islice
from pathlib import Path

import numpy as np

from garmentcut.errors import PhotoError
from garmentcut.evaluation.metrics import dice
from garmentcut.prediction.cutter import Cutter
from garmentcut.synthetic import VIEWS, draw_studio_photo, studio_traits

_NUM_PHOTOS = 24
_SIZE_HW = (576, 384)


def main(*models: str) -> None:
    """Print a line for each model."""
    seeds = islice((seed for seed in count(1) if "sheer" in studio_traits(seed)), _NUM_PHOTOS)
    shots = [draw_studio_photo(seed, view=VIEWS[n % len(VIEWS)], size_hw=_SIZE_HW) for n, seed in enumerate(seeds)]
    for model in models:
        cutter, rows = Cutter.load(Path(model)), []
        for shot in shots:
            try:
                alpha = cutter(shot.rgb).alpha
            except PhotoError:
                alpha = np.zeros_like(shot.alpha)
            error, soft = np.abs(alpha - shot.alpha), (shot.alpha > 0.1) & (shot.alpha < 0.9)
            overlap = dice(alpha >= 0.5, shot.alpha >= 0.5)
            rows.append((error.sum() / shot.alpha.sum(), error[soft].mean(), overlap))
        whole, in_soft, overlap = np.mean(rows, axis=0)
        print(f"{model}: error over area {whole:.3f}, in soft pixels {in_soft:.3f}; Dice {overlap:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
