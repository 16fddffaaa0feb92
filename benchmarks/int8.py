"""What 8 bits spare and cost, for different choices of the convolutions that use them.

    python benchmarks/int8.py PHOTOS [PATTERN ...]

The embedded model's second network, on the crops that it is shown of the first 18 photos: every third finds the ranges,
the others are measured on. All convolutions; those that the card names; those whose names match each PATTERN (a regular
expression). Prints how many they are, Dice of the masks with float32's (mean and least), and processor time over
float32's, median.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from garmentcut.config import RuntimeConfig
from garmentcut.evaluation.int8_fit import NetworkBench, Recorder
from garmentcut.evaluation.overlap import dice
from garmentcut.model.card import read_model
from garmentcut.photo.reading import read_photo
from garmentcut.prediction.cutter import Cutter, default_model

_NUM_PHOTOS = 18


def main(photos: Path, *patterns: str) -> None:
    """Print a line for each choice."""
    content, card = read_model(default_model())
    cutter = Cutter.load(config=RuntimeConfig(backend="openvino", int8=False))
    recorder = Recorder(cutter.runtime)
    for path in sorted(photos.iterdir())[:_NUM_PHOTOS]:
        replace(cutter, runtime=recorder)(read_photo(path))
    bench, crops = NetworkBench(content, card), recorder.seen
    ranges = bench.ranges(crops[::3])
    tried = [crop for place, crop in enumerate(crops) if place % 3]
    expected = [bench.timed(bench.network({}), crop) for crop in tried]
    choices = {"all": ranges, "of the card": card.int8_ranges}
    choices |= {pattern: {name: ranges[name] for name in ranges if re.search(pattern, name)} for pattern in patterns}
    for words, chosen in choices.items():
        found = [bench.timed(bench.network(chosen), crop) for crop in tried]
        overlaps = [dice(ours[0] >= 0.5, plain[0] >= 0.5) for ours, plain in zip(found, expected, strict=True)]
        share = np.median([ours[1] / plain[1] for ours, plain in zip(found, expected, strict=True)])
        print(
            f"{words}: {len(chosen)}; Dice {np.mean(overlaps):.5f}, least {min(overlaps):.5f}; {share:.2f} of the time"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
