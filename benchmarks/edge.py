"""Finds the edge for a model's card: the logit of the edge, and how steep the edge is.

    python benchmarks/edge.py ORIGINALS CUTOUTS [MODEL]

Tries biases and gains on each photo. Prints mean and median Dice (`alpha >= 128`) for each bias and, for each bias and
gain, the absolute difference of alpha summed over the pixels of the edge band, as a mean over photos.
"""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from garmentcut import read_photo
from garmentcut.model.card import alpha_of_logits, read_model
from garmentcut.prediction.cutter import model_path
from garmentcut.prediction.locate import frame_photo
from garmentcut.prediction.runtime import load_runtime

_BIASES, _GAINS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.5), (1.0, 1.5, 2.0, 2.5)

if __name__ == "__main__":
    content, card = read_model(Path(sys.argv[3]) if len(sys.argv) > 3 else model_path())
    plain = load_runtime(content, replace(card, edge_bias=0.0, edge_gain=1.0))
    dice: dict[float, list[float]] = defaultdict(list)
    edge_error: dict[tuple[float, float], list[float]] = defaultdict(list)
    for path in sorted(Path(sys.argv[1]).iterdir()):
        frame = frame_photo(read_photo(path), card)
        assert frame.content_hw == frame.photo_hw == frame.rgb.shape[:2], f"{path}: not of the working size"
        probability = np.clip(plain(frame.rgb).astype(np.float64), 1e-7, 1 - 1e-7)
        logits = np.log(probability / (1 - probability)).astype(np.float32)
        with Image.open(Path(sys.argv[2]) / f"{path.stem}.png") as cutout:
            target = np.asarray(cutout.getchannel("A"))
        band = (abs(logits) < 7) | ((target > 0) & (target < 255))
        for bias in _BIASES:
            mask, wanted = logits > bias, target >= 128
            dice[bias].append(2 * float((mask & wanted).sum()) / float(mask.sum() + wanted.sum()))
            for gain in _GAINS:
                alpha = alpha_of_logits(logits[band], bias, gain)
                edge_error[bias, gain].append(float(abs(alpha - target[band] / 255).sum()))
    for bias, values in dice.items():
        errors = "  ".join(f"gain {gain}: {np.mean(edge_error[bias, gain]):.0f}" for gain in _GAINS)
        print(f"bias {bias:4}  Dice {np.mean(values):.5f} {np.median(values):.5f}  edge band {errors}")
