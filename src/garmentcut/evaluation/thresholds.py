"""Which threshold on alpha would give the best masks, and how much it matters."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from garmentcut.evaluation.masks import Mask, check_masks, mask_of
from garmentcut.evaluation.matting import Alpha

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""0.05, 0.10 ... 0.95."""

_CLOSE = 0.0005  # Dice; a twelfth of a pixel along the whole outline


@dataclass(frozen=True)
class Sweep:
    """Mean Dice over photos at each threshold.

    Attributes:
        mean_dice: one a threshold of `THRESHOLDS`.
        best: the threshold with the highest mean; the one nearest 0.5 of several.
        flat: lowest and highest threshold of the stretch around `best` whose mean is within 0.0005 of the highest.
    """

    mean_dice: tuple[float, ...]
    best: float
    flat: tuple[float, float]


def dice_at_thresholds(prediction: Alpha, garment: Mask) -> tuple[float, ...]:
    """Dice of `prediction >= t` for each threshold, against one mask; one pass over the pixels.

    Args:
        prediction: `(H, W)` float32 in [0, 1].
        garment: the target's mask, by either convention, the same size.

    Returns:
        One a threshold; as `garmentcut.evaluation.overlap.dice`.

    Raises:
        ValueError: sizes differ.
    """
    check_masks(mask_of(prediction), garment)
    edges = np.asarray(THRESHOLDS, np.float32)
    shown = prediction >= edges[0]  # most of the frame is not, and need not be sorted
    num_reached = np.searchsorted(edges, prediction[shown], side="right")  # thresholds that a pixel passes
    inside = num_reached[garment[shown]]
    num_bins = len(edges) + 1
    # Pixels that pass threshold i: those that reach more than i of them.
    predicted, common = (
        np.bincount(reached, minlength=num_bins)[::-1].cumsum()[::-1][1:] for reached in (num_reached, inside)
    )
    total = predicted + np.count_nonzero(garment)
    return tuple(float(2 * both / whole) if whole else 1.0 for both, whole in zip(common, total, strict=True))


def sweep_of(rows: Iterable[tuple[float, ...]]) -> Sweep:
    """Mean over photos of what `dice_at_thresholds` gave, and its best place.

    Raises:
        ValueError: no photos.
    """
    table = np.array(list(rows), np.float64)
    if not table.size:
        raise ValueError("no photos to sweep over")
    means = table.mean(axis=0)
    best = max(range(len(means)), key=lambda i: (round(float(means[i]), 9), -abs(THRESHOLDS[i] - 0.5)))
    low = high = best
    while low and means[low - 1] >= means[best] - _CLOSE:
        low -= 1
    while high + 1 < len(means) and means[high + 1] >= means[best] - _CLOSE:
        high += 1
    return Sweep(tuple(float(mean) for mean in means), THRESHOLDS[best], (THRESHOLDS[low], THRESHOLDS[high]))
