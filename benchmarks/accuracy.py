"""Dice of cutouts against the retouchers' own.

    garmentcut cut ORIGINALS --out CUT
    python benchmarks/accuracy.py CUT CUTOUTS
    python benchmarks/accuracy.py --twice ORIGINALS CUTOUTS

CUT and CUTOUTS hold RGBA files with the same stems. Prints Dice per photo, then mean, median and worst over photos, by
both conventions for which of the retoucher's pixels count as garment. With --twice: the agreement between the cutouts
of byte-identical photos, and how much of the thin parts of one the other has, and how much of them it confirms, each
cutout measured against the other, over all of these photos.
"""

import hashlib
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.evaluation.metrics import compare_outlines, surface_dice, thin_parts


def dice(mask: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|); 1 if both are empty."""
    total = int(mask.sum()) + int(target.sum())
    return 2 * int((mask & target).sum()) / total if total else 1.0


def alpha_of(path: Path) -> NDArray[np.uint8]:
    """Alpha of an RGBA file, uint8 (H, W)."""
    with Image.open(path) as image:
        return np.asarray(image.getchannel("A"))


def main(cut_dir: Path, target_dir: Path) -> None:
    """Print the table."""
    scores: dict[str, list[tuple[float, str]]] = {"alpha >= 128": [], "alpha > 0": []}
    for target_path in sorted(target_dir.glob("*.png")):
        alpha, target = alpha_of(cut_dir / target_path.name), alpha_of(target_path)
        scores["alpha >= 128"].append((dice(alpha >= 128, target >= 128), target_path.stem))
        scores["alpha > 0"].append((dice(alpha > 0, target > 0), target_path.stem))
    for convention, pairs in scores.items():
        values = [value for value, _ in pairs]
        print(
            f"{convention:13} {len(values)} photos  mean {np.mean(values):.4f}  median {np.median(values):.4f}", end=""
        )
        print("  worst " + ", ".join(f"{value:.4f} {stem[:8]}" for value, stem in sorted(pairs)[:5]))


def twice(original_dir: Path, target_dir: Path) -> None:
    """Print the agreement of the cutouts of each photo that occurs twice."""
    by_content: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(original_dir.iterdir()):
        by_content[hashlib.sha256(path.read_bytes()).hexdigest()].append(path.stem)
    counts = np.zeros(4, np.int64)
    for stems in by_content.values():
        if len(stems) > 1:
            one, other = (alpha_of(target_dir / f"{stem}.png") >= 128 for stem in stems[:2])
            agreed = surface_dice(compare_outlines(one, other), 2.0)
            print(f"{stems[0][:8]}  Dice {dice(one, other):.4f}  surface Dice, 2 px {agreed:.3f}")
            counts += np.add(thin_parts(one, other), thin_parts(other, one))
    thin, kept, drawn, right = counts.tolist()
    print(f"thin parts: {thin} px, kept {kept / max(thin, 1):.2f}, right {right / max(drawn, 1):.2f}")


if __name__ == "__main__":
    if sys.argv[1] == "--twice":
        twice(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
