"""Why small photos are enlarged for the network: Dice of reduced photos, scaled to the working height or kept small.

    python benchmarks/scale.py ORIGINALS CUTOUTS

ORIGINALS holds photos, CUTOUTS RGBA PNGs with the same stems. Uses every 14th photo; convention `alpha >= 128`.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from garmentcut import Cutter, PhotoError

if __name__ == "__main__":
    cutter = Cutter.load()
    for share in (0.35, 0.5, 0.7):
        scores: dict[str, list[float]] = {"scaled": [], "left small": []}
        for path in sorted(Path(sys.argv[1]).iterdir())[5::14]:
            photo, cutout = Image.open(path).convert("RGB"), Image.open(Path(sys.argv[2]) / f"{path.stem}.png")
            size = round(photo.width * share), round(photo.height * share)
            small = np.asarray(photo.resize(size, Image.Resampling.LANCZOS))
            target = np.asarray(cutout.getchannel("A").resize(size, Image.Resampling.BOX)) >= 128
            left = replace(cutter, card=replace(cutter.card, working_size_hw=size[::-1]))
            for name, chosen in (("scaled", cutter), ("left small", left)):
                try:
                    mask = chosen(small).alpha >= 0.5
                except PhotoError:
                    mask = np.zeros_like(target)
                scores[name].append(2 * float((mask & target).sum()) / float(mask.sum() + target.sum()))
        print(share, {name: f"mean Dice {np.mean(values):.4f}" for name, values in scores.items()})
